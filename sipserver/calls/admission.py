"""Whether the node takes one more call, and how many refusals it writes down. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Load:
    """``backlog`` records waiting for the database, ``backlog_seconds`` the oldest one's age."""

    calls: int
    backlog: int
    backlog_seconds: float
    draining: bool


@dataclass(frozen=True, slots=True)
class Limits:
    max_calls: int = 4000
    max_backlog: int = 10_000
    max_backlog_seconds: float = 5.0


@dataclass(frozen=True, slots=True)
class Refuse:
    cause: str
    retry_after: int


def admit(load: Load, limits: Limits) -> Refuse | None:
    """None: take it. Architecture, choice 4 number 5: no calls whose log cannot be kept."""
    if load.draining:
        return Refuse("draining", 30)
    if load.calls >= limits.max_calls:
        return Refuse("overloaded", 5)
    if load.backlog >= limits.max_backlog or load.backlog_seconds > limits.max_backlog_seconds:
        return Refuse("database-unavailable", 10)
    return None


class RefusalBudget:
    """How many refused calls become rows: a bucket for each source of ``burst`` that refills with
    one each ``refill`` seconds, and one of ``total_burst`` and ``total_refill`` for all of them,
    since sources can be forged. A scanner must not flood the log; what is left out is counted."""

    __slots__ = (
        "_burst", "_limit", "_refill", "_sources", "_total", "_total_burst", "_total_refill",
        "suppressed",
    )  # fmt: skip

    def __init__(
        self,
        burst: int = 20,
        refill: float = 3.0,
        limit: int = 10_000,
        total_burst: int = 1000,
        total_refill: float = 0.02,
    ) -> None:
        self._burst = burst
        self._refill = refill
        self._limit = limit
        self._total_burst = total_burst
        self._total_refill = total_refill
        self._total: tuple[float, float] | None = None
        self._sources: dict[str, tuple[float, float]] = {}
        self.suppressed = 0

    def spend(self, source: str, now: float) -> bool:
        own = _refilled(self._sources.get(source), self._burst, self._refill, now)
        total = _refilled(self._total, self._total_burst, self._total_refill, now)
        if own < 1.0 or total < 1.0:
            self.suppressed += 1
            return False
        if len(self._sources) >= self._limit and source not in self._sources:
            self._sources.clear()
        self._sources[source] = (own - 1.0, now)
        self._total = (total - 1.0, now)
        return True


class IncomingRates:
    """How many calls come in within a second: a token bucket for each SID that is limited. One of
    ``limit`` per second holds ``limit`` calls, which may all come at once."""

    __slots__ = ("_buckets",)

    def __init__(self) -> None:
        self._buckets: dict[str, tuple[float, float]] = {}

    def spend(self, limits: Iterable[tuple[str, int]], now: float) -> tuple[str, int] | None:
        """Count one call for each (SID, limit per second; 0 is none), or return the one that is
        spent and count it for none. ``now`` in seconds of a clock that does not go back."""
        left = {}
        for sid, limit in limits:
            if not limit:
                self._buckets.pop(sid, None)  # it may have had a limit
                continue
            left[sid] = _refilled(self._buckets.get(sid), limit, 1.0 / limit, now) - 1.0
            if left[sid] < 0.0:
                return sid, limit
        self._buckets.update((sid, (tokens, now)) for sid, tokens in left.items())
        return None


class SpentNonces:
    """Nonces that have let a call in. Each does so once: a sniffed INVITE cannot be sent again with
    another target. Of this node alone: a nonce that comes back elsewhere is still bound to its
    Call-ID and its lifetime. Two generations of ``seconds`` each, so that nothing is kept long."""

    __slots__ = ("_newer", "_older", "_seconds", "_turned_at")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._turned_at = 0.0
        self._newer: set[str] = set()
        self._older: set[str] = set()

    def spend(self, nonce: str, now: float) -> bool:
        """False when it was spent before. ``now`` in seconds of any clock that does not go back."""
        if now - self._turned_at > self._seconds:
            self._older, self._newer, self._turned_at = self._newer, set(), now
        if nonce in self._newer or nonce in self._older:
            return False
        self._newer.add(nonce)
        return True


def _refilled(bucket: tuple[float, float] | None, burst: int, refill: float, now: float) -> float:
    """Tokens at ``now`` of a bucket that had so many at its time; a new one is full."""
    if bucket is None:
        return float(burst)
    tokens, at = bucket
    return min(float(burst), tokens + (now - at) / refill)
