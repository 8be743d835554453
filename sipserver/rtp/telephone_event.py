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
_MAX_DURATION = 0xFFFF  # of a segment of an event
_STRAGGLING = 80000  # timestamp units back at which a packet is not late, the source began anew
_PAYLOAD = Struct("!BBH")


@dataclass(frozen=True, slots=True)
class EventPacket:
    """``first`` asks for the marker and fixes the timestamp for all packets of the event."""

    payload: bytes
    first: bool


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

    An event is known by its timestamp. It is told with its first packet that comes, be it the last
    one sent: whoever waits for a key wants to know when it goes down.
    """

    __slots__ = ("_code", "_timestamp")

    def __init__(self) -> None:
        self._timestamp: int | None = None  # of the last event, or of its last segment
        self._code = 0

    def feed(self, timestamp: int, payload: bytes) -> str:
        """The digit that begins with this packet, mostly empty."""
        if len(payload) < 4:
            return ""
        code = payload[0]
        if code >= len(DIGITS):
            return ""
        if self._timestamp is not None:
            ahead = (timestamp - self._timestamp + (1 << 31) & 0xFFFFFFFF) - (1 << 31)
            if -_STRAGGLING < ahead <= 0:
                return ""
            if ahead == _MAX_DURATION and code == self._code:  # section 2.5.1.3
                self._timestamp = timestamp
                return ""
        self._timestamp, self._code = timestamp, code
        return DIGITS[code]
