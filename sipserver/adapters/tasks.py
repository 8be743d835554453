"""Celery tasks that nobody waits for: callbacks to deliver, transfers to follow up.

Publishing to a broker that is away blocks for a while, so it happens in one thread with a bounded
queue. What is lost here a sweep finds: promised callbacks and open transfers are rows.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any

from sipdomains.contracts import TASK_DELIVER_CALLBACKS, TASK_FOLLOW_UP_TRANSFER

log = logging.getLogger(__name__)

MAX_WAITING = 1000
MAX_IDS = 200  # callbacks of one task
CLOSE_SECONDS = 3.0

Send = Callable[[str, Sequence[Any]], object]
"""(task name, arguments): blocks, raises the transport's errors."""


class TaskPublisher:
    """``send`` is Celery's ``send_task``. ``lost`` counts what the broker did not take."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._waiting: queue.Queue[tuple[str, tuple[Any, ...]] | None] = queue.Queue(MAX_WAITING)
        self.lost = 0
        self._refused = False
        self._thread = threading.Thread(target=self._run, name="task-publisher", daemon=True)
        self._thread.start()

    def publish(self, name: str, *arguments: Any) -> None:
        """From any thread; never blocks, never fails."""
        try:
            self._waiting.put_nowait((name, arguments))
        except queue.Full:
            self.lost += 1

    def see_to(self, callbacks: Sequence[str], transfers: Sequence[tuple[str, int]]) -> None:
        """What a commit, or a sweep, found to be owed."""
        for at in range(0, len(callbacks), MAX_IDS):
            self.publish(TASK_DELIVER_CALLBACKS, list(callbacks[at : at + MAX_IDS]))
        for call_sid, number in transfers:
            self.publish(TASK_FOLLOW_UP_TRANSFER, call_sid, number)

    def close(self) -> None:
        """Publish what waits, within a few seconds. Blocks."""
        try:
            self._waiting.put(None, timeout=CLOSE_SECONDS)
        except queue.Full:
            return
        self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        while (item := self._waiting.get()) is not None:
            self._publish(*item)

    def _publish(self, name: str, arguments: tuple[Any, ...]) -> None:
        try:
            self._send(name, arguments)
        except Exception as error:  # noqa: BLE001 - the transport's errors differ per broker
            self.lost += 1
            if not self._refused:
                log.warning("the broker takes no tasks, they wait for the sweep: %s", error)
            self._refused = True
        else:
            self._refused = False
