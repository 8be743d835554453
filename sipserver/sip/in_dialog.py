"""Requests inside the dialog of a call, theirs and ours (RFC 3261 12.2, 14, 15; RFC 3311)."""

from __future__ import annotations

from sipserver.sip import routing, subscriptions
from sipserver.sip.body import SDP, session_description
from sipserver.sip.core import Core, HeaderList
from sipserver.sip.dialog import Dialog
from sipserver.sip.errors import LocalProtocolError
from sipserver.sip.events import Flow, InDialogRequest, SessionOffer, SessionRefreshed
from sipserver.sip.invite_usage import InviteUsage, Phase
from sipserver.sip.message import Request, Response
from sipserver.sip.screening import Refusal, screen
from sipserver.sip.session_timer import SessionTimer
from sipserver.sip.transactions.client_other import OnFinal
from sipserver.sip.transactions.layer import Key, ServerTransaction
from sipserver.sip.transactions.server_invite import ServerInvite
from sipserver.sip.transactions.server_other import ServerOther
from sipserver.sip.uac import ClientSide
from sipserver.sip.uas import ServerSide


class InDialog:
    """What happens in dialogs once they exist."""

    __slots__ = ("_client", "_core", "_server")

    def __init__(self, core: Core, server: ServerSide, client: ClientSide) -> None:
        self._core = core
        self._server = server
        self._client = client
        core.session_timers.refresh = self._refresh

    # ---- theirs ----------------------------------------------------------------------------

    def receive(
        self, usage: InviteUsage, request: Request, key: Key, flow: Flow, data: bytes, now: float
    ) -> None:
        """Take a new request (no ACK, no CANCEL) that carries the tags of a dialog of ours."""
        core = self._core
        dialog = usage.dialogs[request.from_.tag or ""]
        refusal = screen(request, core.config, in_dialog=True)
        transaction: ServerTransaction
        if request.method == "INVITE":
            transaction = self._server.start(request, key, flow)
        else:
            hop = routing.response_hop(request, flow)
            transaction = ServerOther(core.layer, request, *hop, now)
            core.layer.add_server(transaction, key)
        transaction.usage = usage.number
        core.trace_in(usage.number, data, flow)
        if refusal is None:
            refusal = self._out_of_place(usage, dialog, request)
        if refusal is not None:
            self._refuse(transaction, refusal, now)
            return
        if dialog.direct:
            dialog.flow = flow  # a new connection, or a NAT binding that moved
        if isinstance(transaction, ServerInvite):
            core.respond(transaction, 100, now)
            self._offered(usage, request, transaction)
        else:
            self._dispatch(usage, dialog, request, transaction, now)

    def _out_of_place(self, usage: InviteUsage, dialog: Dialog, request: Request) -> Refusal | None:
        if not dialog.accepts(request.cseq.number):
            return Refusal(500, "CSeq out of order", self._retry_after())
        method = request.method
        if usage.phase is Phase.LEAVING and method not in ("BYE", "NOTIFY"):
            return Refusal(481)
        if usage.phase is Phase.ENDED and method != "NOTIFY":  # RFC 5057: only subscriptions live
            return Refusal(481)
        if method != "INVITE" and not (method == "UPDATE" and request.body):
            return None
        core = self._core
        if usage.client is not None and (usage.phase is Phase.EARLY or usage.ack_due):
            return Refusal(491)  # our own offer is open
        if usage.phase is Phase.EARLY or core.offer_pending(usage):
            return Refusal(500, "Another offer of yours is still open", self._retry_after())
        if core.exchange_pending(usage):
            return Refusal(491)
        return None

    def _refuse(self, transaction: ServerTransaction, refusal: Refusal | None, now: float) -> None:
        if refusal is not None:
            self._core.respond(
                transaction,
                refusal.status,
                now,
                reason=refusal.reason,
                headers=refusal.headers,
            )

    def _retry_after(self) -> tuple[tuple[str, str], ...]:
        # RFC 3261 14.2 wants 0 to 10 seconds that differ between the peers that have to wait.
        return (("Retry-After", str(self._core.next_number() % 11)),)

    def _dispatch(
        self,
        usage: InviteUsage,
        dialog: Dialog,
        request: Request,
        transaction: ServerOther,
        now: float,
    ) -> None:
        core = self._core
        method = request.method
        if method == "BYE":
            core.respond(transaction, 200, now)
            if usage.phase is Phase.EARLY:
                self._server.hung_up_early(usage, request, now)
            elif dialog is usage.dialog:
                core.end(usage, "bye", now=now, request=request)
        elif method == "OPTIONS":
            core.respond(transaction, 200, now, headers=core.capabilities)
        elif method == "UPDATE" and not session_description(request):
            dialog.refresh_target(request)
            self._accept_update(usage, dialog, transaction, b"", now, ())
        elif method == "UPDATE":
            self._offered(usage, request, transaction)
        elif method == "PRACK":
            self._acknowledged(usage, request, transaction, now)
        elif method == "NOTIFY":
            self._refuse(transaction, subscriptions.notified(core, usage, transaction, now), now)
        else:
            number = core.layer.number(transaction)
            core.output.events.append(InDialogRequest(usage.number, number, request))

    def _acknowledged(
        self, usage: InviteUsage, prack: Request, transaction: ServerOther, now: float
    ) -> None:
        """PRACK (RFC 3262 3, 5). It may carry a new offer once we have answered the INVITE's."""
        provisionals = usage.reliable
        if provisionals is None or not provisionals.acknowledged_by(prack):
            self._core.respond(transaction, 481, now)
            return
        if session_description(prack):
            self._offered(usage, prack, transaction)
        else:
            self._core.respond(transaction, 200, now)
        provisionals.proceed(now)

    def _accept_update(
        self,
        usage: InviteUsage,
        dialog: Dialog,
        transaction: ServerOther,
        body: bytes,
        now: float,
        headers: HeaderList,
    ) -> None:
        core = self._core
        contact = ("Contact", f"<{dialog.contact}>")
        timer = core.session_timers.accept(usage, transaction.request, now)
        core.respond(
            transaction,
            200,
            now,
            headers=(contact, *core.allow_headers, *timer, *headers),
            body=body,
            content_type=SDP if body else None,
        )
        usage.local_sdp = body or usage.local_sdp

    def _offered(
        self, usage: InviteUsage, request: Request, transaction: ServerTransaction
    ) -> None:
        usage.offer = transaction
        body = session_description(request) or b""
        self._core.output.events.append(SessionOffer(usage.number, request, body))

    def answer_offer(
        self, usage: InviteUsage, body: bytes, now: float, headers: HeaderList
    ) -> None:
        """Accept a re-INVITE or UPDATE; its Contact becomes the remote target."""
        transaction = self._pending_offer(usage)
        dialog = usage.confirmed_dialog
        if isinstance(transaction, ServerInvite):
            self._server.accept(usage, transaction, dialog, body, now, headers)
            usage.late_offer = not session_description(transaction.request)
        else:
            self._accept_update(usage, dialog, transaction, body, now, headers)
        dialog.refresh_target(transaction.request)
        usage.offer = None

    def refuse_offer(
        self, usage: InviteUsage, status: int, now: float, headers: HeaderList
    ) -> None:
        """Refuse a re-INVITE or UPDATE; the session stays as it was (14.2)."""
        if not 300 <= status <= 699:
            raise LocalProtocolError(f"{status} does not refuse")
        self._core.respond(self._pending_offer(usage), status, now, headers=headers)
        usage.offer = None

    def _pending_offer(self, usage: InviteUsage) -> ServerTransaction:
        transaction = usage.offer
        if transaction is None or not self._core.offer_pending(usage):
            raise LocalProtocolError("No offer of the peer waits for an answer")
        return transaction

    # ---- ours ------------------------------------------------------------------------------

    def request(
        self,
        usage: InviteUsage,
        method: str,
        now: float,
        headers: HeaderList,
        body: bytes,
        content_type: str | None,
    ) -> int:
        """Send a request in the dialog; its outcome comes as RequestFinal with the token."""
        core = self._core
        if method in ("INVITE", "ACK", "CANCEL", "BYE", "PRACK", "REFER"):
            raise LocalProtocolError(f"{method} is not sent this way")
        usage.require_up()
        token = core.next_number()

        def on_final(status: int, response: Response | None, at: float) -> None:
            core.final(token, status, response)
            core.end_if_gone(usage, status, response, at)

        if method == "UPDATE":
            self._update(usage, on_final, now, headers, body)
        else:
            core.send_in_dialog(
                usage, method, on_final, now, headers=headers, body=body, content_type=content_type
            )
        return token

    def _update(
        self,
        usage: InviteUsage,
        on_final: OnFinal,
        now: float,
        headers: HeaderList = (),
        body: bytes = b"",
    ) -> None:
        core = self._core
        timers = core.session_timers

        def negotiated(status: int, response: Response | None, at: float) -> None:
            if status < 300 and response is not None:
                usage.confirmed_dialog.refresh_target(response)
                timers.accepted(usage, update, response, at)
            on_final(status, response, at)

        update = core.send_in_dialog(
            usage,
            "UPDATE",
            negotiated,
            now,
            headers=(*core.allow_headers, *timers.refresh_headers(usage), *headers),
            body=body,
            content_type=SDP,
        )
        usage.local_sdp = body or usage.local_sdp

    def _refresh(self, usage: InviteUsage, timer: SessionTimer, now: float) -> None:
        """Refresh the session: by UPDATE, or by a re-INVITE that changes nothing (RFC 4028 7.4)."""
        core = self._core

        def on_final(status: int, response: Response | None, at: float) -> None:
            if status >= 300:
                core.session_timers.failed(usage, status, response, at)
                core.end_if_gone(usage, status, response, at)

        def on_reinvited(status: int, response: Response | None, at: float) -> None:
            body = session_description(response) if response is not None and status < 300 else b""
            if body:
                core.output.events.append(SessionRefreshed(usage.number, body))
            on_final(status, response, at)

        if usage.phase is not Phase.CONFIRMED or core.exchange_pending(usage):
            core.session_timers.failed(usage, 491, None, now)
        elif timer.can_update:
            self._update(usage, on_final, now)
        elif usage.local_sdp:
            self._client.reinvite(usage, usage.local_sdp, on_reinvited, now)

    def bye(self, usage: InviteUsage, now: float, headers: HeaderList) -> None:
        """Hang up. On the server side BYE waits for the ACK of our 2xx (15)."""
        held = usage.reliable is not None and usage.reliable.holds_answer
        if usage.phase is Phase.EARLY and not held:
            raise LocalProtocolError("An unanswered call is rejected or cancelled")
        if held or (usage.phase is Phase.ANSWERED and usage.server is not None):
            usage.bye_headers = list(headers)
            return
        if usage.phase not in (Phase.ANSWERED, Phase.CONFIRMED):
            return
        if usage.ack_due:
            self._client.acknowledge(usage, b"")
        self._core.say_bye(usage, now, headers)
