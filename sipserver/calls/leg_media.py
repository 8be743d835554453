"""LegMedia: the session description and the media session of one leg (RFC 3264)."""

from __future__ import annotations

import asyncio
from typing import Any

from sipserver.calls.bridging import has_ended
from sipserver.calls.ports import MediaParameters, MediaSession
from sipserver.calls.routing import same_ip_version
from sipserver.calls.session import CallSession
from sipserver.calls.waiting import unless_over
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
from sipserver.sip.body import session_description
from sipserver.sip.message import Response
from twimlrunner.engine.interrupts import MediaLost
from twimlrunner.engine.ports import CallEnded


class LegMedia:
    """``offer`` is the peer's, None when the description that opens the session is ours. Operations
    raise CallEnded as soon as ``session.over`` is set."""

    def __init__(self, session: CallSession, offer: SessionDescription | None) -> None:
        self._session = session
        self.offer = offer
        self._version = 0
        self._own_offer: bytes | None = None
        self._answer: bytes = b""
        self._parameters: MediaParameters
        self._connected = asyncio.Event()
        self._opening = asyncio.Lock()
        session.leg_media = self

    @property
    def connected(self) -> bool:
        """Whether media flows, or has flowed."""
        return self._connected.is_set()

    @property
    def session(self) -> MediaSession:
        media = self._session.media
        if media is None:
            raise RuntimeError("media before it was opened")
        return media

    async def open(self, near: MediaSession | None = None) -> None:
        """Bind a port, on the worker of ``near`` if that is given."""
        async with self._opening:  # INVITEs to several phones of one user want it at once
            if self._session.media is None:
                try:
                    await unless_over(self._session.over, self._open(near))
                except NoMedia as error:
                    raise self._lost("media-unavailable", error) from error

    async def _open(self, near: MediaSession | None) -> None:
        # Kept in the same step as it is got: a port must not be lost to a cancellation.
        self._session.media = await self._session.env.media.open(
            self._family(), self._on_media, near=near
        )

    # --- the first exchange -----------------------------------------------------------------

    def own_offer(self) -> bytes:
        """Our offer: of an INVITE of ours, or of the 200 to one that brought none."""
        if self._own_offer is None:
            self._own_offer = make_offer(self._capabilities, self._local())
        return self._own_offer

    def answer(self) -> bytes:
        """Our answer to the peer's offer, the same in 183 and 200."""
        if self.offer is None:
            raise RuntimeError("there is no offer to answer")
        if not self._answer:
            answer = negotiate(self.offer, self._capabilities, self._local())
            if isinstance(answer, Refusal):  # intake tried it; only a change of code gets here
                raise self._lost("no-common-codec", answer.reason)
            self._parameters = self._parameters_of(answer)
            self._answer = answer.sdp
        return self._answer

    def accept(self, body: bytes) -> Refusal | None:
        """Take the peer's answer to our offer; the refusal says what is wrong with it."""
        if self._own_offer is None:
            return Refusal(400, 32102, "no offer of ours is open")
        answer = self._reachable(accept_answer(self._own_offer, body))
        if isinstance(answer, Refusal):
            return answer
        self._parameters = self._parameters_of(answer)
        return None

    def settled(self) -> None:
        """The first exchange is over: a further answer needs a further offer."""
        self._own_offer = None

    async def connect(self) -> None:
        """Let media flow by what was agreed last."""
        first = not self.connected
        try:
            await unless_over(self._session.over, self.session.connect(self._parameters))
        except NoMedia as error:
            raise self._lost("media-lost", error) from error
        except ValueError as error:  # negotiation lets nothing pass that the worker refuses
            raise self._lost("internal-error", error) from error
        self._connected.set()
        if first:
            data = {"what": "connected", "codec": self._parameters.codec}
            self._session.event("media", data)

    async def move(self, near: MediaSession) -> None:
        """Go to the media worker of ``near``, by a re-INVITE with a new port, if it is another.
        When the peer does not take it everything stays."""
        session = self._session
        old = session.media
        if old is None or old.worker is near.worker:
            return
        session.media = None
        answer = None
        try:
            await self._open(near)
            answer = await unless_over(session.over, self._reoffer())
            if answer is not None:
                self._parameters = self._parameters_of(answer)
                await self.connect()
        except NoMedia:
            pass
        finally:
            if answer is None:
                old, session.media = session.media, old
            if old is not None:
                await old.close()
            if session.media is not None and has_ended(session):
                await session.media.close()  # the end may have seen neither of the two

    async def _reoffer(self) -> Answer | None:
        """Our offer in a re-INVITE; None when the peer refuses it. Glare gets a second try."""
        offer = make_offer(self._capabilities, self._local())
        status, response = await self._reinvite(offer)
        if status == 491:
            await asyncio.sleep(self._glare_pause())
            status, response = await self._reinvite(offer)
        body = session_description(response) if response is not None and status < 300 else None
        if not body:
            return None
        answer = self._reachable(accept_answer(offer, body))
        return answer if isinstance(answer, Answer) else None

    async def _reinvite(self, offer: bytes) -> tuple[int, Response | None]:
        final: asyncio.Future[tuple[int, Response | None]] = (
            asyncio.get_running_loop().create_future()
        )

        def on_final(status: int, response: Response | None) -> None:
            if not final.done():
                final.set_result((status, response))

        session = self._session
        session.env.sip.reinvite(session.usage, offer, on_final=on_final)
        return await final

    def _glare_pause(self) -> float:
        """Seconds (RFC 3261 14.1): whoever made the Call-ID waits longer, so that one is first."""
        draw = self._session.env.random()
        placed = self._session.direction != "inbound"
        return 2.1 + 1.9 * draw if placed else 2.0 * draw

    # --- offers within the call -------------------------------------------------------------

    async def on_offer(self, body: bytes) -> None:
        """re-INVITE or UPDATE: hold, resume, a new address or codec (RFC 3264 section 8)."""
        session = self._session
        sip = session.env.sip
        if session.media is None or session.over.done():
            sip.refuse_offer(session.usage, 491)
            return
        # Some peers send it right after their ACK, before the worker has connected.
        await unless_over(session.over, self._connected.wait())
        if not body:
            self._own_offer = make_offer(self._capabilities, self._local())
            sip.answer_offer(session.usage, self._own_offer)
            return
        try:
            offer = SessionDescription.parse(body)
            answer = self._reachable(negotiate(offer, self._capabilities, self._local()))
        except SdpError as error:
            answer = Refusal(488, 32102, str(error))
        if isinstance(answer, Refusal):
            session.notify(answer.code, "warning", f"re-INVITE refused: {answer.reason}")
            sip.refuse_offer(session.usage, answer.status)
            return
        sip.answer_offer(session.usage, answer.sdp)
        await self._reconnect(answer)

    async def on_late_answer(self, body: bytes) -> None:
        """The ACK of a re-INVITE without SDP brings the answer to our offer."""
        if self._session.media is None or self._own_offer is None or not body:
            return
        answer = self._reachable(accept_answer(self._own_offer, body))
        self._own_offer = None
        if isinstance(answer, Answer):
            await self._reconnect(answer)
        else:
            self._session.notify(answer.code, "warning", f"SDP answer in ACK: {answer.reason}")

    async def _reconnect(self, answer: Answer) -> None:
        before = self._parameters.direction
        self._parameters = self._parameters_of(answer)
        await self.connect()
        what = "resume" if answer.direction == "sendrecv" else "hold"
        if before != answer.direction:
            self._session.event("media", {"what": what, "direction": answer.direction})

    # --- what the worker tells --------------------------------------------------------------

    def _on_media(self, event: str, data: dict[str, Any]) -> None:
        session = self._session
        if event == "lost":
            session.interrupt(MediaLost("media-lost"))
        elif event == "rtp_timeout":
            session.interrupt(MediaLost("no-audio"))
        elif event == "stats":
            session.measured(data)
        elif event == "first_packet":
            session.event("media", {"what": "first-packet", **data})
        elif event == "digit":
            session.key_pressed(data["digit"])

    # --- small ------------------------------------------------------------------------------

    def _lost(self, cause: str, why: object) -> CallEnded:
        self._session.interrupt(MediaLost(cause), f"({why})")
        return CallEnded()

    def _reachable(self, agreed: Answer | Refusal) -> Answer | Refusal:
        host = self._session.env.sip.local_host(self._session.flow)
        if isinstance(agreed, Answer) and not same_ip_version(agreed.remote[0], host):
            return Refusal(488, 32102, f"{agreed.remote[0]} is of another IP version")
        return agreed

    def _local(self) -> LocalMedia:
        self._version += 1
        session = self._session
        host = session.env.sip.local_host(session.flow)
        # Any number that this leg keeps: RFC 4566 5.2 only wants it unique for user and address.
        return LocalMedia(host, self.session.port, self.session.port, self._version)

    def _family(self) -> str:
        return "ip6" if ":" in self._session.env.sip.local_host(self._session.flow) else "ip4"

    def _parameters_of(self, answer: Answer) -> MediaParameters:
        return MediaParameters(
            remote=answer.remote,
            codec=answer.codec,
            payload_type=answer.payload_type,
            dtmf_payload=answer.dtmf_payload,
            ptime_ms=answer.ptime_ms,
            direction=answer.direction,
            rtcp_mux=answer.rtcp_mux,
            inband_dtmf=self._session.policy.inband_dtmf,
        )

    @property
    def _capabilities(self) -> Any:
        return self._session.env.settings.intake.capabilities
