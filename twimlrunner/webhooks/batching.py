"""Natural batching: what arrives while a write is under way travels in the next one.

A lonely item is written at once, and under load the batch grows until the writer keeps up
(design decision 3).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")


class BatchWriter(Generic[T]):
    """One thread that hands items, in order, to ``write`` in lists of at most ``max_batch``.

    ``write`` settles its own failures; what it raises all the same is logged and its batch is
    lost. Writes begin at least ``interval`` seconds apart: where each has a price of its own, a
    little patience under load buys larger batches.
    """

    def __init__(
        self,
        name: str,
        write: Callable[[list[T]], None],
        *,
        max_batch: int,
        max_pending: int,
        interval: float = 0.0,
    ) -> None:
        self._write = write
        self._max_batch = max_batch
        self._max_pending = max_pending
        self._interval = interval
        self._queue: SimpleQueue[T | None] = SimpleQueue()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, item: T) -> bool:
        """Queue; False (and not queued) when full or closed. Never blocks."""
        if self._closing.is_set() or self._queue.qsize() >= self._max_pending:
            return False
        self._queue.put(item)
        return True

    def __len__(self) -> int:
        return self._queue.qsize()

    @property
    def closing(self) -> bool:
        """True once :meth:`close` was called: ``write`` should not retry for long."""
        return self._closing.is_set()

    def close(self, timeout: float) -> bool:
        """Write what is queued, then stop; False if that took longer than ``timeout`` seconds."""
        self._closing.set()
        self._queue.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        due = 0.0
        while True:
            item = self._queue.get()
            if item is None:
                return
            early = due - time.monotonic()
            if early > 0 and not self._closing.is_set():
                time.sleep(early)
            due = time.monotonic() + self._interval
            batch, ended = self._collect(item)
            try:
                self._write(batch)
            except Exception:
                log.exception("%s: %d items lost", self._thread.name, len(batch))
            if ended:
                return

    def _collect(self, first: T) -> tuple[list[T], bool]:
        batch = [first]
        while len(batch) < self._max_batch:
            try:
                item = self._queue.get_nowait()
            except Empty:
                break
            if item is None:
                return batch, True
            batch.append(item)
        return batch, False
