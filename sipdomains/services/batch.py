"""One group commit of log records: sorted by table, written by few statements, projected.

Writing is idempotent: each record may be applied again, in any order and any grouping, and the
rows come out the same (see ``projection``).
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from django.db import IntegrityError
from django.db.backends.utils import CursorWrapper

from sipdomains.contracts import (
    FINAL_STATUSES,
    CallbackPromised,
    CallClosed,
    CallEventRecord,
    CallOpened,
    LogRecord,
    MediaMeasured,
    NotificationRecord,
    RecordingStarted,
    TransferChanged,
    WebhookAttempt,
)
from sipdomains.models import Call, CallEvent
from sipdomains.services import projection, promises, rows, transfers
from twimlrunner.webhooks.callbacks import STATUS_CALLBACK

_CALLS = Call._meta.db_table
_EVENTS = CallEvent._meta.db_table
_OPEN = "', '".join(projection.OPEN_STATUSES)
_CLOSE_SQL = f"""
    UPDATE "{_CALLS}" SET status = %s, answered_at = %s, ended_at = %s, cause = %s, reason = %s,
        error_code = %s, sip_status = %s, duration = %s, media = %s, updated_at = %s
    WHERE sid = %s AND status IN ('{_OPEN}')
"""  # noqa: S608 - constants of ours


_MEASURED_SQL = f"""
    UPDATE "{_CALLS}" SET media = %s WHERE sid = %s AND status IN ('{_OPEN}')
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


@dataclass(frozen=True, slots=True)
class Owed:
    """What a commit obliges workers to: ids of callbacks that it promised, and transfers (call SID,
    number) that have ended and are to be followed up."""

    callbacks: list[str]
    transfers: list[tuple[str, int]]


class Batch:
    """Records sorted by table; rows are built before the transaction begins."""

    def __init__(self, records: Sequence[LogRecord]) -> None:
        self._now = rows.time_column(time.time())
        self._opens: dict[str, CallOpened] = {}
        self._facts: defaultdict[str, _Facts] = defaultdict(_Facts)
        self._events: list[rows.Row] = []
        self._webhooks: list[rows.Row] = []
        self._notifications: list[rows.Row] = []
        self._promises: list[CallbackPromised] = []
        self._recordings: list[rows.Row] = []
        self._transfers: list[TransferChanged] = []
        self._measured: dict[str, str] = {}
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
            case CallbackPromised():
                self._promises.append(record)
            case RecordingStarted():
                promise = promises.recording_started(record)
                if promise is not None:
                    self._promises.append(promise)
                self._recordings.append(rows.recording_row(record, int(promise is not None)))
            case TransferChanged():
                self._transfers.append(record)
            case MediaMeasured():
                self._measured[record.call_sid] = rows.to_json(record.media)

    @property
    def owed(self) -> Owed:
        return Owed(
            [record.message_id for record in self._promises],
            [(record.call_sid, record.number) for record in self._transfers if record.ended_by],
        )

    def write(self, cursor: CursorWrapper) -> None:
        if self._opens:
            self._open(cursor)
        rows.EVENTS.insert(cursor, self._events)
        rows.WEBHOOKS.insert(cursor, self._webhooks)
        rows.NOTIFICATIONS.insert(cursor, self._notifications)
        rows.RECORDINGS.insert(cursor, self._recordings)
        if self._promises:
            rows.OUTBOX.insert(cursor, [rows.outbox_row(record) for record in self._timely()])
        for transfer in self._transfers:
            transfers.apply(transfer)
        if self._measured:
            # The row has not changed by that for those who ask when it did: its time stays.
            values = [(media, sid) for sid, media in self._measured.items()]
            cursor.executemany(_MEASURED_SQL, values)
        if self._facts:
            self._project(cursor)

    def _timely(self) -> list[CallbackPromised]:
        """Without what a node tells of a call that was closed for it meanwhile: the application
        has been promised the last word on that one. The rows are locked: whoever closes them just
        now comes before all of this, or after it."""
        of_calls = {one.call_sid for one in self._promises if one.purpose == STATUS_CALLBACK}
        found = Call.objects.select_for_update().filter(pk__in=of_calls).order_by("pk")
        causes = found.values_list("pk", "cause") if of_calls else ()
        spoken = {sid for sid, cause in causes if cause == projection.NODE_LOST}
        return [
            one
            for one in self._promises
            if one.call_sid not in spoken
            or one.purpose != STATUS_CALLBACK
            or one.message_id == promises.last_word(one.call_sid)
        ]

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
