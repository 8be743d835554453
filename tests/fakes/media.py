"""Fakes of the media ports and of what keeps recordings; they write into the same ladder."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sipserver.calls.ports import FinishedRecording, MediaListener, MediaParameters
from sipserver.mediapool.recording import RecordEnd, RecordSpec
from sipserver.mediapool.session_proxy import NoMedia


@dataclass
class FakeOperation:
    ladder: list[str]
    files: list[str]
    endless: bool
    done: asyncio.Event = field(default_factory=asyncio.Event)
    cause: str = "end"

    def extend(self, files: Sequence[str], *, more: bool) -> None:
        self.files.extend(files)
        if not more:
            self._complete()

    def _complete(self) -> None:
        if not self.endless:
            self.done.set()

    def stop(self) -> None:
        self.ladder.append("stop")
        self.cause = "stopped"
        self.done.set()

    async def wait(self) -> str:
        await self.done.wait()
        if self.cause == "end":
            self.ladder.append("played " + " + ".join(self.files))
        return self.cause


class FakeRecording:
    """Ends with ``end`` when a test says so, or as ``stopped`` when it is stopped."""

    def __init__(self, spec: RecordSpec) -> None:
        self.spec = spec
        self.ended: asyncio.Future[RecordEnd] = asyncio.get_running_loop().create_future()
        self.changes: list[str] = []  # pauses by their behaviour, and resumptions

    def end(self, end: RecordEnd) -> None:
        if not self.ended.done():
            self.ended.set_result(end)

    def stop(self) -> None:
        self.end(RecordEnd("stopped", seconds=5.0, speech_seconds=3.0, peak=9000))

    async def pause(self, behavior: str) -> bool:
        return await self._change(behavior)

    async def resume(self) -> bool:
        return await self._change("resume")

    async def _change(self, change: str) -> bool:
        await asyncio.sleep(0)
        if self.ended.done():
            return False
        self.changes.append(change)
        return True

    async def wait(self) -> RecordEnd:
        return await asyncio.shield(self.ended)


class FakeRecordings:
    """Keeps what was finished."""

    def __init__(self, ladder: list[str]) -> None:
        self.ladder = ladder
        self.finished: list[tuple[str, dict[str, Any]]] = []
        self.marks: list[tuple[str, bool]] = []
        self._numbers = itertools.count(1)

    def new(self, account_sid: str) -> tuple[str, str, str]:
        sid = f"RE{next(self._numbers):032x}"
        return sid, f"/spool/{sid}.wav", f"http://here/{account_sid}/Recordings/{sid}"

    async def mark(self, recording_sid: str, *, paused: bool) -> None:
        await asyncio.sleep(0)
        self.marks.append((recording_sid, paused))

    async def finish(self, recording_sid: str, **how: Any) -> FinishedRecording:
        await asyncio.sleep(0)
        self.ladder.append(f"recorded {how['ended_by']}")
        self.finished.append((recording_sid, how))
        status = "failed" if how["failed"] else "completed" if how["heard"] else "absent"
        return FinishedRecording(round(how["seconds"]), status)


class FakeMediaSession:
    def __init__(self, media: FakeMedia, listener: MediaListener) -> None:
        self.port = 20000
        self.worker: object = media
        self.closed = False
        self.bridged: FakeMediaSession | None = None
        self.recordings: list[FakeRecording] = []
        self.listener = listener
        self.media = media
        self.connected: list[MediaParameters] = []

    async def connect(self, parameters: MediaParameters) -> None:
        self.connected.append(parameters)

    def play(self, files: Sequence[str], *, more: bool = False) -> FakeOperation:
        operation = FakeOperation(self.media.ladder, list(files), self.media.endless)
        self.media.operations.append(operation)
        if not more:
            operation._complete()
        return operation

    async def send_digits(self, digits: str) -> str:
        self.media.ladder.append(f"digits {digits}")
        if self.media.endless_digits:
            await asyncio.Event().wait()
        return "end"

    def ringback(self, country: str) -> FakeOperation:
        self.media.ladder.append(f"ringback {country}")
        return FakeOperation(self.media.ladder, [], endless=True)

    async def bridge(self, other: FakeMediaSession, *, swallow: str = "") -> None:
        await asyncio.sleep(0)
        if other.worker is not self.worker:
            raise ValueError("a bridge joins two sessions of one worker")
        if self.closed or other.closed:
            raise NoMedia("session is over")
        self.bridged, other.bridged = other, self
        self.media.ladder.append("bridged")

    async def unbridge(self) -> None:
        await asyncio.sleep(0)
        if self.bridged is not None:
            self.bridged.bridged = None
            self.bridged = None
            self.media.ladder.append("unbridged")

    def record(self, spec: RecordSpec) -> FakeRecording:
        recording = FakeRecording(spec)
        self.recordings.append(recording)
        return recording

    async def close(self) -> dict[str, Any]:
        if not self.closed:
            self.media.open_ports -= 1
        self.closed = True
        for recording in self.recordings:
            recording.stop()
        self.media.ladder.append("port freed")
        return {"packets_sent": 1}


class FakeMedia:
    def __init__(self, ladder: list[str]) -> None:
        self.ladder = ladder
        self.endless = False
        self.endless_digits = False
        self.none = False
        self.scattered = False  # each session on a worker of its own, unless it shall be near
        self.open_ports = 0
        self.sessions: list[FakeMediaSession] = []
        self.operations: list[FakeOperation] = []

    async def open(
        self, family: str, listener: MediaListener, *, near: Any = None
    ) -> FakeMediaSession:
        if self.none:
            raise NoMedia("no port")
        self.open_ports += 1
        session = FakeMediaSession(self, listener)
        if self.scattered:
            session.worker = object() if near is None else near.worker
        self.sessions.append(session)
        return session
