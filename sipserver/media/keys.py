"""The keys of one peer, from telephone-events and from tones: each is told once."""

from __future__ import annotations

from collections.abc import Callable

_HOLD = 0.2  # s after a packet of a telephone-event in which a tone is the same key
_SAME = 0.2  # s after a tone in which a telephone-event of that key is the same


class Keys:
    """``told`` gets (key, time) when a key goes down."""

    __slots__ = ("_event_at", "_told", "_tone", "_tone_at", "count")

    def __init__(self, told: Callable[[str, float], None]) -> None:
        self._told = told
        self._event_at = self._tone_at = float("-inf")
        self._tone = ""
        self.count = 0

    def hold(self, now: float) -> None:
        """A packet of a telephone-event has come: tones are the same key heard again."""
        self._event_at = now

    def event(self, key: str, now: float) -> None:
        """A telephone-event has begun."""
        if key == self._tone and now - self._tone_at < _SAME:
            self._tone = ""  # its first packets were lost, but not its tone
        else:
            self._tell(key, now)

    def tone(self, key: str, now: float) -> None:
        if now - self._event_at >= _HOLD:
            self._tone, self._tone_at = key, now
            self._tell(key, now)

    def _tell(self, key: str, now: float) -> None:
        self.count += 1
        self._told(key, now)
