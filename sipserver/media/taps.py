"""Who listens to the audio that a leg receives or sends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from sipserver.media.keys import Keys
from sipserver.rtp import g711
from sipserver.rtp.inband import ToneDetector

_BREAK = 480  # samples missing within a tone at most
_RESTART = 8000  # samples back at which it is not a late packet but another beginning


class Tap(Protocol):
    def hear(self, timestamp: int, payload: bytes) -> None:
        """A packet in the codec at hand, as it comes or goes."""

    def recode(self, codec: str) -> None:
        """What comes from now on is in this codec."""


class Taps:
    """Those of one direction. ``listeners`` is to be read only."""

    __slots__ = ("codec", "listeners")

    def __init__(self) -> None:
        self.codec = ""
        self.listeners: tuple[Tap, ...] = ()

    def add(self, tap: Tap) -> None:
        tap.recode(self.codec)
        self.listeners += (tap,)

    def remove(self, tap: Tap) -> None:
        self.listeners = tuple(other for other in self.listeners if other is not tap)

    def recode(self, codec: str) -> None:
        self.codec = codec
        for tap in self.listeners:
            tap.recode(codec)

    def hear(self, timestamp: int, payload: bytes) -> None:
        for tap in self.listeners:
            tap.hear(timestamp, payload)


class ToneTap:
    """Keys out of the audio, for peers without telephone-event."""

    __slots__ = ("_clock", "_codec", "_detector", "_due", "_keys")

    def __init__(self, keys: Keys, clock: Callable[[], float]) -> None:
        self._keys = keys
        self._clock = clock
        self._codec = ""
        self._detector = ToneDetector()
        self._due = 0

    def recode(self, codec: str) -> None:
        self._codec = codec

    def hear(self, timestamp: int, payload: bytes) -> None:
        ahead = (timestamp - self._due + (1 << 31) & 0xFFFFFFFF) - (1 << 31)
        if -_RESTART < ahead < 0:
            return  # late: the tone has gone on without it
        if ahead < 0 or ahead > _BREAK:
            self._detector.gap()
        self._due = timestamp + len(payload)
        for key in self._detector.feed(g711.decode(payload, self._codec)):
            self._keys.tone(key, self._clock())
