"""Egress guard: which addresses this server may connect to on a customer's behalf. No Django.

A name is resolved once, every address is judged, and the connection goes to a judged address
(pinned), so that a second look-up cannot lead elsewhere. Sources: webhooks.md section 1 (host
names), RFC 6890 and RFC 8190 (special-purpose addresses), RFC 4291, 3056, 6052, 8215, 4380, 5214
(IPv4 inside IPv6).
"""

from __future__ import annotations

import asyncio
import functools
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address


class EgressDenied(Exception):
    """No address of the host may be connected to; the message names the first and the rule."""


class HostUnknown(Exception):
    """The host name does not resolve."""


@dataclass(frozen=True, slots=True)
class EgressPolicy:
    """What is allowed beyond the public internet. ``deny`` beats ``allow`` beats the switches.

    Link-local, metadata, multicast, unspecified and reserved addresses are denied whatever is set.
    ``ports`` empty means every port.
    """

    allow_private: bool = True
    allow_loopback: bool = True
    allow: tuple[Network, ...] = ()
    deny: tuple[Network, ...] = ()
    ports: frozenset[int] = frozenset()

    @classmethod
    def build(
        cls,
        *,
        allow_private: bool = True,
        allow_loopback: bool = True,
        allow: Iterable[str] = (),
        deny: Iterable[str] = (),
        ports: Iterable[int] = (),
    ) -> EgressPolicy:
        """From CIDR texts; ValueError when one is none."""
        return cls(
            allow_private,
            allow_loopback,
            tuple(ip_network(text, strict=False) for text in allow),
            tuple(ip_network(text, strict=False) for text in deny),
            frozenset(ports),
        )


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


_NEVER = (
    ("unspecified", _networks("0.0.0.0/8", "::/128")),
    (
        "cloud metadata",
        _networks(
            "169.254.169.254/32", "168.63.129.16/32", "100.100.100.200/32", "192.0.0.192/32",
            "fd00:ec2::254/128", "fd20:ce::254/128",
        ),
    ),
    ("link-local", _networks("169.254.0.0/16", "fe80::/10")),
    ("multicast", _networks("224.0.0.0/4", "ff00::/8")),
    ("reserved", _networks("240.0.0.0/4")),
)  # fmt: skip
_LOOPBACK = _networks("127.0.0.0/8", "::1/128")
_PRIVATE = _networks(
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "192.0.0.0/24",
    "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
    "fc00::/7", "fec0::/10", "100::/64", "2001:db8::/32", "3fff::/20", "5f00::/16",
    "64:ff9b:1::/48",
)  # fmt: skip
_SIX_TO_FOUR = IPv6Network("2002::/16")
_TEREDO = IPv6Network("2001::/32")
_NAT64 = IPv6Network("64:ff9b::/96")
_NAT64_LOCAL = IPv6Network("64:ff9b:1::/48")
_COMPATIBLE = IPv6Network("::/96")


def embedded(address: IPv6Address) -> list[IPv4Address]:
    """IPv4 addresses that packets to ``address`` may end at after mapping or translation."""
    value = int(address)
    low = IPv4Address(value & 0xFFFFFFFF)
    if address.ipv4_mapped is not None:
        return [low]
    found = []
    if address in _SIX_TO_FOUR:
        found.append(IPv4Address((value >> 80) & 0xFFFFFFFF))
    if address in _NAT64 or address in _NAT64_LOCAL:
        found.append(low)
    if address in _COMPATIBLE and value > 1:
        found.append(low)
    if address in _TEREDO:
        found.append(IPv4Address((value >> 64) & 0xFFFFFFFF))
        found.append(IPv4Address(~value & 0xFFFFFFFF))
    if (value >> 32) & 0xFFFFFFFF in (0x00005EFE, 0x02005EFE):  # ISATAP
        found.append(low)
    return found


def _contains(networks: Iterable[Network], address: Address) -> bool:
    return any(address.version == net.version and address in net for net in networks)


def _judge(address: Address, policy: EgressPolicy) -> str:
    if _contains(policy.deny, address):
        return "denied by configuration"
    for rule, networks in _NEVER:
        if _contains(networks, address):
            return rule
    if _contains(policy.allow, address):
        return ""
    if _contains(_LOOPBACK, address):
        return "" if policy.allow_loopback else "loopback"
    if _contains(_PRIVATE, address):
        return "" if policy.allow_private else "private"
    return ""


@functools.lru_cache(maxsize=4096)
def denial(address: str, policy: EgressPolicy) -> str:
    """Why a literal ``address`` may not be connected to; empty when it may.

    An IPv6 address with an IPv4 address inside must pass in both readings.
    """
    parsed = ip_address(address.partition("%")[0])
    if isinstance(parsed, IPv6Address):
        for inner in embedded(parsed):
            if rule := _judge(inner, policy):
                return rule
        if parsed.ipv4_mapped is not None:
            return ""
    return _judge(parsed, policy)


def vet(host: str, port: int, addresses: Iterable[str], policy: EgressPolicy) -> list[str]:
    """Those of ``addresses`` that may be connected to, at least one; raises EgressDenied."""
    if policy.ports and port not in policy.ports:
        raise EgressDenied(f"port {port} is not allowed by the outbound network policy")
    allowed = []
    reason = ""
    for address in addresses:
        if rule := denial(address, policy):
            reason = reason or f"{host} is at {address}: {rule}"
        else:
            allowed.append(address)
    if not allowed:
        raise EgressDenied(reason or f"{host} has no address")
    return allowed


def is_address(host: str) -> bool:
    """Whether ``host`` is an address in its ordinary spelling (others are left to the resolver)."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


async def resolve(host: str, port: int) -> list[str]:
    """All addresses of ``host``, by the system's resolver; raises HostUnknown."""
    if is_address(host):
        return [host]
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise HostUnknown(f"{host}: {error}") from None
    return list(dict.fromkeys(str(item[4][0]) for item in found))


async def resolve_vetted(host: str, port: int, policy: EgressPolicy) -> list[str]:
    """Resolve and vet: addresses to connect to, in the resolver's order of preference.

    Raises HostUnknown or EgressDenied. Connect to these literals and never to the name.
    """
    return vet(host, port, await resolve(host, port), policy)


class Resolver:
    """:func:`resolve` with a short memory. One per event loop.

    Callers that ask for the same name at once share one look-up.
    """

    def __init__(self, seconds: float = 5.0, max_names: int = 1024) -> None:
        self._seconds = seconds
        self._max_names = max_names
        self._known: dict[tuple[str, int], tuple[float, asyncio.Task[list[str]]]] = {}

    async def resolve_vetted(self, host: str, port: int, policy: EgressPolicy) -> list[str]:
        """As the function of this name."""
        now = asyncio.get_running_loop().time()
        key = (host, port)
        entry = self._known.get(key)
        if entry is None or entry[0] <= now:
            if len(self._known) >= self._max_names:
                self._known.clear()
            entry = (now + self._seconds, asyncio.ensure_future(resolve(host, port)))
            entry[1].add_done_callback(_notice)
            self._known[key] = entry
        task = entry[1]
        try:
            # Shielded: one caller's timeout must not end the look-up of the others.
            addresses = task.result() if task.done() else await asyncio.shield(task)
        except HostUnknown:
            self._known.pop(key, None)
            raise
        return vet(host, port, addresses, policy)


def _notice(task: asyncio.Task[list[str]]) -> None:
    """Take note of the error of a look-up whose callers have all gone."""
    if not task.cancelled():
        task.exception()
