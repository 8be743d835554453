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
from sipserver.sip.events import Flow, RequestFinal
from sipserver.sip.message import Response
from sipserver.sip.uri import SipUri

Headers = Sequence[tuple[str, str]]
OnFinal = Callable[[int, Response | None], None]


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
        self._waiting: dict[int, OnFinal] = {}
        self.raced = 0

    def ring(
        self, usage: int, *, headers: Headers = (), status: int = 180, body: bytes = b""
    ) -> None:
        self._do(
            lambda now: self._engine.ring(usage, now, headers=headers, status=status, body=body)
        )

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

    # --- calls of ours ---

    def invite(
        self,
        target_uri: str,
        *,
        from_: str,
        to: str,
        body: bytes,
        call_id: str,
        flow: Flow | None,
        destination: tuple[str, str, int] | None,
        headers: Headers,
        on_usage: Callable[[int], None],
    ) -> int:
        """Raises LocalProtocolError when no INVITE can be made of this."""
        usage = self._engine.invite(
            target_uri,
            from_,
            to,
            body,
            self._time(),
            destination=destination,
            flow=flow,
            headers=headers,
            call_id=call_id,
        )
        on_usage(usage)  # before its events are handed out
        self._endpoint.flush()
        return usage

    def acknowledge(self, usage: int, body: bytes = b"") -> None:
        self._do(lambda now: self._engine.acknowledge(usage, now, body))

    def cancel(self, usage: int) -> None:
        self._do(lambda now: self._engine.cancel(usage, now))

    def retry_invite(self, usage: int, headers: Headers) -> None:
        self._do(lambda now: self._engine.retry_invite(usage, headers, now))

    # --- requests of ours within a call ---

    def reinvite(self, usage: int, body: bytes, *, on_final: OnFinal) -> None:
        self._ask(lambda now: self._engine.reinvite(usage, body, now), on_final)

    def refer(self, usage: int, refer_to: str, *, referred_by: str, on_final: OnFinal) -> int:
        return self._ask(
            lambda now: self._engine.refer(usage, refer_to, now, referred_by=referred_by), on_final
        )

    def notify(self, usage: int, body: bytes, *, state: str, event_id: int) -> None:
        self._do(lambda now: self._engine.notify(usage, body, now, state=state, event_id=event_id))

    def find_dialog(self, call_id: str, to_tag: str, from_tag: str) -> int | None:
        return self._engine.find_dialog(call_id, to_tag, from_tag)

    def settle(self, event: RequestFinal) -> None:
        """Hand the final response of a request of ours to whoever waits for it."""
        on_final = self._waiting.pop(event.token, None)
        if on_final is not None:
            on_final(event.status, event.response)

    def _ask(self, command: Callable[[float], int], on_final: OnFinal) -> int:
        try:
            token = command(self._time())
        except LocalProtocolError:
            self.raced += 1
            on_final(481, None)
            return 0
        self._waiting[token] = on_final  # before its events are handed out
        self._endpoint.flush()
        return token

    def local_host(self, flow: Flow) -> str:
        return self._addresses.host_for(flow)

    async def resolve(
        self, uri: SipUri, *, secure: bool = False, trusted: bool = False
    ) -> list[Destination]:
        """Where to send a request for ``uri``, best first (RFC 3263): what this node listens on
        decides which transports and IP versions count. Raises Unlocatable, or DestinationRefused
        of it when the outbound network policy allows no address."""
        listening = self._endpoint.listening
        return await self._locator.locate(
            uri.host,
            uri.port,
            uri.transport,
            secure=secure or uri.scheme.lower() == "sips",
            trusted=trusted,
            reachable={(transport, 6 if ":" in host else 4) for transport, host, _ in listening},
        )

    def _do(self, command: Callable[[float], object]) -> None:
        try:
            command(self._time())
        except LocalProtocolError:
            self.raced += 1
        self._endpoint.flush()
