"""SIP over TCP: framing, limits and connections by id. TLS will wrap the same protocol."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from sipserver.sip.errors import RemoteProtocolError
from sipserver.sip.events import Flow
from sipserver.sip.framing import PONG, KeepAlive, StreamFramer

MAX_CONNECTIONS = 4000
MAX_CONNECTIONS_PER_ADDRESS = 200
MAX_WRITE_BACKLOG = 1024 * 1024
IDLE_SECONDS = 3600.0
FIRST_MESSAGE_SECONDS = 30.0


class TcpConnection(asyncio.Protocol):
    """One stream. Reports messages and its end; a peer that cannot be framed is cut off."""

    def __init__(self, hub: TcpHub, connection: int, *, ours: bool) -> None:
        self._hub = hub
        self._id = connection
        self.ours = ours  # we opened it
        self._framer = StreamFramer()
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self.flow: Flow | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        local = transport.get_extra_info("sockname")
        remote = transport.get_extra_info("peername")
        if remote is None:  # gone before we looked
            self._transport.abort()
            return
        self.flow = Flow("tcp", (local[0], local[1]), (remote[0], remote[1]), self._id)
        if not self._hub.admit(self):
            self._transport.abort()
            return
        self._idle_after(FIRST_MESSAGE_SECONDS)

    def data_received(self, data: bytes) -> None:
        flow, transport = self.flow, self._transport
        if flow is None or transport is None:
            return
        pings = 0
        try:
            items = self._framer.feed(data)
            for item in items:
                if isinstance(item, KeepAlive):
                    pings += 1
                else:
                    self._hub.on_message(item, flow)
            if self._framer.failed:
                self._framer.feed(b"")
        except RemoteProtocolError as error:
            self._hub.on_malformed(error, flow)
            self._hub.on_batch_end()
            transport.close()  # after what is still to be written
            return
        if pings:
            self.send(PONG * pings)
        if items:  # the beginning of a message alone keeps nothing open
            self._idle_after(IDLE_SECONDS)
        self._hub.on_batch_end()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._hub.forget(self)

    def send(self, data: bytes) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if transport.get_write_buffer_size() > MAX_WRITE_BACKLOG:
            transport.abort()  # a peer that does not read
            return
        transport.write(data)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _idle_after(self, seconds: float) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = asyncio.get_running_loop().call_later(seconds, self.abort)


class TcpHub:
    """All TCP connections of the node, incoming and outgoing."""

    def __init__(
        self,
        *,
        on_message: Callable[[bytes, Flow], None],
        on_malformed: Callable[[RemoteProtocolError, Flow], None],
        on_batch_end: Callable[[], None],
        on_lost: Callable[[Flow], None],
    ) -> None:
        self.on_message = on_message
        self.on_malformed = on_malformed
        self.on_batch_end = on_batch_end
        self._on_lost = on_lost
        self._connections: dict[int, TcpConnection] = {}
        self._per_address: dict[str, int] = {}
        self._next_id = 1
        self._servers: list[asyncio.Server] = []

    async def listen(self, host: str, port: int) -> tuple[str, int]:
        """Returns the bound address. Raises OSError."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(self._factory, host, port, backlog=1024)
        self._servers.append(server)
        name = server.sockets[0].getsockname()
        return name[0], name[1]

    async def connect(self, host: str, port: int, timeout: float) -> Flow:
        """Raises OSError or TimeoutError."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(timeout):
            _, protocol = await loop.create_connection(lambda: self._factory(ours=True), host, port)
        if protocol.flow is None or protocol.flow.connection not in self._connections:
            raise ConnectionError("connection refused by our own limits")
        return protocol.flow

    def find(self, remote: tuple[str, int]) -> Flow | None:
        """A live connection to that address, for reuse. Only one that we opened: whoever comes
        from that port need not be the one who listens there (RFC 5923 section 9)."""
        for connection in self._connections.values():
            if connection.ours and connection.flow is not None and connection.flow.remote == remote:
                return connection.flow
        return None

    def send(self, data: bytes, flow: Flow) -> bool:
        connection = self._connections.get(flow.connection)
        if connection is None:
            return False
        connection.send(data)
        return True

    def close(self) -> None:
        for server in self._servers:
            server.close()
        for connection in list(self._connections.values()):
            connection.abort()

    def _factory(self, *, ours: bool = False) -> TcpConnection:
        connection = TcpConnection(self, self._next_id, ours=ours)
        self._next_id += 1
        return connection

    def admit(self, connection: TcpConnection) -> bool:
        flow = connection.flow
        if flow is None or len(self._connections) >= MAX_CONNECTIONS:
            return False
        count = self._per_address.get(flow.remote[0], 0)
        if count >= MAX_CONNECTIONS_PER_ADDRESS:
            return False
        self._per_address[flow.remote[0]] = count + 1
        self._connections[flow.connection] = connection
        return True

    def forget(self, connection: TcpConnection) -> None:
        flow = connection.flow
        if flow is None or self._connections.pop(flow.connection, None) is None:
            return
        left = self._per_address[flow.remote[0]] - 1
        if left:
            self._per_address[flow.remote[0]] = left
        else:
            del self._per_address[flow.remote[0]]
        self._on_lost(flow)
