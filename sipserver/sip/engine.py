"""The SIP engine: one object per node that owns all transactions, dialogs and calls. Sans-IO.

Bytes, commands and *now* (seconds of a monotonic clock) go in; ``take_outgoing`` and
``take_events`` give what came of it. Not thread-safe, does nothing by itself: call
``handle_deadline`` at ``next_deadline``.

``usage`` is the handle of a call. Commands raise ``UsageEnded`` when the call is over, except
those that end it (``reject``, ``drop``, ``cancel``, ``bye``), which then do nothing; and
``LocalProtocolError`` when they would break the protocol.
"""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

from sipserver.sip import build, routing
from sipserver.sip.body import SDP
from sipserver.sip.core import Core, EngineConfig, HeaderList, Ids
from sipserver.sip.errors import RemoteProtocolError
from sipserver.sip.events import Flow, IncomingRequest, Outgoing, RequestRefused, SipEvent
from sipserver.sip.in_dialog import InDialog
from sipserver.sip.message import Request, Response, parse_datagram, validate_request
from sipserver.sip.screening import Refusal, screen
from sipserver.sip.transactions.client_invite import ClientInvite
from sipserver.sip.transactions.layer import Key, ServerTransaction, merge_key, server_key
from sipserver.sip.transactions.server_invite import ServerInvite
from sipserver.sip.transactions.server_other import ServerOther
from sipserver.sip.uac import ClientSide
from sipserver.sip.uas import ServerSide

__all__ = ["EngineConfig", "Ids", "SipEngine"]


_EXPLANATIONS = {
    415: "The INVITE carries a body that is not SDP",
    420: "The INVITE requires extensions that are not supported here",
    481: "No such call is known here",
    482: "The same INVITE came by another way",
    483: "Max-Forwards reached 0: a routing loop",
}


class SipEngine:
    """See the module. ``draining`` and ``overloaded`` make OPTIONS answer 503, so that a dispatcher
    takes the node out; calls are not touched by them."""

    def __init__(self, config: EngineConfig, ids: Ids) -> None:
        self.draining = False
        self.overloaded = False
        self._core = Core(config, ids)
        self._server = ServerSide(self._core)
        self._client = ClientSide(self._core)
        self._in_dialog = InDialog(self._core, self._server, self._client)

    # ---- input and output ------------------------------------------------------------------

    def receive(self, data: bytes, flow: Flow, now: float) -> None:
        """Take one datagram, or one message cut out of a stream. Never raises for its content."""
        try:
            message = parse_datagram(data)
            if isinstance(message, Request):
                try:
                    self._request(message, flow, data, now)
                except RemoteProtocolError as error:
                    raise _answerable(error, message) from error
            else:
                self._response(message, flow, data, now)
        except RemoteProtocolError as error:
            self.refuse_malformed(error, flow)

    def refuse_malformed(self, error: RemoteProtocolError, flow: Flow) -> None:
        """Answer what could not be cut out of a stream, as far as ``error`` tells whom. Without a
        transaction: it is not worth one, and an answer keeps the peer from repeating itself."""
        if error.request is not None:
            routing.stamp_via(error.request, flow)
            refusal = Refusal(error.status_hint, error.message)
            self._respond_statelessly(error.request, refusal, flow)

    def flow_lost(self, flow: Flow, now: float) -> None:
        """A connection has ended: requests of ours waiting on it fail with 503. Calls live on;
        what they have to say next goes to the target given beside the dead flow."""
        self._core.layer.flow_lost(flow, now)

    def target_failed(self, target: tuple[str, str, int], now: float) -> None:
        """An ``Outgoing`` without flow could not be sent (name, connection): its request fails with
        503 now instead of timing out."""
        self._core.layer.target_failed(target, now)

    def next_deadline(self) -> float | None:
        """Return when to call :meth:`handle_deadline`, None if nothing is pending."""
        return self._core.deadlines.next()

    def handle_deadline(self, now: float) -> None:
        """Fire all that is due."""
        self._core.deadlines.run(now)

    def take_outgoing(self) -> list[Outgoing]:
        """Return what is to be sent, in order, and forget it."""
        output = self._core.output
        messages, output.messages = output.messages, []
        return messages

    def take_events(self) -> list[SipEvent]:
        """Return what has happened, in order, and forget it."""
        output = self._core.output
        events, output.events = output.events, []
        return events

    @property
    def sizes(self) -> dict[str, int]:
        """How much is kept, for metrics: usages, dialogs, transactions, deadlines."""
        core = self._core
        return {
            "usages": len(core.usages),
            "dialogs": len(core.dialogs),
            "transactions": len(core.layer),
            "deadlines": len(core.deadlines),
        }

    # ---- incoming calls --------------------------------------------------------------------

    def ring(
        self,
        usage: int,
        now: float,
        *,
        headers: HeaderList = (),
        status: int = 180,
        body: bytes = b"",
    ) -> None:
        """Send a provisional response; it is repeated every minute until the final one."""
        self._server.ring(self._core.usage(usage), status, body, now, headers)

    def answer(self, usage: int, body: bytes, now: float, *, headers: HeaderList = ()) -> None:
        """Send 200 with SDP (an answer, or our offer if the INVITE had none); it is repeated until
        ``Acknowledged``, or ``Ended`` with ``ack-timeout`` after 64*T1."""
        self._server.answer(self._core.usage(usage), body, now, headers)

    def reject(
        self,
        usage: int,
        status: int,
        reason: str | None,
        now: float,
        *,
        headers: HeaderList = (),
    ) -> None:
        """Send a final 3xx-6xx; ``reason`` None is the registered phrase. No event follows."""
        if usage in self._core.usages:
            self._server.reject(self._core.usage(usage), status, reason, now, headers)

    def drop(self, usage: int, now: float) -> None:
        """Give no final response at all, to a caller who shall not learn that anybody is here."""
        if usage in self._core.usages:
            self._server.drop(self._core.usage(usage), now)

    # ---- outgoing calls --------------------------------------------------------------------

    def invite(
        self,
        target_uri: str,
        from_: str,
        to: str,
        body: bytes,
        now: float,
        *,
        destination: tuple[str, str, int] | None = None,
        flow: Flow | None = None,
        headers: HeaderList = (),
        route: Sequence[str] = (),
        call_id: str | None = None,
    ) -> int:
        """Call ``target_uri``. ``from_`` and ``to`` are header values without tags.

        The INVITE goes over ``flow``, else to ``destination``, else where the first ``route`` or
        the target URI says. An empty ``body`` asks the callee for the offer. Returns the usage.
        """
        request, flow, target = self._client.outside_request(
            "INVITE",
            target_uri,
            from_,
            to,
            destination=destination,
            flow=flow,
            headers=headers,
            route=route,
            call_id=call_id,
            number=1,
            body=body,
            content_type=SDP,
            contact=True,
        )
        return self._client.invite(request, flow, target, now).number

    def acknowledge(self, usage: int, now: float, body: bytes = b"") -> None:
        """Send the ACK after ``OutgoingAnswered``, or after the 2xx to a re-INVITE without offer;
        ``body`` is our answer when the 2xx carried the offer."""
        self._client.acknowledge(self._core.usage(usage), body)

    def cancel(self, usage: int, now: float) -> None:
        """Give up an outgoing call: CANCEL when a provisional response allows it; BYE if the answer
        is here already. ``OutgoingFailed`` or ``Ended`` follows."""
        record = self._core.usages.get(usage)
        if record is not None and not self._client.cancel(record, now):
            self._in_dialog.bye(record, now, ())

    def retry_invite(self, usage: int, headers: HeaderList, now: float) -> None:
        """Send a refused INVITE again with ``headers`` (credentials) added or replaced."""
        self._client.retry(self._core.usage(usage), headers, now)

    # ---- calls that are up -----------------------------------------------------------------

    def bye(self, usage: int, now: float, *, headers: HeaderList = ()) -> None:
        """Hang up; ``Ended`` follows. Before the ACK of our 2xx the BYE waits for it."""
        record = self._core.usages.get(usage)
        if record is not None:
            self._in_dialog.bye(record, now, headers)

    def answer_offer(
        self, usage: int, body: bytes, now: float, *, headers: HeaderList = ()
    ) -> None:
        """Accept the ``SessionOffer``."""
        self._in_dialog.answer_offer(self._core.usage(usage), body, now, headers)

    def refuse_offer(self, usage: int, status: int, now: float, headers: HeaderList = ()) -> None:
        """Refuse the ``SessionOffer``; the session stays as it was."""
        self._in_dialog.refuse_offer(self._core.usage(usage), status, now, headers)

    def reinvite(self, usage: int, body: bytes, now: float) -> int:
        """Offer a changed session; returns the token of its ``RequestFinal``. The ACK is sent by
        itself, except when ``body`` is empty: then the 2xx holds an offer to ``acknowledge``."""
        return self._client.reinvite(self._core.usage(usage), body, now)

    def request(
        self,
        usage: int,
        method: str,
        now: float,
        headers: HeaderList = (),
        body: bytes = b"",
        content_type: str | None = None,
    ) -> int:
        """Send a request in the dialog (INFO, REFER, …); returns the token of its
        ``RequestFinal``."""
        record = self._core.usage(usage)
        return self._in_dialog.request(record, method, now, headers, body, content_type)

    # ---- requests outside calls ------------------------------------------------------------

    def request_outside(
        self,
        method: str,
        target_uri: str,
        from_: str,
        to: str,
        now: float,
        *,
        destination: tuple[str, str, int] | None = None,
        flow: Flow | None = None,
        headers: HeaderList = (),
        route: Sequence[str] = (),
        call_id: str | None = None,
        number: int = 1,
        body: bytes = b"",
        content_type: str | None = None,
        contact: bool = True,
    ) -> int:
        """Send OPTIONS, REGISTER or the like; returns the token of its ``RequestFinal``.

        ``number`` is the CSeq: a REGISTER that refreshes keeps ``call_id`` and counts on.
        """
        core = self._core
        request, flow, target = self._client.outside_request(
            method,
            target_uri,
            from_,
            to,
            destination=destination,
            flow=flow,
            headers=headers,
            route=route,
            call_id=call_id,
            number=number,
            body=body,
            content_type=content_type,
            contact=contact,
        )
        token = core.next_number()

        def on_final(status: int, response: Response | None, _now: float) -> None:
            core.final(token, status, response)

        core.send_request(request, flow, target, on_final, now)
        return token

    def respond(
        self,
        transaction: int,
        status: int,
        now: float,
        *,
        reason: str | None = None,
        headers: HeaderList = (),
        body: bytes = b"",
        content_type: str | None = None,
    ) -> None:
        """Answer an ``InDialogRequest`` or ``IncomingRequest``. Does nothing when it has expired
        (64*T1) or has its final response."""
        pending = self._core.layer.numbered(transaction)
        if pending is None:
            return
        self._core.respond(
            pending,
            status,
            now,
            reason=reason,
            to_tag=self._core.ids.tag(),
            headers=headers,
            body=body,
            content_type=content_type,
        )
        if status >= 200:
            self._core.layer.unnumber(pending)

    # ---- dispatch --------------------------------------------------------------------------

    def _request(self, request: Request, flow: Flow, data: bytes, now: float) -> None:
        method = request.method
        if method == "ACK":
            self._server.acknowledge(request, flow, data, now)
            return
        core = self._core
        key = server_key(request, method)
        known = core.layer.server(key)
        if known is not None:
            known.repeated(now)
            return
        routing.stamp_via(request, flow)  # first, because it empties the cache of parsed headers
        validate_request(request)
        if method == "CANCEL":
            invite = core.layer.server(server_key(request, "INVITE"))
            if isinstance(invite, ServerInvite):
                self._server.cancel(request, key, invite, flow, data, now)
            else:
                self._respond_statelessly(request, Refusal(481), flow)
            return
        tag = request.to.tag
        dialog_id = (request.call_id, tag or "", request.from_.tag or "")
        usage = core.dialogs.get(dialog_id) if tag is not None else None
        hangs_up = usage is not None and method == "BYE"  # that makes room
        if len(core.layer) >= core.config.max_transactions and not hangs_up:
            retry_after = (("Retry-After", str(core.config.retry_after)),)
            self._respond_statelessly(request, Refusal(503, headers=retry_after), flow)
        elif usage is not None:
            self._in_dialog.receive(usage, request, key, flow, data, now)
        else:
            self._outside(request, key, flow, data, now)

    def _outside(self, request: Request, key: Key, flow: Flow, data: bytes, now: float) -> None:
        core = self._core
        refusal = screen(request, core.config, in_dialog=False)
        identity = merge_key(request)
        if request.to.tag is not None:
            refusal = Refusal(481)
        elif core.layer.is_merged(identity):
            refusal = Refusal(482)
        if request.method == "INVITE":
            invite = self._server.start(request, key, flow, identity)
            if refusal is None:
                self._server.invite(invite, flow, data, now)
            else:
                self._refuse(invite, self._explained(refusal, flow), invite.to_tag, now)
                self._tell_refused(request, refusal, flow)
            return
        hop = routing.response_hop(request, flow)
        transaction = ServerOther(core.layer, request, *hop, now)
        core.layer.add_server(transaction, key, identity)
        if refusal is None and request.method == "OPTIONS":
            refusal = self._options()
        if refusal is None:
            number = core.layer.number(transaction)
            core.output.events.append(IncomingRequest(number, request, flow))
        else:
            self._refuse(transaction, refusal, core.ids.tag(), now)

    def _refuse(
        self, transaction: ServerTransaction, refusal: Refusal, to_tag: str, now: float
    ) -> None:
        self._core.respond(
            transaction,
            refusal.status,
            now,
            reason=refusal.reason,
            to_tag=to_tag,
            headers=refusal.headers,
        )

    def _options(self) -> Refusal:
        if self.draining or self.overloaded:
            retry_after = ("Retry-After", str(self._core.config.retry_after))
            return Refusal(503, "Draining" if self.draining else "Overloaded", (retry_after,))
        return Refusal(200, headers=self._core.capabilities)

    def _explained(self, refusal: Refusal, flow: Flow) -> Refusal:
        """A refused call says why, beyond the reason phrase that many peers do not show."""
        text = _EXPLANATIONS.get(refusal.status) or refusal.reason
        text = text or build.reason_phrase(refusal.status)
        host = self._core.config.sent_by(flow)[0]
        agent = f"[{host}]" if ":" in host else host
        warning = ("Warning", build.warning_value(399, agent, text))
        return refusal._replace(headers=(*refusal.headers, warning))

    def _tell_refused(self, request: Request, refusal: Refusal, flow: Flow) -> None:
        reason = refusal.reason or build.reason_phrase(refusal.status)
        self._core.output.events.append(RequestRefused(request, flow, refusal.status, reason))

    def _respond_statelessly(self, request: Request, refusal: Refusal, flow: Flow) -> None:
        told = self._explained(refusal, flow) if request.method == "INVITE" else refusal
        # RFC 3261 8.2.7: every copy of the request has to get the same tag.
        identity = f"{request.headers.get('Call-ID')}{request.via}"
        response = build.response_to(
            request,
            refusal.status,
            refusal.reason,
            to_tag=f"{crc32(identity.encode('utf-8', 'surrogateescape')):08x}",
            headers=(("Server", self._core.config.user_agent), *told.headers),
        )
        self._core.output.send(response.to_bytes(), *routing.response_hop(request, flow))
        if request.method == "INVITE":
            self._tell_refused(request, refusal, flow)

    def _response(self, response: Response, flow: Flow, data: bytes, now: float) -> None:
        core = self._core
        transaction = core.layer.client(response)
        if transaction is None or len(response.vias) > 1:
            return  # stray, late, or not for us (RFC 3261 8.1.3.3, 18.1.2)
        if isinstance(transaction, ClientInvite):
            # Read for their errors: a response whose ACK could not be made is as good as lost.
            _ = response.to, response.contacts, response.record_routes
        if data != transaction.seen:
            transaction.seen = data
            if transaction.usage:
                core.trace_in(transaction.usage, data, flow)
        transaction.receive(response, flow, now)


def _answerable(error: RemoteProtocolError, request: Request) -> RemoteProtocolError:
    """Give an error that a request met on its way the request to answer: validation knows whether
    that can be done. An ACK is never answered."""
    if error.request is None and request.method != "ACK":
        try:
            validate_request(request)
        except RemoteProtocolError as invalid:
            return invalid
        error.request = request
    return error
