"""Recordings of a live leg that REST asks for (rest-api.md section 3, webhooks.md section 4.3).

How the node's dispatcher of commands calls it::

    result = await api_recording.start(session, payload)     # kind recording-start
    result = await api_recording.update(session, payload)    # kind recording-update

Each raises :class:`Refused` (``code`` and ``message`` for the command's row) and returns what goes
into its result. For a call that REST created with Record=true, as soon as it is answered::

    await api_recording.record_call(session, asdict(plan.recording))   # never raises Refused

Payload of ``start``; whatever is missing has the default of the calls' Recordings resource:

==============  ================================================================================
``channels``    1 (default): the sum; 2: the first is what the leg says, the second what it hears
``track``       ``inbound`` (what it says), ``outbound`` (what it hears: prompts and the other side
                of a bridge) or ``both`` (default)
``trim``        whether silence is cut from both ends; default False
``callback``    {``url``, ``method``, ``events``: some of in-progress, completed, absent}, or empty
``source``      ``StartCallRecordingAPI`` (default) or ``OutboundAPI``
==============  ================================================================================

Its result: ``{"recording_sid": "RE…", "status": "in-progress"}``; the row is committed then.

Payload of ``update``:

==================  ============================================================================
``recording_sid``   of any recording of the leg that is under way (also of Record and Dial), or
                    ``Twilio.CURRENT``: the only one
``status``          ``paused``, ``in-progress`` (goes on) or ``stopped``
``pause_behavior``  ``silence`` (default): the pause is in the file as silence; ``skip``: it is not
==================  ============================================================================

Its result: ``{"recording_sid": "RE…", "status": the status}``. ``stopped`` is told when no more is
recorded; the row becomes final a moment later, when the file is stored.

Codes: 21220 the call, or the recording, is not in progress; 20404 no such recording; 16108 there is
more than one, so none is current; 20409 too many at once; 20422 a payload that cannot be read;
20500 the row cannot be written.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sipserver.calls import recording
from sipserver.calls.bridging import has_ended
from sipserver.calls.recording import Active
from sipserver.calls.session import CallSession
from sipserver.calls.waiting import first
from sipserver.mediapool.recording import RecordSpec
from twimlrunner.engine.ports import CallbackTarget, VerbFailed
from twimlrunner.webhooks.callbacks import CallRecording

log = logging.getLogger(__name__)

CURRENT = "Twilio.CURRENT"
START_CALL_RECORDING_API = "StartCallRecordingAPI"
OUTBOUND_API = "OutboundAPI"
MAX_AT_ONCE = 4  # of one leg, asked for by REST

CALL_NOT_IN_PROGRESS = 21220
NOT_FOUND = 20404
MORE_THAN_ONE = 16108
TOO_MANY = 20409
INVALID = 20422
INTERNAL = 20500

_SOURCES = (START_CALL_RECORDING_API, OUTBOUND_API)
_TRACKS = ("inbound", "outbound", "both")
_EVENTS = frozenset({"in-progress", "completed", "absent"})
_STATUSES = ("in-progress", "paused", "stopped")
_BEHAVIORS = ("skip", "silence")
_DAY = 86_400.0


class Refused(Exception):
    """``code`` of errors.md; ``message`` for whoever asked."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Wish:
    """The payload of ``start``, checked."""

    channels: int
    track: str
    trim: bool
    source: str
    callback: CallbackTarget | None

    @classmethod
    def of(cls, payload: Mapping[str, Any]) -> Wish:
        """Raises Refused."""
        channels, track = payload.get("channels", 1), payload.get("track", "both")
        trim = payload.get("trim", False)
        source = payload.get("source", START_CALL_RECORDING_API)
        if channels not in (1, 2) or track not in _TRACKS or source not in _SOURCES:
            raise Refused(INVALID, "The channels, track or source of the recording are not known.")
        if not isinstance(trim, bool):
            raise Refused(INVALID, "Whether to trim is not said by true or false.")
        return cls(channels, track, trim, source, _callback(payload.get("callback")))


def _callback(given: Any) -> CallbackTarget | None:
    if not given:
        return None
    try:
        url, method = given["url"], given.get("method", "POST")
        events = tuple(given.get("events", ("completed",)))
    except (AttributeError, KeyError, TypeError):
        raise Refused(INVALID, "The recording status callback cannot be read.") from None
    if not isinstance(url, str) or method not in ("GET", "POST") or not _EVENTS.issuperset(events):
        raise Refused(INVALID, "The recording status callback cannot be read.")
    return CallbackTarget(url, method, events) if url else None


# --- starting ---------------------------------------------------------------------------------


async def start(session: CallSession, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Begin a recording, which lasts until it is stopped or the leg ends, whatever is run on it
    meanwhile. Raises Refused."""
    wish = Wish.of(payload)
    _require_live(session)
    asked_for = [one for one in session.recordings.under_way.values() if one.source in _SOURCES]
    if len(asked_for) + session.recordings.starting >= MAX_AT_ONCE:
        raise Refused(TOO_MANY, f"{MAX_AT_ONCE} recordings of this call are under way already.")
    spec = RecordSpec(path="", channels=wish.channels, track=wish.track, max_seconds=_DAY)
    session.recordings.starting += 1
    try:
        active = await recording.begin(
            session, spec, source=wish.source, trim=wish.trim, callback=wish.callback
        )
    except VerbFailed as error:
        raise Refused(INTERNAL, error.message) from error
    finally:
        session.recordings.starting -= 1
    session.recordings.keep(_attend(active))
    return {"recording_sid": active.sid, "status": "in-progress"}


async def record_call(session: CallSession, payload: Mapping[str, Any]) -> None:
    """Record a call that REST created. When that cannot be, the call goes on without."""
    try:
        await start(session, {**payload, "source": OUTBOUND_API})
    except Refused as refused:
        session.notify(12400, "error", f"The call is not recorded: {refused.message}")


async def _attend(active: Active) -> None:
    """Until it has ended, by itself or with the leg; then make it final."""
    session = active.session
    ended = asyncio.ensure_future(active.operation.wait())
    try:
        await first(ended, session.over)
    finally:
        ended.cancel()
    # Its media session is closed at the end of the leg, or when the leg goes to another worker.
    moved = session.media is not active.media and not has_ended(session)
    recorded = await active.finish("moved" if moved else "hangup")
    if active.source == OUTBOUND_API and recorded.heard:
        session.recordings.of_call = CallRecording(recorded.sid, recorded.url, recorded.seconds)


def _require_live(session: CallSession) -> None:
    if not session.answered or session.media is None or has_ended(session):
        raise Refused(CALL_NOT_IN_PROGRESS, "Call is not in-progress. Cannot record.")


# --- changing ---------------------------------------------------------------------------------


async def update(session: CallSession, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Pause, resume or stop. What is so already stays so. Raises Refused."""
    status = payload.get("status")
    behavior = payload.get("pause_behavior") or "silence"
    if status not in _STATUSES or behavior not in _BEHAVIORS:
        raise Refused(INVALID, "The status or the pause behavior is not known.")
    active = _find(session, payload.get("recording_sid"))
    match status:
        case "paused":
            done = await active.pause(behavior)
        case "in-progress":
            done = await active.resume()
        case _:
            done = await active.halt()
    if not done:
        raise Refused(CALL_NOT_IN_PROGRESS, "The recording has ended.")
    return {"recording_sid": active.sid, "status": status}


def _find(session: CallSession, sid: Any) -> Active:
    recordings = session.recordings
    if sid == CURRENT:
        live = list(recordings.under_way.values())
        if len(live) > 1:
            raise Refused(MORE_THAN_ONE, f"{len(live)} recordings are under way: name one.")
        if live:
            return live[0]
    elif sid in recordings.under_way:
        return recordings.under_way[sid]
    elif sid in recordings.ended:
        raise Refused(CALL_NOT_IN_PROGRESS, "The recording has ended.")
    raise Refused(NOT_FOUND, "No such recording of this call is under way.")
