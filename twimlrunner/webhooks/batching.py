"""Natural batching: what arrives while a write is under way travels in the next one.

No timer delays a lonely item, and under load the batch grows until the writer keeps up
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
    lost. ``linger`` seconds are waited after the first item of a batch (group commit) - 0 for
    none.
    """

    def __init__(
        self,
        name: str,
        write: Callable[[list[T]], None],
        *,
        max_batch: int,
        max_pending: int,
        linger: float = 0.0,
    ) -> None:
        self._write = write
        self._max_batch = max_batch
        self._max_pending = max_pending
        self._linger = linger
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
        while True:
            item = self._queue.get()
            if item is None:
                return
            if self._linger and not self._closing.is_set():
                time.sleep(self._linger)
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
