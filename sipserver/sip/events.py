"""What the SIP engine tells the layer above it: a closed union of frozen values.

Pure. ``usage`` is the engine's integer handle of one INVITE usage (one call leg);
``transaction`` the handle of one pending server transaction that somebody must answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from sipserver.sip.message import Request, Response


class Flow(NamedTuple):
    """Where bytes came from and can go back to. ``connection`` is 0 for UDP."""

    transport: str  # "udp", "tcp" or "tls"
    local: tuple[str, int]
    remote: tuple[str, int]
    connection: int = 0


class Outgoing(NamedTuple):
    """Bytes for the wire. ``flow`` is used when it is known and alive; else ``target``,
    (transport, host, port), is resolved by the shell."""

    data: bytes
    flow: Flow | None
    target: tuple[str, str, int] | None


@dataclass(frozen=True, slots=True)
class IncomingInvite:
    """A new call. The engine has sent 100; the layer above owes ring/answer/reject."""

    usage: int
    request: Request
    flow: Flow


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The caller gave up before the answer: the engine has answered 200 to ``request``, a CANCEL
    or the BYE of an early dialog, and 487 to the INVITE."""

    usage: int
    request: Request


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """ACK of our 2xx (re-INVITE included). ``body`` answers a late offer, else it is empty."""

    usage: int
    body: bytes


@dataclass(frozen=True, slots=True)
class SessionOffer:
    """re-INVITE or UPDATE. Answer with ``engine.answer_offer`` or ``engine.refuse_offer``.

    ``body`` empty means the peer asks us for an offer (RFC 3261 14.2).
    """

    usage: int
    request: Request
    body: bytes


@dataclass(frozen=True, slots=True)
class OfferWithdrawn:
    """The peer cancelled its re-INVITE before it was answered: the ``SessionOffer`` is void."""

    usage: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The dialog is over and needs nothing more.

    ``cause``: ``bye`` (peer hung up; 200 is sent), ``ack-timeout`` (no ACK in 64*T1; the engine
    has sent BYE), ``flow-lost`` (a request of ours could not be delivered), ``gone`` (peer answered
    481/408 to a request of ours, or nothing), ``local`` (our own BYE was answered or timed out),
    ``session-expired`` (no refresh in the time agreed, RFC 4028; the engine has sent BYE),
    ``prack-timeout`` (a reliable provisional response of ours found no PRACK in 64*T1, RFC 3262;
    the engine has answered 504 to the INVITE).

    Subscriptions that a REFER made live on: ``Notified`` may follow, and ``engine.notify`` works.
    """

    usage: int
    cause: str
    request: Request | None = None


@dataclass(frozen=True, slots=True)
class InDialogRequest:
    """INFO, REFER, MESSAGE in a dialog: answer with ``engine.respond(transaction, …)``.

    A REFER answered with 2xx is owed a NOTIFY: ``engine.notify``, whose ``event_id`` is
    ``request.cseq.number``.
    """

    usage: int
    transaction: int
    request: Request


@dataclass(frozen=True, slots=True)
class IncomingRequest:
    """A request outside dialogs whose method the configuration lists (REGISTER)."""

    transaction: int
    request: Request
    flow: Flow


@dataclass(frozen=True, slots=True)
class RequestRefused:
    """The engine answered an INVITE by itself (483, 420, 482, 400 …); for the log only."""

    request: Request
    flow: Flow
    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class OutgoingTrying:
    """100 to our INVITE: somebody is there."""

    usage: int


@dataclass(frozen=True, slots=True)
class OutgoingProgress:
    """A provisional response (> 100) to our INVITE."""

    usage: int
    response: Response


@dataclass(frozen=True, slots=True)
class OutgoingAnswered:
    """2xx to our INVITE. The layer above owes ``engine.acknowledge(usage, …)`` once."""

    usage: int
    response: Response


@dataclass(frozen=True, slots=True)
class OutgoingFailed:
    """Final non-2xx, or none at all (``response`` None, ``status`` 408 or 503).

    The engine has sent the ACK. ``engine.retry_invite`` may follow (401, 407) within 64*T1.
    Status 487 with a 2xx ``response``: the answer crossed our CANCEL; the engine has sent ACK and
    BYE.
    """

    usage: int
    status: int
    reason: str
    response: Response | None


@dataclass(frozen=True, slots=True)
class RequestFinal:
    """Final response to a non-INVITE request of ours, ``token`` as returned when it was sent."""

    token: int
    status: int
    response: Response | None


@dataclass(frozen=True, slots=True)
class Notified:
    """A NOTIFY about the REFER that ``engine.refer`` returned ``token`` for; the engine has sent
    200. Comes before the REFER's ``RequestFinal`` or after it, also after ``Ended``.

    The body of ``request`` is a message/sipfrag (RFC 3515 2.4.5). ``over``: it is the last one,
    its Subscription-State is ``terminated``.
    """

    usage: int
    token: int
    request: Request
    over: bool


@dataclass(frozen=True, slots=True)
class SubscriptionExpired:
    """The peer has stopped telling about a REFER without saying so: no ``Notified`` follows."""

    usage: int
    token: int


@dataclass(frozen=True, slots=True)
class SessionRefreshed:
    """The engine has refreshed the session by a re-INVITE with our last SDP (RFC 4028); ``body`` is
    the peer's answer, which may differ from its last one."""

    usage: int
    body: bytes


class MessageTraced(NamedTuple):
    """One message of a usage went over the wire (retransmissions are not repeated).

    Comes after the event that introduces the usage, and may come after the one that ends it: the
    ACK of a refused INVITE, the 200 to a BYE. A tuple because there are many of them. ``target`` as
    in :class:`Outgoing`, for what goes out.
    """

    usage: int
    outbound: bool
    data: bytes
    flow: Flow | None
    target: tuple[str, str, int] | None = None


SipEvent = (
    IncomingInvite
    | Cancelled
    | Acknowledged
    | SessionOffer
    | OfferWithdrawn
    | Ended
    | InDialogRequest
    | IncomingRequest
    | RequestRefused
    | OutgoingTrying
    | OutgoingProgress
    | OutgoingAnswered
    | OutgoingFailed
    | RequestFinal
    | Notified
    | SubscriptionExpired
    | SessionRefreshed
    | MessageTraced
)
