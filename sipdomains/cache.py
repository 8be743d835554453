"""The caches in Redis, and what holds while Redis cannot be reached.

``RedisCache`` tells: who has left something there for another process must know that it did not
arrive. ``LenientCache`` goes on with a memory of the process's own: counts, places and figures are
worth less than the pages, logins and API requests that ask for them. Then each process counts for
itself, so limits are looser, never off.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import redis
from django.core.cache.backends import redis as backend
from django.core.cache.backends.locmem import LocMemCache
from redis.backoff import NoBackoff
from redis.retry import Retry

log = logging.getLogger(__name__)

ANSWER_SECONDS = 2.0
AWAY_SECONDS = 2.0  # it is not tried again for so long: a page asks more than once


class RedisCache(backend.RedisCache):
    """Django's, which raises redis.RedisError, but soon."""

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        options = {
            "socket_connect_timeout": ANSWER_SECONDS,
            "socket_timeout": ANSWER_SECONDS,
            # One more try heals a connection that was closed while it was idle.
            "retry": Retry(NoBackoff(), 1),
        }
        super().__init__(server, params | {"OPTIONS": options | params.get("OPTIONS", {})})


def _here_or_there(name: str) -> Callable[..., Any]:
    def method(self: LenientCache, *args: Any, **kwargs: Any) -> Any:
        if time.monotonic() >= LenientCache.away_until:
            try:
                return getattr(RedisCache, name)(self, *args, **kwargs)
            except redis.RedisError as error:
                LenientCache.away_until = time.monotonic() + AWAY_SECONDS
                log.warning("the cache in Redis cannot be reached: %s", type(error).__name__)
        return getattr(self.memory, name)(*args, **kwargs)

    method.__name__ = name
    return method


class LenientCache(RedisCache):
    """Never fails because of Redis."""

    away_until = 0.0  # for all threads of the process, each of which has an instance

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self.memory = LocMemCache("while Redis is away", {})

    add = _here_or_there("add")
    get = _here_or_there("get")
    set = _here_or_there("set")
    touch = _here_or_there("touch")
    delete = _here_or_there("delete")
    get_many = _here_or_there("get_many")
    set_many = _here_or_there("set_many")
    delete_many = _here_or_there("delete_many")
    has_key = _here_or_there("has_key")
    incr = _here_or_there("incr")
    clear = _here_or_there("clear")
