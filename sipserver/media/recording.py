"""The recordings of one session: from the command to the event ``ended``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any

from sipserver.media.disk import Disk, WavFile
from sipserver.media.pacer import Alarms
from sipserver.media.recorder import Limits, Recorder
from sipserver.media.sender import Sender
from sipserver.media.taps import Taps

TRACKS = ("inbound", "outbound", "both")
PAUSES = ("skip", "silence")
MAX_SECONDS = 86400
_MAX_KEYS = 16


@dataclass(frozen=True, slots=True)
class Plan:
    """The arguments of ``record``."""

    path: str
    channels: int
    track: str
    limits: Limits
    beep: bool


def plan(arguments: dict[str, Any]) -> Plan:
    """Raises KeyError, TypeError or ValueError."""
    path, track, keys = arguments["path"], arguments["track"], arguments["finish_on"]
    channels, longest = int(arguments["channels"]), float(arguments["max_s"])
    silence = float(arguments["silence_s"])
    if not isinstance(path, str) or not isinstance(keys, str) or len(keys) > _MAX_KEYS:
        raise TypeError("path or keys")
    if track not in TRACKS or channels not in (1, 2):
        raise ValueError("track or channels")
    if not 0 < longest <= MAX_SECONDS or not 0 <= silence <= MAX_SECONDS:
        raise ValueError("seconds")
    return Plan(path, channels, track, Limits(longest, silence, keys), bool(arguments["beep"]))


class Recordings:
    def __init__(
        self, sender: Sender, disk: Disk, alarms: Alarms, emit: Callable[[str, Any], None]
    ) -> None:
        self._sender = sender
        self._disk = disk
        self._alarms = alarms
        self._emit = emit
        self._recorders: dict[int, Recorder] = {}

    def start(self, number: int, wanted: Plan, inbound: Taps, outbound: Taps) -> None:
        """``number`` of the operation; its beep has the same."""
        recorder = Recorder(
            WavFile(self._disk, wanted.path, wanted.channels),
            wanted.limits,
            clock=monotonic,
            alarm=self._alarms.at,
            ended=partial(self._ended, number),
        )
        self._recorders[number] = recorder

        def begin(cause: str) -> None:
            if cause == "end":
                recorder.begin(
                    inbound if wanted.track != "outbound" else None,
                    outbound if wanted.track != "inbound" else None,
                    channels=wanted.channels,
                )

        if wanted.beep:
            self._sender.beep(number, begin)
        else:
            begin("end")

    def stop(self, number: int, now: float) -> bool:
        """False: no such recording (any more)."""
        if number not in self._recorders:
            return False
        self._end(number, "stopped", now)
        return True

    def pause(self, number: int, behavior: str, now: float) -> bool:
        """False: no such recording (any more). Raises ValueError."""
        if behavior not in PAUSES:
            raise ValueError("behavior")
        recorder = self._recorders.get(number)
        return recorder is not None and recorder.pause(behavior, now)

    def resume(self, number: int, now: float) -> bool:
        """False: no such recording (any more)."""
        recorder = self._recorders.get(number)
        return recorder is not None and recorder.resume(now)

    def key(self, key: str, now: float) -> None:
        """The peer has pressed it."""
        for number, recorder in list(self._recorders.items()):
            if key in recorder.limits.finish_on and not recorder.paused:
                self._end(number, "key", now, key)

    def close(self, now: float) -> None:
        for number in list(self._recorders):
            self._end(number, "stopped", now)

    def _end(self, number: int, cause: str, now: float, key: str = "") -> None:
        self._recorders[number].stop(cause, now, key)
        self._sender.stop(number)  # the beep, if it has not come to its end

    def _ended(self, number: int, cause: str, data: dict[str, Any]) -> None:
        del self._recorders[number]
        self._emit("ended", {"op": number, "cause": cause, **data})
