"""The toll-fraud guard: how many calls an account may place. Pure.

Counted is what leaves this server: numbers and SIP addresses elsewhere. Registered phones of one's
own cost nothing and do not count. Each node counts for itself (ADR 10).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

TOO_MANY_AT_ONCE = 59920
TOO_MANY_PER_MINUTE = 59921
WINDOW_SECONDS = 60.0


class OutgoingLimits(NamedTuple):
    """Of one account; 0 is no limit."""

    concurrent: int
    per_minute: int


class Denied(NamedTuple):
    """``code`` and words for the log."""

    code: int
    message: str


@dataclass(slots=True)
class _Account:
    live: int = 0
    placed: deque[float] = field(default_factory=deque)  # of the last minute, oldest first


class OutgoingGuard:
    """``claim`` before a leg is placed, ``release`` once when that leg is over."""

    def __init__(self) -> None:
        self._accounts: dict[str, _Account] = {}
        self.denied = 0

    def claim(self, account_sid: str, limits: OutgoingLimits, now: float) -> Denied | None:
        """None: counted in. ``now`` in seconds of a clock that does not go back."""
        account = self._accounts.setdefault(account_sid, _Account())
        while account.placed and account.placed[0] <= now - WINDOW_SECONDS:
            account.placed.popleft()
        denied = _denial(account, limits)
        if denied is not None:
            self.denied += 1
            return denied
        account.live += 1
        if limits.per_minute:
            account.placed.append(now)
        return None

    def release(self, account_sid: str) -> None:
        account = self._accounts[account_sid]
        account.live -= 1
        if not account.live and not account.placed:
            del self._accounts[account_sid]

    def live(self, account_sid: str) -> int:
        """How many outgoing legs the account has just now."""
        account = self._accounts.get(account_sid)
        return account.live if account else 0


def _denial(account: _Account, limits: OutgoingLimits) -> Denied | None:
    most = limits.concurrent
    if most and account.live >= most:
        return Denied(
            TOO_MANY_AT_ONCE,
            f"The account has {account.live} outgoing calls and may have {most} at the same time.",
        )
    most = limits.per_minute
    if most and len(account.placed) >= most:
        return Denied(
            TOO_MANY_PER_MINUTE,
            f"The account has placed {len(account.placed)} outgoing calls in the last minute and "
            f"may place {most}.",
        )
    return None
