"""The only writer of the call log: group commits of log records, and the closing of orphans.

Writing is idempotent: each record may be applied again, in any order and any grouping, and the
rows come out the same (see ``projection``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from django.db import DatabaseError, DataError, connection, transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from sipdomains.contracts import CallbackPromised, CallClosed, LogRecord, NotificationRecord
from sipdomains.models import Call, SipNode
from sipdomains.services import promises
from sipdomains.services.batch import Batch, DuplicateCall, Owed
from sipdomains.services.projection import NODE_LOST

__all__ = ["DuplicateCall", "Owed", "apply", "apply_each", "close_orphans"]

LEASE = timedelta(seconds=30)
# Above any sequence number that a node gives: the sweep's close never hides one of its facts.
SWEEP_SEQ = 2**31 - 1
_INTERNAL_FAILURE = 12400  # errors.md section 4
_SWEEP_CHUNK = 500


def apply(records: Sequence[LogRecord]) -> Owed:
    """Write ``records`` in one transaction: all of them or, when it raises DatabaseError, none.
    Returns what is owed now; a sweep finds it too.

    OperationalError means that the database is out of reach; everything else that one of the
    records is at fault: :func:`apply_each` finds out which.
    """
    try:
        batch = Batch(records)
        with transaction.atomic(), connection.cursor() as cursor:
            batch.write(cursor)
        return batch.owed
    except (TypeError, ValueError, OverflowError, AttributeError) as error:
        raise DataError(f"a log record cannot be stored: {error}") from error


def apply_each(records: Iterable[LogRecord]) -> list[tuple[LogRecord, DatabaseError]]:
    """Write each record in a transaction of its own; returns those that failed, with the error."""
    failed = []
    for record in records:
        try:
            apply([record])
        except DatabaseError as error:
            failed.append((record, error))
    return failed


# --- orphans --------------------------------------------------------------------------------------


def close_orphans(now: datetime | None = None) -> int:
    """Close each open call whose node has stopped or let its lease lapse; returns how many.

    Each goes through the ordinary close, with cause ``node-lost`` and a notification; it ended
    when its node was last heard of. A node whose lease lapsed is marked stopped, which it learns
    from its next heartbeat.
    """
    now = now or timezone.now()
    SipNode.objects.filter(stopped_at=None, heartbeat_at__lt=now - LEASE).update(stopped_at=now)
    running = SipNode.objects.filter(boot_id=OuterRef("node"), stopped_at=None)
    orphans = Call.objects.filter(~Exists(running), ended_at=None).exclude(node="")
    # In the order of the partial index on open calls, so that no more than those are looked at.
    sids = list(orphans.order_by("node").values_list("sid", flat=True))
    for first in range(0, len(sids), _SWEEP_CHUNK):
        _close_lost(sids[first : first + _SWEEP_CHUNK])
    return len(sids)


def _close_lost(sids: list[str]) -> None:
    chunk = Call.objects.filter(sid__in=sids)
    nodes = SipNode.objects.filter(boot_id__in={call.node for call in chunk})
    heard = dict(nodes.values_list("boot_id", "heartbeat_at"))
    with transaction.atomic():
        apply([_node_lost(call, heard.get(call.node, call.started_at)) for call in chunk])
        ours = list(Call.objects.filter(sid__in=sids, cause=NODE_LOST))
        told: list[LogRecord] = [_node_lost_notification(call) for call in ours]
        told += [promise for call in ours if (promise := _node_lost_callback(call)) is not None]
        apply(told)


def _node_lost(call: Call, last_heard: datetime) -> CallClosed:
    began = call.answered_at or call.started_at
    return CallClosed(
        call_sid=call.sid,
        seq=SWEEP_SEQ,
        at=max(began, last_heard).timestamp(),
        status="completed" if call.answered_at else "failed",
        cause=NODE_LOST,
        reason="The SIP node that carried the call stopped without ending it.",
        error_code=_INTERNAL_FAILURE,
        answered_at=call.answered_at.timestamp() if call.answered_at else None,
        media=call.media,
    )


def _node_lost_callback(call: Call) -> CallbackPromised | None:
    return promises.of_lost_call(call, _node_lost(call, call.ended_at or call.started_at))


def _node_lost_notification(call: Call) -> NotificationRecord:
    ended_at = call.ended_at or call.started_at
    return NotificationRecord(
        at=ended_at.timestamp(),
        code=_INTERNAL_FAILURE,
        level="error",
        message=call.reason,
        call_sid=call.sid,
        account_sid=call.account_id or "",
        data={"node": call.node},
    )
