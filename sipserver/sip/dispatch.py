"""Every message that arrives: to which transaction, dialog or refusal it goes (RFC 3261 8.2)."""

from __future__ import annotations

from zlib import crc32

from sipserver.sip import build, routing
from sipserver.sip.core import Core
from sipserver.sip.errors import RemoteProtocolError
from sipserver.sip.events import Flow, IncomingRequest, RequestRefused
from sipserver.sip.in_dialog import InDialog
from sipserver.sip.message import Request, Response, parse_datagram, validate_request
from sipserver.sip.screening import Refusal, screen
from sipserver.sip.transactions.client_invite import ClientInvite
from sipserver.sip.transactions.layer import Key, ServerTransaction, merge_key, server_key
from sipserver.sip.transactions.server_invite import ServerInvite
from sipserver.sip.transactions.server_other import ServerOther
from sipserver.sip.uas import ServerSide

_EXPLANATIONS = {
    415: "The INVITE carries a body that is not SDP",
    420: "The INVITE requires extensions that are not supported here",
    422: "The session timer is shorter than is allowed here",
    481: "No such call is known here",
    482: "The same INVITE came by another way",
    483: "Max-Forwards reached 0: a routing loop",
}


class Dispatcher:
    """``draining`` and ``overloaded`` make OPTIONS answer 503."""

    __slots__ = ("_core", "_in_dialog", "_server", "draining", "overloaded")

    def __init__(self, core: Core, server: ServerSide, in_dialog: InDialog) -> None:
        self.draining = False
        self.overloaded = False
        self._core = core
        self._server = server
        self._in_dialog = in_dialog

    def receive(self, data: bytes, flow: Flow, now: float) -> None:
        """Take one datagram, or one message cut out of a stream."""
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
        """Answer a malformed request as far as it can be answered."""
        if error.request is not None:
            routing.stamp_via(error.request, flow)
            refusal = Refusal(error.status_hint, error.message)
            self._respond_statelessly(error.request, refusal, flow)

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
