"""DTMF as telephone-events (RFC 4733)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct

DIGITS = "0123456789*#ABCD"  # by event code (section 3.2)
PAUSES = {"w": 500, "W": 1000}  # ms; twiml-voice.md, Play digits
TONE_MS = 100
GAP_MS = 100
VOLUME = 10  # dBm0 below zero
END_PACKETS = 3  # section 2.5.1.4
_RATE = 8  # timestamp units per ms
_MAX_DURATION = 0xFFFF
_PAYLOAD = Struct("!BBH")


@dataclass(frozen=True, slots=True)
class EventPacket:
    """``first`` asks for the marker and fixes the timestamp for all packets of the event."""

    payload: bytes
    first: bool


@dataclass(frozen=True, slots=True)
class Digit:
    digit: str
    duration_ms: int


def valid_digits(digits: str) -> bool:
    """Only what :func:`paced` and :func:`sipserver.rtp.tone.dial` can send."""
    return all(mark in PAUSES or mark in DIGITS for mark in digits)


def paced(digits: str, ptime_ms: int) -> Iterator[EventPacket | None]:
    """What to send in each packet interval: None is silence. ``digits`` of 0-9 A-D # * w W."""
    tone = -(-TONE_MS // ptime_ms)
    gap = -(-GAP_MS // ptime_ms)
    for mark in digits:
        if mark in PAUSES:
            for _ in range(PAUSES[mark] // ptime_ms):
                yield None
            continue
        code = DIGITS.index(mark)
        for tick in range(1, tone):
            duration = tick * ptime_ms * _RATE
            yield EventPacket(_PAYLOAD.pack(code, VOLUME, duration), tick == 1)
        final = _PAYLOAD.pack(code, 0x80 | VOLUME, tone * ptime_ms * _RATE)
        for repeat in range(END_PACKETS):
            yield EventPacket(final, tone == 1 and repeat == 0)
        # The first end packet belongs to the tone, its repeats fall into the gap.
        for _ in range(gap - END_PACKETS + 1):
            yield None


def ended(payload: bytes) -> bytes:
    """The same event at the same duration, with the end bit: for one that is broken off."""
    return bytes((payload[0], payload[1] | 0x80)) + payload[2:]


class TelephoneEventDecoder:
    """Digits out of event packets, whatever was lost, repeated or reordered.

    An event is known by its timestamp. It is reported once: when an end packet comes, even the
    only packet of it; or, if all end packets are lost, when the next event begins or
    :meth:`flush` is called because audio goes on or nothing more comes.
    """

    __slots__ = ("_code", "_duration", "_earlier", "_ended", "_timestamp")

    def __init__(self) -> None:
        self._timestamp: int | None = None  # of the event (or its last segment) under way
        self._code = 0
        self._duration = 0
        self._earlier = 0  # duration of full segments before (section 2.5.1.3)
        self._ended: int | None = None  # timestamp of the last event reported

    @property
    def active(self) -> bool:
        return self._timestamp is not None

    def feed(self, timestamp: int, payload: bytes) -> list[Digit]:
        """Digits that ended with this packet, in order: at most two."""
        if len(payload) < 4:
            return []
        code, flags, duration = _PAYLOAD.unpack_from(payload)
        if code >= len(DIGITS):
            return []
        if self._ended is not None and not 0 < (timestamp - self._ended) & 0xFFFFFFFF < 1 << 31:
            return []  # repeat or straggler of what has been reported
        found: list[Digit] = []
        if self._timestamp is None:
            self._begin(timestamp, code)
        elif timestamp != self._timestamp:
            ahead = (timestamp - self._timestamp) & 0xFFFFFFFF
            if ahead >= 1 << 31:
                return []  # straggler of an earlier segment
            if code == self._code and ahead == _MAX_DURATION:
                self._earlier += _MAX_DURATION
                self._timestamp, self._duration = timestamp, 0
            else:
                found += self.flush()
                self._begin(timestamp, code)
        self._duration = max(self._duration, duration)
        if flags & 0x80:
            found += self.flush()
        return found

    def _begin(self, timestamp: int, code: int) -> None:
        self._timestamp, self._code = timestamp, code
        self._duration = self._earlier = 0

    def passed(self, timestamp: int) -> list[Digit]:
        """Audio of this time came: the event under way is over if nothing told of it for three
        packets (section 2.5.2.2). Audio beside an event does not end it."""
        if self._timestamp is None:
            return []
        ahead = (timestamp - self._timestamp - self._duration) & 0xFFFFFFFF
        return self.flush() if 60 * _RATE < ahead < 1 << 31 else []

    def flush(self) -> list[Digit]:
        """The event under way, taken as ended."""
        if self._timestamp is None:
            return []
        digit = Digit(DIGITS[self._code], (self._earlier + self._duration) // _RATE)
        self._ended, self._timestamp = self._timestamp, None
        return [digit]
