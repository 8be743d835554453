"""Programs on a live leg: run beside the interrupts, replaced by live updates."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, assert_never

from sipserver.calls.control import LiveCall
from sipserver.calls.documents import LiveDocuments
from sipserver.calls.programlog import SessionProgramLog
from sipserver.calls.session import CallSession
from sipserver.calls.termination import Termination, interrupt_cause, termination
from twimlrunner.engine.handler import Handlers
from twimlrunner.engine.interrupts import Over, Redirected
from twimlrunner.engine.ports import CallEnded, DocumentRequest, Speech, VerbFailed
from twimlrunner.engine.runner import (
    ApplicationError,
    Completed,
    HungUp,
    ProgramEnd,
    Rejected,
    run_program,
)
from twimlrunner.twiml.document import Document
from twimlrunner.verbs.registry import HANDLERS

log = logging.getLogger(__name__)


async def run_programs(
    session: CallSession,
    call: LiveCall,
    first: DocumentRequest | Document | None,
    opening: Callable[[], Coroutine[Any, Any, None]] | None = None,
) -> Termination:
    """Run ``first`` and every program that replaces it, until one ends by itself or the call is
    over; the ending. ``first`` None: nobody says what to do with the call. ``opening`` comes before
    it, and is cut short as a program is."""
    redirect = session.signal.take_redirect()
    if redirect is not None:  # it came before there was anything to interrupt
        work = _program(session, call, redirect.first)
    elif first is None:
        work = _nothing(session, call)
    else:
        work = _program(session, call, first, opening)
    while True:
        ending = await run_interruptibly(session, work)
        redirect = session.signal.take_redirect()
        if redirect is None:
            return ending
        work = _program(session, call, redirect.first)


async def _nothing(session: CallSession, call: LiveCall) -> Termination:
    message = "The domain has no voice URL: nobody says what to do with its calls."
    session.notify(11100, "error", message)
    return await _apologise(session, call, ApplicationError(11100, message))


async def run_interruptibly(
    session: CallSession, work: Coroutine[Any, Any, Termination]
) -> Termination:
    """Run a program beside the interrupts (architecture, choice 5). Its own ending, unless one
    came: a fact lets verbs report for a moment, a decision stops them at once."""
    settings = session.env.settings
    program = asyncio.create_task(work)
    interrupted = asyncio.create_task(session.signal.wait())
    try:
        await asyncio.wait({program, interrupted}, return_when=asyncio.FIRST_COMPLETED)
        if isinstance(session.signal.pending, Over):
            await asyncio.wait({program}, timeout=settings.parting_seconds)
    finally:
        interrupted.cancel()
        if not program.done():
            program.cancel()
            await asyncio.wait({program}, timeout=settings.cleanup_seconds)
    pending = session.signal.pending
    if pending is not None and not isinstance(pending, Redirected):
        ending = termination(interrupt_cause(pending), session.detail)
    elif pending is None or _ended_well(program):
        return program.result()
    else:  # cut short by a redirect
        ending = termination("internal-error")
    if program.done() and not program.cancelled() and program.exception() is not None:
        log.error("call %s: program failed", session.call_sid, exc_info=program.exception())
    return ending


def _ended_well(program: asyncio.Task[Termination]) -> bool:
    return program.done() and not program.cancelled() and program.exception() is None


async def run_document(
    session: CallSession,
    call: LiveCall,
    first: DocumentRequest | Document,
    handlers: Handlers,
    fallback: Callable[[], tuple[str, str] | None] = lambda: None,
) -> ProgramEnd:
    """Run one program to its end, in the caller's task."""
    return await run_program(
        first,
        handlers=handlers,
        call=call,
        documents=LiveDocuments(session, call),
        log=SessionProgramLog(session),
        clock=session.env.clock.monotonic,
        fallback=fallback,
    )


async def _program(
    session: CallSession,
    call: LiveCall,
    first: DocumentRequest | Document,
    opening: Callable[[], Coroutine[Any, Any, None]] | None = None,
) -> Termination:
    policy = session.policy

    def fallback() -> tuple[str, str] | None:
        if session.fallback is None and policy.voice_fallback_url:
            return policy.voice_fallback_url, policy.voice_fallback_method
        return session.fallback

    try:
        if opening is not None:
            await opening()
    except CallEnded:
        return termination(session.hangup_cause)
    end: ProgramEnd = await run_document(session, call, first, HANDLERS, fallback)
    match end:
        case Completed():
            return termination("refer-last" if session.referred_last else "document-ended")
        case HungUp(reason="transferred"):
            return termination("transferred")
        case HungUp():
            return termination("hangup-verb")
        case Rejected(status=status):
            return termination("reject-busy" if status == 486 else "reject")
        case ApplicationError():
            return await _apologise(session, call, end)
        case _:
            assert_never(end)


async def _apologise(session: CallSession, call: LiveCall, error: ApplicationError) -> Termination:
    """sip-domain.md section 4: an announcement, then hang-up; or 503 if the domain wants that."""
    detail = f"({error.code}: {error.message})"
    if session.policy.fail_with_503 and not session.answered:
        return termination("application-error-503", detail)
    try:
        async with asyncio.timeout(session.env.settings.apology_seconds):
            await call.ensure_answered()
            await call.play(Speech(session.env.settings.apology, "woman", "en-US"))
    except (CallEnded, VerbFailed, TimeoutError):
        pass  # it was a courtesy; the log has the reason
    return termination("application-error", detail)
