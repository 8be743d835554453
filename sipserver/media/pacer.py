"""The clock of all senders: a ring of one-millisecond slots with absolute deadlines."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from itertools import count
from time import monotonic
from typing import Protocol

RING = 120  # ms; a multiple of every packet interval
PHASES = 20
LATE_MS = 5.0  # a tick this far behind its deadline is counted as late
_START_WITHIN = 10  # ms; a new talkspurt takes the emptiest of so many coming slots
_CATCH_UP_MS = 100  # what was missed beyond this is given up, not sent in a burst
_FINE = 80  # buckets of a quarter of a millisecond, up to 20 ms
_COARSE = (40.0, 80.0, 160.0, 320.0, 640.0, 10000.0)


class Ticked(Protocol):
    slot: int  # set by the pacer: the first of its slots
    timing: Timing

    def tick(self, ms: int) -> bool:
        """Send what is due at ``ms`` of the pacer's clock. False: nothing more to send."""


class Deviations:
    """Histograms of how far packet spacing was from nominal, one for each phase."""

    __slots__ = ("buckets", "late")

    def __init__(self) -> None:
        self.buckets = [[0] * (_FINE + len(_COARSE)) for _ in range(PHASES)]
        self.late = [0] * PHASES

    def record(self, phase: int, late_ms: float, deviation_ms: float, packets: int) -> None:
        if late_ms > LATE_MS:
            self.late[phase] += packets
        index = int(deviation_ms * 4)
        if index >= _FINE:
            index = _FINE + sum(deviation_ms > bound for bound in _COARSE[:-1])
        self.buckets[phase][index] += packets

    def total(self) -> list[int]:
        return [sum(column) for column in zip(*self.buckets, strict=True)]


class Timing:
    """One sender's share of the deviations: those of its phase while it was sending."""

    __slots__ = ("_before", "_deviations", "_late_before", "_phase", "buckets", "late")

    def __init__(self) -> None:
        self.buckets = [0] * (_FINE + len(_COARSE))
        self.late = 0
        self._deviations: Deviations | None = None
        self._phase = 0
        self._before: list[int] = []
        self._late_before = 0

    def begin(self, deviations: Deviations, phase: int) -> None:
        self._deviations, self._phase = deviations, phase
        self._before = deviations.buckets[phase].copy()
        self._late_before = deviations.late[phase]

    def end(self) -> None:
        """Add up what has come since :meth:`begin`; without one, nothing."""
        if self._deviations is None:
            return
        after = self._deviations.buckets[self._phase]
        for index, before in enumerate(self._before):
            self.buckets[index] += after[index] - before
        self.late += self._deviations.late[self._phase] - self._late_before
        self._deviations = None


def summarize(buckets: Sequence[int]) -> dict[str, float]:
    """p50, p95, p99 and max in ms, each the upper bound of its bucket."""
    total = sum(buckets)
    wanted = [("p50", total * 0.5), ("p95", total * 0.95), ("p99", total * 0.99), ("max", total)]
    found: dict[str, float] = {}
    seen = 0
    for index, packets in enumerate(buckets):
        seen += packets
        while wanted and packets and seen >= wanted[0][1]:
            bound = (index + 1) / 4 if index < _FINE else _COARSE[index - _FINE]
            found[wanted.pop(0)[0]] = bound
    return found or dict.fromkeys(("p50", "p95", "p99", "max"), 0.0)


class Pacer:
    """Ticks each active sender every packet interval. Its time is in ms since it was made."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._start = clock()
        self._slots: list[list[Ticked]] = [[] for _ in range(RING)]
        self._next = 0  # ms, the first slot not yet run
        self._late = [0.0] * PHASES  # of the last tick of each phase
        self.active = 0
        self.ticks = 0
        self.skipped_ms = 0
        self.deviations = Deviations()

    def elapsed(self) -> float:
        return (self._clock() - self._start) * 1000

    def add(self, sender: Ticked, interval_ms: int) -> None:
        if self.active == 0:
            self._next = int(self.elapsed()) + 1
        first = min(
            range(self._next, self._next + _START_WITHIN),
            key=lambda ms: len(self._slots[ms % RING]),
        )
        sender.slot = first % RING
        sender.timing.begin(self.deviations, first % PHASES)
        for slot in range(first % interval_ms, RING, interval_ms):
            self._slots[slot].append(sender)
        self.active += 1

    def remove(self, sender: Ticked) -> None:
        for slot in self._slots[sender.slot % 10 :: 10]:  # every interval is a multiple of 10
            if sender in slot:
                slot.remove(sender)
        sender.timing.end()
        self.active -= 1

    def run(self) -> None:
        """Tick all that is due."""
        elapsed = self.elapsed()
        if elapsed - self._next > _CATCH_UP_MS and self.active:
            self.skipped_ms += int(elapsed) - self._next
            self._next = int(elapsed)
        while self.active and self._next <= elapsed:
            ms = self._next
            self._next += 1
            slot = self._slots[ms % RING]
            if slot:
                self._run_slot(slot, ms)
                elapsed = self.elapsed()

    def _run_slot(self, slot: list[Ticked], ms: int) -> None:
        late = self.elapsed() - ms
        phase = ms % PHASES
        packets = len(slot)
        self.ticks += packets
        self.deviations.record(phase, late, abs(late - self._late[phase]), packets)
        self._late[phase] = late
        idle = [sender for sender in slot if not sender.tick(ms)]
        for sender in idle:
            self.remove(sender)

    def next_deadline(self) -> float | None:
        """By the clock; None if nobody sends."""
        if not self.active:
            return None
        ms = self._next
        slots = self._slots
        while not slots[ms % RING]:
            ms += 1
        return self._start + ms / 1000


class Alarms:
    """Things to do at a time, for what is rare."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = count()

    def at(self, deadline: float, action: Callable[[float], None]) -> None:
        heapq.heappush(self._heap, (deadline, next(self._order), action))

    def run(self, now: float) -> None:
        heap = self._heap
        while heap and heap[0][0] <= now:
            heapq.heappop(heap)[2](now)

    def next_deadline(self) -> float | None:
        return self._heap[0][0] if self._heap else None
