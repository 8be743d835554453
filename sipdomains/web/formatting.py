"""Values as people read them. Pure."""

from __future__ import annotations

from datetime import datetime

from sipdomains.redaction import masked

STATUS_WORDS = {
    "queued": "Queued",
    "initiated": "Dialling",
    "ringing": "Ringing",
    "in-progress": "In progress",
    "completed": "Completed",
    "busy": "Busy",
    "failed": "Failed",
    "no-answer": "No answer",
    "canceled": "Canceled",
}

DIRECTION_WORDS = {
    "inbound": "received",
    "outbound-dial": "placed by Dial",
    "outbound-api": "placed by the API",
}

ENDED_BY = {
    "silence": "silence",
    "max-length": "its length limit",
    "key": "a key",
    "api": "a request of the application",
    "moved": "the move to another media worker",
    "hangup": "hang-up",
    "redirected": "a new document",
    "stopped": "the end of the call",
    "lost": "the loss of the media worker",
    "failed": "a failure to write",
    "node-lost": "the loss of the node",
    "call-ended": "the end of the call",
}

REFER_ENDS = {
    "refused": "the REFER was refused",
    "final": "a final NOTIFY told",
    "terminated": "the subscription ended without a result",
    "timeout": "nothing was told in time",
    "hangup": "the peer hung up",
}


def status_word(status: str) -> str:
    return STATUS_WORDS.get(status, status)


def direction_words(direction: str) -> str:
    return DIRECTION_WORDS.get(direction, direction)


def ended_by(slug: str) -> str:
    """What ended a recording."""
    return ENDED_BY.get(slug, slug)


def refer_end(slug: str) -> str:
    """What ended the wait for the result of a transfer."""
    return REFER_ENDS.get(slug, slug)


def clock(seconds: int | None) -> str:
    """``0:07``, ``12:34`` or ``1:02:03``; a dash for a call that was never answered."""
    if seconds is None:
        return "–"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def duration_words(seconds: int | None) -> str:
    """``12 s``, ``3 min 5 s`` or ``1 h 2 min``."""
    if seconds is None:
        return "an unknown time"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def offset(at: datetime, zero: datetime) -> str:
    """Time since ``zero`` such as ``+0.012 s`` or ``+1:02.500``."""
    seconds = (at - zero).total_seconds()
    sign = "-" if seconds < 0 else "+"
    seconds = abs(seconds)
    if seconds < 60:
        return f"{sign}{seconds:.3f} s"
    minutes, rest = divmod(seconds, 60)
    return f"{sign}{int(minutes)}:{rest:06.3f}"


def milliseconds(value: float) -> str:
    """``0.4 ms``, ``35 ms`` or ``1.25 s``."""
    if value >= 1000:
        return f"{value / 1000:.2f} s"
    return f"{value:.0f} ms" if value >= 10 or value < 0.05 else f"{value:.1f} ms"


def file_size(size: int) -> str:
    """``840 B``, ``12 kB`` or ``3.4 MB``."""
    if size < 1000:
        return f"{size} B"
    return f"{size / 1e3:.0f} kB" if size < 1_000_000 else f"{size / 1e6:.1f} MB"


def short_uri(uri: str) -> str:
    """``alice@pbx.example.net`` of ``sip:alice@pbx.example.net;transport=tcp``; a password, which
    SIP allows there, is masked."""
    uri = masked(uri)
    scheme, colon, rest = uri.partition(":")
    if not colon or scheme.lower() not in ("sip", "sips", "tel"):
        return uri
    return rest.partition(";")[0].partition("?")[0] or uri


def party(uri: str, domain: str) -> str:
    """Who that is on a page that names the domain anyway: the user alone if the host is that."""
    short = short_uri(uri)
    user, at, host = short.rpartition("@")
    host = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    return user if at and user and host.lower() == domain.lower() else short
