"""Keys that have come in and wait for a verb, and those that a Gather has taken. Pure.

Rules of finishing: twiml-voice.md section 2, Gather.
"""

from __future__ import annotations

from collections import deque

from twimlrunner.twiml import limits

KEYS = frozenset("0123456789*#ABCD")


class DigitBuffer:
    """Keys in order of arrival, at most ``limits.BUFFERED_DIGITS``: what is beyond is dropped."""

    __slots__ = ("_keys", "dropped")

    def __init__(self) -> None:
        self._keys: deque[str] = deque()
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._keys)

    def push(self, key: str) -> bool:
        """Add one key; False when it is no DTMF key or the buffer is full."""
        if key not in KEYS or len(self._keys) >= limits.BUFFERED_DIGITS:
            self.dropped += 1
            return False
        self._keys.append(key)
        return True

    def pop(self) -> str | None:
        """Take the oldest key, if there is one."""
        return self._keys.popleft() if self._keys else None

    def clear(self) -> None:
        self._keys.clear()


class Collection:
    """What a Gather has taken so far.

    ``digits`` never holds the finish key; ``finished_on`` is that key, empty while it has not come.
    An empty ``finish_on`` makes every key data; ``length`` None is bounded by
    ``limits.GATHERED_DIGITS`` only.
    """

    __slots__ = ("_finish_on", "_length", "digits", "finished_on")

    def __init__(self, finish_on: str, length: int | None) -> None:
        self._finish_on = finish_on
        self._length = min(length or limits.GATHERED_DIGITS, limits.GATHERED_DIGITS)
        self.digits = ""
        self.finished_on = ""

    def add(self, key: str) -> bool:
        """Take one key; False when it was the last one that this Gather takes."""
        if key == self._finish_on:
            self.finished_on = key
            return False
        self.digits += key
        return len(self.digits) < self._length
