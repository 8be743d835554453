"""All live calls of a node: engine events to sessions, one task per call."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Coroutine, Sequence
from typing import Any

from sipdomains.policy import DomainPolicy
from sipserver.calls.admission import Load, RefusalBudget, SpentNonces
from sipserver.calls.session import CallSession, Environment
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
    RequestRefused,
    SessionOffer,
    SipEvent,
)
from sipserver.sip.message import Request
from twimlrunner.engine.interrupts import Cancelled as CallerCancelled
from twimlrunner.engine.interrupts import NodeDraining, RemoteHangup
from twimlrunner.engine.ports import CallEnded

log = logging.getLogger(__name__)

# A challenged INVITE is kept this long for the call that answers it.
CHALLENGE_SECONDS = 32.0
_CHALLENGES_LIMIT = 2000

# Ended.cause of the engine to a cause of calls.termination; ``local`` is our own BYE.
_ENDINGS = {
    "bye": "caller-hangup",
    "ack-timeout": "ack-timeout",
    "flow-lost": "flow-lost",
    "gone": "peer-gone",
}
# Status of an INVITE that the engine refused by itself to a cause.
_REFUSALS = {483: "hops-exhausted", 503: "overloaded"}


class _LiveEntry:
    """A session with its task and the side tasks (offers) that end with it."""

    __slots__ = ("session", "side_tasks", "task")

    def __init__(self, session: CallSession) -> None:
        self.session = session
        self.task: asyncio.Task[None] | None = None
        self.side_tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(_until_ended(self.session, work))
        self.side_tasks.add(task)
        task.add_done_callback(self.side_tasks.discard)


class CallManager:
    """``on_events`` is the endpoint's sink. ``drain`` lets calls end, ``stop`` ends them."""

    def __init__(self, env: Environment) -> None:
        self._env = env
        self._calls: dict[int, _LiveEntry] = {}
        self._challenges: dict[tuple[str, str], tuple[asyncio.TimerHandle, CallSession]] = {}
        self.counts: Counter[str] = Counter()
        self.live: dict[str, int] = {}
        self.refusals = RefusalBudget()
        self.spent_nonces = SpentNonces(env.settings.intake.nonce_seconds)
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
                self._start(event)
            case IncomingRequest() | InDialogRequest():
                # The engine refuses what is not in Allow; this is for what slips through.
                self._env.sip.respond(event.transaction, 405)
            case RequestRefused():
                self._refused_by_engine(event)
            case _:
                entry = self._calls.get(event.usage) if hasattr(event, "usage") else None
                if entry is not None:
                    self._for_call(entry, event)

    def _for_call(self, entry: _LiveEntry, event: SipEvent) -> None:
        session = entry.session
        match event:
            case MessageTraced():
                session.trace(event)
            case Cancelled():
                session.final_response_sent = True
                session.interrupt(CallerCancelled())
            case Acknowledged():
                if not session.acked.done():
                    session.acked.set_result(event.body)
                elif session.on_late_answer is not None and event.body:
                    entry.spawn(session.on_late_answer(event.body))
            case SessionOffer():
                if session.on_offer is None:
                    self._env.sip.refuse_offer(session.usage, 491)
                else:
                    entry.spawn(session.on_offer(event.body))
            case Ended():
                cause = _ENDINGS.get(event.cause)
                if cause is not None:
                    session.dialog_over = True
                    session.interrupt(RemoteHangup(cause))

    def _refused_by_engine(self, event: RequestRefused) -> None:
        """An INVITE that the engine answered by itself: a row, as for any refused call."""
        self.counts[f"refused-{event.status}"] += 1
        cause = _REFUSALS.get(event.status, "protocol")
        detail = f"({event.status} {event.reason})"
        session = CallSession(self._env, IncomingInvite(0, event.request, event.flow))
        try:
            record_refusal(session, termination(cause, detail, event.status), self, None)
        except RemoteProtocolError as error:
            # So broken that not even the row's own fields can be read.
            log.info("INVITE from %s refused: %s", event.flow.remote[0], error)

    # --- life of calls ----------------------------------------------------------------------

    def _start(self, invite: IncomingInvite) -> None:
        session = CallSession(self._env, invite)
        earlier = self._forget_challenge(_dialog_key(invite.request))
        if earlier is not None:
            session.adopt(earlier.early_messages())
        entry = _LiveEntry(session)
        self._calls[invite.usage] = entry
        self.counts["invites"] += 1
        self._running += 1
        entry.task = asyncio.create_task(self._run(entry), name=session.call_sid)

    async def _run(self, entry: _LiveEntry) -> None:
        session = entry.session
        try:
            await run_call(session, self)
        except Exception:
            log.exception("call %s: its function failed", session.call_sid)
            self._env.sip.reject(session.usage, 500)  # whatever else went wrong, no silence
        finally:
            self._running -= 1
            for task in entry.side_tasks:
                task.cancel()
            # Late messages (the 200 to our BYE) still belong to the ladder for a moment.
            asyncio.get_running_loop().call_later(
                self._env.settings.parting_seconds, self._calls.pop, session.usage, None
            )

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

    def remember_challenge(self, session: CallSession, policy: DomainPolicy) -> None:
        """Keep a challenged INVITE: its messages belong to the call that answers the challenge. If
        none does, that is worth a row: a phone without a password would leave no trace else."""
        if len(self._challenges) >= _CHALLENGES_LIMIT:
            return
        key = _dialog_key(session.request)
        self._forget_challenge(key)
        timer = asyncio.get_running_loop().call_later(
            CHALLENGE_SECONDS, self._challenge_unanswered, key, policy
        )
        self._challenges[key] = (timer, session)

    def _forget_challenge(self, key: tuple[str, str]) -> CallSession | None:
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
        tasks = {entry.task for entry in self._calls.values() if entry.task is not None}
        if tasks and seconds > 0:
            hurry = asyncio.create_task(self._hurry.wait())
            idle = asyncio.create_task(asyncio.wait(tasks))
            await asyncio.wait({hurry, idle}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            hurry.cancel()
            idle.cancel()
        for entry in self._calls.values():
            if entry.task is not None and not entry.task.done():
                entry.session.interrupt(NodeDraining())
        if tasks:
            settings = self._env.settings
            # The program's clean-up, then the port's.
            bound = settings.parting_seconds + 2 * settings.cleanup_seconds + 1.0
            await asyncio.wait(tasks, timeout=bound)

    def hurry(self) -> None:
        """End the draining now."""
        self._hurry.set()


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
