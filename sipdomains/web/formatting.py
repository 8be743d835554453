"""Values as people read them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

_URL_PASSWORD = re.compile(r"([a-z][a-z0-9+.-]*://[^\s/?#:@]*):[^\s/?#]*@", re.IGNORECASE)
_SECRET_HEADERS = frozenset(
    {"authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key"}
)

STATUS_WORDS = {
    "queued": "Queued",
    "ringing": "Ringing",
    "in-progress": "In progress",
    "completed": "Completed",
    "busy": "Busy",
    "failed": "Failed",
    "no-answer": "No answer",
    "canceled": "Canceled",
}


def status_word(status: str) -> str:
    return STATUS_WORDS.get(status, status)


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


def masked(text: str) -> str:
    """``text`` with the passwords of the URLs in it made unreadable."""
    if "://" not in text:
        return text
    return _URL_PASSWORD.sub(r"\1:…@", text)


def masked_pairs(pairs: Any) -> list[tuple[str, str]]:
    """Header or parameter pairs for display: secrets hidden, oddly stored ones left out."""
    if not isinstance(pairs, Iterable) or isinstance(pairs, (str, bytes, dict)):
        return []
    shown = []
    for pair in pairs:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            continue
        name, value = str(pair[0]), str(pair[1])
        shown.append((name, "…" if name.lower() in _SECRET_HEADERS else masked(value)))
    return shown


def short_uri(uri: str) -> str:
    """``alice@pbx.example.net`` of ``sip:alice@pbx.example.net;transport=tcp``."""
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
