"""The subscriptions that REFER makes, in both directions (RFC 3515).

A dialog lives on for them when its call is over (RFC 5057).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sipserver.sip.errors import RemoteProtocolError
from sipserver.sip.events import Notified, SubscriptionExpired
from sipserver.sip.invite_usage import InviteUsage, Phase, UsageEnded
from sipserver.sip.screening import Refusal, bad_event
from sipserver.sip.uri import parse_params

if TYPE_CHECKING:
    from sipserver.sip.core import Core, HeaderList
    from sipserver.sip.message import Request, Response
    from sipserver.sip.timers import Deadline
    from sipserver.sip.transactions.server_other import ServerOther

_SIPFRAG: Final = "message/sipfrag;version=2.0"


class Subscription:
    """One implicit subscription. ``number`` is the CSeq of its REFER; ``token`` is that of a REFER
    of ours, 0 when the peer has sent it and is to be notified with ``event`` as Event."""

    __slots__ = ("_core", "_expiry", "_usage", "event", "number", "token")

    def __init__(
        self, core: Core, usage: InviteUsage, number: int, now: float, *, token: int, event: str
    ) -> None:
        self._core = core
        self._usage = usage
        self.number = number
        self.token = token
        self.event = event
        self._expiry: Deadline | None = None
        usage.subscriptions = (*usage.subscriptions, self)
        self.prolong(now)

    def prolong(self, now: float) -> None:
        """There is a sign of life. Once the call is over nothing prolongs a subscription."""
        if self._usage.phase is not Phase.ENDED:
            self._limit_to(now + self._core.config.subscription_limit)

    def call_ended(self, now: float) -> None:
        """The call is over: from now on the dialog is kept for this alone."""
        config = self._core.config
        limit = config.subscription_limit_after_call
        when = now + (config.timers.limit if limit is None else limit)
        if self._expiry is not None and self._expiry.when > when:
            self._limit_to(when)

    def close(self) -> None:
        """Nothing more is to come. The last one to close releases a dialog whose call is over."""
        usage = self._usage
        self._core.deadlines.cancel(self._expiry)
        usage.subscriptions = tuple(each for each in usage.subscriptions if each is not self)
        if usage.phase is Phase.ENDED and not usage.subscriptions:
            self._core.release(usage)

    def _limit_to(self, when: float) -> None:
        deadlines = self._core.deadlines
        deadlines.cancel(self._expiry)
        self._expiry = deadlines.at(when, self._expire)

    def _expire(self, _now: float) -> None:
        self.close()
        if self.token:
            self._core.output.events.append(SubscriptionExpired(self._usage.number, self.token))


# ---- REFER of ours ---------------------------------------------------------------------------


def refer(
    core: Core,
    usage: InviteUsage,
    refer_to: str,
    referred_by: str,
    headers: HeaderList,
    now: float,
) -> int:
    """Send REFER and subscribe to its outcome; returns the token of both."""
    usage.require_up()
    fields = [("Refer-To", _bracketed(refer_to))]
    if referred_by:
        fields.append(("Referred-By", _bracketed(referred_by)))
    token = core.next_number()

    def on_final(status: int, response: Response | None, at: float) -> None:
        if status >= 300:
            subscription.close()
        core.final(token, status, response)
        core.end_if_gone(usage, status, response, at)

    core.send_in_dialog(usage, "REFER", on_final, now, headers=(*fields, *headers))
    number = usage.confirmed_dialog.local_cseq
    subscription = Subscription(core, usage, number, now, token=token, event="refer")
    return token


def _bracketed(value: str) -> str:
    return value if "<" in value else f"<{value}>"


def notified(
    core: Core, usage: InviteUsage, transaction: ServerOther, now: float
) -> Refusal | None:
    """Answer a NOTIFY in a dialog and tell of it, or return why not."""
    request = transaction.request
    refusal = bad_event(request)
    if refusal is not None:
        return refusal
    subscription = _subscription_of(usage, request)
    if subscription is None:
        return Refusal(481)
    core.respond(transaction, 200, now)
    state = (request.headers.get("Subscription-State") or "").partition(";")[0]
    over = state.strip().lower() == "terminated"
    core.output.events.append(Notified(usage.number, subscription.token, request, over))
    if over:
        subscription.close()
    else:
        subscription.prolong(now)
    return None


def _subscription_of(usage: InviteUsage, notify: Request) -> Subscription | None:
    """The ``id`` names the REFER by its CSeq; without one the oldest is meant (RFC 3515 2.4.6)."""
    _, semicolon, tail = (notify.headers.get("Event") or "").partition(";")
    try:
        wanted = parse_params(tail).get("id") if semicolon else None
    except RemoteProtocolError:
        return None
    for each in usage.subscriptions:
        if each.token and (wanted is None or wanted == str(each.number)):
            return each
    return None


# ---- REFER of the peer -----------------------------------------------------------------------


def accept(core: Core, transaction: ServerOther, now: float) -> None:
    """The layer above has accepted a REFER: it will notify."""
    usage = core.usages.get(transaction.usage)
    if usage is None:
        return
    number = transaction.request.cseq.number
    # RFC 3515 2.4.6: the first REFER of a dialog needs no id, and some phones expect none.
    event = f"refer;id={number}" if usage.referred else "refer"
    usage.referred = True
    Subscription(core, usage, number, now, token=0, event=event)


def notify(core: Core, handle: int, number: int, body: bytes, state: str, now: float) -> int:
    """Send NOTIFY; returns its token. Raises UsageEnded when there is no such subscription."""
    usage = core.usages.get(handle) or core.lingering.get(handle)
    found = usage.subscriptions if usage is not None else ()
    subscription = next((each for each in found if not each.token and each.number == number), None)
    if usage is None or subscription is None:
        raise UsageEnded(f"Nobody waits to hear about REFER {number} of usage {handle}")
    token = core.next_number()

    def on_final(status: int, response: Response | None, _now: float) -> None:
        # RFC 5057 5.1: what a failing NOTIFY ends is its subscription, not the call.
        if status == 481 or response is None:
            subscription.close()
        core.final(token, status, response)

    core.send_in_dialog(
        usage,
        "NOTIFY",
        on_final,
        now,
        headers=(("Event", subscription.event), ("Subscription-State", state)),
        body=body,
        content_type=_SIPFRAG,
    )
    if state.partition(";")[0].strip().lower() == "terminated":
        subscription.close()
    else:
        subscription.prolong(now)
    return token
