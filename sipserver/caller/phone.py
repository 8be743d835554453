"""A caller built on our own stack: dials, answers digest challenges, tells the ladder as it grows.

``manage.py placecall`` is its user interface; the tests are its other user.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sipserver.caller.audio import Audio
from sipserver.net.endpoint import AddressBook, SipEndpoint
from sipserver.sdp.negotiate import Answer, Capabilities, LocalMedia, accept_answer, make_offer
from sipserver.sip import auth
from sipserver.sip.engine import EngineConfig, SipEngine
from sipserver.sip.errors import LocalProtocolError
from sipserver.sip.events import (
    Ended,
    Flow,
    MessageTraced,
    OutgoingAnswered,
    OutgoingFailed,
    OutgoingProgress,
    SessionOffer,
    SipEvent,
)
from sipserver.sip.message import Response
from sipserver.sip.uri import SipUri, parse_sip_uri

DEFAULT_PORT = 5060
MAX_CHALLENGES = 3


@dataclass(frozen=True, slots=True)
class CallPlan:
    """What to do. ``target`` is a SIP URI; ``proxy`` (transport, host, port) is asked instead of
    the URI's host; seconds are floats. ``headers`` are added to the INVITE."""

    target: str
    username: str = ""
    password: str = ""
    caller: str = ""
    proxy: tuple[str, str, int] | None = None
    headers: Sequence[tuple[str, str]] = ()
    digits: str = ""
    digits_after: float = 1.0
    hangup_after: float | None = None
    cancel_after: float | None = None
    ring_seconds: float = 60.0


@dataclass(slots=True)
class CallReport:
    """What came of it. ``status`` is the final response's (0: none), ``ended_by`` one of
    ``callee``, ``caller``, ``refused``, ``canceled``, ``timeout``, ``error``."""

    status: int = 0
    reason: str = ""
    ended_by: str = ""
    statuses: list[int] = field(default_factory=list)
    responses: list[Response] = field(default_factory=list)
    digits: str = ""
    heard_seconds: float = 0.0
    packets: int = 0

    @property
    def answered(self) -> bool:
        return 200 <= self.status < 300


class _Ids:
    def __init__(self, call_id: str = "") -> None:
        self._call_id = call_id

    def branch(self) -> str:
        return "z9hG4bK" + secrets.token_hex(8)

    def tag(self) -> str:
        return secrets.token_hex(4)

    def call_id(self) -> str:
        return self._call_id or secrets.token_hex(12)


class Phone:
    """One call at a time. ``tell(outbound, data)`` gets every SIP message. ``call_id`` is that of
    its call, for those who have to know it beforehand."""

    def __init__(
        self,
        tell: Callable[[bool, bytes], None] | None = None,
        *,
        call_id: str = "",
        user_agent: str = "placecall",
    ) -> None:
        self._tell = tell
        self._addresses = AddressBook(None)
        self._engine = SipEngine(
            EngineConfig(
                contact_for=self._contact_for, sent_by=self._sent_by, user_agent=user_agent
            ),
            _Ids(call_id),
        )
        self._events: asyncio.Queue[SipEvent] = asyncio.Queue()
        self._endpoint = SipEndpoint(self._engine, self._on_events)
        self._now = asyncio.get_running_loop().time
        self._usage = 0
        self._limit: asyncio.Timeout | None = None

    async def call(self, plan: CallPlan, wav: str | None = None) -> CallReport:
        """Place the call and see it to its end. Raises OSError when the target cannot be reached,
        RemoteProtocolError when its URI cannot be read."""
        report = CallReport()
        target = parse_sip_uri(plan.target)
        flow = await self._flow(plan, target)
        host = self._addresses.host_for(flow)

        def on_digit(digit: str) -> None:
            report.digits += digit

        audio = await Audio.open(host, on_digit)
        try:
            await self._run(plan, target, flow, LocalMedia(host, audio.port, 1, 1), audio, report)
            report.heard_seconds, report.packets = audio.heard_seconds, audio.packets
            if wav:
                audio.save(wav)
        finally:
            audio.close()
        return report

    def hang_up(self) -> None:
        """End the call now, or give it up while it rings. On the loop of :meth:`call`."""
        if self._limit is None:
            self._cancel()
        elif not self._limit.expired():
            self._limit.reschedule(self._now())

    def close(self) -> None:
        self._endpoint.close()

    # --- the call -----------------------------------------------------------------------------

    async def _run(
        self,
        plan: CallPlan,
        target: SipUri,
        flow: Flow,
        local: LocalMedia,
        audio: Audio,
        report: CallReport,
    ) -> None:
        offer = make_offer(Capabilities(), local)
        user = plan.caller or plan.username or "placecall"
        self._usage = self._engine.invite(
            str(target),
            f"<sip:{user}@{target.domain}>" if ":" not in target.domain
            else f"<sip:{user}@[{target.domain}]>",
            f"<{target}>",
            offer,
            self._now(),
            flow=flow,
            headers=plan.headers,
        )  # fmt: skip
        self._endpoint.flush()
        if not await self._until_answered(plan, target, offer, audio, report):
            return
        talk = asyncio.create_task(self._talk(plan, audio))
        try:
            async with asyncio.timeout(plan.hangup_after) as self._limit:
                await self._until_ended(offer)
            report.ended_by = "callee"
        except TimeoutError:
            report.ended_by = "caller"
            self._engine.bye(self._usage, self._now())
            self._endpoint.flush()
            await self._until_ended(offer)
        finally:
            talk.cancel()

    async def _until_answered(
        self, plan: CallPlan, target: SipUri, offer: bytes, audio: Audio, report: CallReport
    ) -> bool:
        challenges: list[int] = []  # statuses that have been answered
        canceling = asyncio.get_running_loop().call_later(
            plan.ring_seconds if plan.cancel_after is None else plan.cancel_after, self._cancel
        )
        try:
            while True:
                match await self._events.get():
                    case OutgoingProgress(response=response):
                        report.statuses.append(response.status)
                        report.responses.append(response)
                    case OutgoingAnswered(response=response):
                        self._note(report, response)
                        return self._answered(response, offer, audio, report)
                    case OutgoingFailed(status=status, reason=reason, response=failed):
                        report.status, report.reason = status, reason
                        if failed is not None:
                            self._note(report, failed)
                        if self._authenticate(plan, target, failed, challenges):
                            challenges.append(status)
                            continue
                        report.ended_by = _how_it_failed(status, failed)
                        return False
                    case Ended():
                        report.ended_by = "canceled"
                        return False
        finally:
            canceling.cancel()

    def _note(self, report: CallReport, response: Response) -> None:
        report.status, report.reason = response.status, response.reason
        report.statuses.append(response.status)
        report.responses.append(response)

    def _answered(self, response: Response, offer: bytes, audio: Audio, report: CallReport) -> bool:
        self._engine.acknowledge(self._usage, self._now())
        self._endpoint.flush()
        answer = accept_answer(offer, response.body)
        if not isinstance(answer, Answer):
            report.ended_by, report.reason = "error", f"bad SDP answer: {answer.reason}"
            self._engine.bye(self._usage, self._now())
            self._endpoint.flush()
            return False
        audio.connect(answer.remote, answer.codec, answer.payload_type, answer.dtmf_payload)
        return True

    def _authenticate(
        self, plan: CallPlan, target: SipUri, response: Response | None, challenges: list[int]
    ) -> bool:
        if response is None or response.status not in auth.AUTH_HEADERS:
            return False
        if len(challenges) >= MAX_CHALLENGES:
            return False
        credentials = auth.answer(
            response.headers.get_all(auth.AUTH_HEADERS[response.status][0]),
            status=response.status,
            username=plan.username,
            password=plan.password,
            method="INVITE",
            uri=str(target),
            cnonce=secrets.token_hex(8),
            again=response.status in challenges,
        )
        if credentials is None:
            return False
        self._engine.retry_invite(self._usage, [credentials], self._now())
        self._endpoint.flush()
        return True

    async def _talk(self, plan: CallPlan, audio: Audio) -> None:
        if plan.digits:
            await asyncio.sleep(plan.digits_after)
            audio.dial(plan.digits)

    async def _until_ended(self, offer: bytes) -> None:
        while True:
            match await self._events.get():
                case Ended():
                    return
                case SessionOffer():
                    self._engine.refuse_offer(self._usage, 488, self._now())
                    self._endpoint.flush()

    def _cancel(self) -> None:
        try:
            self._engine.cancel(self._usage, self._now())
        except LocalProtocolError:
            return  # it was answered at this very moment
        self._endpoint.flush()

    # --- plumbing -----------------------------------------------------------------------------

    async def _flow(self, plan: CallPlan, target: SipUri) -> Flow:
        transport, host, port = plan.proxy or (
            target.transport or "udp",
            target.domain,
            target.port or DEFAULT_PORT,
        )
        if transport == "udp":
            for wildcard in ("0.0.0.0", "::"):  # noqa: S104 - a client's ephemeral port
                try:
                    await self._endpoint.listen("udp", wildcard, 0)
                except OSError:
                    continue  # that family is not there
        return await self._endpoint.flow_to(transport, host, port)

    def _contact_for(self, flow: Flow, user: str) -> str:
        host, port = self._sent_by(flow)
        shown = f"[{host}]" if ":" in host else host
        transport = "" if flow.transport == "udp" else f";transport={flow.transport}"
        return f"sip:{shown}:{port}{transport}"

    def _sent_by(self, flow: Flow) -> tuple[str, int]:
        return self._addresses.host_for(flow), flow.local[1]

    def _on_events(self, events: Sequence[SipEvent]) -> None:
        for event in events:
            if isinstance(event, MessageTraced):
                if self._tell is not None:
                    self._tell(event.outbound, event.data)
            else:
                self._events.put_nowait(event)


def _how_it_failed(status: int, response: Response | None) -> str:
    if response is None:
        return "timeout" if status == 408 else "error"
    return "canceled" if status == 487 else "refused"
