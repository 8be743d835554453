"""Transfers in the record: what is known of a REFER, and the verdict of the follow-up task."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import transaction
from django.utils import timezone

from sipdomains.contracts import NotificationRecord, TransferChanged
from sipdomains.models import Transfer, TransferState
from sipdomains.services import rows

# A transfer that nobody settles for so long is given up: its node died.
HANGING = timedelta(minutes=10)
_REFUSED = 32218  # errors.md section 7: transfer not allowed
_FAILED = 32011
# Of two words about the end the one further left counts.
_ENDS = ("final", "refused", "terminated", "hangup", "canceled", "timeout", "")
_OPEN = (TransferState.REQUESTED, TransferState.ACCEPTED, TransferState.RINGING)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a transfer. Knowledge only grows, in whatever order it comes."""

    refer_status: int = 0
    notify_status: int = 0
    ended_by: str = ""

    def with_(self, other: Known) -> Known:
        ends = (self.ended_by, other.ended_by)
        return Known(
            max(self.refer_status, other.refer_status),
            max(self.notify_status, other.notify_status),
            min(ends, key=lambda end: _ENDS.index(end) if end in _ENDS else len(_ENDS)),
        )

    @property
    def state(self) -> TransferState:
        notified = self.notify_status
        if notified >= 200:
            if notified < 300:
                return TransferState.SUCCEEDED
            return TransferState.BUSY if notified in (486, 600) else TransferState.FAILED
        match self.ended_by:
            case "refused":
                return TransferState.REFUSED
            case "hangup" | "canceled":
                return TransferState.CANCELED
            case "terminated" | "timeout":
                return TransferState.UNKNOWN
        if notified >= 180:
            return TransferState.RINGING
        if 200 <= self.refer_status < 300:
            return TransferState.ACCEPTED
        return TransferState.REQUESTED


def apply(record: TransferChanged) -> None:
    """Add what ``record`` tells. Within a transaction."""
    at = datetime.fromtimestamp(record.at, UTC)
    row, _ = Transfer.objects.select_for_update().get_or_create(
        call_id=record.call_sid,
        number=record.number,
        defaults={
            "direction": record.direction,
            "target": rows.clean_text(record.target)[:512],
            "requested_at": at,
            "changed_at": at,
        },
    )
    known = _known(row).with_(Known(record.refer_status, record.notify_status, record.ended_by))
    row.refer_status, row.notify_status = known.refer_status, known.notify_status
    row.ended_by, row.state = known.ended_by, known.state
    row.requested_at = min(row.requested_at, at)
    row.changed_at = max(row.changed_at, at)
    row.save()


def settle(call_sid: str, number: int, now: datetime | None = None) -> NotificationRecord | None:
    """The follow-up: the transfer's outcome in words, once. A notification if it went wrong."""
    now = now or timezone.now()
    with transaction.atomic():
        row = (
            Transfer.objects.select_for_update()
            .select_related("call")
            .filter(call_id=call_sid, number=number, settled_at=None)
            .first()
        )
        if row is None:
            return None
        if row.state in _OPEN:
            row.state = TransferState.UNKNOWN
        row.reason = _words(row)
        row.settled_at = now
        row.save(update_fields=["state", "reason", "settled_at"])
    if row.state in (TransferState.SUCCEEDED, TransferState.CANCELED):
        return None
    return NotificationRecord(
        at=now.timestamp(),
        code=_REFUSED if row.state == TransferState.REFUSED else _FAILED,
        level="warning",
        message=f"Transfer to {row.target}: {row.reason}",
        call_sid=call_sid,
        account_sid=row.call.account_id or "",
    )


def hanging(now: datetime | None = None) -> list[tuple[str, int]]:
    """(call SID, number) of transfers that were left behind."""
    since = (now or timezone.now()) - HANGING
    left = Transfer.objects.filter(settled_at=None, changed_at__lt=since)
    return list(left.values_list("call_id", "number")[:100])


def _known(row: Transfer) -> Known:
    return Known(row.refer_status, row.notify_status, row.ended_by)


def _words(row: Transfer) -> str:
    sent = row.direction == "sent"
    peer = "The PBX" if sent else "We"
    match row.state:
        case TransferState.SUCCEEDED:
            return "The transfer target answered."
        case TransferState.BUSY:
            return f"The transfer target is busy ({row.notify_status})."
        case TransferState.FAILED:
            return f"The transfer failed ({row.notify_status})."
        case TransferState.REFUSED:
            return f"{peer} refused to transfer ({row.refer_status})."
        case TransferState.CANCELED:
            return "The call ended before the outcome of the transfer was told."
        case _:
            told = f" after {row.notify_status}" if row.notify_status else ""
            return f"Nothing was told of the outcome of the transfer{told}."
