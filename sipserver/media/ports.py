"""Pairs of UDP ports, RTP on the even one and RTCP above it (RFC 3550 section 11)."""

from __future__ import annotations

import ctypes
import os
import random
import socket
from collections import deque
from dataclasses import dataclass

from sipserver.media.protocol import WorkerConfig

_FAMILIES = {"ip4": socket.AF_INET, "ip6": socket.AF_INET6}
_libc = ctypes.CDLL(None, use_errno=True)
_NOWHERE = ctypes.create_string_buffer(bytes(16), 16)  # sockaddr of AF_UNSPEC


class NoPort(Exception):
    """Every pair of the slice is in use, cooling down or taken by others."""


@dataclass(slots=True, eq=False)
class PortPair:
    family: str
    port: int
    rtp: socket.socket
    rtcp: socket.socket

    def close(self) -> None:
        self.rtp.close()
        self.rtcp.close()


def disconnect(sock: socket.socket) -> None:
    """Undo ``connect`` of a datagram socket, keeping its port: connect(2) to AF_UNSPEC, for which
    Python's sockets have no expression."""
    if _libc.connect(sock.fileno(), _NOWHERE, len(_NOWHERE)) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def drain(sock: socket.socket) -> None:
    """Throw away what waits in the socket, errors too."""
    waste = bytearray(1)
    for _ in range(4096):
        try:
            sock.recv_into(waste)
        except BlockingIOError:
            return
        except OSError:
            continue


class PortPool:
    """Binds pairs when they are first needed and keeps them bound for the worker's life.

    A returned pair rests for the cool-down, so that late packets of the old call do not reach the
    new one. The order is random: ports cannot be foretold (RFC 6056).
    """

    def __init__(self, config: WorkerConfig) -> None:
        self._config = config
        self._binds = {
            family: address
            for family, address in (("ip4", config.bind_ip4), ("ip6", config.bind_ip6))
            if address
        }
        even = range(config.port_min + config.port_min % 2, config.port_max, 2)
        self._fresh: dict[str, list[int]] = {}
        self._resting: dict[str, deque[tuple[float, PortPair]]] = {}
        for family in self._binds:
            self._fresh[family] = random.SystemRandom().sample(even, len(even))
            self._resting[family] = deque()

    def free(self, now: float) -> dict[str, int]:
        """Pairs that could be taken now, by family."""
        return {
            family: len(self._fresh[family]) + sum(ready <= now for ready, _ in resting)
            for family, resting in self._resting.items()
        }

    def take(self, family: str, now: float) -> PortPair:
        """A bound pair with empty buffers. Raises NoPort."""
        if family not in self._binds:
            raise NoPort(f"family {family} is not offered")
        resting = self._resting[family]
        if resting and resting[0][0] <= now:
            pair = resting.popleft()[1]
            drain(pair.rtp)
            drain(pair.rtcp)
            return pair
        fresh = self._fresh[family]
        taken_by_others = []
        try:
            while fresh:
                port = fresh.pop()
                try:
                    return self._bind(family, port)
                except OSError:
                    taken_by_others.append(port)
        finally:
            fresh[:0] = taken_by_others
        raise NoPort(f"no {family} port free")

    def give_back(self, pair: PortPair, now: float) -> None:
        disconnect(pair.rtp)
        self._resting[pair.family].append((now + self._config.port_cooldown_s, pair))

    def close(self) -> None:
        for resting in self._resting.values():
            while resting:
                resting.pop()[1].close()

    def _bind(self, family: str, port: int) -> PortPair:
        address = self._binds[family]
        rtp = self._socket(family)
        try:
            rtp.bind((address, port))
            rtcp = self._socket(family)
        except OSError:
            rtp.close()
            raise
        try:
            rtcp.bind((address, port + 1))
        except OSError:
            rtp.close()
            rtcp.close()
            raise
        return PortPair(family, port, rtp, rtcp)

    def _socket(self, family: str) -> socket.socket:
        sock = socket.socket(_FAMILIES[family], socket.SOCK_DGRAM)
        sock.setblocking(False)
        traffic_class = self._config.dscp << 2
        if family == "ip6":
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, traffic_class)
        else:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, traffic_class)
        return sock


def numeric(family: str, host: str) -> str:
    """The host address as the kernel would write it. Raises ValueError: no names here."""
    try:
        return socket.inet_ntop(_FAMILIES[family], socket.inet_pton(_FAMILIES[family], host))
    except OSError as error:
        raise ValueError(f"not an {family} address") from error
