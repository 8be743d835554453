"""All live calls of a node: engine events to sessions, one task per leg."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Sequence
from typing import Any

from sipdomains.live import Command, Order, Outcome
from sipdomains.policy import DomainPolicy
from sipserver.calls import live, received
from sipserver.calls.admission import IncomingRates, Load, RefusalBudget, SpentNonces, admit
from sipserver.calls.control import LiveCall
from sipserver.calls.dialling import Dial
from sipserver.calls.environment import Environment
from sipserver.calls.fraud import OutgoingGuard
from sipserver.calls.inbound import InboundSession
from sipserver.calls.originate import originate
from sipserver.calls.outbound import OutboundSession
from sipserver.calls.outgoing import x_headers
from sipserver.calls.ports import LogUnavailable
from sipserver.calls.registrar import Registrar
from sipserver.calls.session import CallSession
from sipserver.calls.supervisor import record_refusal, run_call
from sipserver.calls.termination import termination
from sipserver.sip.errors import RemoteProtocolError
from sipserver.sip.events import (
    Acknowledged,
    Cancelled,
    Ended,
    IncomingInvite,
    IncomingRequest,
    InDialogRequest,
    MessageTraced,
    Notified,
    OutgoingAnswered,
    OutgoingFailed,
    OutgoingProgress,
    OutgoingTrying,
    RequestFinal,
    RequestRefused,
    SessionOffer,
    SipEvent,
)
from sipserver.sip.info import DTMF_TYPES, read_digit
from sipserver.sip.message import Request
from twimlrunner.engine.interrupts import Cancelled as CallerCancelled
from twimlrunner.engine.interrupts import NodeDraining, RemoteHangup
from twimlrunner.engine.ports import CallEnded, Dialled, DialPlan

log = logging.getLogger(__name__)

# A challenged INVITE is kept this long for the call that answers it.
CHALLENGE_SECONDS = 32.0
_CHALLENGES_LIMIT = 2000

# Ended.cause of the engine to a cause of calls.termination; ``local`` is our own BYE. What a BYE
# means depends on the leg.
_ENDINGS = {
    "ack-timeout": "ack-timeout",
    "flow-lost": "flow-lost",
    "gone": "peer-gone",
    "session-expired": "session-expired",
    "prack-timeout": "ack-timeout",
}
_INFO_TYPES = (("Accept", ", ".join(sorted(DTMF_TYPES))),)
# Status of an INVITE that the engine refused by itself to a cause.
_REFUSALS = {483: "hops-exhausted", 503: "overloaded"}


class _LiveEntry:
    """A session with its task and the side tasks (offers) that end with it."""

    __slots__ = ("session", "side_tasks", "task", "usages")

    def __init__(self, session: CallSession) -> None:
        self.session = session
        self.task: asyncio.Task[None] | None = None
        self.side_tasks: set[asyncio.Task[None]] = set()
        self.usages: list[int] = []

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(_until_ended(self.session, work))
        self.side_tasks.add(task)
        task.add_done_callback(self.side_tasks.discard)


class CallManager:
    """``on_events`` is the endpoint's sink. ``drain`` lets calls end, ``stop`` ends them."""

    def __init__(self, env: Environment, registrar: Registrar | None = None) -> None:
        self._env = env
        self._registrar = registrar
        self._calls: dict[int, _LiveEntry] = {}
        self._entries: dict[CallSession, _LiveEntry] = {}
        self._by_sid: dict[str, CallSession] = {}
        self._side_tasks: set[asyncio.Task[None]] = set()
        self._challenges: dict[tuple[str, str], tuple[asyncio.TimerHandle, InboundSession]] = {}
        self.counts: Counter[str] = Counter()
        self.live: dict[str, int] = {}
        self.incoming_rates = IncomingRates()
        self.refusals = RefusalBudget()
        self.spent_nonces = SpentNonces(env.settings.intake.nonce_seconds)
        self.guard = OutgoingGuard()
        self.draining = False
        self._running = 0
        self._hurry = asyncio.Event()

    def load(self) -> Load:
        backlog, age = self._env.log.backlog
        return Load(self._running, backlog, age, self.draining)

    # --- events -----------------------------------------------------------------------------

    def on_events(self, events: Sequence[SipEvent]) -> None:
        for event in events:
            try:
                self._on_event(event)
            except Exception:
                log.exception("event %s was not handled", type(event).__name__)

    def _on_event(self, event: SipEvent) -> None:
        match event:
            case IncomingInvite():
                self._start_inbound(event)
            case IncomingRequest():
                self._outside(event)
            case RequestRefused():
                self._refused_by_engine(event)
            case RequestFinal():
                self._env.sip.settle(event)
            case _:
                entry = self._calls.get(event.usage)
                if entry is not None:
                    self._for_call(entry, event)
                elif isinstance(event, InDialogRequest):
                    self._env.sip.respond(event.transaction, 481)

    def _for_call(self, entry: _LiveEntry, event: SipEvent) -> None:
        session = entry.session
        match event:
            case MessageTraced():
                session.trace(event)
            case Cancelled() if isinstance(session, InboundSession):
                session.final_response_sent = True
                session.interrupt(CallerCancelled())
            case Acknowledged():
                self._acknowledged(entry, event)
            case SessionOffer():
                # Of several phones that ring for one leg only one is heard.
                if session.on_offer is None or event.usage != session.usage:
                    self._env.sip.refuse_offer(event.usage, 491)
                else:
                    entry.spawn(session.on_offer(event.body))
            case InDialogRequest():
                self._in_dialog(session, event)
            case Notified() if session.on_notified is not None:
                session.on_notified(event)
            case OutgoingTrying() | OutgoingProgress() | OutgoingAnswered() | OutgoingFailed():
                if isinstance(session, OutboundSession):
                    session.on_outgoing(event)
            case Ended() if event.usage == session.usage:
                self._ended(session, event)

    def _acknowledged(self, entry: _LiveEntry, event: Acknowledged) -> None:
        session = entry.session
        if isinstance(session, InboundSession) and not session.acked.done():
            session.acked.set_result(event.body)
        elif session.on_late_answer is not None and event.body:
            entry.spawn(session.on_late_answer(event.body))

    def _ended(self, session: CallSession, event: Ended) -> None:
        cause = session.hangup_cause if event.cause == "bye" else _ENDINGS.get(event.cause)
        if cause is None:
            return
        session.dialog_over = True
        if event.request is not None:
            session.last_headers = x_headers(event.request.headers.items())
        session.interrupt(RemoteHangup(cause))

    def _in_dialog(self, session: CallSession, event: InDialogRequest) -> None:
        request = event.request
        if request.method == "INFO":
            digit = read_digit(request.content_type, request.body)
            known = not request.body or request.content_type in DTMF_TYPES
            if known:
                self._env.sip.respond(event.transaction, 200)
            else:
                self._env.sip.respond(event.transaction, 415, headers=_INFO_TYPES)
            if digit is not None:
                session.key_sent_by_info(digit.key)
        elif request.method == "REFER":
            if session.on_refer is not None:
                session.on_refer(event)
            else:
                received.decline(session, event, "REFER is only taken while Dial has connected.")
        else:
            self._env.sip.respond(event.transaction, 405)

    def _outside(self, event: IncomingRequest) -> None:
        if event.request.method == "REGISTER" and self._registrar is not None:
            self.spawn(self._registrar.register(event))
        else:
            # The engine refuses what is not in Allow; this is for what slips through.
            self._env.sip.respond(event.transaction, 405)

    def _refused_by_engine(self, event: RequestRefused) -> None:
        """An INVITE that the engine answered by itself: a row, as for any refused call."""
        self.counts[f"refused-{event.status}"] += 1
        cause = _REFUSALS.get(event.status, "protocol")
        detail = f"({event.status} {event.reason})"
        session = InboundSession(self._env, IncomingInvite(0, event.request, event.flow))
        try:
            record_refusal(session, termination(cause, detail, event.status), self, None)
        except RemoteProtocolError as error:
            # So broken that not even the row's own fields can be read.
            log.info("INVITE from %s refused: %s", event.flow.remote[0], error)

    # --- life of calls ----------------------------------------------------------------------

    def _start_inbound(self, invite: IncomingInvite) -> None:
        session = InboundSession(self._env, invite)
        earlier = self._forget_challenge(_dialog_key(invite.request))
        if earlier is not None:
            session.adopt(earlier.early_messages())
        entry = _LiveEntry(session)
        self._attach(invite.usage, entry)
        self.counts["invites"] += 1
        self._begin(entry, run_call(session, self))

    def start(self, leg: OutboundSession, work: Coroutine[Any, Any, None]) -> None:
        self.counts["outgoing"] += 1
        self._begin(_LiveEntry(leg), work)

    def attach(self, usage: int, leg: OutboundSession) -> None:
        self._attach(usage, self._entries[leg])

    def _attach(self, usage: int, entry: _LiveEntry) -> None:
        self._calls[usage] = entry
        entry.usages.append(usage)

    def _begin(self, entry: _LiveEntry, work: Coroutine[Any, Any, None]) -> None:
        self._running += 1
        self._entries[entry.session] = entry
        self._by_sid[entry.session.call_sid] = entry.session
        entry.task = asyncio.create_task(self._run(entry, work), name=entry.session.call_sid)

    async def _run(self, entry: _LiveEntry, work: Coroutine[Any, Any, None]) -> None:
        session = entry.session
        try:
            await work
        except Exception:
            log.exception("call %s: its function failed", session.call_sid)
            if isinstance(session, InboundSession):
                self._env.sip.reject(session.usage, 500)  # whatever else went wrong, no silence
        finally:
            self._running -= 1
            del self._entries[session]
            del self._by_sid[session.call_sid]
            for task in entry.side_tasks:
                task.cancel()
            # Late messages (the 200 to our BYE) still belong to the ladder for a moment, those of a
            # transfer for as long as it is watched.
            loop = asyncio.get_running_loop()
            if session.after_end is not None:
                watch = self.spawn(session.after_end)
                watch.add_done_callback(lambda _: self._detach(entry))
            else:
                loop.call_later(self._env.settings.farewell_seconds, self._detach, entry)

    def _detach(self, entry: _LiveEntry) -> None:
        for usage in entry.usages:
            self._calls.pop(usage, None)

    async def dial(self, call: LiveCall, plan: DialPlan) -> Dialled:
        return await Dial(call, plan, self).run()

    # --- what REST asks for -----------------------------------------------------------------

    @property
    def accepting(self) -> bool:
        """Whether calls may be taken out of the queue."""
        return admit(self.load(), self._env.settings.intake.limits) is None

    def originate(self, order: Order) -> None:
        self.counts["created"] += 1
        originate(order, self, self._env)

    async def apply(self, command: Command) -> Outcome:
        self.counts[f"command-{command.kind}"] += 1
        return await live.apply(command, self)

    @property
    def sids(self) -> Collection[str]:
        """Of the calls that are live."""
        return self._by_sid.keys()

    def find(self, call_sid: str) -> CallSession | None:
        return self._by_sid.get(call_sid)

    def ended(self, session: CallSession) -> asyncio.Task[None]:
        entry = self._entries.get(session)
        return self.spawn(self._closed(entry.task if entry is not None else None))

    async def _closed(self, task: asyncio.Task[None] | None) -> None:
        if task is not None:
            await asyncio.wait({task})
        try:
            await self._env.log.flush()
        except LogUnavailable as error:
            log.warning("the end of a call is not written down yet: %s", error)

    def session_of(self, usage: int) -> CallSession | None:
        entry = self._calls.get(usage)
        live = entry is not None and entry.task is not None and not entry.task.done()
        return entry.session if entry is not None and live else None

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(_logged(work))
        self._side_tasks.add(task)
        task.add_done_callback(self._side_tasks.discard)
        return task

    def later(self, seconds: float, action: Callable[[], None]) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(seconds, action)

    def claim(self, *sids: str) -> None:
        for sid in sids:
            self.live[sid] = self.live.get(sid, 0) + 1

    def release(self, *sids: str) -> None:
        for sid in sids:
            left = self.live[sid] - 1
            if left:
                self.live[sid] = left
            else:
                del self.live[sid]

    def remember_challenge(self, session: InboundSession, policy: DomainPolicy) -> None:
        """Keep a challenged INVITE: its messages belong to the call that answers the challenge. If
        none does, that is worth a row: a phone without a password would leave no trace else."""
        if len(self._challenges) >= _CHALLENGES_LIMIT:
            return
        key = _dialog_key(session.request)
        self._forget_challenge(key)
        timer = self.later(CHALLENGE_SECONDS, lambda: self._challenge_unanswered(key, policy))
        self._challenges[key] = (timer, session)

    def _forget_challenge(self, key: tuple[str, str]) -> InboundSession | None:
        kept = self._challenges.pop(key, None)
        if kept is None:
            return None
        kept[0].cancel()
        return kept[1]

    def _challenge_unanswered(self, key: tuple[str, str], policy: DomainPolicy) -> None:
        session = self._forget_challenge(key)
        if session is not None:
            record_refusal(session, termination("challenge-unanswered"), self, policy)

    # --- the end of the node ----------------------------------------------------------------

    async def drain(self, seconds: float) -> None:
        """No new calls; wait for those that run, at most ``seconds``; then end the rest."""
        self.draining = True
        for key in list(self._challenges):
            self._forget_challenge(key)
        if self._entries and seconds > 0:
            hurry = asyncio.create_task(self._hurry.wait())
            idle = asyncio.create_task(self._idle())
            await asyncio.wait({hurry, idle}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            hurry.cancel()
            idle.cancel()
        for entry in list(self._entries.values()):
            entry.session.interrupt(NodeDraining())
        if self._entries:
            settings = self._env.settings
            # The program's clean-up, then the port's, then that of recordings.
            bound = settings.parting_seconds + 3 * settings.cleanup_seconds + 1.0
            idle = asyncio.create_task(self._idle())
            await asyncio.wait({idle}, timeout=bound)
            idle.cancel()
        for task in list(self._side_tasks):
            task.cancel()

    async def _idle(self) -> None:
        """Until no leg is left; calls that drain may still place new ones."""
        while tasks := {entry.task for entry in self._entries.values() if entry.task is not None}:
            await asyncio.wait(tasks)

    def hurry(self) -> None:
        """End the draining now."""
        self._hurry.set()


async def _logged(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except Exception:
        log.exception("a task beside the calls failed")


async def _until_ended(session: CallSession, work: Coroutine[Any, Any, None]) -> None:
    """See to an offer or answer within the call."""
    try:
        await work
    except CallEnded:
        pass  # it came too late
    except Exception:
        log.exception("call %s: an offer or answer was not handled", session.call_sid)
        session.env.sip.refuse_offer(session.usage, 500)  # if it still waits for one


def _dialog_key(request: Request) -> tuple[str, str]:
    """The same for the challenged INVITE and the one with credentials (RFC 3261 22.2)."""
    return request.call_id, request.from_.tag or ""
