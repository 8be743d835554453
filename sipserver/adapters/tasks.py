"""Celery tasks that nobody waits for: implements ``calls.ports.Tasks``.

Publishing to a broker that is away blocks for a while, so it happens in one thread with a bounded
queue. What is lost here a sweep finds: promised callbacks and open transfers are rows.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any

from sipdomains.contracts import TASK_DELIVER_CALLBACKS

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
        """From any thread."""
        try:
            self._waiting.put_nowait((name, arguments))
        except queue.Full:
            self.lost += 1

    def deliver(self, ids: Sequence[str]) -> None:
        """Callbacks that have just been promised."""
        if ids:
            self.publish(TASK_DELIVER_CALLBACKS, list(ids))

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
        batches = [arguments]
        if name == TASK_DELIVER_CALLBACKS:
            [ids] = arguments
            batches = [(ids[at : at + MAX_IDS],) for at in range(0, len(ids), MAX_IDS)]
        for batch in batches:
            try:
                self._send(name, batch)
            except Exception as error:  # noqa: BLE001 - the transport's errors differ per broker
                self.lost += 1
                if not self._refused:
                    log.warning("the broker takes no tasks, they wait for the sweep: %s", error)
                self._refused = True
                return
        self._refused = False
