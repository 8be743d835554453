"""How often somebody may do something: counters per window of time in the cache that the processes
share."""

from __future__ import annotations

import time
from dataclasses import dataclass

from django.core.cache import cache


@dataclass(frozen=True, slots=True)
class Window:
    """At most ``limit`` counts of ``name`` in each span of ``seconds``. Not to the last one exact:
    a cache that forgets lets somebody ask more often, never less."""

    name: str
    limit: int
    seconds: int

    def _key(self) -> str:
        return f"window:{self.name}:{int(time.time()) // self.seconds}"

    def count(self) -> bool:
        """One more. False when that is one too many."""
        key = self._key()
        if cache.add(key, 1, self.seconds * 2):
            return self.limit >= 1
        try:
            return bool(cache.incr(key) <= self.limit)
        except ValueError:  # forgotten in between
            return True

    def full(self) -> bool:
        return int(cache.get(self._key(), 0)) >= self.limit

    def wait(self) -> float:
        """Seconds until the next span begins."""
        return self.seconds - time.time() % self.seconds
