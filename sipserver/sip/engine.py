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

from sipserver.sip import subscriptions
from sipserver.sip.body import SDP
from sipserver.sip.core import Core, EngineConfig, HeaderList, Ids
from sipserver.sip.dispatch import Dispatcher
from sipserver.sip.errors import RemoteProtocolError
from sipserver.sip.events import Flow, Outgoing, SipEvent
from sipserver.sip.in_dialog import InDialog
from sipserver.sip.invite_usage import Phase
from sipserver.sip.message import Response
from sipserver.sip.uac import ClientSide
from sipserver.sip.uas import ServerSide

__all__ = ["EngineConfig", "Ids", "SipEngine"]


class SipEngine:
    """See the module. ``draining`` and ``overloaded`` make OPTIONS answer 503, so that a dispatcher
    takes the node out; calls are not touched by them."""

    def __init__(self, config: EngineConfig, ids: Ids) -> None:
        self._core = Core(config, ids)
        self._server = ServerSide(self._core)
        self._client = ClientSide(self._core)
        self._in_dialog = InDialog(self._core, self._server, self._client)
        self._dispatcher = Dispatcher(self._core, self._server, self._in_dialog)

    @property
    def draining(self) -> bool:
        return self._dispatcher.draining

    @draining.setter
    def draining(self, value: bool) -> None:
        self._dispatcher.draining = value

    @property
    def overloaded(self) -> bool:
        return self._dispatcher.overloaded

    @overloaded.setter
    def overloaded(self, value: bool) -> None:
        self._dispatcher.overloaded = value

    # ---- input and output ------------------------------------------------------------------

    def receive(self, data: bytes, flow: Flow, now: float) -> None:
        """Take one datagram, or one message cut out of a stream. Never raises for its content."""
        self._dispatcher.receive(data, flow, now)

    def refuse_malformed(self, error: RemoteProtocolError, flow: Flow) -> None:
        """Answer what could not be cut out of a stream, as far as ``error`` tells whom. Without a
        transaction: it is not worth one, and an answer keeps the peer from repeating itself."""
        self._dispatcher.refuse_malformed(error, flow)

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
        """Send a provisional response; it is repeated every minute until the final one.

        To an INVITE that requires 100rel it goes reliably (RFC 3262), after the PRACK of the one
        before; ``Ended`` with ``prack-timeout`` if none comes. Such an INVITE without offer gets
        none at all: the first would have to be our offer.
        """
        self._server.ring(self._core.usage(usage), status, body, now, headers)

    def answer(self, usage: int, body: bytes, now: float, *, headers: HeaderList = ()) -> None:
        """Send 200 with SDP (an answer, or our offer if the INVITE had none); it is repeated until
        ``Acknowledged``, or ``Ended`` with ``ack-timeout`` after 64*T1. It waits for the PRACK
        of a reliable provisional response with SDP."""
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
        core = self._core
        record = core.usage(usage)
        token = core.next_number()

        def on_final(status: int, response: Response | None, at: float) -> None:
            core.final(token, status, response)
            core.end_if_gone(record, status, response, at)

        self._client.reinvite(record, body, on_final, now)
        return token

    def call_id(self, usage: int) -> str:
        """Return the Call-ID of a call."""
        return self._core.usage(usage).invite.call_id

    def tags(self, usage: int) -> tuple[str, str]:
        """Return our tag and the peer's (empty before there is a dialog)."""
        record = self._core.usage(usage)
        if record.dialog is not None:
            return record.dialog.local_tag, record.dialog.remote_tag
        if record.server is not None:
            return record.server.to_tag, record.invite.from_.tag or ""
        return record.invite.from_.tag or "", ""

    def find_dialog(self, call_id: str, to_tag: str, from_tag: str) -> int | None:
        """Return the usage whose dialog a Replaces names (RFC 3891 3), None if there is none.

        In a Replaces that is meant for us ``to_tag`` is ours and ``from_tag`` the peer's; a phone
        that got the order wrong writes its own as ``to_tag``, which is tried second.
        """
        core = self._core
        for tags in ((to_tag, from_tag), (from_tag, to_tag)):
            record = core.dialogs.get((call_id, *tags))
            if record is not None and record.phase not in (Phase.LEAVING, Phase.ENDED):
                return record.number
        return None

    def request(
        self,
        usage: int,
        method: str,
        now: float,
        headers: HeaderList = (),
        body: bytes = b"",
        content_type: str | None = None,
    ) -> int:
        """Send a request in the dialog (INFO, UPDATE, …); returns the token of its
        ``RequestFinal``."""
        record = self._core.usage(usage)
        return self._in_dialog.request(record, method, now, headers, body, content_type)

    def refer(
        self,
        usage: int,
        refer_to: str,
        now: float,
        *,
        referred_by: str = "",
        headers: HeaderList = (),
    ) -> int:
        """Ask the peer to call ``refer_to`` (RFC 3515), a header value, bracketed here if it is a
        bare URI; ``referred_by`` likewise (RFC 3892).

        Returns the token of the REFER's ``RequestFinal`` and of the ``Notified`` that tell how it
        goes, which may come first, and also after the call's end.
        """
        record = self._core.usage(usage)
        return subscriptions.refer(self._core, record, refer_to, referred_by, headers, now)

    def notify(self, usage: int, body: bytes, now: float, *, state: str, event_id: int) -> int:
        """Tell the peer how its REFER goes, with a sipfrag ``body`` such as
        ``SIP/2.0 180 Ringing``; possible until ``state``, the Subscription-State, is
        ``terminated;…``, and a while after the call's end.

        ``event_id`` is the CSeq number of the REFER, which ``respond`` has accepted. Returns the
        token of the NOTIFY's ``RequestFinal``. Raises UsageEnded when nothing is owed (any more).
        """
        return subscriptions.notify(self._core, usage, event_id, body, state, now)

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
            if pending.request.method == "REFER" and status < 300:
                subscriptions.accept(self._core, pending, now)
