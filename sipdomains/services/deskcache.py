"""What pages and workers leave each other for a while, and how often somebody may ask.

In Django's cache "desk": Redis where processes are several, else the memory of the one process.
All of this raises CacheAway when Redis cannot be reached.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import time
from collections.abc import Iterator
from typing import Any

import redis
from django.core.cache import caches

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class CacheAway(Exception):
    """Pages and workers cannot reach each other."""

    def __init__(self) -> None:
        super().__init__("Redis cannot be reached, so no worker can be asked. Is it running?")


@contextlib.contextmanager
def _cache() -> Iterator[Any]:
    try:
        yield caches["desk"]
    except redis.RedisError as error:
        raise CacheAway from error


def new_id() -> str:
    """Unguessable."""
    return secrets.token_urlsafe(24)


def spend(what: str, who: object, limit: int, seconds: int = 60) -> bool:
    """Count one more; False when there were ``limit`` within this stretch of ``seconds``."""
    key = f"desk:rate:{what}:{who}:{int(time.time()) // seconds}"
    with _cache() as cache:
        cache.add(key, 0, seconds)
        try:
            return int(cache.incr(key)) <= limit
        except ValueError:  # it ran out between the two
            return True


def put(kind: str, id_: str, value: Any, seconds: int) -> None:
    with _cache() as cache:
        cache.set(f"desk:{kind}:{id_}", value, seconds)


def get(kind: str, id_: str) -> Any:
    """None when it is not there, or no longer. ``id_`` may be whatever stands in an address."""
    if not _ID.fullmatch(id_):
        return None
    with _cache() as cache:
        return cache.get(f"desk:{kind}:{id_}")


def take(kind: str, id_: str) -> Any:
    """Get it for the last time."""
    key = f"desk:{kind}:{id_}"
    with _cache() as cache:
        value = cache.get(key)
        cache.delete(key)
        return value


def once(kind: str, id_: str, seconds: int) -> bool:
    """True for the first who asks."""
    with _cache() as cache:
        return bool(cache.add(f"desk:once:{kind}:{id_}", 1, seconds))
