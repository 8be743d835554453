"""Timer values of RFC 3261 (table 4) and RFC 6026, and the one heap of absolute deadlines.

All times are seconds of the caller's monotonic clock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

_COMPACT_ABOVE = 256  # cancelled entries; below that a rebuild saves nothing


@dataclass(frozen=True, slots=True)
class Timers:
    """T1 (round trip), T2 (longest interval of retransmission), T4 (life of a message in the
    network). The letters are those of RFC 3261 table 4; ``reliable`` is true for TCP and TLS."""

    t1: float = 0.5
    t2: float = 4.0
    t4: float = 5.0

    @property
    def limit(self) -> float:
        """64*T1: timers B, F, H, L and M, and how long a 2xx waits for its ACK."""
        return 64 * self.t1

    def d(self, *, reliable: bool) -> float:
        """How long a failed client INVITE answers retransmitted finals with its ACK."""
        return 0.0 if reliable else max(32.0, self.limit)

    def i(self, *, reliable: bool) -> float:
        """How long a server INVITE absorbs further ACKs."""
        return 0.0 if reliable else self.t4

    def j(self, *, reliable: bool) -> float:
        """How long a non-INVITE server transaction repeats its final response."""
        return 0.0 if reliable else self.limit

    def k(self, *, reliable: bool) -> float:
        """How long a non-INVITE client transaction absorbs repeated finals."""
        return 0.0 if reliable else self.t4

    def longer(self, interval: float) -> float:
        """Return the next interval of retransmission: twice as long, T2 at most."""
        return min(2 * interval, self.t2)


class Deadline:
    """One entry of :class:`Deadlines`; ``action`` is None once it fired or was cancelled."""

    __slots__ = ("action", "when")

    def __init__(self, when: float, action: Callable[[float], None]) -> None:
        self.when = when
        self.action: Callable[[float], None] | None = action


class Deadlines:
    """A heap of absolute deadlines. Cancelling is cheap: the entry is emptied and dropped later."""

    __slots__ = ("_cancelled", "_count", "_heap")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Deadline]] = []
        self._count = 0
        self._cancelled = 0

    def __len__(self) -> int:
        """Count the pending deadlines."""
        return len(self._heap) - self._cancelled

    def at(self, when: float, action: Callable[[float], None]) -> Deadline:
        """Call ``action(now)`` in the first :meth:`run` at or after ``when``."""
        deadline = Deadline(when, action)
        self._count += 1  # entries of the same moment fire in the order they were made
        heappush(self._heap, (when, self._count, deadline))
        return deadline

    def cancel(self, deadline: Deadline | None) -> None:
        """Drop a deadline; one that fired, was cancelled or is None is no error."""
        if deadline is None or deadline.action is None:
            return
        deadline.action = None
        self._cancelled += 1
        if self._cancelled > _COMPACT_ABOVE and self._cancelled * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].action is not None]
            heapify(self._heap)
            self._cancelled = 0

    def next(self) -> float | None:
        """Return the moment of the first pending deadline, None if there is none."""
        heap = self._heap
        while heap:
            if heap[0][2].action is not None:
                return heap[0][0]
            heappop(heap)
            self._cancelled -= 1
        return None

    def run(self, now: float) -> None:
        """Fire all that are due, in order of time."""
        while True:
            when = self.next()
            if when is None or when > now:
                return
            deadline = heappop(self._heap)[2]
            action = deadline.action
            deadline.action = None
            if action is not None:
                action(now)
