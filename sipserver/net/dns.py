"""NAPTR, SRV and address records over the event loop, remembered for as long as they may be.

A name without records and a name server that does not answer look alike to the caller: RFC 3263
goes on to the next kind of record in both cases. They differ in how soon we ask again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import dns.asyncresolver
import dns.exception
import dns.nameserver
import dns.resolver
from dns.rdtypes.IN.A import A
from dns.rdtypes.IN.AAAA import AAAA
from dns.rdtypes.IN.NAPTR import NAPTR
from dns.rdtypes.IN.SRV import SRV

K = TypeVar("K")
V = TypeVar("V")

MIN_SECONDS = 5.0
MAX_SECONDS = 3600.0
NEGATIVE_SECONDS = 10.0
FAILURE_SECONDS = 5.0

_TRY_SECONDS = 1.0
_LIFETIME_SECONDS = 2.0
_CACHE_SIZE = 2000


class Naptr(NamedTuple):
    """RFC 3403 4.1; texts in lower case, ``replacement`` without the root dot."""

    order: int
    preference: int
    flags: str
    service: str
    replacement: str


class Srv(NamedTuple):
    """RFC 2782; ``target`` without the root dot, so that ``.`` (not available) is empty."""

    priority: int
    weight: int
    port: int
    target: str


class Remembered(Generic[K, V]):
    """Values of look-ups for as long as each says. Bounded; the oldest goes first.

    Callers that ask for the same key at once share one look-up, which outlives their timeouts.
    """

    def __init__(self, size: int = _CACHE_SIZE) -> None:
        self._size = size
        self._values: dict[K, tuple[float, V]] = {}
        self._running: dict[K, asyncio.Task[V]] = {}

    async def get(self, key: K, look_up: Callable[[], Coroutine[Any, Any, tuple[V, float]]]) -> V:
        """The value known, or what ``look_up`` returns as (value, seconds to keep it)."""
        loop = asyncio.get_running_loop()
        known = self._values.get(key)
        if known is not None and known[0] > loop.time():
            return known[1]
        task = self._running.get(key)
        if task is None:
            task = self._running[key] = loop.create_task(self._fill(key, look_up))
        return await asyncio.shield(task)

    async def _fill(self, key: K, look_up: Callable[[], Coroutine[Any, Any, tuple[V, float]]]) -> V:
        try:
            value, seconds = await look_up()
        finally:
            del self._running[key]
        self._values.pop(key, None)
        if len(self._values) >= self._size:
            del self._values[next(iter(self._values))]
        self._values[key] = (asyncio.get_running_loop().time() + seconds, value)
        return value


class DnsClient:
    """``servers`` are (IP address, port); none: those of the system (/etc/resolv.conf)."""

    def __init__(self, servers: Sequence[tuple[str, int]] = ()) -> None:
        self._servers = tuple(servers)
        self._resolver: dns.asyncresolver.Resolver | None = None
        self._known: Remembered[tuple[str, str], tuple[Any, ...]] = Remembered()

    async def naptr(self, name: str) -> tuple[Naptr, ...]:
        """In no particular order; empty when there are none or nobody answers."""
        return tuple(
            Naptr(
                record.order,
                record.preference,
                record.flags.decode("ascii", "replace").lower(),
                record.service.decode("ascii", "replace").lower(),
                _text(record.replacement),
            )
            for record in await self._ask(name, "NAPTR")
            if isinstance(record, NAPTR)
        )

    async def srv(self, name: str) -> tuple[Srv, ...]:
        """As :meth:`naptr`."""
        return tuple(
            Srv(record.priority, record.weight, record.port, _text(record.target))
            for record in await self._ask(name, "SRV")
            if isinstance(record, SRV)
        )

    async def addresses(self, name: str) -> tuple[str, ...]:
        """A, then AAAA; empty when there are none or nobody answers."""
        found = await asyncio.gather(self._ask(name, "A"), self._ask(name, "AAAA"))
        return tuple(
            record.address
            for records in found
            for record in records
            if isinstance(record, A | AAAA)
        )

    async def _ask(self, name: str, kind: str) -> tuple[Any, ...]:
        return await self._known.get((name.lower(), kind), lambda: self._look_up(name, kind))

    async def _look_up(self, name: str, kind: str) -> tuple[tuple[Any, ...], float]:
        try:
            if self._resolver is None:
                self._resolver = self._configured()
            answer = await self._resolver.resolve(
                f"{name.rstrip('.')}.",
                kind,
                search=False,
                raise_on_no_answer=False,
                lifetime=_LIFETIME_SECONDS,
            )
        except (dns.resolver.NoNameservers, dns.exception.Timeout, OSError):
            self._resolver = None  # the system's servers may have changed
            return (), FAILURE_SECONDS
        except dns.exception.DNSException:  # no such name, or no name at all
            return (), NEGATIVE_SECONDS
        if answer.rrset is None:
            return (), NEGATIVE_SECONDS
        seconds = float(answer.chaining_result.minimum_ttl)
        return tuple(answer.rrset), min(max(seconds, MIN_SECONDS), MAX_SECONDS)

    def _configured(self) -> dns.asyncresolver.Resolver:
        """Raises DNSException when the system names no servers."""
        resolver = dns.asyncresolver.Resolver(configure=not self._servers)
        resolver.timeout = _TRY_SECONDS
        if self._servers:
            resolver.nameservers = [
                dns.nameserver.Do53Nameserver(address, port) for address, port in self._servers
            ]
        return resolver


def _text(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).removesuffix(".")
