"""CallSession: what one live leg knows, and its voice in the log. No policy, no flow control.

``inbound`` and ``outbound`` add what a leg that came in, or that we placed, knows besides.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sipdomains.contracts import (
    CallbackPromised,
    CallClosed,
    CallEventRecord,
    CallOpened,
    MediaMeasured,
    NotificationRecord,
)
from sipdomains.policy import DomainPolicy
from sipserver.calls.environment import Environment
from sipserver.calls.leg_recordings import LegRecordings
from sipserver.calls.ports import MediaSession
from sipserver.calls.quality_log import LIVE_POINTS, QualityLog
from sipserver.calls.termination import CAUSES, Termination, interrupt_cause
from sipserver.calls.trace import trace_data
from sipserver.sip.events import Flow, InDialogRequest, MessageTraced, Notified
from twimlrunner.engine.interrupts import Interrupt, Over, Redirected
from twimlrunner.engine.ports import CallbackTarget
from twimlrunner.engine.scopes import InterruptSignal
from twimlrunner.webhooks.callbacks import (
    EVENT_OF_STATUS,
    STATUS_CALLBACK,
    message_id,
    progress_parameters,
)
from twimlrunner.webhooks.request import CallFacts

if TYPE_CHECKING:
    from sipserver.calls.bridging import Bridge
    from sipserver.calls.leg_media import LegMedia
    from sipserver.calls.timelimit import TimeLimiter

# Messages of one call in the log: hours of refreshes fit, a peer that floods us does not.
TRACED_MESSAGES = 1000
ADOPTED_MESSAGES = 20

REPORTS_PER_ROW = 3  # of the media worker, of which each is five seconds
BACKLOG_SECONDS = 1.0  # of the log: then figures for the eye can wait

NOBODY_LISTENS = 1000  # keys that wait for a verb; what is beyond is dropped


@dataclass(frozen=True, slots=True)
class EarlyFact:
    """A fact that waits for the row; its place in the sequence is given when it is told."""

    at: float
    kind: str
    data: dict[str, Any]
    status: str = ""


class CallSession(ABC):
    """One call leg.

    ``signal`` holds what shall end or replace the program. ``over`` resolves with the first *fact*
    among it (peer or media gone): a level, not an edge, so whoever looks later still sees it.
    ``usage`` is the engine's handle (0: a leg that we place and that has no INVITE out).
    """

    direction: str
    # Slugs of termination for what the peer did.
    hangup_cause: str

    def __init__(self, env: Environment, usage: int, flow: Flow, call_sid: str = "") -> None:
        self.env = env
        self.call_sid = call_sid or env.new_call_sid()
        self.usage = usage
        self.flow = flow
        self.signal = InterruptSignal()
        self.detail = ""  # of what is in signal, for the operator
        self.over: asyncio.Future[Over] = asyncio.get_running_loop().create_future()
        self.media: MediaSession | None = None
        self.status = "ringing"
        self.opened = False
        self.answered_at: float | None = None
        self.http_session: dict[str, Any] = {}
        self.media_stats: dict[str, Any] = {}
        self.quality = QualityLog()
        self._reports = 0
        self.dialog_over = False
        self.finishing = False  # its ending is chosen; nothing changes it any more
        self.time_limit: float | None = None  # seconds that REST allows it
        self.limiter: TimeLimiter | None = None
        self.fallback: tuple[str, str] | None = None  # (url, method) that REST wants
        self.callback: CallbackTarget | None = None
        self.last_headers: tuple[tuple[str, str], ...] = ()  # of the peer's BYE or final response
        self.keys: asyncio.Queue[str] = asyncio.Queue(NOBODY_LISTENS)
        # Hooks of whoever deals with the leg at the moment.
        self.on_offer: Callable[[bytes], Coroutine[Any, Any, None]] | None = None
        self.on_late_answer: Callable[[bytes], Coroutine[Any, Any, None]] | None = None
        self.on_key: Callable[[str], None] | None = None
        self.on_refer: Callable[[InDialogRequest], None] | None = None
        self.on_notified: Callable[[Notified], None] | None = None
        self.on_bridged: Callable[[], None] | None = None
        self.on_fetched: Callable[[], None] | None = None
        self.after_end: Coroutine[Any, Any, None] | None = None  # what the manager runs then
        self.bridge: Bridge | None = None
        self.leg_media: LegMedia | None = None
        self.referred_last = False  # the last verb that ran was a Refer of ours
        self.transfers = 0  # how many REFERs it has seen, both ways
        self.recordings = LegRecordings()
        self._over_at: float | None = None
        self._sequence = 0
        self._promised = 0
        self._traced = 0
        self._early: list[EarlyFact | NotificationRecord] = []

    # --- what kinds of legs differ in -------------------------------------------------------

    @property
    @abstractmethod
    def policy(self) -> DomainPolicy:
        """Of the domain that the call belongs to."""

    @property
    @abstractmethod
    def own_number(self) -> str:
        """What is shown as caller ID when this leg's program dials: a number or user name."""

    @abstractmethod
    def opening(self) -> CallOpened:
        """The row as it is when the call begins."""

    @abstractmethod
    def call_facts(self, status: str) -> CallFacts:
        """What the application is told."""

    # --- state ------------------------------------------------------------------------------

    @property
    def answered(self) -> bool:
        return self.answered_at is not None

    @property
    def changeable(self) -> bool:
        """Whether a live update can still do something: nothing has ended the call yet."""
        pending = self.signal.pending
        return not self.finishing and (pending is None or isinstance(pending, Redirected))

    def interrupt(self, what: Interrupt, detail: str = "") -> None:
        """Store it; whoever waits wakes up. Merge rules: twimlrunner.engine.interrupts."""
        if not self.signal.put(what):
            return
        self.detail = detail
        self.event("interrupt", {"what": interrupt_cause(what)})
        if isinstance(what, Over) and not self.over.done():
            self.ends_now()
            self.over.set_result(what)

    def ends_now(self) -> None:
        """The call lasts no longer than until now: what is still to be tidied up is no part of
        it."""
        self._over_at = self._over_at or self.env.clock.wall()

    def key_pressed(self, key: str) -> None:
        """One DTMF key of the peer, by whatever way it came. Never in the log."""
        if self.on_key is not None:
            self.on_key(key)
        else:
            self.keep_key(key)

    def keep_key(self, key: str) -> None:
        """For whoever asks for keys next."""
        if not self.keys.full():
            self.keys.put_nowait(key)

    def key_sent_by_info(self, key: str) -> None:
        """As :meth:`key_pressed`; the worker knows nothing of it, so a bridge passes it on."""
        self.key_pressed(key)
        if self.bridge is not None:
            self.bridge.relay_key(self, key)

    # --- the log ----------------------------------------------------------------------------

    def event(self, kind: str, data: dict[str, Any] | None = None, status: str = "") -> None:
        """One more fact. Facts told before the row exists wait for it."""
        fact = EarlyFact(self.env.clock.wall(), kind, data or {}, status)
        if self.opened:
            self._tell(fact)
        else:
            self._early.append(fact)
        if status:
            self.status = status
            self._promise(status)

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
        record = NotificationRecord(
            at=self.env.clock.wall(),
            code=code,
            level=level,
            message=message,
            call_sid=self.call_sid,
            account_sid=self._account_sid(),
            request_method=method,
            request_url=url,
        )
        if self.opened:
            self.env.log.append(record)
        else:
            self._early.append(record)

    def _account_sid(self) -> str:
        return self.policy.account_sid

    def measured(self, stats: dict[str, Any]) -> None:
        """A report of the media worker; now and then the row gets it, so that pages can show it."""
        self.media_stats = stats
        self.quality.add(stats)
        self._reports += 1
        if self._reports % REPORTS_PER_ROW or not self.opened or self.finishing:
            return
        if self.env.log.backlog[1] < BACKLOG_SECONDS:
            media = self.quality.with_series(stats, LIVE_POINTS)
            self.env.log.append(MediaMeasured(self.call_sid, media))

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
        self.status = ending.status
        self._promise(ending.status, ending)
        self._sequence += 1
        self.env.log.append(
            CallClosed(
                call_sid=self.call_sid,
                seq=self._sequence,
                at=self._ended_at(),
                status=ending.status,
                cause=ending.cause,
                reason=ending.reason,
                sip_status=ending.sip_status,
                error_code=ending.code,
                answered_at=self.answered_at,
                media=self.quality.with_series(self.media_stats),
            )
        )

    def _ended_at(self) -> float:
        """When the peer was gone; what verbs still had to report then is no part of the call."""
        return self._over_at or self.env.clock.wall()

    def _release(self) -> None:
        self.opened = True
        for early in self._early:
            if isinstance(early, EarlyFact):
                self._tell(early)
            else:
                self.env.log.append(early)
        self._early.clear()

    # --- status callbacks -------------------------------------------------------------------

    def callback_spec(self) -> dict[str, Any]:
        """For the row, so that the sweep can keep the promise of ``completed``."""
        wanted = self.callback
        if wanted is None:
            return {}
        return {"url": wanted.url, "method": wanted.method, "events": list(wanted.events)}

    def _promise(self, status: str, ending: Termination | None = None) -> None:
        """Put this status's progress callback on record, if one is wanted (webhooks.md 4.2)."""
        wanted = self.callback
        if wanted is None or EVENT_OF_STATUS.get(status) not in wanted.events:
            return
        now = self.env.clock.wall()
        duration = None
        if ending is not None:
            now = self._ended_at()
            duration = 0 if self.answered_at is None else round(now - self.answered_at)
        parameters = progress_parameters(
            self.call_facts(status),
            status=status,
            at=now,
            sequence=self._promised,
            duration=duration,
            sip_response_code=ending.sip_status if ending is not None else None,
            recording=self.recordings.of_call,
        )
        self.env.log.append(
            CallbackPromised(
                message_id=message_id(self.call_sid, self._promised),
                stream=self.call_sid,
                position=self._promised,
                purpose=STATUS_CALLBACK,
                call_sid=self.call_sid,
                account_sid=self._account_sid(),
                at=now,
                method=wanted.method,
                url=wanted.url,
                parameters=parameters,
            )
        )
        self._promised += 1
