"""Work that takes longer than a task slot should be held: a bounded number of threads.

A slot that waited for an application, or for a call to end, would keep the fetches of live calls
waiting behind it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from django.db import close_old_connections, connections

log = logging.getLogger(__name__)


class Handover:
    """At most ``limit`` pieces of work at once in this process."""

    def __init__(self, name: str, limit: int) -> None:
        self._name = name
        self._slots = threading.BoundedSemaphore(limit)

    def start(self, work: Callable[[], None]) -> bool:
        """Do it on a thread; False: as many as may be run already."""
        if not self._slots.acquire(blocking=False):
            return False
        threading.Thread(target=self._run, args=(work,), name=self._name, daemon=True).start()
        return True

    def _run(self, work: Callable[[], None]) -> None:
        try:
            close_old_connections()
            work()
        except Exception:
            log.exception("%s failed", self._name)
        finally:
            connections.close_all()
            self._slots.release()
