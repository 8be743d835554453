"""Calls that come in, until they are up: INVITE, CANCEL, ACK (RFC 3261 9.2, 13.3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sipserver.sip import routing
from sipserver.sip.body import SDP, session_description
from sipserver.sip.core import Core, HeaderList
from sipserver.sip.dialog import Dialog
from sipserver.sip.errors import LocalProtocolError
from sipserver.sip.events import Acknowledged, Cancelled, Flow, IncomingInvite, OfferWithdrawn
from sipserver.sip.invite_usage import AnswerRepeater, InviteUsage, Phase
from sipserver.sip.message import Request
from sipserver.sip.reliable import OPTION_TAG, Provisional, ReliableProvisionals
from sipserver.sip.transactions.layer import Key, server_key
from sipserver.sip.transactions.server_invite import ServerInvite, State
from sipserver.sip.transactions.server_other import ServerOther
from sipserver.sip.uri import SipUri

# RFC 3261 13.3.1.1: a proxy may give up on an INVITE that shows no sign of life for three minutes.
_REFRESH_RINGING: Final = 60.0


class ServerSide:
    """The server side of INVITE usages."""

    __slots__ = ("_core",)

    def __init__(self, core: Core) -> None:
        self._core = core

    def start(
        self, request: Request, key: Key, flow: Flow, identity: Key | None = None
    ) -> ServerInvite:
        """Open the transaction of an INVITE; ``identity`` is for one outside dialogs."""
        core = self._core
        response_flow, target = routing.response_hop(request, flow)
        transaction = ServerInvite(core.layer, request, response_flow, target, core.ids.tag())
        core.layer.add_server(transaction, key, identity)
        return transaction

    def invite(self, transaction: ServerInvite, flow: Flow, data: bytes, now: float) -> None:
        """Begin a new call: 100 at once, the rest is up to the layer above."""
        core = self._core
        request = transaction.request
        usage = InviteUsage(core.next_number(), request)
        usage.server = transaction
        usage.flow = flow
        usage.late_offer = not session_description(request)
        transaction.usage = usage.number
        core.usages[usage.number] = usage
        core.output.events.append(IncomingInvite(usage.number, request, flow))
        core.trace_in(usage.number, data, flow)
        core.respond(transaction, 100, now)

    def cancel(
        self,
        request: Request,
        key: Key,
        cancelled: ServerInvite,
        flow: Flow,
        data: bytes,
        now: float,
    ) -> None:
        """CANCEL: 200, and 487 to the INVITE if it has no final response yet (9.2)."""
        core = self._core
        cancelling = ServerOther(core.layer, request, *routing.response_hop(request, flow), now)
        core.layer.add_server(cancelling, key)
        cancelling.usage = cancelled.usage
        if cancelled.usage:
            core.trace_in(cancelled.usage, data, flow)
        core.respond(cancelling, 200, now, to_tag=cancelled.to_tag)
        if cancelled.state is State.PROCEEDING:
            self._terminate(cancelled, request, now)

    def _terminate(self, transaction: ServerInvite, request: Request, now: float) -> None:
        core = self._core
        core.respond(transaction, 487, now, to_tag=transaction.to_tag)
        usage = core.usages.get(transaction.usage)
        if usage is None:
            return
        if usage.server is transaction:
            core.forget(usage)
            core.output.events.append(Cancelled(usage.number, request))
        elif usage.offer is transaction:
            usage.offer = None
            core.output.events.append(OfferWithdrawn(usage.number))

    def hung_up_early(self, usage: InviteUsage, request: Request, now: float) -> None:
        """BYE in the early dialog (15.1.2): the same as a CANCEL."""
        if usage.server is not None:
            self._terminate(usage.server, request, now)

    def acknowledge(self, request: Request, flow: Flow, data: bytes, now: float) -> None:
        """ACK: of a failure it belongs to the transaction, of a 2xx to the dialog."""
        core = self._core
        transaction = core.layer.server(server_key(request, "INVITE"))
        if isinstance(transaction, ServerInvite) and transaction.state in (
            State.COMPLETED,
            State.CONFIRMED,
        ):
            if transaction.acknowledged(now) and transaction.usage:
                core.trace_in(transaction.usage, data, flow)
            return
        tags = (request.to.tag or "", request.from_.tag or "")
        usage = core.dialogs.get((request.call_id, *tags))
        if usage is None or usage.repeater is None:
            return
        if usage.repeater.number != request.cseq.number:
            return
        usage.repeater.stop()
        usage.repeater = None
        core.trace_in(usage.number, data, flow)
        answer = (session_description(request) or b"") if usage.late_offer else b""
        core.output.events.append(Acknowledged(usage.number, answer))
        if usage.phase is Phase.ANSWERED:
            usage.phase = Phase.CONFIRMED
            if usage.bye_headers is not None:
                core.say_bye(usage, now, usage.bye_headers)

    # ---- what the layer above decides ------------------------------------------------------

    def ring(
        self, usage: InviteUsage, status: int, body: bytes, now: float, headers: HeaderList
    ) -> None:
        """Send a provisional response that makes the early dialog."""
        if not 100 < status < 200:
            raise LocalProtocolError(f"{status} is not a provisional response for a caller")
        transaction = self._unanswered(usage)
        if OPTION_TAG not in usage.invite.require:
            self._ring(usage, transaction, (status, body, headers), now)
        elif not usage.late_offer:
            # Else the first reliable response would have to be our offer, and the INVITE forbids
            # all others (RFC 3262 3, 5): such a caller hears nothing before the 200.
            if usage.reliable is None:
                usage.reliable = self._reliable(usage, transaction)
            usage.reliable.ring((status, body, headers), now)

    def _reliable(self, usage: InviteUsage, transaction: ServerInvite) -> ReliableProvisionals:
        core = self._core

        def send(provisional: Provisional, now: float) -> None:
            self._ring(usage, transaction, provisional, now)

        def give_up(now: float) -> None:
            core.respond(transaction, 504, now, to_tag=transaction.to_tag)
            core.end(usage, "prack-timeout", now=now)

        return ReliableProvisionals(core, transaction, send, give_up)

    def _ring(
        self, usage: InviteUsage, transaction: ServerInvite, provisional: Provisional, now: float
    ) -> None:
        status, body, headers = provisional
        dialog = self._dialog(usage, transaction)
        self._core.respond(
            transaction,
            status,
            now,
            to_tag=transaction.to_tag,
            headers=(("Contact", f"<{dialog.contact}>"), *headers),
            body=body,
            content_type=SDP if body else None,
        )
        self._core.deadlines.cancel(usage.expiry)
        self._refresh_ringing_later(usage, transaction, now)

    def _refresh_ringing_later(
        self, usage: InviteUsage, transaction: ServerInvite, now: float
    ) -> None:
        def refresh(at: float) -> None:
            transaction.repeated(at)
            self._refresh_ringing_later(usage, transaction, at)

        usage.expiry = self._core.deadlines.at(now + _REFRESH_RINGING, refresh)

    def answer(self, usage: InviteUsage, body: bytes, now: float, headers: HeaderList) -> None:
        """Send 200 with SDP until its ACK comes."""
        transaction = self._unanswered(usage)
        dialog = self._dialog(usage, transaction)

        def accept(at: float) -> None:
            self.accept(usage, transaction, dialog, body, at, headers)
            self._core.deadlines.cancel(usage.expiry)
            usage.phase = Phase.ANSWERED

        if usage.reliable is None or not usage.reliable.hold(accept):
            accept(now)

    def accept(
        self,
        usage: InviteUsage,
        transaction: ServerInvite,
        dialog: Dialog,
        body: bytes,
        now: float,
        headers: HeaderList,
    ) -> None:
        """Send the 2xx to an INVITE or re-INVITE and see to its repetition."""
        core = self._core
        contact = ("Contact", f"<{dialog.contact}>")
        timer = core.session_timers.accept(usage, transaction.request, now)
        data = core.respond(
            transaction,
            200,
            now,
            to_tag=transaction.to_tag,
            headers=(contact, *core.allow_headers, *timer, *headers),
            body=body,
            content_type=SDP if body else None,
        )
        usage.local_sdp = body or usage.local_sdp
        usage.repeater = AnswerRepeater(
            core.layer, transaction, data, self._unacknowledged(usage), now
        )

    def reject(
        self,
        usage: InviteUsage,
        status: int,
        reason: str | None,
        now: float,
        headers: HeaderList,
    ) -> None:
        """Send a final failure response. The usage is over; its ACK will still be traced."""
        if not 300 <= status <= 699:
            raise LocalProtocolError(f"{status} does not reject")
        transaction = self._unanswered(usage)
        self._core.respond(
            transaction, status, now, reason=reason, to_tag=transaction.to_tag, headers=headers
        )
        self._core.forget(usage)

    def drop(self, usage: InviteUsage, now: float) -> None:
        """Leave the caller without a final response. The usage is over."""
        self._unanswered(usage).abandon(now)
        self._core.forget(usage)

    def _unanswered(self, usage: InviteUsage) -> ServerInvite:
        if usage.server is None or usage.phase is not Phase.EARLY:
            raise LocalProtocolError("The call is not an incoming one that waits for its answer")
        if usage.reliable is not None and usage.reliable.holds_answer:
            raise LocalProtocolError("The answer is on its way")
        return usage.server

    def _dialog(self, usage: InviteUsage, transaction: ServerInvite) -> Dialog:
        """Return the dialog, made by the first response with our tag (12.1.1)."""
        if usage.dialog is not None:
            return usage.dialog
        request, core, flow = usage.invite, self._core, usage.flow
        target, called = routing.remote_target(request), request.uri
        if target is None or flow is None:
            raise LocalProtocolError("The INVITE was not screened")
        user = called.user or "" if isinstance(called, SipUri) else ""
        contact = core.config.contact_for(flow, user)
        dialog = Dialog.of_request(request, target, transaction.to_tag, flow, contact)
        usage.dialog = usage.dialogs[dialog.remote_tag] = dialog
        core.dialogs[dialog.id] = usage
        return dialog

    def _unacknowledged(self, usage: InviteUsage) -> Callable[[float], None]:
        def give_up(now: float) -> None:
            self._core.say_bye(usage, now, usage.bye_headers or ())
            self._core.end(usage, "ack-timeout", now=now)

        return give_up
