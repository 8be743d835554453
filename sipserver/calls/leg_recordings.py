"""What a leg knows of its recordings."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from twimlrunner.webhooks.callbacks import CallRecording

if TYPE_CHECKING:
    from sipserver.calls.recording import Active

log = logging.getLogger(__name__)


class LegRecordings:
    """``under_way`` by SID, ``ended`` the SIDs of those that were.
    ``starting`` counts those asked for by REST whose row is being written; ``of_call`` is that of a
    call that the Calls API records, once it is final (webhooks.md section 4.2)."""

    def __init__(self) -> None:
        self.under_way: dict[str, Active] = {}
        self.ended: set[str] = set()
        self.starting = 0
        self.of_call: CallRecording | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    def keep(self, work: Coroutine[Any, Any, Any] | asyncio.Task[Any]) -> None:
        """Something that belongs to a recording and that no verb waits for."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a recording was not finished", exc_info=task.exception())

    async def settle(self, seconds: float) -> None:
        """After the media is closed: until all are final, at most so long. The rest goes on."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
