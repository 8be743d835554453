"""SIP over UDP: one bound socket, read in batches straight from the loop's readiness call.

asyncio's datagram protocol costs about four times as much per packet (architecture, choice 3).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from sipserver.sip.events import Flow

_BATCH = 64
_MAX_DATAGRAM = 65_535
_BUFFER = 4 * 1024 * 1024

Receive = Callable[[bytes, Flow], None]


class UdpListener:
    """``on_datagram(data, flow)`` per datagram, ``on_batch_end()`` once per readiness call."""

    transport = "udp"

    def __init__(
        self,
        host: str,
        port: int,
        *,
        on_datagram: Receive,
        on_batch_end: Callable[[], None],
    ) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            if family == socket.AF_INET6:
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            self._socket.setblocking(False)
            self._socket.bind((host, port))
        except OSError:
            self._socket.close()
            raise
        name = self._socket.getsockname()
        self.family = family
        self.local: tuple[str, int] = (name[0], name[1])
        self.send_failures = 0
        self._on_datagram = on_datagram
        self._on_batch_end = on_batch_end

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.add_reader(self._socket.fileno(), self._readable)

    def close(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.remove_reader(self._socket.fileno())
        self._socket.close()

    def _readable(self) -> None:
        for _ in range(_BATCH):
            try:
                data, remote = self._socket.recvfrom(_MAX_DATAGRAM)
            except BlockingIOError:
                break
            except OSError:
                # An ICMP error of an earlier send; it says nothing about this socket.
                continue
            self._on_datagram(data, Flow("udp", self.local, (remote[0], remote[1])))
        self._on_batch_end()

    def send(self, data: bytes, remote: tuple[str, int]) -> None:
        """Best effort: SIP repeats what matters, so a full socket buffer only counts."""
        try:
            self._socket.sendto(data, remote)
        except OSError:
            self.send_failures += 1
