"""Telling speech from silence by energy, in 20 ms frames of 8 kHz 16-bit mono.

A frame is loud when its RMS level passes a threshold 9 dB above the noise floor, never below
-50 dBFS (so that a quiet line is silent) and never above -35 dBFS (so that a steady voice or tone
is not taken for noise). The floor falls at once to the quietest frame and rises by 6 dB in a
second. A single loud frame between quiet ones is a click: speech takes two in a row.
"""

from __future__ import annotations

import audioop

FRAME_MS = 20
FRAME_BYTES = FRAME_MS * 8 * 2
_ABOVE_FLOOR = 2.82  # 9 dB
_LOWEST_FLOOR = 104 / _ABOVE_FLOOR  # 104: RMS of -50 dBFS
_HIGHEST = 583  # of -35 dBFS
_RISE = 1.014  # for each frame


class SilenceDetector:
    """Feed it what is heard, in order; it counts."""

    __slots__ = ("_floor", "_loud", "_rest", "peak", "silent_ms", "speech_ms")

    def __init__(self, floor: float = 0.0) -> None:
        """``floor``: RMS of the noise, if it is known."""
        self._floor = max(floor, _LOWEST_FLOOR)
        self._loud = 0  # frames in a row
        self._rest = b""
        self.silent_ms = 0  # since the last speech, or since the beginning
        self.speech_ms = 0  # altogether
        self.peak = 0  # greatest sample, 0..32768

    def feed(self, pcm: bytes) -> None:
        """Whole samples; what does not fill a frame waits for the next call."""
        if self._rest:
            pcm = self._rest + pcm
        end = len(pcm) - len(pcm) % FRAME_BYTES
        self._rest = pcm[end:]
        if not end:
            return
        self.peak = max(self.peak, audioop.max(pcm, 2))
        for level in levels(pcm, end):
            self.loud(level)

    def loud(self, level: int) -> bool:
        """Whether the next frame, of this RMS, is speech (the first of it is told as not yet)."""
        floor = self._floor = min(max(level, _LOWEST_FLOOR), self._floor * _RISE)
        if level <= min(floor * _ABOVE_FLOOR, _HIGHEST):
            self._loud = 0
            self.silent_ms += FRAME_MS
            return False
        self._loud += 1
        if self._loud == 1:
            self.silent_ms += FRAME_MS
            return False
        self.silent_ms = 0
        self.speech_ms += 2 * FRAME_MS if self._loud == 2 else FRAME_MS
        return True


def levels(pcm: bytes, end: int) -> list[int]:
    """RMS of each whole frame in ``pcm[:end]``."""
    rms = audioop.rms
    return [rms(pcm[at : at + FRAME_BYTES], 2) for at in range(0, end, FRAME_BYTES)]
