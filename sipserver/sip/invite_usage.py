"""The state of one INVITE usage: a call leg from its first INVITE to its end (RFC 5057 3.1).

Data and the 2xx repeater only. What moves it: ``uas`` and ``uac`` until the call is up,
``in_dialog`` from then on.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING

from sipserver.sip.errors import LocalProtocolError

if TYPE_CHECKING:
    from sipserver.sip.dialog import Dialog
    from sipserver.sip.events import Flow
    from sipserver.sip.message import Request
    from sipserver.sip.reliable import ReliableProvisionals
    from sipserver.sip.session_timer import SessionTimer
    from sipserver.sip.subscriptions import Subscription
    from sipserver.sip.timers import Deadline, Deadlines
    from sipserver.sip.transactions.client_invite import ClientInvite
    from sipserver.sip.transactions.layer import ServerTransaction, TransactionLayer
    from sipserver.sip.transactions.server_invite import ServerInvite


class UsageEnded(LocalProtocolError):
    """The usage is over (or never was): an event has told so, or is about to."""


class Phase(Enum):
    EARLY = "early"  # no final response to the first INVITE
    ANSWERED = "answered"  # 2xx sent or received, no ACK yet
    CONFIRMED = "confirmed"
    LEAVING = "leaving"  # our BYE is under way
    FAILED = "failed"  # our INVITE was refused; retry_invite may follow
    ENDED = "ended"


class InviteUsage:
    """``dialogs`` is by remote tag: one on the server side, one per fork on the client side;
    ``dialog`` the one the call is in."""

    __slots__ = (
        "ack_due",
        "acks",
        "bye_headers",
        "cancelled",
        "client",
        "dialog",
        "dialogs",
        "expiry",
        "flow",
        "invite",
        "late_offer",
        "local_sdp",
        "number",
        "offer",
        "phase",
        "referred",
        "reinvite",
        "reliable",
        "repeater",
        "server",
        "subscriptions",
        "timer",
    )

    def __init__(self, number: int, invite: Request) -> None:
        self.number = number
        self.invite = invite
        self.phase = Phase.EARLY
        self.dialog: Dialog | None = None
        self.dialogs: dict[str, Dialog] = {}
        self.late_offer = False  # the next ACK (theirs or ours) carries the answer
        self.bye_headers: list[tuple[str, str]] | None = None  # BYE waits for the ACK
        self.expiry: Deadline | None = None  # refresh of 18x; last moment of a failed usage
        self.local_sdp = b""  # the last one we have sent, for a refresh
        self.timer: SessionTimer | None = None
        self.subscriptions: tuple[Subscription, ...] = ()
        self.referred = False  # a REFER of the peer has been accepted
        # server side
        self.server: ServerInvite | None = None  # the first INVITE's transaction
        self.flow: Flow | None = None  # where the first INVITE came from
        self.reliable: ReliableProvisionals | None = None
        self.repeater: AnswerRepeater | None = None  # of the last 2xx of ours
        self.offer: ServerTransaction | None = None  # re-INVITE or UPDATE that waits for us
        # client side
        self.client: ClientInvite | None = None  # the last INVITE of ours
        self.reinvite = False  # one is under way
        self.cancelled = False
        self.ack_due = False  # the 2xx is here, acknowledge() is owed
        self.acks: dict[tuple[int, str], tuple[bytes, Flow | None, tuple[str, str, int]]] = {}

    @property
    def confirmed_dialog(self) -> Dialog:
        """The dialog of the call. Raises LocalProtocolError before there is one."""
        if self.dialog is None:
            raise LocalProtocolError("There is no dialog yet")
        return self.dialog

    def require_up(self) -> None:
        """Raise LocalProtocolError unless the call is answered and we are not hanging up."""
        if self.phase not in (Phase.ANSWERED, Phase.CONFIRMED):
            raise LocalProtocolError("The call is not up")

    def stop(self, deadlines: Deadlines) -> None:
        """Cancel all deadlines of the usage itself."""
        deadlines.cancel(self.expiry)
        self.expiry = None
        if self.timer is not None:
            deadlines.cancel(self.timer.next)
        if self.reliable is not None:
            self.reliable.stop()
        if self.repeater is not None:
            self.repeater.stop()
            self.repeater = None


class AnswerRepeater:
    """Repeats a 2xx until its ACK comes, on every transport, 64*T1 at most (RFC 3261 13.3.1.4)."""

    __slots__ = ("_data", "_interval", "_layer", "_limit", "_next", "_transaction", "number")

    def __init__(
        self,
        layer: TransactionLayer,
        transaction: ServerInvite,
        data: bytes,
        on_timeout: Callable[[float], None],
        now: float,
    ) -> None:
        self._layer = layer
        self._transaction = transaction
        self._data = data
        self.number = transaction.request.cseq.number  # that of the ACK to come
        self._interval = layer.timers.t1
        self._next = layer.deadlines.at(now + self._interval, self._repeat)
        self._limit = layer.deadlines.at(now + layer.timers.limit, on_timeout)

    def stop(self) -> None:
        """The ACK is there, or the usage is over."""
        self._layer.deadlines.cancel(self._next)
        self._layer.deadlines.cancel(self._limit)

    def _repeat(self, now: float) -> None:
        self._transaction.repeat_answer(self._data)
        self._interval = self._layer.timers.longer(self._interval)
        self._next = self._layer.deadlines.at(now + self._interval, self._repeat)
