"""How often somebody may ask: counters per window of time in the cache that the processes share."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.cache import cache
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle


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


class AccountThrottle(BaseThrottle):
    """Requests per second of one account, whatever its credentials."""

    _window: Window | None = None

    def allow_request(self, request: Request, view: Any) -> bool:
        client: Any = request.user
        limit = settings.API_REQUESTS_PER_SECOND
        self._window = Window(f"requests:{client.account.sid}", limit, 1)
        return self._window.count()

    def wait(self) -> float | None:
        return self._window.wait() if self._window else None
