"""Whether the node takes one more call, and how many refusals it writes down. Pure."""

from __future__ import annotations

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
    """How many refused calls of one source become rows: a bucket of ``burst`` that refills with
    one each ``refill`` seconds. A scanner must not flood the log; what is left out is counted."""

    __slots__ = ("_burst", "_limit", "_refill", "_sources", "suppressed")

    def __init__(self, burst: int = 20, refill: float = 3.0, limit: int = 10_000) -> None:
        self._burst = burst
        self._refill = refill
        self._limit = limit
        self._sources: dict[str, tuple[float, float]] = {}
        self.suppressed = 0

    def spend(self, source: str, now: float) -> bool:
        tokens, at = self._sources.get(source, (float(self._burst), now))
        tokens = min(float(self._burst), tokens + (now - at) / self._refill)
        if tokens < 1.0:
            self._sources[source] = (tokens, now)
            self.suppressed += 1
            return False
        if len(self._sources) >= self._limit and source not in self._sources:
            self._sources.clear()
        self._sources[source] = (tokens - 1.0, now)
        return True
