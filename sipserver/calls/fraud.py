"""How many outgoing calls an account may have: the guard against toll fraud. Pure.

Counts are of this node alone, like all limits on live calls (ADR 10).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

TOO_MANY_AT_ONCE = 59920
TOO_MANY_PER_MINUTE = 59921
WINDOW_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Denied:
    """``message`` tells the operator which limit it was, ``code`` is for the log."""

    code: int
    message: str


class OutgoingGuard:
    """``claim`` before an INVITE, ``release`` when the leg has ended. Refused legs cost nothing."""

    def __init__(self) -> None:
        self._live: dict[str, int] = {}
        self._recent: dict[str, deque[float]] = {}
        self.denied = 0

    def claim(
        self, account_sid: str, *, concurrent: int, per_minute: int, now: float
    ) -> Denied | None:
        """Count one more outgoing leg, or say why not. ``concurrent`` and ``per_minute`` 0 are no
        limits; ``now`` in seconds of a monotonic clock."""
        live = self._live.get(account_sid, 0)
        recent = self._recent.setdefault(account_sid, deque())
        while recent and recent[0] <= now - WINDOW_SECONDS:
            recent.popleft()
        if concurrent and live >= concurrent:
            self.denied += 1
            return Denied(
                TOO_MANY_AT_ONCE, f"The account has {live} outgoing calls, which is its limit."
            )
        if per_minute and len(recent) >= per_minute:
            self.denied += 1
            return Denied(
                TOO_MANY_PER_MINUTE,
                f"The account has placed {per_minute} calls in a minute, its limit.",
            )
        self._live[account_sid] = live + 1
        if per_minute:
            recent.append(now)
        return None

    def release(self, account_sid: str) -> None:
        left = self._live[account_sid] - 1
        if left:
            self._live[account_sid] = left
        else:
            del self._live[account_sid]
            if not self._recent.get(account_sid):
                self._recent.pop(account_sid, None)
