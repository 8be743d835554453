"""What a receiver knows of one RTP source (RFC 3550 section 6.4.1 and appendices A.1, A.3, A.8)."""

from __future__ import annotations

from dataclasses import dataclass

MAX_DROPOUT = 3000
MAX_MISORDER = 100
_WINDOW = 64  # packets back in which a duplicate is told from a late one
_WINDOW_MASK = (1 << _WINDOW) - 1


@dataclass(frozen=True, slots=True)
class ReportFigures:
    """The reception part of a report block; jitter in timestamp units."""

    fraction_lost: int
    cumulative_lost: int
    highest_sequence: int
    jitter: int


class ReceiveStatistics:
    """Feed it every packet of one source in order of arrival; one update is a hot path.

    Duplicates are not counted as received, so that loss never turns negative (the RFC's own
    arithmetic hides loss behind duplicates).
    """

    __slots__ = (
        "_bad",
        "_base",
        "_expected_before",
        "_jitter",
        "_lost_before",
        "_received_before",
        "_transit",
        "_window",
        "duplicates",
        "highest",
        "out_of_order",
        "received",
        "resyncs",
    )

    def __init__(self, sequence: int) -> None:
        """``sequence`` is that of the first packet, which is then given to :meth:`update` too."""
        self.duplicates = 0
        self.out_of_order = 0
        self.resyncs = 0
        self._lost_before = 0  # in runs that a restart of the sender ended
        self._jitter = 0.0
        self._transit: float | None = None
        self._start(sequence)

    def _start(self, sequence: int) -> None:
        self._base = sequence
        self.highest = sequence - 1  # extended: counts on beyond 16 bits
        self.received = 0
        self._window = 0
        self._bad = -1
        self._expected_before = 0
        self._received_before = 0

    def update(self, sequence: int, timestamp: int, arrival: float) -> bool:
        """One packet; ``arrival`` in timestamp units of any origin. False: drop the packet, it is
        a duplicate or implausible."""
        if (sequence - self.highest) & 0xFFFF == 1:
            self.highest += 1
            self.received += 1
            self._window = (self._window << 1 | 1) & _WINDOW_MASK
        elif not self.count(sequence):
            return False
        # Both sides wrap or drift apart by 2**32 only together with a jump, ignored below.
        transit = arrival - timestamp
        if self._transit is not None:
            difference = abs(transit - self._transit)
            if difference < 80000:  # ten seconds at 8 kHz: a restart or wrap, not jitter
                self._jitter += (difference - self._jitter) / 16
        self._transit = transit
        return True

    def count(self, sequence: int) -> bool:
        """As :meth:`update` without jitter: packets of one telephone event share a timestamp."""
        step = (sequence - self.highest) & 0xFFFF
        if 0 < step < MAX_DROPOUT:
            self.highest += step
            self._window = (self._window << step | 1) & _WINDOW_MASK
        elif step == 0 or step > 0x10000 - MAX_MISORDER:
            back = -step & 0xFFFF
            if back >= _WINDOW or self._window >> back & 1:
                self.duplicates += 1
                return False
            self._window |= 1 << back
            self._base = min(self._base, self.highest - back)
            self.out_of_order += 1
        elif sequence == self._bad:
            # Two in a row far away: the sender restarted (appendix A.1).
            self._lost_before += self._lost_now()
            self.resyncs += 1
            self._start(sequence)
            self.highest = sequence
            self._window = 1
        else:
            self._bad = (sequence + 1) & 0xFFFF
            return False
        self.received += 1
        return True

    def extended(self, sequence: int) -> int:
        """Of the packet just counted, beyond 16 bits."""
        return self.highest - ((self.highest - sequence) & 0xFFFF)

    def _lost_now(self) -> int:
        return max(0, self.highest - self._base + 1 - self.received)

    @property
    def lost(self) -> int:
        return self._lost_before + self._lost_now()

    @property
    def jitter(self) -> float:
        """In timestamp units."""
        return self._jitter

    def report(self) -> ReportFigures:
        """Figures for the next report block; fraction lost is that since the last call."""
        expected = self.highest - self._base + 1
        interval = expected - self._expected_before
        lost = interval - (self.received - self._received_before)
        self._expected_before, self._received_before = expected, self.received
        fraction = min(255, (lost << 8) // interval) if interval > 0 and lost > 0 else 0
        return ReportFigures(
            fraction, min(self.lost, 0x7FFFFF), self.highest & 0xFFFFFFFF, int(self._jitter)
        )
