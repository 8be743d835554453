"""LiveCall: the interpreter's ``CallControl`` over a SIP leg and a media session."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from sipserver.calls.ports import (
    MediaParameters,
    MediaSession,
    PlayOperation,
)
from sipserver.calls.routing import same_ip_version
from sipserver.calls.session import CallSession
from sipserver.mediapool.session_proxy import NoMedia
from sipserver.sdp.description import SdpError, SessionDescription
from sipserver.sdp.negotiate import (
    Answer,
    LocalMedia,
    Refusal,
    accept_answer,
    make_offer,
    negotiate,
)
from twimlrunner.engine.interrupts import MediaLost
from twimlrunner.engine.ports import CallEnded, Clip, Speech, VerbFailed
from twimlrunner.speech.ports import PromptError
from twimlrunner.twiml.nodes.say import BAD_LANGUAGE, BAD_VOICE

T = TypeVar("T")


class LiveCall:
    """Every operation raises CallEnded as soon as ``session.over`` is set, also while it waits."""

    def __init__(self, session: CallSession, offer: SessionDescription | None) -> None:
        self._session = session
        self._offer = offer
        self._sdp_version = 0
        self._own_offer: bytes | None = None
        self._connected = False
        self._parameters: MediaParameters

    # --- CallControl ------------------------------------------------------------------------

    @property
    def answered(self) -> bool:
        return self._session.answered

    async def ensure_answered(self) -> None:
        session = self._session
        if session.over.done():
            raise CallEnded
        if self._connected:
            return
        if session.media is None:
            try:
                await self.unless_over(self._open())
            except NoMedia as error:
                raise self._lost("media-unavailable", error) from error
        media = self._media
        if not session.answered:
            self._answer(media)
        body = await self.unless_over(_value(session.acked))
        if self._own_offer is not None:
            self._take_answer(self._own_offer, body)
        await self._connect(media)
        self._connected = True
        session.event("media", {"what": "connected", "codec": self._parameters.codec})

    async def _open(self) -> None:
        # Kept in the same step as it is got: a port must not be lost to a cancellation.
        self._session.media = await self._session.env.media.open(self._family(), self._on_media)

    async def play(self, clip: Clip) -> None:
        try:
            if isinstance(clip, Speech):
                self._warn_about_voice(clip)
                await self.unless_over(self._speak(clip))
            else:
                verify = self._session.policy.verify_tls
                path = await self.unless_over(
                    self._session.env.prompts.fetch(clip, verify_tls=verify)
                )
                await self.unless_over(self._finish(self._media.play([path])))
        except PromptError as error:
            url = "" if isinstance(clip, Speech) else clip.url
            raise VerbFailed(error.code, error.message, url) from error

    async def pause(self, seconds: float) -> None:
        await self.unless_over(asyncio.sleep(seconds))

    async def send_digits(self, digits: str) -> None:
        await self.unless_over(self._send_digits(digits))

    # --- offers within the call -------------------------------------------------------------

    async def on_offer(self, body: bytes) -> None:
        """re-INVITE or UPDATE: hold, resume, a new address or codec (RFC 3264 section 8)."""
        session = self._session
        media = session.media
        if media is None or not self._connected or session.over.done():
            session.env.sip.refuse_offer(session.usage, 491)
            return
        if not body:
            self._own_offer = make_offer(self._capabilities, self._local(media))
            session.env.sip.answer_offer(session.usage, self._own_offer)
            return
        try:
            offer = SessionDescription.parse(body)
            answer = self._reachable(negotiate(offer, self._capabilities, self._local(media)))
        except SdpError as error:
            answer = Refusal(488, 32102, str(error))
        if isinstance(answer, Refusal):
            session.notify(answer.code, "warning", f"re-INVITE refused: {answer.reason}")
            session.env.sip.refuse_offer(session.usage, answer.status)
            return
        session.env.sip.answer_offer(session.usage, answer.sdp)
        await self._reconnect(media, answer)

    async def on_late_answer(self, body: bytes) -> None:
        """The ACK of a re-INVITE without SDP brings the answer to our offer."""
        media, offer = self._session.media, self._own_offer
        if media is None or offer is None or not body:
            return
        self._own_offer = None
        answer = self._reachable(accept_answer(offer, body))
        if isinstance(answer, Answer):
            await self._reconnect(media, answer)
        else:
            self._session.notify(answer.code, "warning", f"SDP answer in ACK: {answer.reason}")

    async def _reconnect(self, media: MediaSession, answer: Answer) -> None:
        before = self._parameters.direction
        self._parameters = _parameters(answer)
        await self._connect(media)
        what = "resume" if answer.direction == "sendrecv" else "hold"
        if before != answer.direction:
            self._session.event("media", {"what": what, "direction": answer.direction})

    async def _connect(self, media: MediaSession) -> None:
        try:
            await self.unless_over(media.connect(self._parameters))
        except NoMedia as error:
            raise self._lost("media-lost", error) from error
        except ValueError as error:  # negotiation lets nothing pass that the worker refuses
            raise self._lost("internal-error", error) from error

    def _lost(self, cause: str, why: object) -> CallEnded:
        self._session.interrupt(MediaLost(cause), f"({why})")
        return CallEnded()

    def _reachable(self, agreed: Answer | Refusal) -> Answer | Refusal:
        host = self._session.env.sip.local_host(self._session.flow)
        if isinstance(agreed, Answer) and not same_ip_version(agreed.remote[0], host):
            return Refusal(488, 32102, f"{agreed.remote[0]} is of another IP version")
        return agreed

    # --- answering --------------------------------------------------------------------------

    def _answer(self, media: MediaSession) -> None:
        session = self._session
        if self._offer is None:
            body = self._own_offer = make_offer(self._capabilities, self._local(media))
        else:
            answer = negotiate(self._offer, self._capabilities, self._local(media))
            if isinstance(answer, Refusal):  # intake tried it; only a change of code gets here
                raise self._lost("no-common-codec", answer.reason)
            self._parameters = _parameters(answer)
            body = answer.sdp
        session.answered_at = session.env.clock.wall()
        session.final_response_sent = True
        session.env.sip.answer(session.usage, body)
        session.event("answered", {}, "in-progress")

    def _take_answer(self, offer: bytes, body: bytes) -> None:
        self._own_offer = None
        answer = self._reachable(accept_answer(offer, body))
        if isinstance(answer, Refusal):
            raise self._lost("bad-sdp", f"SDP answer in ACK: {answer.reason}")
        self._parameters = _parameters(answer)

    def _local(self, media: MediaSession) -> LocalMedia:
        self._sdp_version += 1
        session = self._session
        host = session.env.sip.local_host(session.flow)
        return LocalMedia(host, media.port, session.usage + 1, self._sdp_version)

    def _family(self) -> str:
        return "ip6" if ":" in self._session.env.sip.local_host(self._session.flow) else "ip4"

    # --- playing ----------------------------------------------------------------------------

    def _warn_about_voice(self, speech: Speech) -> None:
        """The parser has told what is wrong with the text; only engines know their voices."""
        for issue in self._session.env.prompts.issues(speech):
            if issue.code in (BAD_VOICE, BAD_LANGUAGE):
                self._session.notify(issue.code, "warning", issue.message)

    async def _speak(self, speech: Speech) -> None:
        """Begins with the first sentence; the rest is appended as it becomes ready."""
        operation: PlayOperation | None = None
        complete = False
        try:
            async for path in self._session.env.prompts.speak(speech):
                if operation is None:
                    operation = self._media.play([path], more=True)
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
        await self._media.send_digits(digits)

    def _on_media(self, event: str, data: dict[str, Any]) -> None:
        session = self._session
        if event == "lost":
            session.interrupt(MediaLost("media-lost"))
        elif event == "rtp_timeout":
            session.interrupt(MediaLost("no-audio"))
        elif event == "stats":
            session.media_stats = data
        elif event == "first_packet":
            session.event("media", {"what": "first-packet", **data})

    # --- small ------------------------------------------------------------------------------

    @property
    def _media(self) -> MediaSession:
        media = self._session.media
        if media is None:
            raise RuntimeError("media before the answer")
        return media

    @property
    def _capabilities(self) -> Any:
        return self._session.env.settings.intake.capabilities

    async def unless_over(self, work: Coroutine[Any, Any, T]) -> T:
        """Await ``work``; the moment the call is over it is cancelled and CallEnded raised."""
        over = self._session.over
        if over.done():
            work.close()
            raise CallEnded
        task = asyncio.ensure_future(work)
        waiting: set[asyncio.Future[Any]] = {task, over}
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await _cancel(task)
            raise
        if task.done():
            return task.result()
        await _cancel(task)
        raise CallEnded


async def _cancel(task: asyncio.Future[Any]) -> None:
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()  # seen: the call is over, nobody needs it


async def _value(future: asyncio.Future[T]) -> T:
    return await asyncio.shield(future)


def _parameters(answer: Answer) -> MediaParameters:
    return MediaParameters(
        remote=answer.remote,
        codec=answer.codec,
        payload_type=answer.payload_type,
        dtmf_payload=answer.dtmf_payload,
        ptime_ms=answer.ptime_ms,
        direction=answer.direction,
        rtcp_mux=answer.rtcp_mux,
    )
