"""The only writer of the call log: group commits of log records, and the closing of orphans.

Writing is idempotent: each record may be applied again, in any order and any grouping, and the
rows come out the same (see ``projection``).
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import DatabaseError, DataError, IntegrityError, connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import Exists, OuterRef
from django.utils import timezone

from sipdomains.contracts import (
    FINAL_STATUSES,
    CallClosed,
    CallEventRecord,
    CallOpened,
    LogRecord,
    NotificationRecord,
    WebhookAttempt,
)
from sipdomains.models import Call, CallEvent, SipNode
from sipdomains.services import projection, rows

LEASE = timedelta(seconds=30)
NODE_LOST = "node-lost"
# Above any sequence number that a node gives: the sweep's close never hides one of its facts.
SWEEP_SEQ = 2**31 - 1
_INTERNAL_FAILURE = 12400  # errors.md section 4
_SWEEP_CHUNK = 500

_CALLS = Call._meta.db_table
_EVENTS = CallEvent._meta.db_table
_OPEN = "', '".join(projection.OPEN_STATUSES)
_CLOSE_SQL = f"""
    UPDATE "{_CALLS}" SET status = %s, answered_at = %s, ended_at = %s, cause = %s, reason = %s,
        error_code = %s, sip_status = %s, duration = %s, media = %s, updated_at = %s
    WHERE sid = %s AND status IN ('{_OPEN}')
"""  # noqa: S608 - constants of ours


_ANY_EVENT_SQL = f'SELECT 1 FROM "{_EVENTS}" WHERE call_id IN'  # noqa: S608 - a constant of ours


def _advance_sql(target: str) -> str:
    sources = "', '".join(projection.sources(target))
    return f"""
        UPDATE "{_CALLS}" SET status = %s, answered_at = COALESCE(answered_at, %s), updated_at = %s
        WHERE sid = %s AND status IN ('{sources}')
    """  # noqa: S608 - constants of ours


_ADVANCE_SQL = {
    target: _advance_sql(target)
    for target in projection.OPEN_STATUSES
    if projection.sources(target)
}


class DuplicateCall(IntegrityError):
    """The same INVITE is an open call already, taken by another node or before a restart."""


@dataclass(slots=True)
class _Facts:
    """What one batch says about one call's status."""

    statuses: list[tuple[str, float]] = field(default_factory=list)
    closed: CallClosed | None = None

    def status(self, initially: str = "") -> str:
        return projection.furthest([initially, *(status for status, _ in self.statuses)])

    def answered_at(self) -> float | None:
        return min((at for status, at in self.statuses if status == "in-progress"), default=None)


def apply(records: Sequence[LogRecord]) -> None:
    """Write ``records`` in one transaction: all of them or, when it raises DatabaseError, none.

    OperationalError means that the database is out of reach; everything else that one of the
    records is at fault: :func:`apply_each` finds out which.
    """
    try:
        batch = _Batch(records)
        with transaction.atomic(), connection.cursor() as cursor:
            batch.write(cursor)
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


class _Batch:
    """Records sorted by table; rows are built before the transaction begins."""

    def __init__(self, records: Sequence[LogRecord]) -> None:
        self._now = rows.time_column(time.time())
        self._opens: dict[str, CallOpened] = {}
        self._facts: defaultdict[str, _Facts] = defaultdict(_Facts)
        self._events: list[rows.Row] = []
        self._webhooks: list[rows.Row] = []
        self._notifications: list[rows.Row] = []
        for record in records:
            self._sort(record)

    def _sort(self, record: LogRecord) -> None:
        match record:
            case CallEventRecord():
                self._events.append(rows.event_row(record))
                if record.status and record.status not in FINAL_STATUSES:
                    # Only a close ends a call; an unknown status is refused by furthest().
                    self._facts[record.call_sid].statuses.append((record.status, record.at))
            case CallOpened():
                self._opens.setdefault(record.call_sid, record)
            case CallClosed():
                if record.status not in FINAL_STATUSES:
                    raise ValueError(f"{record.status} does not close a call")
                self._events.append(rows.closed_event_row(record))
                facts = self._facts[record.call_sid]
                facts.closed = facts.closed or record
            case WebhookAttempt():
                self._webhooks.append(rows.webhook_row(record))
            case NotificationRecord():
                self._notifications.append(rows.notification_row(record))

    def write(self, cursor: CursorWrapper) -> None:
        if self._opens:
            self._open(cursor)
        rows.EVENTS.insert(cursor, self._events)
        rows.WEBHOOKS.insert(cursor, self._webhooks)
        rows.NOTIFICATIONS.insert(cursor, self._notifications)
        if self._facts:
            self._project(cursor)

    # --- opening ----------------------------------------------------------------------------

    def _open(self, cursor: CursorWrapper) -> None:
        """Insert the calls as their facts leave them: a refused call is never open at all."""
        self._recall_early_facts(cursor)
        new = rows.CALLS.insert(
            cursor,
            [
                rows.call_row(record, self._outcome(record), self._now)
                for record in self._opens.values()
            ],
        )
        if new == len(self._opens):
            for sid in self._opens:
                self._facts.pop(sid, None)  # projected already
        else:
            self._refuse_duplicates()

    def _recall_early_facts(self, cursor: CursorWrapper) -> None:
        """Facts that were stored before their call was: rare, so a plain look comes first."""
        marks = ", ".join(["%s"] * len(self._opens))
        cursor.execute(f"{_ANY_EVENT_SQL} ({marks}) LIMIT 1", list(self._opens))
        if cursor.fetchone() is None:
            return
        early = (
            CallEvent.objects.filter(call_id__in=list(self._opens))
            .exclude(status="")
            .order_by("-id")  # the first close counts, so it comes last
            .values_list("call_id", "seq", "at", "kind", "status", "data")
        )
        for sid, seq, at, kind, status, data in early:
            if kind == "closed":
                self._facts[sid].closed = CallClosed(
                    call_sid=sid, seq=seq, at=at.timestamp(), status=status, **data
                )
            elif status not in FINAL_STATUSES:
                self._facts[sid].statuses.append((status, at.timestamp()))

    def _outcome(self, record: CallOpened) -> rows.Row:
        facts = self._facts.get(record.call_sid) or _Facts()
        if facts.closed is not None:
            return _ending(facts.closed)
        status = facts.status(record.status)
        ended_at = record.at if status in FINAL_STATUSES else None
        answered_at = rows.time_column(facts.answered_at())
        return (status, answered_at, rows.time_column(ended_at), "", "", 0, 0, None, "{}")

    def _refuse_duplicates(self) -> None:
        present = set(Call.objects.filter(pk__in=self._opens).values_list("pk", flat=True))
        if missing := [sid for sid in self._opens if sid not in present]:
            raise DuplicateCall(
                f"another open call has the Call-ID and tag of {', '.join(missing)}"
            )

    # --- moving on --------------------------------------------------------------------------

    def _project(self, cursor: CursorWrapper) -> None:
        """Compare and set: a row moves only along the allowed transitions."""
        now = self._now
        closes = []
        advances: defaultdict[str, list[rows.Row]] = defaultdict(list)
        for sid, facts in self._facts.items():
            if facts.closed is not None:
                closes.append((*_ending(facts.closed), now, sid))
                continue
            status = facts.status()
            if status in _ADVANCE_SQL:  # to the first status, nothing moves
                answered_at = rows.time_column(facts.answered_at())
                advances[status].append((status, answered_at, now, sid))
        if closes:
            cursor.executemany(_CLOSE_SQL, closes)
        for status, values in advances.items():
            cursor.executemany(_ADVANCE_SQL[status], values)


def _ending(closed: CallClosed) -> rows.Row:
    return rows.ending_values(closed, projection.duration(closed.answered_at, closed.at))


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
        ours = Call.objects.filter(sid__in=sids, cause=NODE_LOST)
        apply([_node_lost_notification(call) for call in ours])


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
    )


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
