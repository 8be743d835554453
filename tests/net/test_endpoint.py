"""Real sockets: two endpoints talk to each other over UDP and TCP, IPv4 and IPv6."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from sipserver.net import tcp
from sipserver.net.commands import SipCommands
from sipserver.net.endpoint import AddressBook, SipEndpoint
from sipserver.net.resolver import Resolver
from sipserver.sip.engine import EngineConfig, SipEngine
from sipserver.sip.events import (
    Acknowledged,
    Ended,
    Flow,
    IncomingInvite,
    OutgoingAnswered,
    OutgoingFailed,
    RequestFinal,
    SipEvent,
)
from tests.ports import free_port

pytestmark = pytest.mark.integration

SDP = b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n" \
      b"m=audio 4000 RTP/AVP 0\r\n"  # fmt: skip


class Ids:
    def __init__(self, name: str) -> None:
        self._next = map(f"{name}{{}}".format, itertools.count())

    def branch(self) -> str:
        return "z9hG4bK" + next(self._next)

    def tag(self) -> str:
        return next(self._next)

    def call_id(self) -> str:
        return next(self._next)


class Side:
    """One endpoint with its engine and the events it was told."""

    def __init__(self, name: str) -> None:
        self.addresses = AddressBook(None)
        self.engine = SipEngine(
            EngineConfig(contact_for=self._contact, sent_by=self._sent_by), Ids(name)
        )
        self.endpoint = SipEndpoint(self.engine, self._on_events)
        self.commands = SipCommands(self.engine, self.endpoint, self.addresses)
        self.events: list[SipEvent] = []

    def _sent_by(self, flow: Flow) -> tuple[str, int]:
        return self.addresses.host_for(flow), flow.local[1]

    def _contact(self, flow: Flow, user: str) -> str:
        host, port = self._sent_by(flow)
        shown = f"[{host}]" if ":" in host else host
        return f"sip:{shown}:{port};transport={flow.transport}"

    def _on_events(self, events: Sequence[SipEvent]) -> None:
        self.events.extend(events)

    async def got(self, kind: type[SipEvent]) -> SipEvent:
        async with asyncio.timeout(30):
            while True:
                for event in self.events:
                    if isinstance(event, kind):
                        return event
                await asyncio.sleep(0.002)

    def do(self, command: Callable[[float], int]) -> int:
        result = command(asyncio.get_running_loop().time())
        self.endpoint.flush()
        return result


@asynccontextmanager
async def sides(transport: str, host: str) -> AsyncIterator[tuple[Side, Side, Flow]]:
    caller, callee = Side("a"), Side("b")
    if transport == "udp":
        await caller.endpoint.listen("udp", host, 0)
    _, address, port = await callee.endpoint.listen(transport, host, 0)
    flow = await caller.endpoint.flow_to(transport, address, port)
    try:
        yield caller, callee, flow
    finally:
        caller.endpoint.close()
        callee.endpoint.close()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_whole_call(transport: str, host: str) -> None:
    async with sides(transport, host) as (caller, callee, flow):
        usage = caller.do(
            lambda now: caller.engine.invite(
                "sip:x@example.net",
                "<sip:y@example.net>",
                "<sip:x@example.net>",
                SDP,
                now,
                flow=flow,
            )
        )
        invite = await callee.got(IncomingInvite)
        assert isinstance(invite, IncomingInvite)
        assert invite.flow.transport == transport
        callee.commands.ring(invite.usage)
        callee.commands.answer(invite.usage, SDP)
        await caller.got(OutgoingAnswered)
        caller.do(lambda now: caller.engine.acknowledge(usage, now) or 0)
        await callee.got(Acknowledged)
        callee.commands.bye(invite.usage)
        ended = await caller.got(Ended)
        assert isinstance(ended, Ended)
        assert ended.cause == "bye"
        await callee.got(Ended)
        callee.commands.bye(invite.usage)  # a command to a call that is over is a race, no error
        callee.commands.ring(invite.usage)
        assert callee.commands.raced == 1


async def test_options_in_a_stream_cut_into_bytes_between_keep_alives() -> None:
    side = Side("a")
    _, host, port = await side.endpoint.listen("tcp", "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(host, port)
    request = (
        b"OPTIONS sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bK1\r\n"
        b"Max-Forwards: 70\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:b@c>\r\nCall-ID: 1\r\n"
        b"CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    )
    for byte in b"\r\n\r\n" + request:
        writer.write(bytes([byte]))
        await writer.drain()
    async with asyncio.timeout(30):
        assert await reader.readexactly(2) == b"\r\n"
        assert await reader.readline() == b"SIP/2.0 200 OK\r\n"
    writer.close()
    side.endpoint.close()


async def test_a_stream_that_is_no_sip_is_cut_off() -> None:
    side = Side("a")
    _, host, port = await side.endpoint.listen("tcp", "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"x" * 200_000)
    async with asyncio.timeout(30):
        try:
            assert await reader.read() == b""
        except ConnectionResetError:
            pass
    writer.close()
    side.endpoint.close()


async def test_a_message_that_cannot_be_framed_is_answered_then_cut_off() -> None:
    side = Side("a")
    _, host, port = await side.endpoint.listen("tcp", "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(
        b"OPTIONS sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bK1\r\n"
        b"Max-Forwards: 70\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:b@c>\r\nCall-ID: 1\r\n"
        b"CSeq: 1 OPTIONS\r\nContent-Length: many\r\n\r\n"
    )
    async with asyncio.timeout(30):
        answer = await reader.read()
    assert answer.startswith(b"SIP/2.0 400 ")
    writer.close()
    side.endpoint.close()


async def test_connections_of_one_address_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "MAX_CONNECTIONS_PER_ADDRESS", 2)
    side = Side("a")
    _, host, port = await side.endpoint.listen("tcp", "127.0.0.1", 0)
    streams = [await asyncio.open_connection(host, port) for _ in range(3)]
    async with asyncio.timeout(30):
        try:
            assert await streams[2][0].read() == b""
        except ConnectionResetError:
            pass
    for _, writer in streams:
        writer.close()
    side.endpoint.close()


class DeafTransport(asyncio.Transport):
    """A peer that sends and never reads."""

    def __init__(self) -> None:
        super().__init__({"sockname": ("127.0.0.1", 5060), "peername": ("192.0.2.1", 40000)})
        self.buffered = 0
        self.aborted = False

    def write(self, data: object) -> None:
        self.buffered += len(data)  # type: ignore[arg-type]

    def get_write_buffer_size(self) -> int:
        return self.buffered

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True


async def test_pings_of_a_peer_that_never_reads_do_not_pile_up_answers() -> None:
    hub = Side("a").endpoint._tcp
    connection = hub._factory()
    transport = DeafTransport()
    connection.connection_made(transport)
    for _ in range(100):
        connection.data_received(b"\r\n\r\n" * 16_384)
    assert transport.aborted
    assert transport.buffered < 2 * tcp.MAX_WRITE_BACKLOG
    connection.connection_lost(None)


async def test_a_peer_that_only_begins_a_message_is_cut_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tcp, "FIRST_MESSAGE_SECONDS", 0.1)
    side = Side("a")
    _, host, port = await side.endpoint.listen("tcp", "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"O")
    async with asyncio.timeout(30):
        try:
            assert await reader.read() == b""
        except ConnectionResetError:
            pass
    writer.close()
    side.endpoint.close()


async def test_a_connection_that_a_peer_opened_is_not_taken_for_its_listening_port() -> None:
    side, other = Side("a"), Side("b")
    _, host, port = await side.endpoint.listen("tcp", "127.0.0.1", 0)
    _, writer = await asyncio.open_connection(host, port)
    hub = side.endpoint._tcp
    async with asyncio.timeout(30):
        while not hub._connections:
            await asyncio.sleep(0.002)
    assert hub.find(writer.get_extra_info("sockname")) is None
    _, *remote = await other.endpoint.listen("tcp", "127.0.0.1", 0)
    flow = await side.endpoint.flow_to("tcp", *remote)
    assert hub.find((remote[0], remote[1])) == flow
    writer.close()
    side.endpoint.close()
    other.endpoint.close()


async def test_unreachable_target_fails_the_request_at_once() -> None:
    side = Side("a")
    await side.endpoint.listen("udp", "127.0.0.1", 0)
    port = free_port()  # where nobody listens
    side.do(
        lambda now: side.engine.request_outside(
            "OPTIONS", "sip:x@127.0.0.1", "<sip:a@b>", "<sip:x@127.0.0.1>", now,
            destination=("tcp", "127.0.0.1", port),
        )
    )  # fmt: skip
    final = await side.got(RequestFinal)
    assert isinstance(final, RequestFinal)
    assert final.status == 503
    side.endpoint.close()


async def test_lost_connection_fails_the_call_being_placed() -> None:
    async with sides("tcp", "127.0.0.1") as (caller, callee, flow):
        caller.do(
            lambda now: caller.engine.invite(
                "sip:x@example.net",
                "<sip:y@example.net>",
                "<sip:x@example.net>",
                SDP,
                now,
                flow=flow,
            )
        )
        await callee.got(IncomingInvite)
        callee.endpoint.close()
        failed = await caller.got(OutgoingFailed)
        assert isinstance(failed, OutgoingFailed)
        assert failed.status == 503


@pytest.mark.parametrize(
    ("external", "local", "remote", "host"),
    [
        ("203.0.113.9", "0.0.0.0", "198.51.100.1", "203.0.113.9"),
        ("203.0.113.9", "127.0.0.1", "127.0.0.1", "127.0.0.1"),
        (None, "192.0.2.1", "198.51.100.1", "192.0.2.1"),
        (None, "0.0.0.0", "127.0.0.1", "127.0.0.1"),
        (None, "::", "::1", "::1"),
        ("203.0.113.9", "", "name.example.net", "203.0.113.9"),
        ("203.0.113.9", "2001:db8::1", "2001:db8::2", "2001:db8::1"),
        ("2001:db8::9", "192.0.2.1", "198.51.100.1", "192.0.2.1"),
        ("2001:db8::9", "::", "2001:db8::2", "2001:db8::9"),
    ],
)
def test_the_address_a_peer_should_use(
    external: str | None, local: str, remote: str, host: str
) -> None:
    flow = Flow("udp", (local, 5060), (remote, 5060))
    assert AddressBook(external).host_for(flow) == host


async def test_names_that_cannot_be_looked_up_are_unreachable() -> None:
    """A Contact may hold any label; what the resolver's codec thinks of it is no fault of ours."""
    resolver = Resolver(asyncio.get_running_loop())
    for name in ("a" * 64 + ".example.net", "a..example.net"):
        with pytest.raises(OSError, match="name"):
            await resolver.addresses(name)
