"""Digits that have come in and wait for a verb to take them. Pure.

Rules of finishing: twiml-voice.md section 2, Gather.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from twimlrunner.twiml import limits

KEYS = frozenset("0123456789*#ABCD")


@dataclass(frozen=True, slots=True)
class Collected:
    """Keys taken so far. ``finished_by``: the finish key, ``length``, or None (more may come).

    The finish key is never among ``digits``.
    """

    digits: str
    finished_by: str | None


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

    def clear(self) -> None:
        self._keys.clear()

    def take(
        self, so_far: str = "", *, finish_on: str = "", length: int | None = None
    ) -> Collected:
        """Move keys onto ``so_far`` until one of ``finish_on`` comes or ``length`` is reached.

        Keys behind the finishing one stay. An empty ``finish_on`` makes every key data.
        """
        taken = [so_far]
        count = len(so_far)
        while length is None or count < length:
            if not self._keys:
                return Collected("".join(taken), None)
            key = self._keys.popleft()
            if key in finish_on:
                return Collected("".join(taken), key)
            taken.append(key)
            count += 1
        return Collected("".join(taken), "length")
