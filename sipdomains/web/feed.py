"""Changes of the call log for whoever watches: one poller for all watchers of this process.

It polls while somebody watches. What changed is rendered once; each watcher takes what it may see.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from django.db import DatabaseError, close_old_connections
from django.template.loader import render_to_string

from sipdomains.selectors import ORDINARY_CAUSES
from sipdomains.selectors.changes import Watch, changed_calls

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
MAX_WATCHERS = 100  # of one process
_BACKLOG = 16


class TooManyWatchers(Exception):
    """Somebody else has to stop watching first."""


@dataclass(frozen=True, slots=True)
class Row:
    """A call as the list shows it. ``account_sid`` None: nobody's."""

    sid: str
    account_sid: str | None
    html: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Calls that changed at once. Not ``complete``: there were more, load the list anew."""

    rows: tuple[Row, ...]
    complete: bool = True


class Feed:
    """Of one event loop."""

    def __init__(self) -> None:
        self._watchers: set[asyncio.Queue[Batch]] = set()
        self._poller: asyncio.Task[None] | None = None
        self._looked = asyncio.Event()

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[asyncio.Queue[Batch]]:
        """What changes from now on, which is after the first look. Raises TooManyWatchers."""
        if len(self._watchers) >= MAX_WATCHERS:
            raise TooManyWatchers
        queue: asyncio.Queue[Batch] = asyncio.Queue(_BACKLOG)
        self._watchers.add(queue)
        if self._poller is None:
            self._poller = asyncio.create_task(self._poll())
        try:
            await self._looked.wait()
            yield queue
        finally:
            self._watchers.discard(queue)
            if not self._watchers and self._poller is not None:
                self._poller.cancel()
                self._poller = None
                self._looked.clear()

    @property
    def full(self) -> bool:
        return len(self._watchers) >= MAX_WATCHERS

    async def _poll(self) -> None:
        loop, watch = asyncio.get_running_loop(), Watch()
        thread = ThreadPoolExecutor(1, "call-feed")
        try:
            while True:
                try:
                    batch = await loop.run_in_executor(thread, _look, watch)
                except DatabaseError as error:
                    log.warning("the call log cannot be watched: %s", error)
                    batch = None
                except Exception:  # else all who watch would wait for ever
                    log.exception("the call log cannot be watched")
                    batch = None
                self._looked.set()
                if batch is not None:
                    self._tell(batch)
                await asyncio.sleep(POLL_SECONDS)
        finally:
            thread.shutdown(wait=False)  # the loop does not wait for a query

    def _tell(self, batch: Batch) -> None:
        for queue in self._watchers:
            if queue.full():  # too slow to follow: it loads the list anew instead
                while not queue.empty():
                    queue.get_nowait()
                queue.put_nowait(Batch((), complete=False))
            else:
                queue.put_nowait(batch)


def _look(watch: Watch) -> Batch | None:
    try:
        calls, complete = changed_calls(watch)
        if complete and not calls:
            return None
        rows = [
            Row(
                call.sid,
                call.account_id,
                render_to_string("web/_listed.html", {"call": call, "ordinary": ORDINARY_CAUSES}),
            )
            for call in calls
        ]
        return Batch(tuple(rows), complete)
    finally:
        close_old_connections()


_feeds: WeakKeyDictionary[asyncio.AbstractEventLoop, Feed] = WeakKeyDictionary()


def current() -> Feed:
    """The feed of the running loop."""
    return _feeds.setdefault(asyncio.get_running_loop(), Feed())
