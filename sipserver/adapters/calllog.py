"""The call log's writer: one thread, ordered, group-committed (architecture, choice 4).

Facts linger a moment so that they travel together; a row that a call waits for goes at once and
takes along whatever is queued. While the database is down records wait in memory, up to a bound
that admission watches; rows that calls wait for fail after :data:`OPEN_SECONDS`.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from django.db import DatabaseError, InterfaceError, OperationalError, connections

from sipdomains.contracts import CallClosed, LogRecord
from sipdomains.services import calls
from sipserver.calls.ports import LogUnavailable

log = logging.getLogger(__name__)

LINGER_SECONDS = 0.1
OPEN_SECONDS = 3.0
BATCH_RECORDS = 2000
MAX_RECORDS = 200_000
_RETRY_SECONDS = (0.05, 0.2, 1.0, 2.0)

Failed = tuple[LogRecord, str]


class _Waiter:
    """Somebody on the loop awaits the commit of ``record`` and of all that was queued before."""

    __slots__ = ("future", "record")

    def __init__(self, future: asyncio.Future[None], record: LogRecord | None) -> None:
        self.future = future
        self.record = record


class CallLogWriter:
    """Implements ``calls.ports.CallLog``. Start and stop from the loop's thread."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_owed: Callable[[calls.Owed], None] = lambda owed: None,
    ) -> None:
        """``on_owed`` is told after a commit what workers are to do; it is called on the writer's
        thread and must not block."""
        self._loop = loop
        self._on_owed = on_owed
        self._queue: deque[tuple[float, LogRecord | _Waiter]] = deque()
        self._records = 0
        self._wake = threading.Condition()
        self._urgent = False
        self._stopping = False
        self._writing_since: float | None = None
        self.lost = 0
        self._thread = threading.Thread(target=self._run, name="call-log", daemon=True)

    def start(self) -> None:
        self._thread.start()

    async def stop(self, timeout: float) -> None:
        """Writes what is queued, bounded by ``timeout``."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self._thread.ident is not None:
            await self._loop.run_in_executor(None, self._thread.join, timeout)

    # --- CallLog ----------------------------------------------------------------------------

    async def open(self, record: LogRecord) -> None:
        await self._commit(record)

    def append(self, record: LogRecord) -> None:
        with self._wake:
            # The end of a call is never left out: its row would stay open for ever.
            if self._records >= MAX_RECORDS and not isinstance(record, CallClosed):
                self.lost += 1
                return
            first = not self._queue
            self._queue.append((time.monotonic(), record))
            self._records += 1
            if first:
                self._wake.notify()

    async def flush(self) -> None:
        await self._commit(None)

    @property
    def backlog(self) -> tuple[int, float]:
        # Read without the lock: the writer may change both at any time, which does no harm here.
        oldest = self._writing_since
        if oldest is None:
            try:
                oldest = self._queue[0][0]
            except IndexError:
                return 0, 0.0
        return self._records, time.monotonic() - oldest

    async def _commit(self, record: LogRecord | None) -> None:
        waiter = _Waiter(self._loop.create_future(), record)
        now = time.monotonic()
        with self._wake:
            if record is not None:
                self._queue.append((now, record))
                self._records += 1
            self._queue.append((now, waiter))
            self._urgent = True
            self._wake.notify()
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                await waiter.future
        except TimeoutError:
            raise LogUnavailable("the database did not take the row in time") from None

    # --- the thread -------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while self._turn():
                pass
        finally:
            connections.close_all()

    def _turn(self) -> bool:
        """One batch. False when stopped and empty."""
        batch = self._take()
        if not batch:
            return not self._stopping
        records = [item for item in batch if not isinstance(item, _Waiter)]
        waiters = [item for item in batch if isinstance(item, _Waiter)]
        failed = self._write(records) if records else []
        with self._wake:
            self._records -= len(records)
        self._writing_since = None
        if waiters:
            self._loop.call_soon_threadsafe(_settle, waiters, failed)
        return True

    def _take(self) -> list[LogRecord | _Waiter]:
        with self._wake:
            if not self._queue and not self._stopping:
                self._wake.wait()
            if self._queue and not self._urgent and not self._stopping:
                self._wake.wait_for(lambda: self._urgent or self._stopping, LINGER_SECONDS)
            self._urgent = False
            batch: list[LogRecord | _Waiter] = []
            if self._queue:
                self._writing_since = self._queue[0][0]
            while self._queue and len(batch) < BATCH_RECORDS:
                batch.append(self._queue.popleft()[1])
            if self._queue:
                self._urgent = True
            return batch

    def _write(self, records: list[LogRecord]) -> list[Failed]:
        """The records that could not be written, with the reason; usually none."""
        attempt = 0
        while True:
            try:
                owed = calls.apply(records)
            except (OperationalError, InterfaceError) as error:
                connections.close_all()
                if self._stopping and attempt >= len(_RETRY_SECONDS):
                    self.lost += len(records)
                    log.error("%d log records lost at shutdown: %s", len(records), error)
                    return [(record, str(error)) for record in records]
                if attempt == 0:
                    log.warning("call log waits for the database: %s", error)
                time.sleep(_RETRY_SECONDS[min(attempt, len(_RETRY_SECONDS) - 1)])
                attempt += 1
            except Exception as error:  # also a fault of ours: without this thread, no calls
                if len(records) > 1:  # find the one at fault; the others shall not suffer
                    return [failed for record in records for failed in self._write([record])]
                self.lost += 1
                ours = not isinstance(error, DatabaseError)
                log.error("log record refused: %s: %r", records[0].KIND, error, exc_info=ours)
                return [(records[0], str(error))]
            else:
                self._on_owed(owed)
                return []


def _settle(waiters: list[_Waiter], failed: list[Failed]) -> None:
    reasons = {id(record): reason for record, reason in failed}
    for waiter in waiters:
        if waiter.future.done():
            continue
        reason = reasons.get(id(waiter.record))
        if reason is None:
            waiter.future.set_result(None)
        else:
            waiter.future.set_exception(LogUnavailable(reason))
