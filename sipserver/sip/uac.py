"""Calls that go out: INVITE, its ACK, CANCEL, forks and the second try after a challenge
(RFC 3261 9.1, 13.2, 22), and re-INVITE (14.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sipserver.sip import build, reliable, routing, session_timer
from sipserver.sip.body import SDP
from sipserver.sip.core import Core, HeaderList
from sipserver.sip.dialog import Dialog
from sipserver.sip.errors import LocalProtocolError, RemoteProtocolError
from sipserver.sip.events import (
    Flow,
    OutgoingAnswered,
    OutgoingFailed,
    OutgoingProgress,
    OutgoingTrying,
)
from sipserver.sip.headers import Headers
from sipserver.sip.invite_usage import InviteUsage, Phase
from sipserver.sip.message import Request, Response
from sipserver.sip.transactions.client_invite import ClientInvite, State
from sipserver.sip.transactions.client_other import OnFinal, ignore
from sipserver.sip.uri import SipUri, parse_name_addr, parse_sip_uri

# RFC 3261 13.2.2.4: the ACK of a 2xx carries the credentials of its INVITE.
_CREDENTIALS: Final = ("Authorization", "Proxy-Authorization")
_LARGEST_DATAGRAM: Final = 1300  # octets: 18.1.1, for an unknown path MTU
_TRIES: Final = 10  # INVITEs of one call that 422 may bring about


class ClientSide:
    """The client side of INVITE usages."""

    __slots__ = ("_core",)

    def __init__(self, core: Core) -> None:
        self._core = core

    def outside_request(
        self,
        method: str,
        target_uri: str,
        from_: str,
        to: str,
        *,
        destination: routing.Target | None,
        flow: Flow | None,
        headers: HeaderList,
        route: Sequence[str],
        call_id: str | None,
        number: int,
        body: bytes,
        content_type: str | None,
        contact: bool,
    ) -> tuple[Request, Flow | None, routing.Target]:
        """Build a request outside dialogs and find its way (8.1.1). Raises LocalProtocolError."""
        core = self._core
        try:
            uri = parse_sip_uri(target_uri)
            sender = parse_name_addr(from_)
            first_hop = parse_name_addr(route[0]).uri if route else uri
        except RemoteProtocolError as error:
            raise LocalProtocolError(error.message) from error
        if destination is not None:
            target = destination
        elif flow is not None:
            target = (flow.transport, *flow.remote)
        elif isinstance(first_hop, SipUri):
            target = routing.hop_of_uri(first_hop)
        else:
            raise LocalProtocolError("The first Route is no SIP URI")
        fields = [
            ("Via", core.via(flow, target)),
            ("Max-Forwards", "70"),
            *(("Route", each) for each in route),
            ("From", f"{from_};tag={core.ids.tag()}"),
            ("To", to),
            ("Call-ID", call_id or core.ids.call_id()),
            ("CSeq", f"{number} {method}"),
        ]
        if contact:
            user = sender.uri.user or "" if isinstance(sender.uri, SipUri) else ""
            fields.append(("Contact", f"<{core.contact_uri(flow, target, user)}>"))
            fields += core.allow_headers
        if method == "INVITE":
            fields += core.session_timers.initial_headers
        fields += [("User-Agent", core.config.user_agent), *headers]
        if content_type and body:
            fields.append(("Content-Type", content_type))
        request = Request(method, routing.without_headers(uri), Headers(fields), body)
        return request, flow, target

    # ---- INVITE ----------------------------------------------------------------------------

    def invite(
        self, request: Request, flow: Flow | None, target: routing.Target, now: float
    ) -> InviteUsage:
        """Start a call with a ready INVITE."""
        core = self._core
        usage = InviteUsage(core.next_number(), request)
        usage.late_offer = not request.body
        usage.local_sdp = request.body
        usage.flow = flow
        self._send(usage, request, flow, target, now)
        core.usages[usage.number] = usage
        return usage

    def _send(
        self,
        usage: InviteUsage,
        request: Request,
        flow: Flow | None,
        target: routing.Target,
        now: float,
        *,
        may_switch: bool = True,
    ) -> None:
        udp = target
        switched = may_switch and flow is None and self._is_large(request, target)
        if switched:
            target = ("tcp", *target[1:])
            request = self._rerouted(request, target)

        def on_response(response: Response, response_flow: Flow, at: float) -> None:
            self._on_response(usage, request, response, response_flow, at)

        def on_failure(status: int, at: float) -> None:
            if switched and status == 503 and not usage.cancelled:
                again = self._rerouted(request, udp)
                self._send(usage, again, None, udp, at, may_switch=False)
            else:
                self._failed(usage, status, build.reason_phrase(status), None, at)

        usage.client = ClientInvite(
            self._core.layer,
            request,
            flow,
            target,
            on_response,
            on_failure,
            now,
            usage=usage.number,
        )
        self._core.layer.add_client(usage.client)
        usage.invite = request
        usage.phase = Phase.EARLY

    def _is_large(self, request: Request, target: routing.Target) -> bool:
        if target[0] != "udp" or not self._core.config.tcp_for_large:
            return False
        return len(request.to_bytes()) > _LARGEST_DATAGRAM

    def _rerouted(self, request: Request, target: routing.Target) -> Request:
        """Return an INVITE made for one transport as it is to be for another (18.1.1)."""
        core = self._core
        fields = request.headers.copy()
        contact = request.contact
        user = contact.uri.user if contact is not None and isinstance(contact.uri, SipUri) else None
        fields.set("Contact", f"<{core.contact_uri(None, target, user or '')}>")
        fields.set("Via", core.via(None, target))
        return Request(request.method, request.uri, fields, request.body)

    def retry(self, usage: InviteUsage, headers: HeaderList, now: float) -> None:
        """Send the refused INVITE again with more headers (22.2): same Call-ID and From tag, next
        CSeq, new branch."""
        old = usage.client
        if usage.phase is not Phase.FAILED or old is None:
            raise LocalProtocolError("Only a refused INVITE can be tried again")
        self._again(usage, old, headers, now)
        usage.cancelled = False
        self._core.deadlines.cancel(usage.expiry)

    def _again(
        self, usage: InviteUsage, old: ClientInvite, headers: HeaderList, now: float
    ) -> None:
        fields = old.request.headers.copy()
        for name in {name for name, _ in headers}:
            fields.remove(name)
        for name, value in headers:
            fields.add(name, value)
        fields.set("Via", self._core.via(old.flow, old.target))
        fields.set("CSeq", f"{old.request.cseq.number + 1} INVITE")
        request = Request("INVITE", old.request.uri, fields, old.request.body)
        self._send(usage, request, old.flow, old.target, now)

    def _lengthen(
        self, usage: InviteUsage, request: Request, response: Response, now: float
    ) -> bool:
        """422: try again with the session timer that is wanted (RFC 4028 7.3); false if that is of
        no use, or nobody wants the call any more."""
        old = usage.client
        headers = session_timer.longer_headers(request, response)
        if not headers or old is None or usage.cancelled or request.cseq.number >= _TRIES:
            return False
        self._forget_dialogs(usage)
        self._again(usage, old, headers, now)
        return True

    def _on_response(
        self, usage: InviteUsage, request: Request, response: Response, flow: Flow, now: float
    ) -> None:
        status = response.status
        if status < 200:
            self._progress(usage, request, response, flow, now)
        elif status < 300:
            self._answered(usage, request, response, flow, now)
        elif status != 422 or not self._lengthen(usage, request, response, now):
            self._failed(usage, status, response.reason, response, now)

    def _progress(
        self, usage: InviteUsage, request: Request, response: Response, flow: Flow, now: float
    ) -> None:
        core = self._core
        if usage.cancelled:
            self._send_cancel(usage, now)  # it had to wait for a provisional response (9.1)
        if response.status == 100:
            core.output.events.append(OutgoingTrying(usage.number))
            return
        tag = response.to.tag
        if tag is not None and tag not in usage.dialogs and response.contact is not None:
            dialog = self._dialog(request, response, flow)
            usage.dialogs[tag] = dialog
            core.dialogs[dialog.id] = usage
        early = usage.dialogs.get(tag) if tag is not None else None
        if early is None or reliable.acknowledge(core, usage, early, response, now):
            core.output.events.append(OutgoingProgress(usage.number, response))

    def _answered(
        self, usage: InviteUsage, request: Request, response: Response, flow: Flow, now: float
    ) -> None:
        core = self._core
        tag = response.to.tag or ""
        if self._acknowledged_before(usage, request, tag):
            return
        if usage.dialog is not None and usage.dialog.remote_tag == tag:
            return  # a copy, and acknowledge() has not been called yet
        dialog = self._dialog(request, response, flow)
        if usage.dialog is not None or usage.cancelled or usage.phase is Phase.ENDED:
            self._hang_up_fork(usage, request, dialog, now)
            if usage.dialog is None and usage.phase is Phase.EARLY:
                self._failed(usage, 487, build.reason_phrase(487), response, now)
            return
        early = usage.dialogs.get(tag)
        if early is not None:  # what happened in the early dialog stays: sequence numbers
            dialog.local_cseq = max(dialog.local_cseq, early.local_cseq)
            dialog.remote_cseq = early.remote_cseq
        usage.dialog = usage.dialogs[tag] = dialog
        core.dialogs[dialog.id] = usage
        usage.phase = Phase.ANSWERED
        usage.ack_due = True
        core.session_timers.accepted(usage, request, response, now)
        core.output.events.append(OutgoingAnswered(usage.number, response))

    def _hang_up_fork(
        self, usage: InviteUsage, request: Request, dialog: Dialog, now: float
    ) -> None:
        """ACK and BYE for a 2xx nobody wants: another fork won, or we had cancelled."""
        self._send_ack(usage, request, dialog, b"")
        core = self._core
        flow, target = dialog.next_hop()
        bye = dialog.request(
            "BYE", core.via(flow, target), headers=(("User-Agent", core.config.user_agent),)
        )
        core.send_request(bye, flow, target, ignore, now, usage=usage.number)

    def _failed(
        self,
        usage: InviteUsage,
        status: int,
        reason: str,
        response: Response | None,
        now: float,
    ) -> None:
        core = self._core
        self._forget_dialogs(usage)
        usage.phase = Phase.FAILED

        def expire(_now: float) -> None:
            core.forget(usage)

        usage.expiry = core.deadlines.at(now + core.config.timers.limit, expire)
        core.output.events.append(OutgoingFailed(usage.number, status, reason, response))

    def _forget_dialogs(self, usage: InviteUsage) -> None:
        for dialog in usage.dialogs.values():
            self._core.dialogs.pop(dialog.id, None)
        usage.dialogs.clear()

    def cancel(self, usage: InviteUsage, now: float) -> bool:
        """Give up an unanswered call; false if it is answered already."""
        if usage.phase in (Phase.ANSWERED, Phase.CONFIRMED, Phase.LEAVING):
            return False
        if usage.client is None:
            raise LocalProtocolError("An incoming call is rejected, not cancelled")
        if usage.phase is Phase.EARLY and not usage.cancelled:
            usage.cancelled = True
            if usage.client.state is State.PROCEEDING:
                self._send_cancel(usage, now)
        return True

    def _send_cancel(self, usage: InviteUsage, now: float) -> None:
        client = usage.client
        if client is None or client.cancelled:
            return
        client.cancelled = True
        core = self._core
        cancel = build.cancel_for(client.request)
        core.send_request(cancel, client.flow, client.target, ignore, now, usage=usage.number)
        client.limit_to(now + core.config.timers.limit)

    # ---- ACK -------------------------------------------------------------------------------

    def acknowledge(self, usage: InviteUsage, body: bytes) -> None:
        """Send the ACK of the last 2xx and keep it for copies of that 2xx."""
        if not usage.ack_due or usage.client is None:
            raise LocalProtocolError("There is no 2xx to acknowledge")
        usage.ack_due = False
        usage.local_sdp = body or usage.local_sdp
        self._send_ack(usage, usage.client.request, usage.confirmed_dialog, body)
        if usage.phase is Phase.ANSWERED:
            usage.phase = Phase.CONFIRMED

    def _acknowledged_before(self, usage: InviteUsage, request: Request, tag: str) -> bool:
        ack = usage.acks.get((request.cseq.number, tag))
        if ack is not None:
            self._core.output.send(*ack)
        return ack is not None

    def _send_ack(self, usage: InviteUsage, request: Request, dialog: Dialog, body: bytes) -> None:
        flow, target = dialog.next_hop()
        credentials = [
            (name, value) for name in _CREDENTIALS for value in request.headers.get_all(name)
        ]
        ack = dialog.request(
            "ACK",
            self._core.via(flow, target),
            number=request.cseq.number,
            headers=credentials,
            body=body,
            content_type=SDP,
        ).to_bytes()
        usage.acks[(request.cseq.number, dialog.remote_tag)] = (ack, flow, target)
        self._core.output.send(ack, flow, target, usage.number)

    # ---- re-INVITE -------------------------------------------------------------------------

    def reinvite(self, usage: InviteUsage, body: bytes, on_final: OnFinal, now: float) -> None:
        """Offer a new session in the dialog, or without ``body`` ask for an offer."""
        core = self._core
        if usage.phase is not Phase.CONFIRMED or core.exchange_pending(usage):
            raise LocalProtocolError("Another offer is still open, or the call is not up")
        dialog = usage.confirmed_dialog
        flow, target = dialog.next_hop()
        request = dialog.request(
            "INVITE",
            core.via(flow, target),
            headers=(
                *core.allow_headers,
                *core.session_timers.refresh_headers(usage),
                ("User-Agent", core.config.user_agent),
            ),
            body=body,
            content_type=SDP,
        )

        def on_response(response: Response, _flow: Flow, at: float) -> None:
            if response.status >= 300:
                usage.reinvite = False
                on_final(response.status, response, at)
            elif response.status >= 200:
                if self._reinvite_answered(usage, request, response, at):
                    on_final(response.status, response, at)
            elif response.status > 100:
                reliable.acknowledge(core, usage, dialog, response, at)

        def on_failure(status: int, at: float) -> None:
            usage.reinvite = False
            on_final(status, None, at)

        usage.client = ClientInvite(
            core.layer, request, flow, target, on_response, on_failure, now, usage=usage.number
        )
        core.layer.add_client(usage.client)
        usage.reinvite = True

    def _reinvite_answered(
        self, usage: InviteUsage, request: Request, response: Response, now: float
    ) -> bool:
        """ACK a 2xx, or leave it to ``acknowledge``; false for a copy."""
        dialog = usage.confirmed_dialog
        if self._acknowledged_before(usage, request, dialog.remote_tag) or usage.ack_due:
            return False
        dialog.refresh_target(response)
        usage.reinvite = False
        usage.local_sdp = request.body or usage.local_sdp
        if request.body or usage.phase is not Phase.CONFIRMED:
            self._send_ack(usage, request, dialog, b"")
        else:
            usage.ack_due = True
        if usage.phase is Phase.CONFIRMED:
            self._core.session_timers.accepted(usage, request, response, now)
        return True

    def _dialog(self, request: Request, response: Response, flow: Flow) -> Dialog:
        contact = response.contact
        uri: object = contact.uri if contact is not None else request.uri
        if not isinstance(uri, SipUri):
            uri = request.uri
        if not isinstance(uri, SipUri):  # outside_request builds no other
            raise LocalProtocolError("No SIP URI to go on with")
        own = request.contact
        own_contact = str(own.uri) if own is not None else ""
        return Dialog.of_response(request, response, uri, flow, own_contact)
