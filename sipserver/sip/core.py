"""Configuration of the engine, and the state and helpers its parts share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol
from zlib import crc32

from sipserver.sip import build, reliable, routing, session_timer
from sipserver.sip.body import SDP
from sipserver.sip.dialog import Dialog, DialogId
from sipserver.sip.events import Ended, Flow, MessageTraced, RequestFinal
from sipserver.sip.invite_usage import InviteUsage, Phase, UsageEnded
from sipserver.sip.message import Request, Response
from sipserver.sip.timers import Deadlines, Timers
from sipserver.sip.transactions.client_other import ClientOther, OnFinal
from sipserver.sip.transactions.layer import Output, ServerTransaction, TransactionLayer

HeaderList = Sequence[tuple[str, str]]
_NO_HEADERS: Final[HeaderList] = ()


class Ids(Protocol):
    """Unguessable identifiers, handed in: randomness is not this package's."""

    def branch(self) -> str:
        """Return a branch, beginning with ``z9hG4bK`` (RFC 3261 8.1.1.7)."""

    def tag(self) -> str:
        """Return a From or To tag of at least 32 bits (19.3)."""

    def call_id(self) -> str:
        """Return a Call-ID."""


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """What the node decides for its engine.

    ``contact_for(flow, user)`` returns the Contact URI (no brackets) the peer behind ``flow`` can
    reach, ``sent_by(flow)`` the host and port for our Via. For a request to a peer no flow exists
    to, both get a flow whose local address is ``("", 0)``. ``out_of_dialog_methods`` are delivered
    as ``IncomingRequest``. Above ``max_transactions`` new requests are answered 503.

    ``session_expires`` and ``min_se`` are the seconds of RFC 4028, effective with ``timer`` among
    ``supported``. A subscription made by REFER is given up after ``subscription_limit`` seconds
    without a NOTIFY, or ``subscription_limit_after_call`` after the end of its call (None: 64*T1).
    ``tcp_for_large``: an INVITE over 1300 bytes goes by TCP instead of UDP (RFC 3261 18.1.1).
    """

    contact_for: Callable[[Flow, str], str]
    sent_by: Callable[[Flow], tuple[str, int]]
    timers: Timers = field(default_factory=Timers)
    user_agent: str = "sipdomains"
    allow: tuple[str, ...] = (
        "INVITE",
        "ACK",
        "CANCEL",
        "BYE",
        "OPTIONS",
        "UPDATE",
        "INFO",
        "REFER",
        "NOTIFY",
        "PRACK",
    )
    supported: tuple[str, ...] = (reliable.OPTION_TAG, session_timer.OPTION_TAG)
    out_of_dialog_methods: frozenset[str] = frozenset()
    max_transactions: int = 50_000
    retry_after: int = 5  # seconds, in our own 503
    session_expires: int = 1800
    min_se: int = 90
    subscription_limit: float = 180.0
    subscription_limit_after_call: float | None = None
    tcp_for_large: bool = True

    @property
    def allow_value(self) -> str:
        """The Allow header."""
        return ", ".join((*self.allow, *sorted(self.out_of_dialog_methods - set(self.allow))))

    @property
    def allow_outside_value(self) -> str:
        """The Allow header for a method that only makes sense in a dialog."""
        inside_out = ("INVITE", "ACK", "CANCEL", "OPTIONS")
        return ", ".join((*inside_out, *sorted(self.out_of_dialog_methods - set(inside_out))))


class Core:
    """Shared by the server side, the client side and the in-dialog part of one engine."""

    __slots__ = (
        "_number",
        "allow_headers",
        "capabilities",
        "config",
        "deadlines",
        "dialogs",
        "ids",
        "layer",
        "lingering",
        "output",
        "session_timers",
        "usages",
    )

    def __init__(self, config: EngineConfig, ids: Ids) -> None:
        self.config = config
        self.ids = ids
        self.output = Output()
        self.deadlines = Deadlines()
        self.layer = TransactionLayer(config.timers, self.deadlines, self.output)
        self.usages: dict[int, InviteUsage] = {}
        self.dialogs: dict[DialogId, InviteUsage] = {}
        self.lingering: dict[int, InviteUsage] = {}  # ended, but for subscriptions
        self.session_timers = session_timer.SessionTimers(self)
        self._number = 0
        allow = [("Allow", config.allow_value)]
        if config.supported:
            allow.append(("Supported", ", ".join(config.supported)))
        self.allow_headers: tuple[tuple[str, str], ...] = tuple(allow)
        self.capabilities = (*allow, ("Accept", SDP), ("Accept-Encoding", "identity"))

    def next_number(self) -> int:
        """Return a fresh handle for a usage or a request of ours."""
        self._number += 1
        return self._number

    def random_below(self, limit: int) -> int:
        """Return an unpredictable number: randomness comes with the identifiers."""
        return crc32(self.ids.tag().encode()) % limit

    def usage(self, number: int) -> InviteUsage:
        """Return a living usage. Raises UsageEnded."""
        usage = self.usages.get(number)
        if usage is None:
            raise UsageEnded(f"Usage {number} has ended")
        return usage

    # ---- answering -------------------------------------------------------------------------

    def respond(
        self,
        transaction: ServerTransaction,
        status: int,
        now: float,
        *,
        reason: str | None = None,
        to_tag: str | None = None,
        headers: HeaderList = _NO_HEADERS,
        body: bytes = b"",
        content_type: str | None = None,
    ) -> bytes:
        """Build a response, give it to its transaction and return its bytes."""
        data = build.response_to(
            transaction.request,
            status,
            reason,
            to_tag=to_tag,
            headers=(("Server", self.config.user_agent), *headers),
            body=body,
            content_type=content_type,
        ).to_bytes()
        transaction.respond(status, data, now)
        return data

    def offer_pending(self, usage: InviteUsage) -> bool:
        """Tell whether an offer of the peer waits for our answer (an UPDATE may have expired)."""
        offer = usage.offer
        return offer is not None and self.layer.server(offer.key) is offer

    def exchange_pending(self, usage: InviteUsage) -> bool:
        """Tell whether any INVITE or offer of either side is not finished: no time for another
        (RFC 3261 14.1, 14.2; RFC 6141 3)."""
        if usage.reinvite or usage.ack_due or usage.repeater is not None:
            return True
        return self.offer_pending(usage)

    # ---- asking ----------------------------------------------------------------------------

    def contact_uri(self, flow: Flow | None, target: routing.Target, user: str) -> str:
        """Return our Contact URI for the peer at the end of this way."""
        return self.config.contact_for(_known_flow(flow, target), user)

    def via(self, flow: Flow | None, target: routing.Target) -> str:
        """Return a fresh Via for a request that goes this way."""
        sent_by = self.config.sent_by(_known_flow(flow, target))
        return routing.via_for(target[0], sent_by, self.ids.branch())

    def send_request(
        self,
        request: Request,
        flow: Flow | None,
        target: routing.Target,
        on_final: OnFinal,
        now: float,
        *,
        usage: int = 0,
    ) -> None:
        """Start a non-INVITE client transaction."""
        self.layer.add_client(
            ClientOther(self.layer, request, flow, target, on_final, now, usage=usage)
        )

    def send_in_dialog(
        self,
        usage: InviteUsage,
        method: str,
        on_final: OnFinal,
        now: float,
        *,
        headers: HeaderList = _NO_HEADERS,
        body: bytes = b"",
        content_type: str | None = None,
        dialog: Dialog | None = None,
    ) -> Request:
        """Start a non-INVITE client transaction in the dialog of a usage, or in that early one of
        it; returns what was sent."""
        dialog = dialog or usage.confirmed_dialog
        flow, target = dialog.next_hop()
        request = dialog.request(
            method,
            self.via(flow, target),
            headers=(("User-Agent", self.config.user_agent), *headers),
            body=body,
            content_type=content_type,
        )
        self.send_request(request, flow, target, on_final, now, usage=usage.number)
        return request

    def final(self, token: int, status: int, response: Response | None) -> None:
        """Tell the outcome of a request of ours."""
        self.output.events.append(RequestFinal(token, status, response))

    # ---- usages ----------------------------------------------------------------------------

    def trace_in(self, usage: int, data: bytes, flow: Flow) -> None:
        """Trace a message that came for a usage."""
        self.output.events.append(MessageTraced(usage, False, data, flow))

    def say_bye(self, usage: InviteUsage, now: float, headers: HeaderList = _NO_HEADERS) -> None:
        """Send BYE; the answer (any, or none) ends the usage if nothing has before."""

        def left(_status: int, _response: Response | None, at: float) -> None:
            self.end(usage, "local", now=at)

        self.send_in_dialog(usage, "BYE", left, now, headers=headers)
        usage.phase = Phase.LEAVING

    def end_if_gone(
        self, usage: InviteUsage, status: int, response: Response | None, now: float
    ) -> None:
        """End the usage if the outcome of a request in its dialog says that the peer has lost it
        (RFC 3261 12.2.1.2, RFC 5057 5.1), or that there is no way to it."""
        if usage.phase is Phase.ENDED or usage.phase is Phase.LEAVING:
            return
        if status == 481:
            self.end(usage, "gone", now=now)
        elif status == 408:
            self.say_bye(usage, now)
            self.end(usage, "gone", now=now)
        elif status == 503 and response is None:
            self.end(usage, "flow-lost", now=now)

    def forget(self, usage: InviteUsage) -> None:
        """Drop a usage: its handle, its deadlines and, unless subscriptions need them, its dialogs.
        Transactions live on."""
        usage.phase = Phase.ENDED
        usage.stop(self.deadlines)
        self.usages.pop(usage.number, None)
        if usage.subscriptions:
            self.lingering[usage.number] = usage
        else:
            self.release(usage)

    def release(self, usage: InviteUsage) -> None:
        """Drop the dialogs of a usage that has ended."""
        self.lingering.pop(usage.number, None)
        for dialog in usage.dialogs.values():
            self.dialogs.pop(dialog.id, None)

    def end(
        self, usage: InviteUsage, cause: str, *, now: float, request: Request | None = None
    ) -> None:
        """End a usage that had a dialog and tell so, once."""
        if usage.phase is Phase.ENDED:
            return
        self.forget(usage)
        for subscription in usage.subscriptions:
            subscription.call_ended(now)
        if usage.client is not None:  # a re-INVITE that may never get its final response
            usage.client.limit_to(now + self.config.timers.limit)
        if usage.offer is not None:
            if self.offer_pending(usage):
                self.respond(usage.offer, 487, now)  # RFC 3261 15.1.2
            usage.offer = None
        self.output.events.append(Ended(usage.number, cause, request))


def _known_flow(flow: Flow | None, target: routing.Target) -> Flow:
    return flow or Flow(target[0], ("", 0), (target[1], target[2]))
