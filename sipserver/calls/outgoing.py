"""The life of one leg that we place, in one function: row, INVITE, answer, program, ending.

Whatever happens in between, ``run_leg`` leaves the dialog ended, the RTP port returned and the row
final with a reason, as ``supervisor.run_call`` does for a leg that came in.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace

from sipserver.calls.control import LiveCall
from sipserver.calls.destinations import Destinations, Undialable
from sipserver.calls.office import Office
from sipserver.calls.outbound import OutboundSession
from sipserver.calls.placing import Answered, Failed, Placing, ending
from sipserver.calls.ports import LogUnavailable, MediaSession
from sipserver.calls.programs import run_programs
from sipserver.calls.termination import Termination, interrupt_cause, termination
from sipserver.calls.timelimit import TimeLimiter
from twimlrunner.engine.interrupts import Redirected
from twimlrunner.engine.ports import CallEnded

log = logging.getLogger(__name__)


async def run_leg(
    leg: OutboundSession,
    call: LiveCall,
    locate: Callable[[], Awaitable[Destinations | Undialable]],
    office: Office,
    near: MediaSession | None,
    program: Callable[[], Awaitable[Termination]] | None = None,
) -> None:
    """From the row to the closed row. ``near`` is the media session that it will be bridged with.
    ``program`` is what the answered leg does; without one it waits for what is wanted of it.

    Never raises for what the peer does. ``leg.answer`` and ``leg.done`` tell how it goes.
    """
    how = termination("internal-error")
    try:
        await leg.open()
        how = await _place(leg, call, await locate(), office, near, program)
    except LogUnavailable as error:
        how = termination("database-unavailable", f"({error})")
    except CallEnded:
        how = _interrupted(leg)
    except Exception:
        log.exception("call %s failed inside", leg.call_sid)
    finally:
        if not leg.opened:
            leg.open_late()
        await _finish(leg, how)


async def _place(
    leg: OutboundSession,
    call: LiveCall,
    where: Destinations | Undialable,
    office: Office,
    near: MediaSession | None,
    program: Callable[[], Awaitable[Termination]] | None,
) -> Termination:
    for code, message in where.issues:
        leg.notify(code, "warning", message)
    if isinstance(where, Undialable):
        leg.notify(where.code, "warning", where.message)
        return termination("undialable", f"({where.message})", where.sip_status)
    limits = leg.policy.outgoing_limits
    guarded = _goes_outside(where)
    if guarded:
        denied = office.guard.claim(limits, now=leg.env.clock.monotonic())
        if denied is not None:
            leg.notify(denied.code, "error", denied.message)
            return termination("outgoing-limit", f"({denied.message})")
    try:
        if leg.signal.pending is None:
            placing = Placing(leg, call.media, where, office, near)
            outcome = await _unless_released(leg, placing)
            if outcome is None:
                return _interrupted(leg)
            if isinstance(outcome, Failed):
                if outcome.response is not None:
                    leg.last_headers = x_headers(outcome.response.headers.items())
                leg.sip_status = outcome.status
                return ending(outcome)
            leg.answered_by(outcome.response, outcome.usage, outcome.sip_call_id)
            leg.answer.set_result(outcome.response)
            leg.news()
        # Also of a leg that was transferred, which no Dial looks after any more.
        limit = TimeLimiter(leg, office)
        try:
            return await (program() if program is not None else _attend(leg, call))
        finally:
            limit.cancel()
    finally:
        if guarded:
            office.guard.release(limits)


def _goes_outside(where: Destinations) -> bool:
    """Registered phones of one's own cost nothing; everything else is under the fraud guard."""
    return any(attempt.flow is None for branch in where.branches for attempt in branch.attempts)


async def _unless_released(leg: OutboundSession, placing: Placing) -> Answered | Failed | None:
    """The outcome of the INVITEs, None when the leg was let go before."""
    work = asyncio.create_task(placing.run())
    signal = asyncio.create_task(leg.signal.wait())
    try:
        await asyncio.wait({work, signal}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        signal.cancel()
        if not work.done():
            work.cancel()
            await asyncio.wait({work})
    return None if work.cancelled() else work.result()


async def _attend(leg: OutboundSession, call: LiveCall) -> Termination:
    """An answered leg waits for what is wanted of it: its end, or a program of its own."""
    while True:
        pending = await leg.signal.wait()
        if not isinstance(pending, Redirected):
            return _interrupted(leg)
        redirect = leg.signal.take_redirect()
        how = await run_programs(leg, call, redirect.first if redirect else pending.first)
        if leg.signal.pending is not None or not leg.coming_back or leg.bridged_elsewhere:
            return how
        # A transfer that came to nothing: back to whom it was with.
        leg.coming_back = leg.detached = False
        leg.news()


def _interrupted(leg: OutboundSession) -> Termination:
    pending = leg.signal.pending
    if pending is None:
        return termination("internal-error")
    how = termination(interrupt_cause(pending), leg.detail)
    if not leg.answered:
        return how
    return replace(how, sip_status=200)


async def _finish(leg: OutboundSession, how: Termination) -> None:
    """End the dialog first, then free the port, then close the row; each step whatever the last."""
    leg.finishing = True
    try:
        if leg.answered:
            how = replace(how, sip_status=200)
            if not leg.dialog_over:
                leg.env.sip.bye(leg.usage)
        leg.ends_now()
        if leg.media is not None:
            async with asyncio.timeout(leg.env.settings.cleanup_seconds):
                leg.media_stats = await leg.media.close() or leg.media_stats
        await leg.recordings.settle(leg.env.settings.cleanup_seconds)
    except Exception:
        log.exception("call %s: clean-up failed", leg.call_sid)
    finally:
        leg.sip_status = leg.sip_status or how.sip_status
        leg.close(how)
        leg.done.set_result(how)
        leg.news()


def x_headers(headers: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Those that the action of Dial is told (sip-domain.md section 8)."""
    return tuple((name, value) for name, value in headers if name.lower().startswith("x-"))
