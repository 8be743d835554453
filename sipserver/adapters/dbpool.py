"""Database work off the SIP loop: a bounded pool of threads with connection hygiene.

Django's ``sync_to_async`` serialises all work of a process by default (architecture, choice 3).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import close_old_connections, connections
from django.db.backends.base.base import BaseDatabaseWrapper

T = TypeVar("T")


class DatabasePool:
    def __init__(self, threads: int = 4) -> None:
        self._connections: list[BaseDatabaseWrapper] = []
        self._executor = ThreadPoolExecutor(
            threads, thread_name_prefix="db", initializer=self._begin_thread
        )

    async def run(self, function: Callable[[], T]) -> T:
        """``function()`` in a thread; a connection that has gone bad is replaced first."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, _clean, function)

    def close(self) -> None:
        """Waits for the jobs that run, and closes the connections that the threads leave."""
        self._executor.shutdown(wait=True, cancel_futures=True)
        # Not on the loop's thread, where Django refuses all that may block.
        closer = threading.Thread(target=self._close_connections, name="db-close")
        closer.start()
        closer.join()

    def _close_connections(self) -> None:
        for connection in self._connections:
            connection.close()

    def _begin_thread(self) -> None:
        for connection in connections.all():
            connection.inc_thread_sharing()  # with close(), once the thread has ended
            self._connections.append(connection)


def _clean(function: Callable[[], T]) -> T:
    close_old_connections()
    try:
        return function()
    except Exception:
        # What broke may be the connection: the next job shall not inherit it.
        connections.close_all()
        raise
