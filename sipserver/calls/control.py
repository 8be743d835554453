"""LiveCall: the interpreter's ``CallControl`` over a SIP leg and a media session."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from sipserver.calls import recording, referring
from sipserver.calls.inbound import InboundSession
from sipserver.calls.leg_media import LegMedia
from sipserver.calls.ports import PlayOperation
from sipserver.calls.session import CallSession
from sipserver.calls.waiting import unless_over, value
from sipserver.sdp.description import SessionDescription
from twimlrunner.engine.interrupts import MediaLost
from twimlrunner.engine.ports import (
    CallEnded,
    Clip,
    Dialled,
    DialPlan,
    Recorded,
    RecordPlan,
    Referred,
    Speech,
    VerbFailed,
)
from twimlrunner.speech.ports import PromptError
from twimlrunner.twiml.nodes.say import BAD_LANGUAGE, BAD_VOICE

if TYPE_CHECKING:
    from sipserver.calls.office import Office

T = TypeVar("T")


class LiveCall:
    """Every operation raises CallEnded as soon as ``session.over`` is set, also while it waits;
    those that owe a report return it instead."""

    def __init__(
        self, session: CallSession, office: Office, offer: SessionDescription | None = None
    ) -> None:
        self.session = session
        self.office = office
        self.media = LegMedia(session, offer)
        session.on_offer = self.media.on_offer
        session.on_late_answer = self.media.on_late_answer

    # --- CallControl ------------------------------------------------------------------------

    @property
    def answered(self) -> bool:
        return self.session.answered

    @property
    def type_ahead(self) -> bool:
        return self.session.policy.type_ahead

    async def ensure_answered(self) -> None:
        session = self.session
        if session.over.done():
            raise CallEnded
        if isinstance(session, InboundSession) and not session.acked_media:
            await self._answer(session)

    async def play(self, clip: Clip) -> None:
        try:
            if isinstance(clip, Speech):
                self._warn_about_voice(clip)
                await self.unless_over(self._speak(clip))
            else:
                verify = self.session.policy.verify_tls
                path = await self.unless_over(
                    self.session.env.prompts.fetch(clip, verify_tls=verify)
                )
                await self.unless_over(self._finish(self.media.session.play([path])))
        except PromptError as error:
            url = "" if isinstance(clip, Speech) else clip.url
            raise VerbFailed(error.code, error.message, url) from error

    async def pause(self, seconds: float) -> None:
        await self.unless_over(asyncio.sleep(seconds))

    async def send_digits(self, digits: str) -> None:
        await self.unless_over(self._send_digits(digits))

    async def next_digit(self, timeout: float | None) -> str | None:
        keys = self.session.keys
        if self.session.over.done():
            raise CallEnded
        if not keys.empty():
            return keys.get_nowait()
        try:
            return await self.unless_over(asyncio.wait_for(keys.get(), timeout))
        except TimeoutError:
            return None

    def forget_digits(self) -> None:
        while not self.session.keys.empty():
            self.session.keys.get_nowait()

    async def record(self, plan: RecordPlan) -> Recorded:
        return await recording.record(self.session, plan)

    async def dial(self, plan: DialPlan) -> Dialled:
        return await self.office.dial(self, plan)

    async def refer(self, target: str) -> Referred:
        return await referring.refer(self.session, target)

    # --- answering --------------------------------------------------------------------------

    async def early_media(self) -> bool:
        """Let the caller hear before the answer (183 with SDP). False if that cannot be: it is
        answered already, or waits for an offer of ours."""
        session = self.session
        if session.answered or self.media.offer is None:
            return False
        if not self.media.connected:
            await self.media.open()
            session.env.sip.ring(session.usage, status=183, body=self.media.answer())
            await self.media.connect()
        return True

    async def _answer(self, session: InboundSession) -> None:
        media = self.media
        await media.open()
        late = media.offer is None
        if not session.answered:
            body = media.own_offer() if late else media.answer()
            session.answered_at = session.env.clock.wall()
            session.final_response_sent = True
            session.env.sip.answer(session.usage, body)
            session.event("answered", {}, "in-progress")
        acknowledged = await self.unless_over(value(session.acked))
        if late:
            refusal = media.accept(acknowledged)
            media.settled()
            if refusal is not None:
                session.interrupt(MediaLost("bad-sdp"), f"(SDP answer in ACK: {refusal.reason})")
                raise CallEnded
        if not media.connected:
            await media.connect()
        session.acked_media = True

    # --- playing ----------------------------------------------------------------------------

    def _warn_about_voice(self, speech: Speech) -> None:
        """The parser has told what is wrong with the text; only engines know their voices."""
        for issue in self.session.env.prompts.issues(speech):
            if issue.code in (BAD_VOICE, BAD_LANGUAGE):
                self.session.notify(issue.code, "warning", issue.message)

    async def _speak(self, speech: Speech) -> None:
        """Begins with the first sentence; the rest is appended as it becomes ready."""
        operation: PlayOperation | None = None
        complete = False
        try:
            async for path in self.session.env.prompts.speak(speech):
                if operation is None:
                    operation = self.media.session.play([path], more=True)
                else:
                    operation.extend([path], more=True)
            if operation is None:
                return
            operation.extend([], more=False)
            await self._finish(operation)
            complete = True
        finally:
            if operation is not None and not complete:
                operation.stop()

    async def _finish(self, operation: PlayOperation) -> None:
        try:
            cause = await operation.wait()
        except asyncio.CancelledError:
            operation.stop()
            raise
        if cause == "failed":
            raise PromptError(12400, "The media worker could not play the prompt.")

    async def _send_digits(self, digits: str) -> None:
        await self.media.session.send_digits(digits)

    async def unless_over(self, work: Coroutine[Any, Any, T]) -> T:
        """Await ``work``; the moment the call is over it is cancelled and CallEnded raised."""
        return await unless_over(self.session.over, work)
