"""Signs of life of a worker that somebody at a page waits for: one that is killed says nothing.

It leaves a mark that it has begun, and another that runs out soon unless it is renewed.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator

from sipdomains.services import deskcache

log = logging.getLogger(__name__)

KEEP_SECONDS = 2 * 3600
ALIVE_SECONDS, BEAT_SECONDS = 10, 2.0
ORDER_SECONDS = 60  # an order that no worker has taken by then is not carried out
_GRACE_SECONDS = 5.0  # for one that is taken in the last moment

_BEGUN, _ALIVE = "begun", "alive"

NOBODY = (
    f"No worker has taken it within {ORDER_SECONDS} s, so it will not be done any more. "
    "Is a Celery worker running for the queue housekeeping?"
)
LOST = "The worker has stopped in the middle of it: it was killed, or lost Redis. Ask again."


@contextlib.contextmanager
def at_work(name: str) -> Iterator[None]:
    """While this lasts, pages know that somebody works on ``name``. Raises CacheAway. The last
    sign of life stays a little, so that whoever looks finds that or what came of it."""
    deskcache.put(_ALIVE, name, 1, ALIVE_SECONDS)
    deskcache.put(_BEGUN, name, 1, KEEP_SECONDS)
    done = threading.Event()
    beating = threading.Thread(target=_beat, args=(name, done), name="at-work", daemon=True)
    beating.start()
    try:
        yield
    finally:
        done.set()
        beating.join()


def _beat(name: str, done: threading.Event) -> None:
    while not done.wait(BEAT_SECONDS):
        try:
            deskcache.put(_ALIVE, name, 1, ALIVE_SECONDS)
        except deskcache.CacheAway:
            log.warning("no sign of life can be left: Redis is away")


def given_up(name: str, asked_at: float) -> str:
    """Why nothing more will come of what was asked for at that wall clock; "" while it may.
    Ask only about what has no result yet. Raises CacheAway."""
    if not deskcache.get(_BEGUN, name):
        return NOBODY if time.time() - asked_at > ORDER_SECONDS + _GRACE_SECONDS else ""
    return "" if deskcache.get(_ALIVE, name) else LOST
