"""Messages to running processes: an inbox per process, over Redis or within one process.

Whoever publishes names an *address* (a node's boot id, a worker's id) or a *group* (``NODES``,
``WORKERS``: every process subscribed to it). Nothing is sent to ``CONSUMERS``: every Celery worker
is in it, so that pages can say who lives. Messages are JSON-ready dicts, usually made by
:func:`sipdomains.contracts.to_wire`; they arrive in order per publisher, at most once, and only
while the receiver lives. Which backend carries them is settled by :func:`connect`; no other module
knows. Source: architecture.md section 8, design decision 1.
"""

from __future__ import annotations

import functools
import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

log = logging.getLogger(__name__)

NODES = "nodes"
WORKERS = "workers"
CONSUMERS = "consumers"

Wire = dict[str, Any]
Deliver = Callable[[list[Wire]], None]
"""Receives messages on a thread of the bus or of the publisher: hand over, return at once."""

INBOX_SECONDS = 60  # a message nobody fetched is gone after this time
ALIVE_SECONDS = 15  # a subscriber not heard of for this long is left out by publish_all
REFRESH_SECONDS = 4.0
BACKOFF_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)


class BusUnavailable(Exception):
    """The broker behind the bus cannot be reached; nothing was published (or not for certain)."""


class Subscription(Protocol):
    def close(self) -> None:
        """No delivery starts after this returns. Safe to call twice."""


class Bus(Protocol):
    def publish(self, address: str, messages: Sequence[Wire]) -> None:
        """To one inbox. Thread-safe, blocks for one round trip. Raises BusUnavailable."""

    def publish_all(self, message: Wire, group: str = NODES) -> int:
        """To every living member of ``group``; returns how many. Raises BusUnavailable."""

    def members(self, group: str) -> dict[str, float]:
        """The living members of ``group``, and for how many seconds each has not been heard of.
        Blocks for two round trips. Raises BusUnavailable."""

    def subscribe(
        self,
        address: str,
        deliver: Deliver,
        *,
        group: str = NODES,
        on_gap: Callable[[], None] | None = None,
    ) -> Subscription:
        """Receive what is sent to ``address`` and ``group``. ``on_gap`` is called after a time in
        which messages to the group may have been missed (broker outage): what was learned from
        them should be forgotten."""


# --- within one process ----------------------------------------------------------------------


class InProcessBus:
    """Delivers on the publisher's thread. One instance serves the whole process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._members: dict[str, tuple[str, Deliver]] = {}

    def publish(self, address: str, messages: Sequence[Wire]) -> None:
        with self._lock:
            member = self._members.get(address)
        if member is None:
            log.info("bus: nobody listens at %s, %d messages dropped", address, len(messages))
        else:
            member[1](list(messages))

    def publish_all(self, message: Wire, group: str = NODES) -> int:
        with self._lock:
            members = [deliver for name, deliver in self._members.values() if name == group]
        for deliver in members:
            deliver([message])
        return len(members)

    def members(self, group: str) -> dict[str, float]:
        with self._lock:
            return {address: 0.0 for address, (name, _) in self._members.items() if name == group}

    def subscribe(
        self,
        address: str,
        deliver: Deliver,
        *,
        group: str = NODES,
        on_gap: Callable[[], None] | None = None,
    ) -> Subscription:
        del on_gap  # nothing is ever missed
        with self._lock:
            self._members[address] = (group, deliver)
        return _InProcessSubscription(self, address)

    def remove(self, address: str) -> None:
        with self._lock:
            self._members.pop(address, None)


class _InProcessSubscription:
    def __init__(self, bus: InProcessBus, address: str) -> None:
        self._bus = bus
        self._address = address

    def close(self) -> None:
        self._bus.remove(self._address)


# --- Redis -----------------------------------------------------------------------------------


def _inbox(address: str) -> str:
    return f"sipdomains:inbox:{address}"


def _group(group: str) -> str:
    return f"sipdomains:group:{group}"


def _alive(address: str) -> str:
    return f"sipdomains:alive:{address}"


def _client(url: str, read_timeout: float) -> redis.Redis:
    # One immediate retry heals a connection that the server closed while idle; more would block.
    return redis.Redis.from_url(
        url,
        socket_connect_timeout=1.0,
        socket_timeout=read_timeout,
        retry=Retry(NoBackoff(), 1),
        health_check_interval=0,
    )


class RedisBus:
    """An inbox is a list that expires; each element is the JSON array of one publish."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._redis = _client(url, 2.0)

    def publish(self, address: str, messages: Sequence[Wire]) -> None:
        self._push([address], json.dumps(list(messages), separators=(",", ":")))

    def publish_all(self, message: Wire, group: str = NODES) -> int:
        members = list(self.members(group))
        if members:
            self._push(members, json.dumps([message], separators=(",", ":")))
        return len(members)

    def members(self, group: str) -> dict[str, float]:
        try:
            names = [
                name.decode() for name in cast(set[bytes], self._redis.smembers(_group(group)))
            ]
            if not names:
                return {}
            with self._redis.pipeline(transaction=False) as pipe:
                for name in names:
                    pipe.pttl(_alive(name))
                left = dict(zip(names, cast(list[int], pipe.execute()), strict=True))
            gone = [name for name, remaining in left.items() if remaining < 0]  # -2: no such key
            if gone:
                self._redis.srem(_group(group), *gone)
        except redis.RedisError as error:
            raise BusUnavailable(str(error)) from error
        return {
            name: max(0.0, ALIVE_SECONDS - remaining / 1000)
            for name, remaining in left.items()
            if remaining >= 0
        }

    def _push(self, addresses: Iterable[str], payload: str) -> None:
        try:
            with self._redis.pipeline(transaction=False) as pipe:
                for address in addresses:
                    pipe.rpush(_inbox(address), payload)
                    pipe.expire(_inbox(address), INBOX_SECONDS)
                pipe.execute()
        except redis.RedisError as error:
            raise BusUnavailable(str(error)) from error

    def subscribe(
        self,
        address: str,
        deliver: Deliver,
        *,
        group: str = NODES,
        on_gap: Callable[[], None] | None = None,
    ) -> Subscription:
        return _RedisSubscription(self._url, address, group, deliver, on_gap)


class _RedisSubscription:
    """A thread that blocks on the inbox.

    A blocking pop on a thread costs less CPU per message than redis.asyncio on the node's loop,
    and keeps a stalled broker away from it.
    """

    def __init__(
        self,
        url: str,
        address: str,
        group: str,
        deliver: Deliver,
        on_gap: Callable[[], None] | None,
    ) -> None:
        self._address = address
        self._group = group
        self._deliver = deliver
        self._on_gap = on_gap
        self._redis = _client(url, REFRESH_SECONDS + 2.0)
        self._closed = threading.Event()
        self._refreshed = 0.0
        self._thread = threading.Thread(target=self._run, name=f"bus-{group}", daemon=True)
        try:
            self._announce()  # so that what is published from now on arrives
        except redis.RedisError as error:
            log.warning("bus: broker unreachable at start: %s", error)
        self._thread.start()

    def close(self) -> None:
        if self._closed.is_set():
            return
        self._closed.set()
        try:
            with self._redis.pipeline(transaction=False) as pipe:
                pipe.srem(_group(self._group), self._address)
                pipe.delete(_alive(self._address))
                pipe.rpush(_inbox(self._address), "[]")  # wakes the blocked thread
                pipe.expire(_inbox(self._address), 1)
                pipe.execute()
        except redis.RedisError as error:
            log.info("bus: leaving without a word, broker unreachable: %s", error)
        if threading.current_thread() is not self._thread:
            self._thread.join(REFRESH_SECONDS + 3.0)
        self._redis.close()

    def _announce(self) -> None:
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.sadd(_group(self._group), self._address)
            pipe.set(_alive(self._address), "1", ex=ALIVE_SECONDS)
            pipe.execute()
        now = time.monotonic()
        missed = self._refreshed and now - self._refreshed > ALIVE_SECONDS
        self._refreshed = now
        if missed:
            self._report_gap()

    def _report_gap(self) -> None:
        if self._on_gap is not None and not self._closed.is_set():
            self._on_gap()

    def _run(self) -> None:
        failures = 0 if self._refreshed else 1  # who could not say so at first has missed something
        while not self._closed.is_set():
            try:
                if failures or time.monotonic() - self._refreshed > REFRESH_SECONDS:
                    self._announce()
                    if failures:
                        failures = 0
                        log.warning("bus: broker reachable again")
                        self._report_gap()
                item = self._redis.blpop([_inbox(self._address)], timeout=REFRESH_SECONDS)
            except redis.RedisError as error:
                if self._closed.is_set():
                    return
                if not failures:
                    log.warning("bus: broker unreachable: %s", error)
                self._closed.wait(BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)])
                failures += 1
                continue
            if item is not None:
                self._hand_over(cast(Sequence[bytes], item)[1])

    def _hand_over(self, payload: bytes) -> None:
        try:
            messages = json.loads(payload)
        except ValueError:
            log.error("bus: unreadable element in the inbox of %s dropped", self._address)
            return
        if messages and not self._closed.is_set():
            self._deliver(messages)


# --- choice ----------------------------------------------------------------------------------


@functools.cache
def connect(url: str) -> Bus:
    """The process's bus for ``memory://`` or ``redis://`` (``rediss://``, ``unix://``) ``url``."""
    scheme = url.partition(":")[0]
    if scheme == "memory":
        return InProcessBus()
    if scheme in ("redis", "rediss", "unix"):
        return RedisBus(url)
    raise ValueError(f"no bus for {scheme}:// URLs: use memory:// or redis://")


def default_bus() -> Bus:
    """The bus of the active Django settings: ``BUS_URL``, else ``CELERY_BROKER_URL``."""
    from django.conf import settings

    return connect(getattr(settings, "BUS_URL", "") or settings.CELERY_BROKER_URL)
