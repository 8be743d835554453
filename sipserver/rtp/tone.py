"""Dual tones (ITU-T Q.23) for peers without telephone-event, and the beep. 8 kHz, 16-bit."""

from __future__ import annotations

from array import array
from functools import cache, lru_cache
from math import pi, sin

from sipserver.rtp import g711
from sipserver.rtp.telephone_event import GAP_MS, PAUSES, TONE_MS

LOW = (697, 770, 852, 941)
HIGH = (1209, 1336, 1477, 1633)
KEYS = ("123A", "456B", "789C", "*0#D")
FREQUENCIES = {
    key: (low, high)
    for low, row in zip(LOW, KEYS, strict=True)
    for high, key in zip(HIGH, row, strict=True)
}
_AMPLITUDE = 5000  # each tone about -13 dBm0, their sum about -10
_BEEP = 1000  # Hz
_BEEP_MS = 300
_RAMP = 16  # samples of fading in and out: no clicks


@lru_cache(maxsize=32)
def tone(key: str, codec: str) -> bytes:
    """One key's tone of TONE_MS, encoded."""
    return g711.encode(_mixed(FREQUENCIES[key], TONE_MS), codec)


@cache
def beep() -> bytes:
    """The tone before a recording, linear."""
    return _mixed((_BEEP,), _BEEP_MS)


def _mixed(frequencies: tuple[int, ...], ms: int) -> bytes:
    steps = [2 * pi * frequency / 8000 for frequency in frequencies]
    count = ms * 8
    samples = array("h")
    for n in range(count):
        fade = min(1.0, (n + 1) / _RAMP, (count - n) / _RAMP)
        samples.append(int(_AMPLITUDE * fade * sum(sin(step * n) for step in steps)))
    return samples.tobytes()


def dial(digits: str, codec: str) -> bytes:
    """All of ``digits`` (0-9 A-D # * w W) as encoded audio, with gaps and pauses."""
    silence = g711.SILENCE[codec]
    parts = []
    for mark in digits:
        if mark in PAUSES:
            parts.append(silence * (PAUSES[mark] * 8))
        else:
            parts += (tone(mark, codec), silence * (GAP_MS * 8))
    return b"".join(parts)
