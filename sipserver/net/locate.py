"""Where a SIP URI is to be sent: RFC 3263, with the outbound network policy applied.

NAPTR and SRV are asked at once, so that a silent name server costs its time only once.
"""

from __future__ import annotations

import asyncio
import functools
import random
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

from sipserver.net.dns import DnsClient, Naptr, Srv
from sipserver.net.resolver import Resolver, literal
from twimlrunner.webhooks.egress import EgressPolicy, denial

LOCATE_SECONDS = 5.0
MAX_HOSTS = 8
MAX_DESTINATIONS = 16
# Records of one name that are looked at: whoever runs the zone chooses how many there are.
_MAX_SERVICES = 4
_MAX_RECORDS = 32

# In order of preference when DNS has none (RFC 3263 4.1: UDP for sip).
_TRANSPORTS = ("udp", "tcp", "tls")
_DEFAULT_PORTS = {"udp": 5060, "tcp": 5060, "tls": 5061}
_SRV_PREFIXES = {"udp": "_sip._udp", "tcp": "_sip._tcp", "tls": "_sips._tcp"}
_NAPTR_SERVICES = {"sip+d2u": "udp", "sip+d2t": "tcp", "sips+d2t": "tls"}

Reachable = Collection[tuple[str, int]]
"""(transport, IP version) pairs that we can send from."""


class Destination(NamedTuple):
    """``address`` is an IP literal without brackets."""

    transport: str
    address: str
    port: int


class Unlocatable(OSError):
    """There is nothing to send to; the message says why (13254)."""


class DestinationRefused(Unlocatable):
    """There is, but the outbound network policy allows none of its addresses (13254)."""


class _Host(NamedTuple):
    transport: str
    name: str
    port: int


def address_policy(address: str, *, allow_private: bool, allow_loopback: bool) -> bool:
    """Tell whether we may send to an IP literal: the rules of the egress guard. Link-local,
    metadata, multicast, unspecified and reserved addresses never."""
    return not denial(address, _policy(allow_private, allow_loopback))


@functools.lru_cache(maxsize=4)
def _policy(allow_private: bool, allow_loopback: bool) -> EgressPolicy:
    return EgressPolicy(allow_private, allow_loopback)


class Locator:
    """Targets to destinations, best first. One per event loop; made while it runs.

    ``dns_servers`` are (IP address, port), none means the system's. ``draw`` returns a random
    number from 0 up to 1 and decides between SRV records of the same priority.
    """

    def __init__(
        self,
        dns_servers: Sequence[tuple[str, int]] = (),
        *,
        allow_private: bool = True,
        allow_loopback: bool = True,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._dns = DnsClient(dns_servers)
        loop = asyncio.get_running_loop()
        self._resolver = Resolver(loop, self._dns if dns_servers else None)
        self._allow_private = allow_private
        self._allow_loopback = allow_loopback
        self._draw = draw

    async def locate(
        self,
        host: str,
        port: int | None,
        transport: str | None,
        *,
        secure: bool = False,
        trusted: bool = False,
        reachable: Reachable,
    ) -> list[Destination]:
        """Where to send a request for ``host`` (name or literal), at most 16 destinations.

        ``port`` and ``transport`` are the URI's, None when it has none; ``secure`` asks for TLS;
        ``trusted`` lifts the network policy.
        Takes 5 s at most. Raises Unlocatable, or DestinationRefused of it.
        """
        ours = [each for each in _TRANSPORTS if any(each == other for other, _ in reachable)]
        wanted = "tls" if secure else transport
        if wanted is not None:
            if wanted not in ours:
                raise Unlocatable(f"{host}: this server has no transport {wanted}")
            ours = [wanted]
        if not ours:
            raise Unlocatable("This server has no SIP transport")
        try:
            async with asyncio.timeout(LOCATE_SECONDS):
                found = await self._find(host, port, ours, ask_naptr=wanted is None)
        except TimeoutError:
            raise Unlocatable(f"{host} was not resolved in {LOCATE_SECONDS:g} s") from None
        return self._vetted(host, found, reachable, trusted=trusted)

    def _vetted(
        self,
        host: str,
        found: Iterable[Destination],
        reachable: Reachable,
        *,
        trusted: bool,
    ) -> list[Destination]:
        usable = [each for each in found if (each.transport, _version(each.address)) in reachable]
        if not usable:
            raise Unlocatable(f"{host} has no address of an IP version that this server speaks")
        allowed = [each for each in usable if trusted or self._allows(each.address)]
        if not allowed:
            address = usable[0].address
            raise DestinationRefused(f"{host} is at {address}, which the network policy forbids")
        return list(dict.fromkeys(allowed))[:MAX_DESTINATIONS]

    def _allows(self, address: str) -> bool:
        return address_policy(
            address, allow_private=self._allow_private, allow_loopback=self._allow_loopback
        )

    async def _find(
        self, host: str, port: int | None, ours: Sequence[str], *, ask_naptr: bool
    ) -> list[Destination]:
        default = _Host(ours[0], host, port or _DEFAULT_PORTS[ours[0]])
        address = literal(host)
        if address is not None:
            return [Destination(default.transport, address, default.port)]
        if port is not None:
            return await self._addresses([default])
        hosts = await self._hosts(host, ours, ask_naptr=ask_naptr)
        return await self._addresses(hosts or [default])

    async def _hosts(self, host: str, ours: Sequence[str], *, ask_naptr: bool) -> list[_Host]:
        """By NAPTR and SRV; empty when there are no records. Raises Unlocatable when they say that
        the service is not offered (RFC 2782: the target is the root)."""
        naptr, by_transport = await asyncio.gather(
            self._dns.naptr(host) if ask_naptr else _nothing(),
            self._srv([f"{_SRV_PREFIXES[transport]}.{host}" for transport in ours]),
        )
        services = chosen_services(naptr, ours)
        records = await self._srv([name for _, name in services])
        offered = [(service[0], srv) for service, srv in zip(services, records, strict=True) if srv]
        if not offered:
            plain = zip(ours, by_transport, strict=True)
            offered = [(transport, srv) for transport, srv in plain if srv][:1]
        hosts = [
            _Host(transport, record.target, record.port)
            for transport, srv in offered
            for record in in_order(srv, self._draw)
            if record.target
        ]
        if offered and not hosts:
            raise Unlocatable(f"{host} offers no SIP service")
        return hosts[:MAX_HOSTS]

    async def _srv(self, names: Sequence[str]) -> list[tuple[Srv, ...]]:
        return await asyncio.gather(*map(self._dns.srv, names))

    async def _addresses(self, hosts: Sequence[_Host]) -> list[Destination]:
        found = await asyncio.gather(
            *(self._resolver.addresses(each.name) for each in hosts), return_exceptions=True
        )
        destinations: list[Destination] = []
        failure: OSError | None = None
        for host, addresses in zip(hosts, found, strict=True):
            if isinstance(addresses, OSError):
                failure = addresses
            elif isinstance(addresses, BaseException):
                raise addresses
            else:
                destinations += [
                    Destination(host.transport, address, host.port) for address in addresses
                ]
        if not destinations and failure is not None:
            raise Unlocatable(f"{hosts[0].name}: {failure.strerror or failure}") from failure
        return destinations


async def _nothing() -> tuple[Naptr, ...]:
    return ()


def _version(address: str) -> int:
    return 6 if ":" in address else 4


def chosen_services(records: Iterable[Naptr], ours: Collection[str]) -> list[tuple[str, str]]:
    """(transport, name of its SRV records) of those NAPTR records that we can use and that have
    the lowest order among them, by preference (RFC 3263 4.1, RFC 3403 4.1)."""
    usable = sorted(
        (record.order, record.preference, transport, record.replacement)
        for record in records
        if record.flags == "s"
        and record.replacement
        and (transport := _NAPTR_SERVICES.get(record.service, "")) in ours
    )
    best = [(transport, name) for order, _, transport, name in usable if order == usable[0][0]]
    return best[:_MAX_SERVICES]


def in_order(records: Iterable[Srv], draw: Callable[[], float]) -> list[Srv]:
    """By priority, and within one priority drawn by weight (RFC 2782)."""
    # Sorted by weight, those of weight 0 stand first as the draw needs it.
    waiting = sorted(records, key=lambda record: (record.priority, record.weight))[:_MAX_RECORDS]
    ordered: list[Srv] = []
    while waiting:
        group = [record for record in waiting if record.priority == waiting[0].priority]
        point = int(draw() * (sum(record.weight for record in group) + 1))
        for record in group:
            point -= record.weight
            if point <= 0:
                break
        ordered.append(record)
        waiting.remove(record)
    return ordered
