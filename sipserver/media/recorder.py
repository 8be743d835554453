"""Recording: packets on the timeline of the wall clock, into a file."""

from __future__ import annotations

import audioop
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any, Protocol

from sipserver.media.taps import Taps
from sipserver.rtp import g711
from sipserver.rtp.silence import SilenceDetector

_RATE = 8000
_BATCH = 0.2  # s between two looks at what has come
_DELAY = 0.1  # s that a packet may be late (jitter, reordering) and still find its place
_WRITE = 1.0  # s of audio in one write
_JUMP = 2400  # samples off the clock at which the source's timestamps have jumped
_LATE = 640  # all packets of a batch by so much: the source's clock has stood still
_STEADY = 160  # tolerated, for the clocks drift
_WINDOW = 10  # batches over which a drift is seen


class File(Protocol):
    """See ``disk.WavFile``."""

    error: str
    done: bool

    def write(self, pcm: bytes) -> None: ...
    def close(self) -> None: ...


class Track:
    """The audio of one direction of one leg.

    A packet's place follows from its RTP timestamp, so that jitter and disorder do no harm; the
    earliest packet of a run is taken to be on time. When the timestamps no longer agree with the
    clock (another SSRC, a jump, a drift of more than 20 ms), their origin is chosen anew. What is
    missing is silence; what comes too late is dropped. ``heard`` knows only packets, no gaps.
    """

    __slots__ = (
        "_batches",
        "_clock",
        "_codec",
        "_least",
        "_origin",
        "_pcm",
        "_position",
        "_queue",
        "_start",
        "_timestamp",
        "heard",
    )

    def __init__(self, codec: str, clock: Callable[[], float]) -> None:
        """The timeline begins now."""
        self._codec = codec
        self._clock = clock
        self._start = clock()
        self._queue: list[tuple[float, int, bytes]] = []
        self._pcm = bytearray()  # from ``_origin`` on
        self._origin = 0  # samples taken
        self._timestamp: int | None = None  # of the last packet, whose place is ``_position``
        self._position = 0
        self._least = _JUMP  # lateness in this window
        self._batches = 0
        self.heard = SilenceDetector()

    def hear(self, timestamp: int, payload: bytes) -> None:
        """A packet in the codec at hand. Hot path."""
        self._queue.append((self._clock(), timestamp, payload))

    def recode(self, codec: str) -> None:
        """What comes from now on is in this codec."""
        if codec != self._codec:
            self.settle()
            self._codec = codec

    def take(self, end: int) -> bytes:
        """All from the end of the last call to ``end`` (samples since the beginning)."""
        self.settle()
        size = 2 * (end - self._origin)
        pcm = self._pcm
        if len(pcm) < size:
            pcm.extend(bytes(size - len(pcm)))
        taken = bytes(pcm[:size])
        del pcm[:size]
        self._origin = end
        return taken

    def restart(self, origin: int) -> None:
        """Go on from there (samples since the beginning) after a while in which nothing was heard.
        Silence counts anew."""
        self._queue.clear()
        self._pcm.clear()
        self._origin = origin
        self._timestamp = None
        self.heard.silent_ms = 0

    def settle(self) -> None:
        """Find the places of the packets that have come."""
        queue, self._queue = self._queue, []
        if not queue:
            return
        pcm = g711.decode(b"".join([payload for _, _, payload in queue]), self._codec)
        self.heard.feed(pcm)
        view = memoryview(pcm)
        run: list[tuple[int, int]] = []  # (place, samples), not yet corrected
        least, taken = _JUMP, 0
        fresh = self._timestamp is None
        for at, timestamp, payload in queue:
            samples = len(payload)
            arrival = round((at - self._start) * _RATE) - samples
            step = timestamp - (self._timestamp or 0)
            place = self._position + (step + (1 << 31) & 0xFFFFFFFF) - (1 << 31)
            if self._timestamp is None or abs(arrival - place) > _JUMP:
                taken += self._put(run, self._correction(least, len(run), fresh), view[2 * taken :])
                run, least, fresh, place = [], _JUMP, True, arrival
            run.append((place, samples))
            least = min(least, arrival - place)
            self._timestamp, self._position = timestamp, place
        correction = self._correction(least, len(run), fresh)
        self._position += correction
        self._put(run, correction, view[2 * taken :])

    def _correction(self, least: int, packets: int, fresh: bool) -> int:
        """How far to move a run whose packets were all late by ``least`` or more."""
        if fresh or least < -_STEADY or (least > _LATE and packets > 2):
            self._least, self._batches = _JUMP, 0
            return least
        self._least = min(self._least, least)
        self._batches += 1
        if self._batches < _WINDOW:
            return 0
        drift, self._least, self._batches = self._least, _JUMP, 0
        return drift if drift > _STEADY else 0

    def _put(self, run: list[tuple[int, int]], correction: int, audio: memoryview) -> int:
        """Into the timeline; the number of samples."""
        pcm, origin = self._pcm, self._origin - correction
        taken = 0
        for place, samples in run:
            begin, end = 2 * (place - origin), 2 * (place + samples - origin)
            part = audio[2 * taken : 2 * (taken + samples)]
            taken += samples
            if end <= 0:
                continue
            if begin < 0:
                part, begin = part[-begin:], 0
            if len(pcm) < end:
                pcm.extend(bytes(end - len(pcm)))
            pcm[begin:end] = part
        return taken


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds; ``silence`` 0 is none. ``finish_on`` are keys."""

    longest: float
    silence: float
    finish_on: str


class Recorder:
    """What taps hear into a file, from :meth:`begin` until something ends it.

    While it is paused it has no taps: what is said then is not even kept in memory. The timeline of
    its tracks runs on, so that both channels stay in step; of a pause the file gets silence, or
    nothing at all. Neither the length nor silence nor keys end it then: ``longest`` does not count
    pauses.
    """

    def __init__(
        self,
        file: File,
        limits: Limits,
        *,
        clock: Callable[[], float],
        alarm: Callable[[float, Callable[[float], None]], None],
        ended: Callable[[str, dict[str, Any]], None],
    ) -> None:
        """``ended`` is called once with (cause, data of the event) when the file is complete."""
        self.limits = limits
        self._file = file
        self._clock = clock
        self._alarm = alarm
        self._ended = ended
        self._tracks: list[tuple[Taps, Track]] = []
        self._channels: list[list[Track]] = []  # whose sum goes there; none is silence
        self._start = 0.0
        self._longest = round(limits.longest * _RATE)
        self._taken = 0  # samples of the timeline
        self._skipped = 0  # of them, those that are not in the file
        self._pause = ""  # how it is paused: skip or silence
        self._paused_at = 0.0
        self._paused_s = 0.0  # in all pauses that are over
        self._unwritten: list[bytes] = []
        self._write_at = int(_WRITE * _RATE)
        self._over = False

    def begin(self, inbound: Taps | None, outbound: Taps | None, *, channels: int) -> None:
        """The timeline begins now. Silence is looked for in the first that is not None."""
        self._start = self._clock()
        groups: list[list[Track]] = []
        for taps in (inbound, outbound):
            groups.append([])
            if taps is not None:
                track = Track(taps.codec, self._clock)
                groups[-1].append(track)
                self._tracks.append((taps, track))
                if not self._pause:
                    taps.add(track)
        self._channels = groups if channels == 2 else [groups[0] + groups[1]]
        self._paused_at = self._start
        self._alarm(self._start + _BATCH, self._run)

    @property
    def paused(self) -> bool:
        return bool(self._pause)

    def pause(self, behavior: str, now: float) -> bool:
        """From now on ``skip`` or put ``silence``; of one that is paused, the rest of the pause.
        False: it has ended."""
        if self._over:
            return False
        self._take(now)
        if not self._pause:
            self._paused_at = now
            for taps, track in self._tracks:
                taps.remove(track)
        for _, track in self._tracks:
            track.restart(self._taken)
        self._pause = behavior
        return True

    def resume(self, now: float) -> bool:
        """Nothing happens if it is not paused. False: it has ended."""
        if self._over or not self._pause:
            return not self._over
        self._take(now)
        self._pause = ""
        if not self._tracks:
            return True  # it has not begun
        lasted = now - self._paused_at
        self._paused_s += lasted
        self._longest += round(lasted * _RATE)
        for taps, track in self._tracks:
            track.restart(self._taken)
            taps.add(track)
        return True

    def stop(self, cause: str, now: float, key: str = "") -> None:
        """End here, if it has not ended."""
        if self._over:
            return
        self._over = True
        for taps, track in self._tracks:
            taps.remove(track)
        self._take(now)
        self._write()
        self._file.close()
        self._wait(now, 0.002, cause, key)

    def _run(self, now: float) -> None:
        if self._over:
            return
        if self._file.error:
            self.stop("failed", now)
            return
        if self._pause:
            self._take(now)  # nothing can be late
            if self._taken >= self._write_at:
                self._write()
            self._alarm(now + _BATCH, self._run)
            return
        left = self._start + self.limits.longest + self._paused_s - now
        if left <= 0:
            self.stop("max-length", now)
            return
        self._take(now - _DELAY)
        if self._taken >= self._write_at:
            self._write()
        pause = min(_BATCH, left)
        if self.limits.silence:
            _, track = self._tracks[0]
            left = self.limits.silence - track.heard.silent_ms / 1000
            if left <= 0:
                self.stop("silence", now)
                return
            pause = min(pause, left)
        self._alarm(now + pause, self._run)

    def _take(self, until: float) -> None:
        end = round((until - self._start) * _RATE)
        if not self._pause:
            end = min(end, self._longest)
        if end <= self._taken or not self._tracks:
            return
        size = 2 * (end - self._taken)
        self._taken = end
        if self._pause == "skip":
            self._skipped += size // 2
            return
        parts = [
            reduce(_sum, [track.take(end) for track in tracks]) if tracks else bytes(size)
            for tracks in self._channels
        ]
        if len(parts) == 2:
            left, right = parts
            parts = [_sum(audioop.tostereo(left, 2, 1, 0), audioop.tostereo(right, 2, 0, 1))]
        self._unwritten += parts

    def _write(self) -> None:
        if self._unwritten:
            self._file.write(b"".join(self._unwritten))
            self._unwritten.clear()
        self._write_at = self._taken + int(_WRITE * _RATE)

    def _wait(self, now: float, pause: float, cause: str, key: str) -> None:
        """For the disk."""
        if not self._file.done:
            self._alarm(
                now + pause, lambda later: self._wait(later, min(2 * pause, 0.1), cause, key)
            )
        elif self._file.error:
            self._ended("failed", {"error": self._file.error})
        else:
            heard = [track.heard for _, track in self._tracks]
            data = {
                "seconds": (self._taken - self._skipped) / _RATE,
                "key": key,
                "speech_s": max((one.speech_ms for one in heard), default=0) / 1000,
                "peak": max((one.peak for one in heard), default=0),
            }
            self._ended(cause, data)


def _sum(one: bytes, other: bytes) -> bytes:
    """Cut at full scale."""
    return audioop.add(one, other, 2)
