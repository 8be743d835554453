"""SipEndpoint: the thin shell between sockets and the sans-IO engine, with one timer.

Every entry (a batch of datagrams, a stream read, the timer, a command from the call layer) ends in
:meth:`flush`: send what the engine wants sent, hand on its events, arm the timer anew.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Callable, Sequence

from sipserver.net.resolver import Resolver, literal
from sipserver.net.tcp import TcpHub
from sipserver.net.udp import UdpListener
from sipserver.sip.engine import SipEngine
from sipserver.sip.events import Flow, Outgoing, SipEvent

log = logging.getLogger(__name__)

CONNECT_SECONDS = 5.0
_PROBE_CACHE_LIMIT = 4096
_WILDCARDS = ("", "0.0.0.0", "::")  # noqa: S104 - compared, not bound
_ANYWHERE = "192.0.2.1"  # documentation address: only asks for the default route


class AddressBook:
    """Which of our addresses a peer should use: the external one if it is configured and of the
    peer's IP version, else the real local one."""

    def __init__(self, external: str | None) -> None:
        self._external = external
        self._probed: dict[str, str] = {}

    def host_for(self, flow: Flow) -> str:
        """Also for a flow that does not exist yet (local address empty, remote perhaps a name)."""
        local, remote = flow.local[0], literal(flow.remote[0].partition("%")[0])
        if remote is None:
            return self._external or self._probe(_ANYWHERE)
        external = self._external
        if external and (":" in external) == (":" in remote) and not _is_loopback(remote):
            return external
        if local not in _WILDCARDS:
            return local
        return self._probe(remote)

    def _probe(self, remote: str) -> str:
        """The kernel's choice of source address; connecting a UDP socket sends nothing."""
        known = self._probed.get(remote)
        if known is not None:
            return known
        family = socket.AF_INET6 if ":" in remote else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((remote, 9))
                address = str(probe.getsockname()[0])
            except OSError:
                address = "127.0.0.1" if family == socket.AF_INET else "::1"
        if len(self._probed) >= _PROBE_CACHE_LIMIT:
            self._probed.clear()
        self._probed[remote] = address
        return address


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address).is_loopback


class SipEndpoint:
    """Sockets of one node. ``on_events`` gets the engine's events in order, after sending."""

    def __init__(
        self,
        engine: SipEngine,
        on_events: Callable[[Sequence[SipEvent]], None],
        on_connection_lost: Callable[[int], None] = lambda connection: None,
    ) -> None:
        self._engine = engine
        self._on_events = on_events
        self._on_connection_lost = on_connection_lost
        self._loop = asyncio.get_running_loop()
        self._resolver = Resolver(self._loop)
        self._udp: list[UdpListener] = []
        self._udp_by_local: dict[tuple[str, int], UdpListener] = {}
        self._tcp = TcpHub(
            on_message=self._receive,
            on_malformed=engine.refuse_malformed,
            on_batch_end=self.flush,
            on_lost=self._flow_lost,
        )
        self._timer: asyncio.TimerHandle | None = None
        self._armed_for: float | None = None
        self._sending: set[asyncio.Task[None]] = set()
        self._flushing = False
        self._closed = False
        self.listening: list[tuple[str, str, int]] = []

    async def listen(self, transport: str, host: str, port: int) -> tuple[str, str, int]:
        """Bind; returns (transport, host, port) as bound. Raises OSError, ValueError."""
        if transport == "udp":
            listener = UdpListener(host, port, on_datagram=self._receive, on_batch_end=self.flush)
            listener.start(self._loop)
            self._udp.append(listener)
            self._udp_by_local[listener.local] = listener
            bound = ("udp", *listener.local)
        elif transport == "tcp":
            bound = ("tcp", *await self._tcp.listen(host, port))
        else:
            raise ValueError(f"transport {transport!r} is not supported")
        self.listening.append(bound)
        return bound

    def close(self) -> None:
        """Sends what is still queued, then closes all sockets."""
        self.flush()
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for task in self._sending:
            task.cancel()
        for listener in self._udp:
            listener.close(self._loop)
        self._tcp.close()

    # --- in ---------------------------------------------------------------------------------

    def _receive(self, data: bytes, flow: Flow) -> None:
        self._engine.receive(data, flow, self._loop.time())

    def _flow_lost(self, flow: Flow) -> None:
        if not self._closed:
            self._engine.flow_lost(flow, self._loop.time())
            self._on_connection_lost(flow.connection)
            self.flush()

    def _timer_fired(self) -> None:
        self._armed_for = None
        self._engine.handle_deadline(self._loop.time())
        self.flush()

    # --- out --------------------------------------------------------------------------------

    def flush(self) -> None:
        """Send, tell, re-arm. Safe to call from within an event handler (it is not nested)."""
        if self._flushing or self._closed:
            return
        self._flushing = True
        try:
            while True:
                for outgoing in self._engine.take_outgoing():
                    self._send(outgoing)
                events = self._engine.take_events()
                if not events:
                    break
                self._on_events(events)
        finally:
            self._flushing = False
        self._arm()

    def _arm(self) -> None:
        deadline = self._engine.next_deadline()
        if deadline == self._armed_for:
            return
        if deadline is not None and self._armed_for is not None and self._armed_for < deadline:
            return  # it fires early, finds nothing due and re-arms: cheaper than moving a timer
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._armed_for = deadline
        if deadline is not None:
            self._timer = self._loop.call_at(deadline, self._timer_fired)

    def _send(self, outgoing: Outgoing) -> None:
        flow = outgoing.flow
        if flow is not None:
            if flow.transport == "udp":
                listener = self._udp_by_local.get(flow.local)
                if listener is not None:
                    listener.send(outgoing.data, flow.remote)
                    return
            elif self._tcp.send(outgoing.data, flow):
                return
        if outgoing.target is None:
            return
        transport, host, port = outgoing.target
        address = literal(host)
        if transport == "udp" and address is not None:
            self._send_udp(outgoing.data, address, port)
            return
        task = self._loop.create_task(self._send_to_target(outgoing.data, transport, host, port))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    def _send_udp(self, data: bytes, address: str, port: int) -> bool:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        for listener in self._udp:
            if listener.family == family:
                listener.send(data, (address, port))
                return True
        return False

    async def flow_to(self, transport: str, host: str, port: int) -> Flow:
        """A flow to a peer nobody has heard from yet; TCP connects. Raises OSError."""
        failure: OSError = OSError(f"no address of ours can reach {host}")
        for address in await self._resolver.addresses(host):
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            if transport == "udp":
                for listener in self._udp:
                    if listener.family == family:
                        return Flow("udp", listener.local, (address, port))
                continue
            try:
                return await self._tcp.connect(address, port, CONNECT_SECONDS)
            except OSError as error:
                failure = error
        raise failure

    async def _send_to_target(self, data: bytes, transport: str, host: str, port: int) -> None:
        """First address that takes it. A failure is left to the transaction's timer."""
        try:
            addresses = await self._resolver.addresses(host)
            for address in addresses:
                if transport == "udp":
                    if self._send_udp(data, address, port):
                        return
                    continue
                flow = self._tcp.find((address, port))
                try:
                    flow = flow or await self._tcp.connect(address, port, CONNECT_SECONDS)
                except OSError:
                    continue
                self._tcp.send(data, flow)
                return
        except OSError as error:
            log.warning("no address for %s: %s", host, error)
        else:
            log.warning("%s %s:%d cannot be reached", transport, host, port)
        self._engine.target_failed((transport, host, port), self._loop.time())
        self.flush()
