"""What REST asks for, found in the database: orders and commands for this node (ADR 18).

One loop looks whenever a message says that there is something, when the next order is due, and
every two seconds anyway. So what is lost on the bus is only late. Each command is done once: it is
remembered while it is done, and settled by compare-and-set.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

from django.db import Error as DatabaseFailure  # InterfaceError too

from sipdomains.contracts import RECORDING_START, RECORDING_UPDATE
from sipdomains.live import Command, Order, Outcome, rejected
from sipdomains.services import commands, orders, registrations
from sipserver.adapters.dbpool import DatabasePool
from sipserver.calls.originate import phone_of

log = logging.getLogger(__name__)

POLL_SECONDS = 2.0
RETRY_SECONDS = 0.5  # until a settlement that could not be written is tried again
_INTERNAL_FAILURE = 20500


class Calls(Protocol):
    """Implemented by ``calls.manager.CallManager``."""

    @property
    def accepting(self) -> bool: ...

    @property
    def sids(self) -> Collection[str]: ...

    def originate(self, order: Order) -> None: ...

    async def apply(self, command: Command) -> Outcome: ...


@dataclass(frozen=True, slots=True)
class _Found:
    orders: list[Order]
    commands: list[Command]
    due: datetime | None


class LiveWork:
    """``wake`` from the loop's thread; ``run`` until cancelled."""

    def __init__(self, pool: DatabasePool, node: str, calls: Calls) -> None:
        self._pool = pool
        self._node = node
        self._calls = calls
        self._woken = asyncio.Event()
        self._waiting: dict[str, deque[Command]] = {}  # per call, with a task that works it off
        self._taken: set[int] = set()
        self._settled: set[int] = set()  # since the last look began: it may still have seen them
        self._tasks: set[asyncio.Task[None]] = set()
        self._failing = False

    def wake(self) -> None:
        self._woken.set()

    async def run(self) -> None:
        try:
            while True:
                self._woken.clear()
                pause = await self._look()
                try:
                    await asyncio.wait_for(self._woken.wait(), pause)
                except TimeoutError:
                    pass
        finally:
            for task in self._tasks:
                task.cancel()

    async def _look(self) -> float:
        """Take what there is; the seconds until it is worth looking again."""
        self._settled.clear()
        calls = self._calls
        accepting, failed = calls.accepting, self._failing
        lost_of = set(calls.sids) if failed else None
        try:
            found = await self._pool.run(lambda: self._read(accepting, lost_of))
        except DatabaseFailure as error:
            if not failed:
                log.warning("orders and commands wait for the database: %s", error)
            self._failing = True
            return POLL_SECONDS
        except Exception:  # a fault of ours must not end the node and its calls
            if not failed:
                log.exception("orders and commands cannot be read")
            self._failing = True
            return POLL_SECONDS
        self._failing = False
        for order in found.orders:
            self._originate(order)
        for command in found.commands:
            self._take(command)
        return self._pause(found)

    def _originate(self, order: Order) -> None:
        try:
            self._calls.originate(order)
        except Exception:  # nor the other orders
            log.exception("call %s cannot be placed", order.call_sid)
            self._failing = True  # the next look closes its row

    def _read(self, accepting: bool, lost_of: Collection[str] | None) -> _Found:
        """In a thread of the pool."""
        if lost_of is not None and (count := orders.abandoned(self._node, lost_of)):
            log.error("%d calls were lost on their way out of the queue", count)
        taken = orders.claim(self._node, registered_at=_registered_at) if accepting else []
        # Commands last: that of a call just taken finds it.
        return _Found(taken, commands.pending(self._node), orders.next_due(self._node))

    @staticmethod
    def _pause(found: _Found) -> float:
        if found.due is None:
            return POLL_SECONDS
        left = (found.due - datetime.now(UTC)).total_seconds()
        if left <= 0 and not found.orders:
            return POLL_SECONDS  # it is due, and not for us
        return min(max(left, 0.0), POLL_SECONDS)

    # --- commands -----------------------------------------------------------------------------

    def _take(self, command: Command) -> None:
        if command.id in self._taken or command.id in self._settled:
            return
        self._taken.add(command.id)
        queue = self._waiting.get(command.call_sid)
        if queue is not None:
            queue.append(command)
            return
        queue = self._waiting[command.call_sid] = deque([command])
        task = asyncio.create_task(self._work_off(command.call_sid, queue))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work_off(self, call_sid: str, queue: deque[Command]) -> None:
        """The commands of one call, one after the other; those of others do not wait for them."""
        try:
            waited = False
            while queue:
                command = queue.popleft()
                if not waited or await self._is_wanted(command):
                    await self._settle(command, await self._apply(command))
                else:
                    self._done(command)
                waited = True
        finally:
            del self._waiting[call_sid]

    async def _is_wanted(self, command: Command) -> bool:
        """Of one that had to wait for the one before it: it may have been withdrawn."""
        try:
            return await self._pool.run(lambda: commands.is_pending(command.id))
        except DatabaseFailure:
            return True  # as it was read

    async def _apply(self, command: Command) -> Outcome:
        try:
            return await self._calls.apply(command)
        except Exception:
            log.exception("command %d of call %s failed", command.id, command.call_sid)
            return rejected("An internal failure; the server log has it.", _INTERNAL_FAILURE)

    async def _settle(self, command: Command, outcome: Outcome) -> None:
        def write() -> bool:
            return commands.settle(command.id, outcome) or not commands.is_rejected(command.id)

        while True:
            try:
                stands = await self._pool.run(write)
                break
            except DatabaseFailure as error:
                log.warning("command %d is done but not settled: %s", command.id, error)
                await asyncio.sleep(RETRY_SECONDS)
        if outcome.applied and not stands and command.kind == RECORDING_START:
            await self._take_back(command, outcome)
        self._done(command)

    def _done(self, command: Command) -> None:
        self._settled.add(command.id)
        self._taken.discard(command.id)

    async def _take_back(self, command: Command, outcome: Outcome) -> None:
        """It came too late: who wanted the recording has been told that there is none."""
        sid = outcome.result["recording_sid"]
        log.warning("recording %s is stopped: nobody waited for it any more", sid)
        payload = {"recording_sid": sid, "status": "stopped"}
        await self._apply(replace(command, kind=RECORDING_UPDATE, payload=payload))


def _registered_at(order: Order) -> Sequence[str]:
    """In a thread of the pool."""
    phone = phone_of(order)
    return registrations.nodes_of(phone[1], phone[0]) if phone is not None else ()
