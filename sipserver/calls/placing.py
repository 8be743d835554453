"""The INVITEs of one leg that we place: forks, challenges, redirects, failover; one answer wins.

Rules: sip-domain.md section 8; RFC 3261 sections 8.1.3, 13.2 and 22.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from sipserver.calls.destinations import Attempt, Branch, Destinations
from sipserver.calls.leg_media import LegMedia
from sipserver.calls.office import Office
from sipserver.calls.outbound import OutboundSession, OutgoingEvent
from sipserver.calls.ports import DirectoryUnavailable, MediaSession
from sipserver.calls.termination import Termination, termination
from sipserver.calls.waiting import cancel, unless_over
from sipserver.sip import auth, redirect
from sipserver.sip.body import session_description
from sipserver.sip.build import reason_phrase
from sipserver.sip.errors import LocalProtocolError
from sipserver.sip.events import (
    Flow,
    OutgoingAnswered,
    OutgoingFailed,
    OutgoingProgress,
    OutgoingTrying,
)
from sipserver.sip.grammar import format_host_port
from sipserver.sip.message import Response
from sipserver.sip.uri import SipUri, parse_sip_uri
from twimlrunner.twiml.redact import without_passwords

API_VERSION = "2010-04-01"
_MOST_CHALLENGES = 4  # a proxy's and the target's, each with a stale nonce


@dataclass(frozen=True, slots=True)
class Answered:
    usage: int
    response: Response
    sip_call_id: str


@dataclass(frozen=True, slots=True)
class Failed:
    """``status`` of the response; 0: there was none, ``reason`` says why in words."""

    status: int
    reason: str
    response: Response | None = None

    @property
    def another_may_work(self) -> bool:
        """Whether the next target is tried (RFC 3263 4.3): never after a person's decision."""
        return self.status in (0, 408, 500, 502, 503, 504)


def ending(failed: Failed) -> Termination:
    """What a refusal means for the leg (DialCallStatus of sip-domain.md section 8)."""
    detail = f"({failed.status} {failed.reason})" if failed.status else f"({failed.reason})"
    status = failed.status
    if status in (486, 600):
        return termination("callee-busy", detail, status)
    if status == 603:
        return termination("callee-declined", detail, status)
    if status in (480, 487) or (status == 408 and failed.response is not None):
        return termination("callee-no-answer", detail, status)
    if failed.response is None:
        return termination("callee-unreachable", detail, status)
    return termination("callee-failed", detail, status)


class Placing:
    """One use. ``run`` rings all branches at once; the first answer wins, the rest is cancelled."""

    def __init__(
        self,
        leg: OutboundSession,
        media: LegMedia,
        where: Destinations,
        office: Office,
        near: MediaSession | None,
    ) -> None:
        self._leg = leg
        self._media = media
        self._where = where
        self._office = office
        self._near = near
        self._sip = leg.env.sip
        self._winner = 0
        self._invites = 0

    async def run(self) -> Answered | Failed:
        """Raises CallEnded when the leg is over meanwhile. Cancelling it cancels the INVITEs."""
        tasks = [asyncio.ensure_future(self._branch(branch)) for branch in self._where.branches]
        worst = Failed(0, "nowhere to send the INVITE")
        try:
            for task in asyncio.as_completed(tasks):
                result = await unless_over(self._leg.over, _result(task))
                if isinstance(result, Answered):
                    return result
                worst = _best(worst, result)
            return worst
        finally:
            for each in tasks:
                await cancel(each)

    async def _branch(self, branch: Branch) -> Answered | Failed:
        result: Answered | Failed = Failed(0, "nowhere to send the INVITE")
        for position, attempt in enumerate(branch.attempts):
            more = position + 1 < len(branch.attempts)
            result = await self._followed(attempt, more=more)
            if isinstance(result, Answered) or not result.another_may_work:
                return result
            if more:
                where = attempt.destination[1] if attempt.destination else attempt.request_uri
                self._leg.notify(
                    32011,
                    "warning",
                    f"{attempt.trunk or where} failed ({result.status or 'no response'}"
                    f" {result.reason}); the next target is tried.",
                )
        return result

    # --- redirects --------------------------------------------------------------------------

    async def _followed(self, attempt: Attempt, *, more: bool) -> Answered | Failed:
        """One attempt and the 3xx that it leads to."""
        result = await self._attempt(attempt, more=more)
        tried = [parse_sip_uri(attempt.request_uri)]
        followed = 0
        waiting: list[Attempt] = []
        while isinstance(result, Failed):
            if 300 <= result.status < 400 and result.response is not None:
                targets = await self._redirected(attempt, result.response, tried, followed)
                followed += 1
                tried += [uri for uri, _ in targets]
                waiting = [found for _, found in targets] + waiting
            elif not result.another_may_work:
                return result
            if not waiting:
                return result
            result = await self._attempt(waiting.pop(0), more=bool(waiting))
        return result

    async def _redirected(
        self, attempt: Attempt, response: Response, tried: list[SipUri], followed: int
    ) -> list[tuple[SipUri, Attempt]]:
        own = set()
        try:
            for host in redirect.contact_hosts(response):
                if await self._leg.env.directory.domain(host) is not None:
                    own.add(host)
        except DirectoryUnavailable as error:  # it might lead back to us
            self._leg.notify(redirect.REDIRECT_FAILED, "warning", f"Not followed: {error}")
            return []
        found = redirect.follow(
            response,
            tried=tried,
            followed=followed,
            registered=not attempt.follow,
            own_domains=own,
        )
        if isinstance(found, redirect.RedirectRefused):
            self._leg.notify(found.code, "warning", found.message)
            return []
        attempts = []
        for uri in found.targets:
            try:
                places = await self._sip.resolve(uri)
            except OSError as error:
                self._leg.notify(redirect.REDIRECT_FAILED, "warning", f"{uri}: {error}")
                continue
            # The trunk's password is for the trunk alone.
            plain = replace(attempt, request_uri=str(uri), flow=None, username="", password="")
            attempts += [(uri, replace(plain, destination=place)) for place in places]
        return attempts

    # --- one INVITE -------------------------------------------------------------------------

    async def _attempt(self, attempt: Attempt, *, more: bool) -> Answered | Failed:
        leg = self._leg
        events: asyncio.Queue[OutgoingEvent] = asyncio.Queue()
        self._invites += 1
        # Each INVITE outside a dialog is a call of its own to whoever gets it.
        call_id = leg.sip_call_id if self._invites == 1 else f"{leg.sip_call_id}-{self._invites}"
        leg.flow = _way(attempt)
        await self._media.open(self._near)

        def attach(usage: int) -> None:
            leg.receivers[usage] = events
            self._office.attach(usage, leg)
            if leg.usage == 0:
                leg.usage = usage

        try:
            usage = self._sip.invite(
                attempt.request_uri,
                from_=f"<sip:{_user(attempt, leg)}@{attempt.from_host or self._own_host()}>",
                to=f"<{attempt.to}>",
                body=self._media.own_offer(),
                call_id=call_id,
                flow=attempt.flow,
                destination=attempt.destination,
                headers=(*self._own_headers(), *attempt.headers),
                on_usage=attach,
            )
        except LocalProtocolError as error:
            return Failed(0, str(error))
        if leg.status == "queued":
            target = without_passwords(attempt.request_uri)
            leg.event("initiated", {"target": target}, "initiated")
        answered = False
        try:
            result = await self._responses(attempt, usage, events, more=more)
            answered = isinstance(result, Answered)
            return replace(result, sip_call_id=call_id) if isinstance(result, Answered) else result
        finally:
            if not answered:
                self._sip.cancel(usage)

    def _own_host(self) -> str:
        """For a call that belongs to no domain."""
        return format_host_port(self._sip.local_host(self._leg.flow), None)

    def _own_headers(self) -> tuple[tuple[str, str], ...]:
        leg = self._leg
        return (
            ("X-Twilio-AccountSid", leg.policy.account_sid),
            ("X-Twilio-CallSid", leg.call_sid),
            ("X-Twilio-ApiVersion", API_VERSION),
        )

    async def _responses(
        self,
        attempt: Attempt,
        usage: int,
        events: asyncio.Queue[OutgoingEvent],
        *,
        more: bool,
    ) -> Answered | Failed:
        patience = self._leg.env.settings.first_response_seconds if more else None
        met: list[int] = []
        while True:
            try:
                event = await asyncio.wait_for(events.get(), patience)
            except TimeoutError:
                return Failed(0, "no response in time")
            patience = None
            match event:
                case OutgoingTrying():
                    pass  # it is there: its timeout is no longer ours
                case OutgoingProgress():
                    await self._progress(event.response)
                case OutgoingAnswered():
                    return await self._answered(event)
                case OutgoingFailed():
                    credentials = self._credentials(attempt, event, met)
                    if credentials is None:
                        return _failure(event)
                    met.append(event.status)
                    self._sip.retry_invite(usage, [credentials])

    def _credentials(
        self, attempt: Attempt, event: OutgoingFailed, met: list[int]
    ) -> tuple[str, str] | None:
        """The header that answers a challenge; None when there is nothing (more) to say. ``met``:
        statuses that were answered before (a proxy's 407 and the target's 401 may both come)."""
        names = auth.AUTH_HEADERS.get(event.status)
        if names is None or event.response is None or not attempt.username:
            return None
        if len(met) >= _MOST_CHALLENGES:
            return None
        credentials = auth.answer(
            event.response.headers.get_all(names[0]),
            status=event.status,
            username=attempt.username,
            password=attempt.password,
            method="INVITE",
            uri=attempt.request_uri,
            cnonce=self._leg.env.new_id(),
            again=event.status in met,
        )
        if credentials is None:
            self._leg.notify(32011, "warning", "The target refuses the user name or password.")
        return credentials

    # --- what the callee's side says --------------------------------------------------------

    async def _progress(self, response: Response) -> None:
        leg = self._leg
        if not leg.rings:
            leg.rings = True
            leg.event("ringing", {}, "ringing")
            leg.news()
        body = session_description(response)
        if body and not leg.early and self._media.accept(body) is None:
            await self._media.connect()
            leg.early = True
            leg.news()

    async def _answered(self, event: OutgoingAnswered) -> Answered | Failed:
        leg, usage = self._leg, event.usage
        self._sip.acknowledge(usage)
        if self._winner or not leg.may_answer():
            return self._declined(event, 487, "another party answered first")
        body = session_description(event.response)
        if body:
            refusal = self._media.accept(body)
            if refusal is not None:
                return self._declined(event, 488, f"{refusal.reason} (its answer)")
            self._media.settled()
        elif not leg.early:
            return self._declined(event, 488, "its answer has no SDP")
        self._winner = leg.usage = usage
        leg.answered_at = leg.env.clock.wall()
        leg.event("answered", {}, "in-progress")
        await self._media.connect()
        return Answered(usage, event.response, "")

    def _declined(self, event: OutgoingAnswered, status: int, reason: str) -> Failed:
        """Hang up a 2xx that is of no use; what its dialog still tells is not about the leg."""
        self._sip.bye(event.usage)
        if self._leg.usage == event.usage:
            self._leg.usage = 0
        return Failed(status, reason, event.response)


async def _result(task: asyncio.Future[Answered | Failed]) -> Answered | Failed:
    return await task


def _failure(event: OutgoingFailed) -> Failed:
    status = event.status
    if event.response is None and status == 503:  # the engine's word for: could not be sent
        status = 0
    return Failed(status, event.reason or reason_phrase(event.status), event.response)


def _best(one: Failed, other: Failed) -> Failed:
    """Which refusal of several counts (RFC 3261 16.7 step 6): 6xx, else the lowest class."""
    for pick in (600, 400, 500, 300):
        for each in (one, other):
            if pick <= each.status < pick + 100:
                return each
    return other


def _way(attempt: Attempt) -> Flow:
    if attempt.flow is not None:
        return attempt.flow
    transport, host, port = attempt.destination or ("udp", "", 0)
    return Flow(transport, ("", 0), (host, port))


def _user(attempt: Attempt, leg: OutboundSession) -> str:
    """User part of From."""
    given = attempt.caller_id or leg.caller_id
    return given or "anonymous"
