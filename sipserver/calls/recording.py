"""Recordings of a live leg: the row first, then the sound, then the file and its callback."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from sipdomains.contracts import RecordingStarted
from sipserver.calls.ports import LogUnavailable, MediaSession
from sipserver.calls.session import CallSession
from sipserver.calls.waiting import first
from sipserver.mediapool.recording import RecordEnd, RecordOperation, RecordSpec
from twimlrunner.engine.ports import (
    CallbackTarget,
    DialRecording,
    Recorded,
    RecordPlan,
    VerbFailed,
)

SHORTEST = 1.0  # seconds; less counts as nothing recorded (twiml-voice.md, Record)
_DAY = 86_400.0
_STOP_SECONDS = 1.0


class Active:
    """A recording under way."""

    def __init__(
        self,
        session: CallSession,
        media: MediaSession,
        *,
        sid: str,
        url: str,
        source: str,
        operation: RecordOperation,
    ) -> None:
        self.session = session
        self.media = media  # that it is made in
        self.sid = sid
        self.url = url
        self.source = source
        self.operation = operation
        self.paused = False
        self._changing = asyncio.Lock()  # pauses follow one another, in the row too
        self._finishing: asyncio.Future[Recorded] | None = None
        session.recordings.under_way[sid] = self

    async def pause(self, behavior: str) -> bool:
        """``skip`` or ``silence``, see ``RecordOperation.pause``. False: it has ended."""
        async with self._changing:
            if self._finishing is not None or not await self.operation.pause(behavior):
                return False
            if not self.paused:
                self.paused = True
                await self._changed("paused", behavior=behavior)
            return True

    async def resume(self) -> bool:
        """False: it has ended."""
        async with self._changing:
            if self._finishing is not None or not await self.operation.resume():
                return False
            if self.paused:
                self.paused = False
                await self._changed("resumed")
            return True

    async def _changed(self, what: str, **more: str) -> None:
        self.session.event("recording", {"what": what, "recording_sid": self.sid, **more})
        await self.session.env.recordings.mark(self.sid, paused=self.paused)

    async def halt(self) -> bool:
        """End it as REST asks: nothing is recorded any more, its row becomes final soon. False: it
        has ended already."""
        if self._finishing is not None:
            return False
        finishing = asyncio.ensure_future(self.finish("api"))
        self.session.recordings.keep(finishing)
        ended = asyncio.ensure_future(self.operation.wait())
        try:
            await first(ended, finishing)
        finally:
            ended.cancel()
        return True

    async def finish(self, ended_by: str = "") -> Recorded:
        """Stop it if it still runs, and make its row final. ``ended_by`` replaces the worker's
        word for an end that we brought about; the first to call it counts. Goes on when the waiting
        for it is cancelled."""
        if self._finishing is None:
            self._finishing = asyncio.ensure_future(self._finish(ended_by))
        return await asyncio.shield(self._finishing)

    async def _finish(self, ended_by: str) -> Recorded:
        recordings = self.session.recordings
        recordings.under_way.pop(self.sid, None)
        recordings.ended.add(self.sid)
        self.operation.stop()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                end = await self.operation.wait()
        except TimeoutError:
            end = RecordEnd("lost")
        cause = ended_by if end.cause == "stopped" and ended_by else end.cause
        broken = end.cause in ("lost", "failed")
        heard = end.seconds >= SHORTEST and end.speech_seconds > 0
        async with self._changing:  # a pause whose row is being written comes first
            finished = await self.session.env.recordings.finish(
                self.sid, ended_by=cause, seconds=end.seconds, failed=broken, heard=heard
            )
        recorded = Recorded(
            sid=self.sid,
            url=self.url,
            seconds=finished.seconds,
            ended_by=cause,
            key=end.key,
            heard=finished.status == "completed",
            silent=end.seconds >= SHORTEST and end.speech_seconds == 0,
        )
        data = {"what": "ended", "recording_sid": self.sid, "seconds": finished.seconds}
        self.session.event("recording", {**data, "cause": cause, "status": finished.status})
        return recorded


async def begin(
    session: CallSession,
    spec: RecordSpec,
    *,
    source: str,
    trim: bool,
    callback: CallbackTarget | None,
) -> Active:
    """``spec.path`` is filled in here. Raises VerbFailed when the row cannot be written."""
    env, media = session.env, session.media
    if media is None:
        raise RuntimeError("recording before media")
    account = session.policy.account_sid
    sid, path, url = env.recordings.new(account)
    wanted = {}
    if callback is not None:
        wanted = {
            "url": callback.url, "method": callback.method, "events": list(callback.events),
        }  # fmt: skip
    row = RecordingStarted(
        recording_sid=sid,
        call_sid=session.call_sid,
        account_sid=account,
        node=env.settings.node,
        at=env.clock.wall(),
        source=source,
        channels=spec.channels,
        track=spec.track,
        trim=trim,
        path=path,
        callback=wanted,
    )
    opening = asyncio.ensure_future(env.log.open(row))
    try:
        await asyncio.shield(opening)
    except asyncio.CancelledError:
        await asyncio.wait({opening})
        if opening.exception() is None:  # a row that nothing follows would stay open
            await env.recordings.finish(
                sid, ended_by="redirected", seconds=0.0, failed=False, heard=False
            )
        raise
    except LogUnavailable as error:
        raise VerbFailed(12400, f"The recording cannot be written down: {error}") from error
    session.event("recording", {"what": "started", "recording_sid": sid})
    media = session.media or media  # None while it moves: then this ends with the old one
    operation = media.record(replace(spec, path=path))
    return Active(session, media, sid=sid, url=url, source=source, operation=operation)


async def record(session: CallSession, plan: RecordPlan) -> Recorded:
    """The Record verb. A hang-up ends it like anything else; cancelling it makes it final too."""
    if session.over.done():
        return Recorded("", "", 0, "hangup", "", heard=False)
    spec = RecordSpec(
        path="",
        max_seconds=float(plan.max_length),
        silence_seconds=float(plan.silence_timeout),
        finish_on=plan.finish_on,
        beep=plan.beep,
    )
    active = await begin(session, spec, source="RecordVerb", trim=plan.trim, callback=plan.callback)
    pressed: list[str] = []

    def on_key(key: str) -> None:
        """The worker knows the keys that come by RTP and ends by itself, but not those by INFO."""
        if key not in plan.finish_on or active.paused:
            session.keep_key(key)
        elif not pressed:
            pressed.append(key)
            active.operation.stop()

    ended = asyncio.ensure_future(active.operation.wait())
    session.on_key = on_key
    try:
        await first(ended, session.over)
    except asyncio.CancelledError:
        await active.finish("redirected")
        raise
    finally:
        session.on_key = None
        ended.cancel()
    if not pressed:
        return await active.finish("hangup")
    return replace(await active.finish("key"), key=pressed[0])


async def begin_dial(session: CallSession, plan: DialRecording) -> Active:
    """Of Dial: the parent's side is channel 1, what the parent hears channel 2."""
    spec = RecordSpec(
        path="",
        channels=2 if plan.dual else 1,
        track=plan.track,
        max_seconds=_DAY,
    )
    return await begin(session, spec, source="DialVerb", trim=plan.trim, callback=plan.callback)
