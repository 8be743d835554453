"""What pages and workers leave each other for a while, and how often somebody may ask.

In Django's cache: Redis where processes are several, else the memory of the one process.
"""

from __future__ import annotations

import re
import secrets
import time
from typing import Any

from django.core.cache import cache

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def new_id() -> str:
    """Unguessable."""
    return secrets.token_urlsafe(24)


def spend(what: str, who: object, limit: int, seconds: int = 60) -> bool:
    """Count one more; False when there were ``limit`` within this stretch of ``seconds``."""
    key = f"desk:rate:{what}:{who}:{int(time.time()) // seconds}"
    cache.add(key, 0, seconds)
    try:
        return int(cache.incr(key)) <= limit
    except ValueError:  # it ran out between the two
        return True


def put(kind: str, id_: str, value: Any, seconds: int) -> None:
    cache.set(f"desk:{kind}:{id_}", value, seconds)


def get(kind: str, id_: str) -> Any:
    """None when it is not there, or no longer. ``id_`` may be whatever stands in an address."""
    return cache.get(f"desk:{kind}:{id_}") if _ID.fullmatch(id_) else None


def take(kind: str, id_: str) -> Any:
    """Get it for the last time."""
    key = f"desk:{kind}:{id_}"
    value = cache.get(key)
    cache.delete(key)
    return value


def once(kind: str, id_: str, seconds: int) -> bool:
    """True for the first who asks."""
    return bool(cache.add(f"desk:once:{kind}:{id_}", 1, seconds))
