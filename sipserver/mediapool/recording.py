"""The node's view of a recording (``SessionProxy.record``)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sipserver.mediapool.session_proxy import SessionProxy


@dataclass(frozen=True, slots=True)
class RecordSpec:
    """What to record. The file at ``path`` is made or overwritten: WAV, 8 kHz, 16-bit PCM.

    ``track`` ``inbound`` is what the session receives from its peer; ``outbound`` is what it sends
    there (prompts, ringback, bridged audio), or with ``other`` (a session of the same worker) what
    that one receives from its peer; ``both`` is both. One channel holds the sum; of two channels
    the first is inbound, the second outbound, and one that is not wanted stays silent.

    ``max_seconds`` are of the wall clock without pauses, up to 86400. ``silence_seconds`` 0 is no
    limit; else it counts on the inbound track (the outbound one if only that is recorded) and only
    while packets arrive. ``finish_on`` holds the keys of this session's peer that end the
    recording. ``beep`` plays a tone to the peer first; the recording begins when it is over.
    """

    path: str
    channels: int = 1
    track: str = "inbound"
    other: SessionProxy | None = None
    max_seconds: float = 3600.0
    silence_seconds: float = 0.0
    finish_on: str = ""
    beep: bool = False


@dataclass(frozen=True, slots=True)
class RecordEnd:
    """``cause``: ``max-length``, ``silence``, ``key``, ``stopped`` (also by the session's close),
    ``lost`` (the worker died: the file wants ``sipserver.media.trim.repair_wav``) or ``failed``
    (disk, or refused by the worker). ``seconds`` are those of the file, ``speech_seconds`` how
    many of them are not silent (on the track that has more), ``peak`` the greatest sample of any
    track, 0..32768.
    ``lost`` and ``failed`` know none of these."""

    cause: str
    seconds: float = 0.0
    key: str = ""
    speech_seconds: float = 0.0
    peak: int = 0


class RecordOperation:
    """A recording under way. Ends exactly once."""

    def __init__(self, session: SessionProxy, number: int) -> None:
        self._session = session
        self._number = number
        self._ended: asyncio.Future[RecordEnd] = asyncio.get_running_loop().create_future()

    def stop(self) -> None:
        if not self._ended.done():
            self._session.send("stop", op=self._number)

    async def pause(self, behavior: str) -> bool:
        """Nothing is recorded from now on; the file gets ``silence`` of that length, or with
        ``skip`` nothing. Nothing but :meth:`stop` and the end of the session ends a recording that
        is paused. Paused again, the rest of the pause gets the other behaviour. False: it has
        ended already."""
        return await self._change("pause", behavior=behavior)

    async def resume(self) -> bool:
        """False: it has ended already."""
        return await self._change("resume")

    async def _change(self, command: str, **arguments: str) -> bool:
        if self._ended.done():
            return False
        return await self._session.accepts(command, op=self._number, **arguments)

    async def wait(self) -> RecordEnd:
        """Returns when the file is complete and written."""
        return await asyncio.shield(self._ended)

    def settle(self, cause: str, data: Mapping[str, Any]) -> None:
        """``data`` of the worker's event ``ended``, or nothing."""
        if self._ended.done():
            return
        self._ended.set_result(
            RecordEnd(
                cause,
                data.get("seconds", 0.0),
                data.get("key", ""),
                data.get("speech_s", 0.0),
                data.get("peak", 0),
            )
        )
