"""What belongs to a call besides its messages: legs, recordings, transfers, callbacks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.urls import reverse

from sipdomains.models import Call, OutboxMessage, OutboxState, Recording, RecordingStatus, Transfer
from sipdomains.redaction import masked
from sipdomains.web.errorcodes import CodeInfo, explain
from sipdomains.web.formatting import party
from sipdomains.web.webhooks import Attempt

RECORDING_WORDS = {
    "in-progress": "recording",
    "paused": "paused",
    "completed": "completed",
    "absent": "nothing kept",
    "failed": "failed",
    "deleted": "deleted",
}

_SOUND_TONES = {"absent": "no-answer", "deleted": "no-answer", "paused": "queued"}

SOURCE_WORDS = {
    "RecordVerb": "Record",
    "DialVerb": "Dial",
    "OutboundAPI": "API call",
    "StartCallRecordingAPI": "API",
}

TRANSFER_WORDS = {
    "requested": "Asked for; no answer to the REFER yet.",
    "accepted": "Accepted; nothing is known of the target yet.",
    "ringing": "Accepted; it rings at the target.",
    "succeeded": "The target answered: the transfer succeeded.",
    "busy": "The target is busy.",
    "failed": "The transfer failed.",
    "refused": "The REFER was refused.",
    "canceled": "The transfer was called off.",
    "unknown": "How it ended was never told.",
}

_TRANSFER_TONES = {"succeeded": "completed", "busy": "busy", "failed": "failed",
                   "refused": "failed", "unknown": "no-answer"}  # fmt: skip

_OUTBOX_WORDS = {"pending": "waiting", "delivered": "delivered", "failed": "given up"}
_OUTBOX_TONES = {"pending": "queued", "delivered": "completed", "failed": "failed"}


@dataclass(frozen=True, slots=True)
class Leg:
    """``role`` caller or called; ``who`` is the party at its other end, ``name`` the same short."""

    call: Call
    role: str
    who: str
    current: bool

    @property
    def name(self) -> str:
        return party(self.who, self.call.domain_name)


@dataclass(frozen=True, slots=True)
class Sound:
    """A recording; ``url`` without extension, empty when there is no file."""

    row: Recording
    url: str
    words: str
    tone: str
    source: str


@dataclass(frozen=True, slots=True)
class TransferRow:
    row: Transfer
    target: str
    words: str
    tone: str


@dataclass(frozen=True, slots=True)
class Callback:
    """A promised message; ``tries`` are the attempts that are on the page, as far as stored."""

    row: OutboxMessage
    about: str
    event: str
    url: str
    words: str
    tone: str
    error: CodeInfo | None
    message: str
    tries: list[Attempt]


def legs(calls: Iterable[Call], current: Call) -> list[Leg]:
    """None for a call that stands alone."""
    found = [
        Leg(
            call=call,
            role="caller" if call.direction == "inbound" else "called",
            who=call.from_uri if call.direction == "inbound" else call.to_uri,
            current=call.sid == current.sid,
        )
        for call in calls
    ]
    return found if len(found) > 1 else []


def sounds(rows: Iterable[Recording]) -> list[Sound]:
    return [
        Sound(
            row=row,
            url=file_url(row),
            words=RECORDING_WORDS.get(row.status, row.status),
            tone=_SOUND_TONES.get(row.status, row.status),
            source=SOURCE_WORDS.get(row.source, row.source),
        )
        for row in rows
    ]


def file_url(row: Recording) -> str:
    """Path of the sound without extension, empty when there is none."""
    if row.status != RecordingStatus.COMPLETED or not row.file or not row.account_id:
        return ""
    return reverse("recording-file", args=(row.account_id, row.sid))


def transfers(rows: Iterable[Transfer]) -> list[TransferRow]:
    return [
        TransferRow(
            row=row,
            target=masked(row.target),
            words=TRANSFER_WORDS.get(row.state, row.state),
            tone=_TRANSFER_TONES.get(row.state, "plain"),
        )
        for row in rows
    ]


def callbacks(rows: Iterable[OutboxMessage], attempts: Sequence[Attempt]) -> list[Callback]:
    tries: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        tries.setdefault(attempt.row.request_id, []).append(attempt)
    return [_callback(row, tries.get(row.id, [])) for row in rows]


def _callback(row: OutboxMessage, tries: list[Attempt]) -> Callback:
    told = {str(pair[0]): str(pair[1]) for pair in row.parameters if len(pair) == 2}
    about, status = ("Recording", told.get("RecordingStatus", ""))
    if not status:
        about, status = "Call", told.get("CallStatus", "")
    waits = row.state == OutboxState.PENDING and row.attempts
    return Callback(
        row=row,
        about=about,
        event=status or row.purpose,
        url=masked(row.url),
        words="will be tried again" if waits else _OUTBOX_WORDS.get(row.state, row.state),
        tone=_OUTBOX_TONES.get(row.state, "plain"),
        error=explain(row.error_code) if row.error_code else None,
        message=masked(row.error_message),
        tries=tries,
    )
