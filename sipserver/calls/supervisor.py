"""The life of one inbound call, in one function: intake, row, ring, program, ending.

Whatever happens in between, ``run_call`` leaves the dialog ended, the RTP port returned and the
row final with a reason (architecture section 1, rules 4 and 5).
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from sipdomains.policy import DomainPolicy
from sipserver.calls.control import LiveCall
from sipserver.calls.inbound import Facts, InboundSession
from sipserver.calls.intake import Accepted, Challenged, IntakeResult, Refused, examine
from sipserver.calls.office import Office
from sipserver.calls.ports import LogUnavailable
from sipserver.calls.programs import run_programs
from sipserver.calls.routing import contact_points_nowhere
from sipserver.calls.termination import Termination, interrupt_cause, termination
from sipserver.calls.timelimit import TimeLimiter
from sipserver.sip.build import warning_value
from sipserver.sip.grammar import format_host_port
from twimlrunner.engine.ports import CallbackTarget, DocumentRequest

log = logging.getLogger(__name__)

# Causes without a code of which the caller is told all the same.
_EXPLAINED = frozenset({"api-refuse"})


async def run_call(session: InboundSession, office: Office) -> None:
    """From the INVITE to the closed row. Never raises for what the peer or the application does."""
    found = await _examine(session, office)
    if session.over.done() and not isinstance(found, Accepted):
        # The caller gave up meanwhile: the engine has answered 487, no other answer goes out.
        ending = termination(interrupt_cause(session.over.result()))
        record_refusal(session, ending, office, found.policy)
        return
    if isinstance(found, Challenged):
        office.remember_challenge(session, found.policy)
        session.final_response_sent = True
        session.env.sip.reject(session.usage, 407, headers=found.headers)
        return
    if isinstance(found, Refused):
        _refuse(session, found, office)
        return
    await _take(session, found, office)


async def _examine(session: InboundSession, office: Office) -> IntakeResult:
    env = session.env
    try:
        return await examine(
            session.invite,
            config=env.settings.intake,
            directory=env.directory,
            clock=env.clock,
            spent=office.spent_nonces,
            load=office.load(),
            live_calls=office.live,
            rates=office.incoming_rates,
            local_host=env.sip.local_host(session.flow),
        )
    except Exception:
        # A fault of ours must not leave the caller without an answer, nor the log without a row.
        log.exception("call %s failed at intake", session.call_sid)
        return Refused("internal-error", source=session.flow.remote[0])


def _refuse(session: InboundSession, refused: Refused, office: Office) -> None:
    """Answer first, then write down why, as far as the budget of that source allows."""
    ending = termination(refused.cause, refused.detail)
    if refused.drop:
        session.env.sip.drop(session.usage)
        ending = termination(refused.cause, refused.detail, 0)
    else:
        _reject(session, ending, refused.retry_after)
    record_refusal(session, ending, office, refused.policy, refused.source, refused.username)


def record_refusal(
    session: InboundSession,
    ending: Termination,
    office: Office,
    policy: DomainPolicy | None,
    source: str = "",
    username: str = "",
) -> None:
    """The row of a call that was never taken, as far as its source's budget allows."""
    source = source or session.flow.remote[0]
    if not office.refusals.spend(source, session.env.clock.monotonic()):
        return
    if policy is not None:
        session.facts = Facts(policy, policy.domain_name, source, username)
    session.open_late()
    session.close(ending)


async def _take(session: InboundSession, accepted: Accepted, office: Office) -> None:
    policy = accepted.policy
    session.facts = Facts(
        policy,
        accepted.addressed,
        accepted.source,
        accepted.username,
    )
    if policy.status_callback_url:  # of a domain only the end is told (webhooks.md section 4.2)
        session.callback = CallbackTarget(
            policy.status_callback_url, policy.status_callback_method, ("completed",)
        )
    session.event("accepted", {"username": accepted.username, "acl": accepted.access_list})
    if contact_points_nowhere(session.request, accepted.source):
        session.notify(32105, "warning", "The Contact of the INVITE names the caller's localhost.")
    sids = (policy.domain_sid, policy.account_sid)
    # Nothing was awaited since intake looked at the limits: no other call slips in between.
    office.claim(*sids)
    ending = termination("internal-error")
    retry_after = 0
    try:
        if not session.over.done():
            await session.open()
            ending = await _conduct(session, accepted, office)
    except LogUnavailable as error:
        ending, retry_after = termination("database-unavailable", f"({error})"), 10
    except Exception:
        log.exception("call %s failed inside", session.call_sid)
    finally:
        office.release(*sids)
        if not session.opened:
            session.open_late()
            if session.over.done():  # CANCEL came while we looked things up, or wrote the row
                ending = termination(interrupt_cause(session.over.result()))
        await _finish(session, ending, retry_after)


async def _conduct(session: InboundSession, accepted: Accepted, office: Office) -> Termination:
    """Ring, run programs until one ends by itself or the call is over, and choose the ending."""
    policy = accepted.policy
    session.env.sip.ring(session.usage)
    session.event("ringing")
    call = LiveCall(session, office, accepted.offer)
    limit = TimeLimiter(session, office)
    try:
        first = None
        if policy.voice_url:
            first = DocumentRequest(policy.voice_url, policy.voice_method, "voice-url")
        return await run_programs(session, call, first)
    finally:
        limit.cancel()


async def _finish(session: InboundSession, ending: Termination, retry_after: int) -> None:
    """End the dialog first, then free the port, then close the row; each step whatever the last."""
    session.finishing = True
    try:
        if session.answered:
            if not session.dialog_over:
                session.env.sip.bye(session.usage)
            ending = replace(ending, sip_status=200)
        elif not session.final_response_sent:
            ending = replace(ending, sip_status=ending.sip_status or 480)
            _reject(session, ending, retry_after)
        session.ends_now()
        if session.media is not None:
            async with asyncio.timeout(session.env.settings.cleanup_seconds):
                session.media_stats = await session.media.close() or session.media_stats
        await session.recordings.settle(session.env.settings.cleanup_seconds)
    except Exception:
        log.exception("call %s: clean-up failed", session.call_sid)
    finally:
        session.close(ending)


def _reject(session: InboundSession, ending: Termination, retry_after: int = 0) -> None:
    """The final non-2xx, saying why in Warning and X-Twilio-Error (never more than the cause)."""
    session.final_response_sent = True
    headers: list[tuple[str, str]] = []
    text = termination(ending.cause).reason
    if ending.code or ending.cause in _EXPLAINED:
        host = format_host_port(session.env.sip.local_host(session.flow), None)
        headers.append(("Warning", warning_value(399, host, text)))
    if ending.code:
        headers.append(("X-Twilio-Error", f"{ending.code} {text}"))
    if retry_after:
        headers.append(("Retry-After", str(retry_after)))
    session.env.sip.reject(session.usage, ending.sip_status, headers=headers)
