"""How many outgoing calls an account may have: the guard against toll fraud. Pure.

Counts are of this node alone, like all limits on live calls (ADR 10).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from sipdomains.policy import OutgoingLimit

TOO_MANY_AT_ONCE = 59920
TOO_MANY_PER_MINUTE = 59921
WINDOW_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Denied:
    """``message`` tells the operator which limit it was, ``code`` is for the log."""

    code: int
    message: str


class OutgoingGuard:
    """``claim`` before an INVITE, ``release`` when the leg has ended. Refused legs cost nothing.

    A leg counts for its account and for that account's parent: subaccounts, which REST makes
    freely, multiply nothing.
    """

    def __init__(self) -> None:
        self._live: dict[str, int] = {}
        self._recent: dict[str, deque[float]] = {}
        self.denied = 0

    def claim(self, limits: Sequence[OutgoingLimit], *, now: float) -> Denied | None:
        """Count one more outgoing leg, or say why not; ``now`` in seconds of a monotonic clock."""
        for limit in limits:
            denied = self._judge(limit, now, of_parent=limit is not limits[0])
            if denied is not None:
                self.denied += 1
                return denied
        for limit in limits:
            self._live[limit.account_sid] = self._live.get(limit.account_sid, 0) + 1
            if limit.per_minute:
                self._recent.setdefault(limit.account_sid, deque()).append(now)
        return None

    def _judge(self, limit: OutgoingLimit, now: float, of_parent: bool) -> Denied | None:
        live = self._live.get(limit.account_sid, 0)
        recent = self._recent.get(limit.account_sid, deque())
        while recent and recent[0] <= now - WINDOW_SECONDS:
            recent.popleft()
        who = "The parent account, with its subaccounts," if of_parent else "The account"
        if limit.concurrent and live >= limit.concurrent:
            return Denied(TOO_MANY_AT_ONCE, f"{who} has {live} outgoing calls, which is its limit.")
        if limit.per_minute and len(recent) >= limit.per_minute:
            return Denied(
                TOO_MANY_PER_MINUTE,
                f"{who} has placed {limit.per_minute} calls in a minute, its limit.",
            )
        return None

    def release(self, limits: Sequence[OutgoingLimit]) -> None:
        """``limits`` as they were claimed."""
        for sid in (limit.account_sid for limit in limits):
            left = self._live[sid] - 1
            if left:
                self._live[sid] = left
            else:
                del self._live[sid]
                if not self._recent.get(sid):
                    self._recent.pop(sid, None)
