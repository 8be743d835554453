"""OutboundSession: a leg that we place."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sipdomains.contracts import CallOpened
from sipdomains.live import FIRST_SEQ
from sipdomains.policy import DomainPolicy
from sipserver.calls.environment import Environment
from sipserver.calls.session import CallSession
from sipserver.calls.termination import Termination
from sipserver.sip.events import (
    Flow,
    OutgoingAnswered,
    OutgoingFailed,
    OutgoingProgress,
    OutgoingTrying,
)
from sipserver.sip.message import Response
from twimlrunner.engine.interrupts import Redirected, Released
from twimlrunner.engine.ports import CallbackTarget, DocumentRequest
from twimlrunner.webhooks.request import CallFacts

OutgoingEvent = OutgoingTrying | OutgoingProgress | OutgoingAnswered | OutgoingFailed
# Until the INVITE is sent nothing is known of the way it takes.
_NOWHERE = Flow("udp", ("", 0), ("", 0))


class OutboundSession(CallSession):
    """``from_`` and ``to`` are what the application sees as From and To.

    ``answer`` resolves with the 2xx once media can flow, ``done`` with the ending when the row is
    final. ``rings`` and ``early`` are set by the first 18x and the first early media.
    ``may_answer`` is asked when the 2xx comes: False hangs up, somebody else was first. ``news``
    is called whenever one of these changes. ``detached``: the leg runs a program of its own, so
    that whoever dialled it has nothing to say any more. ``coming_back``: a program of a transfer
    that did not connect the leg elsewhere ends, and the leg goes back to whom it was with.
    ``own_way`` resolves when a live update has taken the leg away from whoever dialled it, for
    good. ``first`` is the first document of a call that REST created: its row exists already, under
    ``call_sid``.
    """

    hangup_cause = "callee-hangup"

    def __init__(
        self,
        env: Environment,
        policy: DomainPolicy,
        *,
        parent_sid: str,
        from_: str,
        to: str,
        callback: CallbackTarget | None,
        direction: str = "outbound-dial",
        call_sid: str = "",
    ) -> None:
        super().__init__(env, 0, _NOWHERE, call_sid)
        loop = asyncio.get_running_loop()
        self.direction = direction
        self.status = "queued"
        self.parent_sid = parent_sid
        self.from_ = from_
        self.to = to
        self.callback = callback
        self.sip_call_id = env.new_id()
        self.sip_status = 0
        self.caller_id = ""  # user part of From
        self.answer: asyncio.Future[Response] = loop.create_future()
        self.done: asyncio.Future[Termination] = loop.create_future()
        self.rings = False
        self.early = False
        self.detached = False
        self.coming_back = False
        self.bridged_elsewhere = False
        self.own_way: asyncio.Future[None] = loop.create_future()
        self.first: DocumentRequest | None = None
        self.may_answer: Callable[[], bool] = lambda: True
        self.news: Callable[[], None] = lambda: None
        self.receivers: dict[int, asyncio.Queue[OutgoingEvent]] = {}
        self._policy = policy
        self._answer_headers: tuple[tuple[str, str], ...] = ()

    @property
    def policy(self) -> DomainPolicy:
        return self._policy

    @property
    def own_number(self) -> str:
        return self.caller_id

    def release(self, cause: str, detail: str = "") -> None:
        """End the leg, at whatever stage it is."""
        self.interrupt(Released(cause), detail)

    def dismiss(self, cause: str) -> None:
        """As :meth:`release`, of a leg that whoever dialled it needs no more. One that REST has
        taken away in the same moment stays: REST was told so."""
        if not self.own_way.done():
            self.release(cause)

    def run(self, first: DocumentRequest) -> None:
        """Let the leg go its own way with a document."""
        self.detached = True
        self.interrupt(Redirected(first))
        self.news()

    def go_own_way(self, first: DocumentRequest) -> None:
        """As :meth:`run`, and there is no coming back."""
        self.coming_back = False
        if not self.own_way.done():
            self.own_way.set_result(None)
        self.run(first)

    async def open(self) -> None:
        """The row of a call that REST created is there."""
        if self.first is not None:
            self._sequence = FIRST_SEQ - 1
            self._release()
        else:
            await super().open()

    def on_outgoing(self, event: OutgoingEvent) -> None:
        receiver = self.receivers.get(event.usage)
        if receiver is not None:
            receiver.put_nowait(event)

    def answered_by(self, response: Response, usage: int, sip_call_id: str) -> None:
        """The 2xx that counts has come and media flows."""
        self.usage = usage
        self.sip_call_id = sip_call_id
        self.sip_status = response.status
        self._answer_headers = tuple(response.headers.items())

    def opening(self) -> CallOpened:
        policy = self._policy
        return CallOpened(
            call_sid=self.call_sid,
            account_sid=policy.account_sid,
            domain_sid=policy.domain_sid,
            domain_name=policy.domain_name,
            node=self.env.settings.node,
            at=self.env.clock.wall(),
            direction=self.direction,
            from_=self.from_[:255],
            to=self.to[:255],
            status=self.status,
            sip={"call_id": self.sip_call_id},
            parent_call_sid=self.parent_sid,
            callback=self.callback_spec(),
        )

    def call_facts(self, status: str) -> CallFacts:
        """Headers of the 2xx are told to a screening document (sip-domain.md section 8)."""
        return CallFacts(
            call_sid=self.call_sid,
            account_sid=self._policy.account_sid,
            from_=self.from_,
            to=self.to,
            status=status,
            direction=self.direction,
            parent_call_sid=self.parent_sid,
            sip_domain=self._policy.domain_name,
            sip_domain_sid=self._policy.domain_sid,
            sip_call_id=self.sip_call_id,
            source_ip=self.flow.remote[0],
            headers=self._answer_headers,
        )
