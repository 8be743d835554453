"""Transfers in the record: what is known of a REFER, and what the follow-up makes of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from sipdomains.contracts import NotificationRecord, TransferChanged
from sipdomains.models import Transfer, TransferState
from sipdomains.redaction import masked
from sipdomains.services import projection, rows
from sipdomains.services.projection import NODE_LOST, TransferFacts

# Of a transfer that goes on and on, nothing more will come.
HANGING = timedelta(minutes=10)
# The follow-up of one that has ended was lost with the broker.
OVERDUE = timedelta(minutes=1)
_NOT_ALLOWED = 32218  # errors.md section 7
_PEER_FAILED = 32011
_NOT_ALLOWED_STATUSES = (403, 405, 501, 603)
_TOLD = (TransferState.REFUSED, TransferState.FAILED, TransferState.UNKNOWN)
_BATCH = 100


def apply(record: TransferChanged) -> None:
    """Add what ``record`` tells; the row is the same in whatever order they come. Within a
    transaction."""
    at = datetime.fromtimestamp(record.at, UTC)
    row, _ = Transfer.objects.select_for_update().get_or_create(
        call_id=record.call_sid,
        number=record.number,
        defaults={
            "direction": record.direction,
            "target": rows.clean_text(masked(record.target))[:512],
            "requested_at": at,
            "changed_at": at,
        },
    )
    told = TransferFacts(record.refer_status, record.notify_status, record.ended_by)
    _write(row, projection.merged(_facts(row), told))
    row.requested_at = min(row.requested_at, at)
    row.changed_at = max(row.changed_at, at)
    row.save()


def settle(call_sid: str, number: int, now: datetime | None = None) -> bool:
    """The follow-up: settle the transfer's row by what is known, and notify of what went wrong.

    False when there is nothing to settle (yet). May be repeated.
    """
    now = now or timezone.now()
    with transaction.atomic():
        row = (
            Transfer.objects.select_for_update(of=("self",))
            .select_related("call")
            .filter(call_id=call_sid, number=number)
            .first()
        )
        if row is None:
            return False
        if row.settled_at is not None:
            return True
        given_up = row.changed_at < now - HANGING or row.call.cause == NODE_LOST
        if not row.ended_by and not given_up:
            return False
        if not row.ended_by:
            _write(row, projection.merged(_facts(row), TransferFacts(ended_by="lost")))
        row.settled_at = now
        row.save()
        if row.direction == "sent" and row.state in _TOLD:
            _notify(row, now)
    return True


def hanging(now: datetime | None = None) -> list[tuple[str, int]]:
    """(call SID, number) of transfers that nobody settled: their node died, the task was lost, or
    nothing was heard of them for :data:`HANGING`."""
    now = now or timezone.now()
    left = Transfer.objects.filter(settled_at=None).filter(
        Q(changed_at__lt=now - HANGING)
        | (~Q(ended_by="") & Q(changed_at__lt=now - OVERDUE))
        | Q(call__cause=NODE_LOST)
    )
    return list(left.order_by("changed_at").values_list("call_id", "number")[:_BATCH])


def _facts(row: Transfer) -> TransferFacts:
    return TransferFacts(row.refer_status, row.notify_status, row.ended_by)


def _write(row: Transfer, facts: TransferFacts) -> None:
    row.refer_status, row.notify_status = facts.refer_status, facts.notify_status
    row.ended_by, row.state = facts.ended_by, TransferState(facts.state)
    row.reason = facts.reason(row.direction)


def _notify(row: Transfer, now: datetime) -> None:
    code, level = _PEER_FAILED, "warning"
    if row.state == TransferState.REFUSED and row.refer_status in _NOT_ALLOWED_STATUSES:
        code, level = _NOT_ALLOWED, "error"
    record = NotificationRecord(
        at=now.timestamp(),
        code=code,
        level=level,
        message=row.reason,
        call_sid=row.call_id,
        account_sid=row.call.account_id or "",
        data={"transfer": row.number, "target": row.target},
    )
    with connection.cursor() as cursor:
        rows.NOTIFICATIONS.insert(cursor, [rows.notification_row(record)])
