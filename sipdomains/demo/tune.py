"""A short tune as a WAV file, computed. Pure."""

from __future__ import annotations

import io
import math
import sys
import wave
from array import array
from functools import lru_cache

RATE = 8000
_NOTES = (
    60,
    64,
    67,
    72,
    67,
    64,
    60,
    67,
    72,
    76,
    72,
    67,
    72,
)  # MIDI numbers: a broken C major chord
_SECONDS = 0.28
_PARTIALS = ((1, 0.62), (2, 0.22), (3, 0.08))
_LEVEL = 0.5 * 32767


@lru_cache(maxsize=1)
def tune() -> bytes:
    """16-bit mono WAV at 8 kHz, about four seconds."""
    samples = array("h")
    for note in _NOTES:
        samples.extend(_pluck(440.0 * 2 ** ((note - 69) / 12)))
    if sys.byteorder == "big":
        samples.byteswap()
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())
    return buffer.getvalue()


def _pluck(frequency: float) -> list[int]:
    """One note: quick attack, slow decay, silent at both ends so that no joint clicks."""
    count = int(RATE * _SECONDS)
    samples = []
    for index in range(count):
        time = index / RATE
        envelope = min(1.0, index / 80) * math.exp(-4 * time) * min(1.0, (count - index) / 80)
        phase = 2 * math.pi * frequency * time
        value = sum(weight * math.sin(partial * phase) for partial, weight in _PARTIALS)
        samples.append(int(_LEVEL * envelope * value))
    return samples
