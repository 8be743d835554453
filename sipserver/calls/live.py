"""Live updates: what REST asks of a call that is going on, done at whatever stage it is (ADR 18).

A decision is put into the call's box of interrupts; whoever runs the call sees to it. What REST is
told is true: a call whose ending has been chosen is changed no more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from sipdomains import contracts
from sipdomains.live import Command, Outcome, rejected
from sipserver.calls import api_recording
from sipserver.calls.office import Office
from sipserver.calls.originate import document
from sipserver.calls.outbound import OutboundSession
from sipserver.calls.session import CallSession
from sipserver.calls.waiting import first
from twimlrunner.engine.interrupts import Redirected, Released
from twimlrunner.engine.ports import CallbackTarget
from twimlrunner.twiml.redact import without_passwords

# How long the end of a call is waited for, so that REST is told how it ended.
ENDING_SECONDS = 1.0

_OVER = "The call is over."
_ENDING = "The call is ending."
_ANSWERED = "The call has been answered: it can be completed, not canceled."
_RINGING_LEG = "The party that Dial calls has not answered: it has no document to replace."


async def apply(command: Command, office: Office) -> Outcome:
    """Do it, or say why not. Once: whoever calls sees to that."""
    session = office.find(command.call_sid)
    if session is None:
        return rejected(_OVER)
    if not session.changeable:
        return rejected(_ENDING)
    match command.kind:
        case contracts.REDIRECT:
            return _redirect(session, command)
        case contracts.HANGUP | contracts.CANCEL:
            return await _end(session, command, office)
        case contracts.UPDATE:
            _told(session, command)
            return _update(session, command.payload)
        case contracts.RECORDING_START:
            return await _recording(session, command, api_recording.start)
        case contracts.RECORDING_UPDATE:
            return await _recording(session, command, api_recording.update)
        case _:
            return rejected(f"{command.kind}: this node does not know that.", 20500)


# --- another document ---------------------------------------------------------------------------


def _redirect(session: CallSession, command: Command) -> Outcome:
    payload = command.payload
    wanted = document(
        str(payload.get("url", "")),
        str(payload.get("method", "POST")),
        str(payload.get("twiml", "")),
        "live-update",
    )
    if isinstance(session, OutboundSession) and not session.answer.done():
        if session.first is None:
            return rejected(_RINGING_LEG)
        _told(session, command)
        session.first = wanted
        return _update(session, payload)
    _told(session, command)
    outcome = _update(session, payload)
    if isinstance(session, OutboundSession) and session.first is None:
        session.go_own_way(wanted)
    else:
        session.interrupt(Redirected(wanted))
    return outcome


# --- the end ------------------------------------------------------------------------------------


async def _end(session: CallSession, command: Command, office: Office) -> Outcome:
    if session.answered and command.kind == contracts.CANCEL:
        return rejected(_ANSWERED)
    _told(session, command)
    cause = "api-hangup"
    if not session.answered:
        cause = "api-cancel" if isinstance(session, OutboundSession) else "api-refuse"
    session.interrupt(Released(cause), f"({command.requested_by})")
    await first(office.ended(session), timeout=ENDING_SECONDS)
    return Outcome()


# --- how it goes on -----------------------------------------------------------------------------


def _update(session: CallSession, payload: Mapping[str, Any]) -> Outcome:
    if "time_limit" in payload:
        session.time_limit = float(payload["time_limit"])
        if session.limiter is not None:
            session.limiter.set()
    if "fallback_url" in payload:
        url = str(payload["fallback_url"])
        session.fallback = (url, str(payload.get("fallback_method", "POST"))) if url else None
    if "callback" not in payload:
        return Outcome()
    wanted = payload["callback"]
    if not wanted["url"]:
        session.callback = None
        return Outcome(callback={})
    events = session.callback.events if session.callback is not None else ("completed",)
    session.callback = CallbackTarget(wanted["url"], wanted.get("method", "POST"), events)
    return Outcome(callback=session.callback_spec())


async def _recording(
    session: CallSession,
    command: Command,
    work: Callable[[CallSession, Mapping[str, Any]], Awaitable[dict[str, Any]]],
) -> Outcome:
    try:
        result = await work(session, command.payload)
    except api_recording.Refused as refused:
        return rejected(refused.message, refused.code)
    _told(session, command, **result)
    return Outcome(result)


def _told(session: CallSession, command: Command, **more: str) -> None:
    """Who asked for what. Never a document: it may hold passwords."""
    payload = command.payload
    data: dict[str, Any] = {"what": command.kind, "by": command.requested_by, **more}
    if command.kind == contracts.REDIRECT:
        if payload.get("url"):
            data["url"] = without_passwords(str(payload["url"]))
        else:
            data["inline"] = True
    changes = [name for name in ("callback", "time_limit", "fallback_url") if name in payload]
    if changes:
        data["changes"] = changes
    session.event("command", data)
