"""CallSession: what one live call knows, and its voice in the log. No policy, no flow control."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from sipdomains.contracts import (
    CallClosed,
    CallEventRecord,
    CallOpened,
    NotificationRecord,
)
from sipdomains.policy import DomainPolicy
from sipserver.calls.intake import IntakeConfig
from sipserver.calls.ports import (
    CallLog,
    Clock,
    Directory,
    Media,
    MediaSession,
    Prompts,
    SipPort,
    WebhookGateway,
)
from sipserver.calls.routing import addressed_host
from sipserver.calls.termination import CAUSES, Termination, interrupt_cause
from sipserver.calls.trace import trace_data
from sipserver.sip.events import IncomingInvite, MessageTraced
from sipserver.sip.message import Request
from twimlrunner.engine.interrupts import Interrupt, Over
from twimlrunner.engine.scopes import InterruptSignal
from twimlrunner.webhooks.request import CallFacts, header_parameters

# Messages of one call in the log: hours of refreshes fit, a peer that floods us does not.
TRACED_MESSAGES = 1000
ADOPTED_MESSAGES = 20


@dataclass(frozen=True, slots=True)
class CallSettings:
    """Numbers and texts of the call layer. Seconds are floats.

    ``parting_seconds``: how long a verb may still report after the peer is gone.
    ``cleanup_seconds``: bound on freeing what a call holds. ``no_audio_seconds`` 0 = never.
    """

    node: str
    user_agent: str
    intake: IntakeConfig
    parting_seconds: float = 2.0
    cleanup_seconds: float = 2.0
    apology: str = "We are sorry. An application error has occurred. Goodbye."
    apology_seconds: float = 15.0


@dataclass(frozen=True, slots=True)
class Environment:
    """The ports of the node that calls work through."""

    settings: CallSettings
    sip: SipPort
    directory: Directory
    log: CallLog
    webhooks: WebhookGateway
    prompts: Prompts
    media: Media
    clock: Clock
    new_call_sid: Callable[[], str]


@dataclass(slots=True)
class Facts:
    """What was learned at intake; written once, before the row is opened."""

    policy: DomainPolicy
    addressed: str
    source: str
    username: str


@dataclass(frozen=True, slots=True)
class EarlyFact:
    """A fact that waits for the row; its place in the sequence is given when it is told."""

    at: float
    kind: str
    data: dict[str, Any]
    status: str = ""


class CallSession:
    """One inbound call leg.

    ``signal`` holds what shall end or replace the program. ``over`` resolves with the first *fact*
    among it (peer or media gone): a level, not an edge, so whoever looks later still sees it.
    ``acked`` resolves with the body of the ACK to our 2xx.
    """

    def __init__(self, env: Environment, invite: IncomingInvite) -> None:
        loop = asyncio.get_running_loop()
        self.env = env
        self.call_sid = env.new_call_sid()
        self.invite = invite
        self.usage = invite.usage
        self.request: Request = invite.request
        self.flow = invite.flow
        self.signal = InterruptSignal()
        self.detail = ""  # of what is in signal, for the operator
        self.over: asyncio.Future[Over] = loop.create_future()
        self.acked: asyncio.Future[bytes] = loop.create_future()
        self.facts: Facts | None = None
        self.media: MediaSession | None = None
        self.status = "ringing"
        self.opened = False
        self.answered_at: float | None = None
        self.final_response_sent = False
        self.http_session: dict[str, Any] = {}
        self.media_stats: dict[str, Any] = {}
        self.dialog_over = False
        # Set while media runs: what answers a re-INVITE, and the ACK that answers our offer.
        self.on_offer: Callable[[bytes], Coroutine[Any, Any, None]] | None = None
        self.on_late_answer: Callable[[bytes], Coroutine[Any, Any, None]] | None = None
        self._sequence = 0
        self._traced = 0
        self._early: list[EarlyFact | NotificationRecord] = []

    # --- state ------------------------------------------------------------------------------

    @property
    def answered(self) -> bool:
        return self.answered_at is not None

    @property
    def policy(self) -> DomainPolicy:
        """Of the domain. Only after intake has accepted the call."""
        if self.facts is None:
            raise RuntimeError("no facts before intake")
        return self.facts.policy

    def interrupt(self, what: Interrupt, detail: str = "") -> None:
        """Store it; whoever waits wakes up. Merge rules: twimlrunner.engine.interrupts."""
        if not self.signal.put(what):
            return
        self.detail = detail
        self.event("interrupt", {"what": interrupt_cause(what)})
        if isinstance(what, Over) and not self.over.done():
            self.over.set_result(what)

    # --- the log ----------------------------------------------------------------------------

    def event(self, kind: str, data: dict[str, Any] | None = None, status: str = "") -> None:
        """One more fact. Facts told before the row exists wait for it."""
        if status:
            self.status = status
        fact = EarlyFact(self.env.clock.wall(), kind, data or {}, status)
        if self.opened:
            self._tell(fact)
        else:
            self._early.append(fact)

    def trace(self, message: MessageTraced) -> None:
        if self._traced < TRACED_MESSAGES:
            self._traced += 1
            self.event("sip", trace_data(message))

    def early_messages(self) -> list[EarlyFact]:
        """The SIP messages seen so far of a call that has no row."""
        return [fact for fact in self._early if isinstance(fact, EarlyFact) and fact.kind == "sip"]

    def adopt(self, facts: Sequence[EarlyFact]) -> None:
        """Messages of the challenged INVITE before this one belong to this call's ladder. Only the
        last ones: a peer may go on and on without ever answering its challenges."""
        self._early[:0] = facts[-ADOPTED_MESSAGES:]

    def _tell(self, fact: EarlyFact) -> None:
        self._sequence += 1
        self.env.log.append(
            CallEventRecord(
                self.call_sid, self._sequence, fact.at, fact.kind, fact.data, fact.status
            )
        )

    def notify(self, code: int, level: str, message: str, url: str = "", method: str = "") -> None:
        self._notify(
            NotificationRecord(
                at=self.env.clock.wall(),
                code=code,
                level=level,
                message=message,
                call_sid=self.call_sid,
                account_sid=self.facts.policy.account_sid if self.facts else "",
                request_method=method,
                request_url=url,
            )
        )

    def opening(self) -> CallOpened:
        """The row as it is when the call is taken (or refused)."""
        facts, request = self.facts, self.request
        policy = facts.policy if facts else None
        return CallOpened(
            call_sid=self.call_sid,
            account_sid=policy.account_sid if policy else "",
            domain_sid=policy.domain_sid if policy else "",
            domain_name=policy.domain_name if policy else addressed_host(request),
            node=self.env.settings.node,
            at=self.env.clock.wall(),
            direction="inbound",
            from_=str(request.from_.uri)[:255],
            to=request.uri_text[:255],
            status="ringing",
            sip={
                "call_id": request.call_id[:255],
                "from_tag": (request.from_.tag or "")[:255],
                "username": facts.username if facts else "",
                "source_ip": facts.source if facts else self.flow.remote[0],
                "source_port": self.flow.remote[1],
                "transport": self.flow.transport,
                "user_agent": (request.headers.get("User-Agent") or "")[:255],
                "headers": self._shown_headers(),
            },
        )

    async def open(self) -> None:
        """Commit the row; then the facts that waited. Raises LogUnavailable."""
        await self.env.log.open(self.opening())
        self._release()

    def open_late(self) -> None:
        """The row of a call that nobody rang for (refused, cancelled at once): need not wait."""
        self.env.log.append(self.opening())
        self._release()

    def close(self, ending: Termination) -> None:
        """The final record and, where the cause asks for one, its notification."""
        row = CAUSES[ending.cause]
        if row.code:
            self.notify(row.code, row.level, ending.reason)
        self._sequence += 1
        self.env.log.append(
            CallClosed(
                call_sid=self.call_sid,
                seq=self._sequence,
                at=self.env.clock.wall(),
                status=ending.status,
                cause=ending.cause,
                reason=ending.reason,
                sip_status=ending.sip_status,
                error_code=ending.code,
                answered_at=self.answered_at,
                media=self.media_stats,
            )
        )

    def _notify(self, record: NotificationRecord) -> None:
        if self.opened:
            self.env.log.append(record)
        else:
            self._early.append(record)

    def _release(self) -> None:
        self.opened = True
        for early in self._early:
            if isinstance(early, EarlyFact):
                self._tell(early)
            else:
                self.env.log.append(early)
        self._early.clear()

    # --- what the application is told -------------------------------------------------------

    def call_facts(self, status: str) -> CallFacts:
        facts, request = self.facts, self.request
        if facts is None:
            raise RuntimeError("no facts before intake")
        return CallFacts(
            call_sid=self.call_sid,
            account_sid=facts.policy.account_sid,
            from_=str(request.from_.uri),
            to=request.uri_text,
            status=status,
            direction="inbound",
            sip_domain=facts.addressed,
            sip_domain_sid=facts.policy.domain_sid,
            sip_username=facts.username or None,
            sip_call_id=request.call_id,
            source_ip=facts.source,
            headers=tuple(request.headers.items()),
            extra_headers=facts.policy.extra_headers,
        )

    def _shown_headers(self) -> list[tuple[str, str]]:
        extra = self.facts.policy.extra_headers if self.facts else ()
        prefix = len("SipHeader_")
        return [
            (name[prefix:], value)
            for name, value in header_parameters(self.request.headers.items(), extra)
        ]
