"""Dial: ring, let the first answer win, screen, bridge, and tell how it went (twiml-voice.md 3)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sipserver.calls import destinations, received, recording
from sipserver.calls.bridging import Bridge, Handover, has_ended
from sipserver.calls.control import LiveCall
from sipserver.calls.office import Office
from sipserver.calls.outbound import OutboundSession
from sipserver.calls.outgoing import run_leg
from sipserver.calls.ports import PlayOperation
from sipserver.calls.programs import run_document
from sipserver.calls.session import CallSession
from sipserver.calls.transferring import Transferring
from sipserver.calls.waiting import first, unless_over
from sipserver.sip import target as sip_target
from sipserver.sip.events import InDialogRequest
from twimlrunner.engine.ports import (
    CallEnded,
    Dialled,
    DialPlan,
    DialTarget,
    DocumentRequest,
    VerbFailed,
)
from twimlrunner.engine.runner import Completed
from twimlrunner.twiml.redact import without_passwords
from twimlrunner.verbs.registry import SCREENING_HANDLERS

log = logging.getLogger(__name__)

_STAR = "*"


@dataclass(slots=True)
class Ringing:
    """One noun that is being rung."""

    target: DialTarget
    leg: OutboundSession
    call: LiveCall


class Dial:
    """One Dial of ``call``. ``run`` returns how it went; cancelling it ends all legs it still has.

    Everything that happens sets ``_news``; the loops then look at the state: levels, not edges.
    """

    def __init__(self, call: LiveCall, plan: DialPlan, office: Office) -> None:
        self.call = call
        self.session = call.session
        self.plan = plan
        self.office = office
        self._news = asyncio.Event()
        self._ringing: list[Ringing] = []
        self._winner: OutboundSession | None = None
        self._ringback: PlayOperation | None = None
        self._early: Bridge | None = None
        self._recording: recording.Active | None = None
        self._recorded_url = ""
        self._star = False
        self._refer: tuple[CallSession, InDialogRequest] | None = None
        self._kept: tuple[Any, Any] | None = None  # hooks of the caller that ours stand in for

    async def run(self) -> Dialled:
        session = self.session
        session.over.add_done_callback(self._wake)
        try:
            result = await self._run()
        finally:
            session.over.remove_done_callback(self._wake)
            await self._clean_up()
        return replace(result, recording_url=self._recorded_url)

    async def _run(self) -> Dialled:
        targets = self.plan.targets
        if self.plan.answer_on_bridge:
            try:  # the port decides on which media worker the callees are
                await self.call.media.open()
            except CallEnded:
                return Dialled("canceled", bridged=False, caller_gone=True)
        groups: Sequence[Sequence[DialTarget]] = [targets]
        if self.plan.sequential:
            groups = [[target] for target in targets]
        result = Dialled("failed")
        for group in groups:
            winner = await self._ring(group) if group else None
            if winner is not None:
                return await self._connected(winner)
            result = self._unanswered()
            if self.session.over.done():
                return replace(result, status="canceled", caller_gone=True)
        return result

    # --- ringing ----------------------------------------------------------------------------

    async def _ring(self, group: Sequence[DialTarget]) -> Ringing | None:
        """The noun that answered first; None when nobody did in time, or the caller is gone."""
        settings = self.session.env.settings
        loop = asyncio.get_running_loop()
        self._ringing = [self._start(target) for target in group]
        await self._hear_ringing()
        deadline = loop.time() + self.plan.timeout + settings.ring_grace_seconds
        while True:
            self._news.clear()
            if self.session.over.done():
                await self._let_go("caller-gone")
                return None
            for each in self._ringing:
                if each.leg.answer.done():
                    await self._let_go("dial-cancelled", but=each)
                    return each
            live = [each for each in self._ringing if not each.leg.done.done()]
            if not live:
                return None
            if self._winner is not None and self._winner.done.done():
                self._winner = None  # its answer was of no use: the others may still win
            if loop.time() >= deadline:
                await self._let_go("ring-timeout")
                return None
            await self._pass_early_media(live)
            await self._next_news(deadline - loop.time())

    def _start(self, target: DialTarget) -> Ringing:
        session, env = self.session, self.session.env
        number = caller_number(session, self.plan.caller_id)
        leg = OutboundSession(
            env,
            session.policy,
            parent_sid=session.call_sid,
            from_=number,
            to=_shown(target),
            callback=target.callback,
        )
        leg.caller_id = number
        leg.news = self._news.set
        leg.may_answer = lambda: self._claim(leg)
        leg.over.add_done_callback(self._wake)
        call = LiveCall(leg, self.office)
        session.event("dial", {"what": "started", "call_sid": leg.call_sid, "to": leg.to})

        async def locate() -> destinations.Destinations | destinations.Undialable:
            return await destinations.destinations(
                target,
                policy=session.policy,
                caller_id=number,
                directory=env.directory,
                sip=env.sip,
                node=env.settings.node,
                sip_ports=env.settings.sip_ports,
                random=env.random,
            )

        self.office.start(leg, run_leg(leg, call, locate, self.office, near=session.media))
        return Ringing(target, leg, call)

    def _claim(self, leg: OutboundSession) -> bool:
        """Asked in the moment a 2xx comes: only the first may go on."""
        if self._winner is None and not self.session.over.done():
            self._winner = leg
        return self._winner is leg

    async def _let_go(self, cause: str, but: Ringing | None = None) -> None:
        """Cancel those that ring, and wait until their rows are final (they will be soon)."""
        others = [each for each in self._ringing if each is not but]
        for each in others:
            each.leg.release(cause)
        if but is not None:
            return
        ends = [each.leg.done for each in others]
        if ends:
            bound = self.session.env.settings.cleanup_seconds
            await asyncio.wait(ends, timeout=bound)

    async def _hear_ringing(self) -> None:
        session = self.session
        if session.answered and session.media is not None and self._ringback is None:
            tone = self.plan.ring_tone or session.env.settings.ring_tone
            self._ringback = session.media.ringback(tone)
            await self._record_from("ringing")

    async def _pass_early_media(self, live: Sequence[Ringing]) -> None:
        """With answerOnBridge the caller hears what the first callee's side plays (183)."""
        if not self.plan.answer_on_bridge or self.session.answered:
            return
        if self._early is not None:
            if not has_ended(self._early.right):
                return
            await self._stop_early("ended")  # another one may be heard now
        for each in live:
            if each.leg.early:
                try:
                    if not await self.call.early_media():
                        return
                except CallEnded:
                    return
                self._early = Bridge(self.session, each.leg, self._news.set)
                await self._early.open(early=True)
                return

    def _stop_ringing(self) -> None:
        if self._ringback is not None:
            self._ringback.stop()
            self._ringback = None

    async def _stop_early(self, why: str) -> None:
        early, self._early = self._early, None
        if early is not None:
            await early.close(why)

    def _unanswered(self) -> Dialled:
        """Of several the last one counts (webhooks.md section 4.1)."""
        if not self._ringing:
            return Dialled("failed")
        last = self._ringing[-1]
        status = "failed"
        if last.leg.done.done():
            status = last.leg.done.result().status
        return self._dialled(last, status, bridged=False)

    # --- answered ---------------------------------------------------------------------------

    async def _connected(self, winner: Ringing) -> Dialled:
        leg = winner.leg
        self.session.event("dial", {"what": "answered", "call_sid": leg.call_sid})
        try:
            if not await self._prepare(winner):
                leg.dismiss("screening-hangup")
                await self._end_of(leg)
                return self._dialled(winner, "completed", bridged=False)
            if self.plan.answer_on_bridge:
                await self.call.ensure_answered()
            if has_ended(leg) or leg.detached:  # it did not wait
                await self._end_of(leg)
                return self._dialled(winner, "completed", bridged=False)
        except CallEnded:
            if not leg.detached:
                leg.release("caller-gone" if self.session.over.done() else "released")
            await self._end_of(leg)
            gone = self.session.over.done()
            return replace(self._dialled(winner, "completed", bridged=False), caller_gone=gone)
        self._stop_ringing()
        await self._stop_early("answered")
        return await self._bridged(winner)

    async def _prepare(self, winner: Ringing) -> bool:
        """sendDigits and the screening document. False: the callee shall not be connected.

        Raises CallEnded when the caller is gone, or the callee before its document, or when the
        callee is taken away from us.
        """
        over = asyncio.ensure_future(first(self.session.over, winner.leg.own_way))
        try:
            return await self._prepare_unless(over, winner)
        finally:
            over.cancel()

    async def _prepare_unless(self, over: asyncio.Future[None], winner: Ringing) -> bool:
        target, leg = winner.target, winner.leg
        if target.send_digits or target.screening:
            await self._stop_early("screening")  # what follows is between us and the callee
        if target.send_digits:
            await unless_over(over, winner.call.send_digits(target.send_digits))
        if target.screening is None:
            return True
        self.session.event("dial", {"what": "screening", "call_sid": leg.call_sid})
        url, method = target.screening
        request = DocumentRequest(url, method, "screening")
        work = run_document(leg, winner.call, request, SCREENING_HANDLERS)
        end = await unless_over(over, work)
        return isinstance(end, Completed) and not leg.over.done()

    async def _bridged(self, winner: Ringing) -> Dialled:
        session, leg = self.session, winner.leg
        swallow = _STAR if self.plan.hangup_on_star else ""
        bridge = Bridge(session, leg, self._news.set, swallow)
        limit = self.office.later(self.plan.time_limit, lambda: leg.dismiss("time-limit"))
        self._hook(leg)
        try:
            await bridge.open()
            await self._record_from("answer")
            result = await self._talk(winner, bridge)
        finally:
            limit.cancel()
            self._unhook(leg)
            if bridge.handover is not None and not bridge.handover.parted.done():
                bridge.handover.end()
            await bridge.close("ended")
        return result

    def _hook(self, leg: OutboundSession) -> None:
        session = self.session
        self._kept = session.on_key, session.on_refer
        session.on_key, leg.on_key = self._caller_key, self._callee_key
        session.on_refer = lambda request: self._referred(session, request)
        leg.on_refer = lambda request: self._referred(leg, request)

    def _unhook(self, leg: OutboundSession) -> None:
        """Keys and REFERs are for whoever deals with the legs next, as a transfer's program."""
        if self._kept is not None:
            self.session.on_key, self.session.on_refer = self._kept
            self._kept = leg.on_key = leg.on_refer = None
        if self._refer is not None:
            (who, request), self._refer = self._refer, None
            who.env.sip.respond(request.transaction, 491)

    async def _talk(self, winner: Ringing, bridge: Bridge) -> Dialled:
        session, leg = self.session, winner.leg
        while True:
            self._news.clear()
            if bridge.handover is not None:  # first: who asked for it may hang up at once
                return await self._handed_over(winner, bridge, bridge.handover)
            if session.over.done():
                leg.dismiss("released")
                await self._end_of(leg)
                return replace(self._dialled(winner, "completed"), caller_gone=True)
            if leg.over.done() or leg.done.done() or leg.detached:
                await self._end_of(leg)
                return self._dialled(winner, "completed")
            if self._star:
                leg.dismiss("star-hangup")
                await self._end_of(leg)
                return self._dialled(winner, "completed")
            if self._refer is not None:
                (who, request), self._refer = self._refer, None
                result = await self._transfer(winner, bridge, who, request)
                if result is not None:
                    return result
                continue
            await self._next_news(None)

    # --- transfers --------------------------------------------------------------------------

    def _referred(self, who: CallSession, request: InDialogRequest) -> None:
        if self._refer is not None:
            who.env.sip.respond(request.transaction, 491)
            return
        self._refer = (who, request)
        self._news.set()

    async def _transfer(
        self, winner: Ringing, bridge: Bridge, who: CallSession, request: InDialogRequest
    ) -> Dialled | None:
        refer = received.accept(who, request, self.office, has_url=self.plan.refer is not None)
        if refer is None or self.plan.refer is None:
            return None
        transferring = Transferring(
            self.call, winner.leg, bridge, refer, self.plan.refer, self.office, self._news
        )
        done = self._dialled(winner, "completed")
        way = transferring.callee if who is self.session else transferring.caller
        self._unhook(winner.leg)
        result = await way(self.plan.answer_on_bridge, done)
        if result is None:
            self._hook(winner.leg)
        return result

    async def _handed_over(self, winner: Ringing, bridge: Bridge, given: Handover) -> Dialled:
        """An attended transfer takes one of the two away."""
        await bridge.close("transferred")
        done = self._dialled(winner, "completed")
        if given.keeps is winner.leg:
            winner.leg.detached = True
            given.parted.set_result(None)
            if winner.leg.own_way.done():
                given.end()
            return replace(done, replaced=True)
        winner.leg.dismiss("transferred")
        given.parted.set_result(None)
        try:
            await asyncio.shield(given.over)
        finally:  # a live update or the end of the caller's time takes it out of the new bridge
            given.end()
        return replace(done, caller_gone=self.session.over.done())

    # --- small ------------------------------------------------------------------------------

    def _caller_key(self, key: str) -> None:
        if self.plan.hangup_on_star and key == _STAR:
            self._star = True
            self._news.set()

    def _callee_key(self, key: str) -> None:
        """The worker passes telephone-events on by itself; nobody else wants them now."""

    async def _record_from(self, start: str) -> None:
        wanted = self.plan.recording
        if wanted is None or self._recording is not None:
            return
        if wanted.start != start and start != "answer":
            return
        try:
            self._recording = await recording.begin_dial(self.session, wanted)
        except VerbFailed as error:
            self.session.notify(error.code, "error", error.message)

    async def _clean_up(self) -> None:
        self._stop_ringing()
        await self._stop_early("ended")
        for each in self._ringing:
            each.leg.news = lambda: None
            if not each.leg.detached:
                each.leg.release("released" if each.leg.answered else "dial-cancelled")
        if self._recording is not None:
            recorded = await self._recording.finish("hangup")
            if recorded.heard:
                self._recorded_url = recorded.url

    async def _end_of(self, leg: OutboundSession) -> None:
        """Until its row is final: its BYE may bring headers, its duration is wanted."""
        if not leg.detached:
            bound = self.session.env.settings.cleanup_seconds
            await asyncio.wait({leg.done}, timeout=bound)

    def _dialled(self, which: Ringing, status: str, *, bridged: bool = True) -> Dialled:
        leg = which.leg
        seconds = 0
        if leg.answered_at is not None:
            seconds = max(0, round(leg.env.clock.wall() - leg.answered_at))
        return Dialled(
            status,
            call_sid=leg.call_sid,
            seconds=seconds,
            bridged=bridged,
            sip_call_id=leg.sip_call_id,
            sip_status=leg.sip_status,
            headers=leg.last_headers,
            kind=which.target.kind,
        )

    def _wake(self, _: object) -> None:
        self._news.set()

    async def _next_news(self, seconds: float | None) -> None:
        try:
            await asyncio.wait_for(self._news.wait(), seconds)
        except TimeoutError:
            pass  # the loop looks at the clock


def caller_number(session: CallSession, wanted: str) -> str:
    """The caller ID that callees see: what Dial says, else the caller's own user or number."""
    if wanted:
        if sip_target.is_caller_id(wanted):
            return wanted
        session.notify(13214, "warning", f"callerId {wanted!r} cannot be sent; the caller's own is")
    return session.own_number


def _shown(target: DialTarget) -> str:
    """What the log and the application see as To."""
    if target.kind == "sip":
        return without_passwords(target.uris[0].uri) if target.uris else ""
    if target.kind == "client":
        return f"client:{target.address}"
    return target.address
