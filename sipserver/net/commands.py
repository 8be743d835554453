"""SipCommands: what the call layer may say to the engine, each command sent on at once.

Implements ``calls.ports.SipPort`` structurally (the layers forbid importing it here). A command to
a usage that is already over is a race, not an error: the engine's LocalProtocolError is dropped
and counted; the event that explains it is on its way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from sipserver.net.endpoint import AddressBook, SipEndpoint
from sipserver.net.locate import Destination, Locator
from sipserver.sip.engine import SipEngine
from sipserver.sip.errors import LocalProtocolError
from sipserver.sip.events import Flow
from sipserver.sip.uri import SipUri

Headers = Sequence[tuple[str, str]]


class SipCommands:
    def __init__(
        self,
        engine: SipEngine,
        endpoint: SipEndpoint,
        addresses: AddressBook,
        locator: Locator | None = None,
    ) -> None:
        self._engine = engine
        self._endpoint = endpoint
        self._addresses = addresses
        self._locator = locator or Locator()
        self._time = asyncio.get_running_loop().time
        self.raced = 0

    def ring(self, usage: int, *, headers: Headers = ()) -> None:
        self._do(lambda now: self._engine.ring(usage, now, headers=headers))

    def answer(self, usage: int, body: bytes, *, headers: Headers = ()) -> None:
        self._do(lambda now: self._engine.answer(usage, body, now, headers=headers))

    def reject(self, usage: int, status: int, reason: str = "", *, headers: Headers = ()) -> None:
        self._do(
            lambda now: self._engine.reject(usage, status, reason or None, now, headers=headers)
        )

    def drop(self, usage: int) -> None:
        self._do(lambda now: self._engine.drop(usage, now))

    def bye(self, usage: int, *, headers: Headers = ()) -> None:
        self._do(lambda now: self._engine.bye(usage, now, headers=headers))

    def answer_offer(self, usage: int, body: bytes) -> None:
        self._do(lambda now: self._engine.answer_offer(usage, body, now))

    def refuse_offer(self, usage: int, status: int, *, headers: Headers = ()) -> None:
        self._do(lambda now: self._engine.refuse_offer(usage, status, now, headers=headers))

    def respond(self, transaction: int, status: int, *, headers: Headers = ()) -> None:
        self._do(lambda now: self._engine.respond(transaction, status, now, headers=headers))

    def local_host(self, flow: Flow) -> str:
        return self._addresses.host_for(flow)

    async def resolve(self, uri: SipUri, *, secure: bool = False) -> list[Destination]:
        """Where to send a request for ``uri``, best first (RFC 3263): what this node listens on
        decides which transports and IP versions count. Raises Unlocatable, or DestinationRefused
        of it when the outbound network policy allows no address."""
        listening = self._endpoint.listening
        return await self._locator.locate(
            uri.host,
            uri.port,
            uri.transport,
            secure=secure or uri.scheme.lower() == "sips",
            reachable={(transport, 6 if ":" in host else 4) for transport, host, _ in listening},
        )

    def _do(self, command: Callable[[float], object]) -> None:
        try:
            command(self._time())
        except LocalProtocolError:
            self.raced += 1
        self._endpoint.flush()
