"""Keys out of in-band tones (ITU-T Q.23, limits after Q.24). 8 kHz, 16-bit mono.

Every 5 ms a window of 13 ms is measured at the eight frequencies, at the second harmonics of the
high ones and as a whole. It is a hit for the strongest low and high frequency if together they
hold most of the energy, none is much stronger than the other (twist), their neighbours are weak
and the high one has no harmonic, as voices have (those of the low ones fall among the high
frequencies). Five hits of a key in a row, steady as no voice is, are a key: a tone of 40 ms always
has them, one of 20 ms never. Six misses in a row end it, so that a break of up to 20 ms does not.
"""

from __future__ import annotations

from collections import deque
from math import pi, sqrt

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from sipserver.rtp.tone import HIGH, KEYS, LOW

_WINDOW = 104  # samples: lobes wide enough for +-1.5 %, narrow enough to tell the neighbours apart
_HOP = 40
_BEGIN = 5  # hits in a row
_END = 6  # misses in a row
_QUIET = 130.0  # RMS (-48 dBFS) below which nothing is looked for
_SHARE = 0.63  # of the energy, both frequencies together
_TWIST = 10 ** (10 / 10)  # one frequency over the other, as power
_NEIGHBOUR = 10 ** (5 / 10)  # over the next best of its group
_HARMONIC = 0.1  # of its fundamental, as power
_STEADY = 10 ** (2 / 10)  # the loudest of _BEGIN hits over the faintest, as power


def _bank() -> NDArray[np.float32]:
    """Columns: cosines of the eight frequencies and of the second harmonics, then sines."""
    frequencies = np.array(LOW + HIGH + tuple(2 * frequency for frequency in HIGH))
    angles = np.outer(np.arange(_WINDOW), 2 * pi * frequencies / 8000)
    scale = sqrt(2 / _WINDOW)  # then power at a frequency compares with the sum of squares
    return np.hstack((np.cos(angles), np.sin(angles))).astype(np.float32) * np.float32(scale)


_BANK = _bank()
_NOTHING = np.zeros(0, np.float32)
_MISS = ("", 0.0)
Hit = tuple[str, float]
"""(key or empty, power of its frequencies)"""
_BREAK = bytes(2 * (_WINDOW + _END * _HOP))


class ToneDetector:
    """Feed it what is heard, in order."""

    __slots__ = ("_candidate", "_hits", "_key", "_misses", "_tail")

    def __init__(self) -> None:
        self._tail = _NOTHING  # not yet wholly measured
        self._candidate = ""
        self._hits: deque[float] = deque(maxlen=_BEGIN)  # its powers, in a row
        self._key = ""  # told, not yet ended
        self._misses = 0

    def feed(self, pcm: bytes) -> str:
        """Keys that were recognised with this audio, in order: mostly none."""
        samples = np.frombuffer(pcm, "<i2").astype(np.float32)
        if len(self._tail):
            samples = np.concatenate((self._tail, samples))
        count = (len(samples) - _WINDOW) // _HOP + 1
        if count <= 0:
            self._tail = samples
            return ""
        self._tail = samples[count * _HOP :]
        if not self._candidate and not self._key:
            # Most of a call: is there anything at all?
            energy = float(np.dot(samples, samples))
            if energy < _QUIET * _QUIET * _WINDOW:
                return ""
        return self._step(_hits(samples, count))

    def _step(self, hits: list[Hit]) -> str:
        found = ""
        for key, power in hits:
            if key != self._candidate:
                self._candidate = key
                self._hits.clear()
            self._hits.append(power)
            if key == self._key:
                self._misses = 0
            elif key and len(self._hits) == _BEGIN and self._steady():
                found += key
                self._key, self._misses = key, 0
            else:
                self._misses += 1
                if self._misses >= _END:
                    self._key = ""
        return found

    def _steady(self) -> bool:
        # Of both frequencies together: the fainter one's power ripples with their phases.
        return max(self._hits) <= _STEADY * min(self._hits)

    def gap(self) -> None:
        """Audio is missing for longer than a break within a tone may last."""
        self.feed(_BREAK)


def _hits(samples: NDArray[np.float32], count: int) -> list[Hit]:
    """Of each window."""
    step = samples.strides[0]
    windows = as_strided(samples, (count, _WINDOW), (step * _HOP, step), writeable=False)
    parts = windows @ _BANK
    power = parts * parts
    power = power[:, :12] + power[:, 12:]
    energy = np.einsum("ij,ij->i", windows, windows)
    return [_hit(row, total) for row, total in zip(power.tolist(), energy.tolist(), strict=True)]


def _hit(power: list[float], energy: float) -> Hit:
    """``power`` of the low and high frequencies, and of harmonics of the high ones."""
    if energy < _QUIET * _QUIET * _WINDOW:
        return _MISS
    lows, highs = power[:4], power[4:8]
    low, high = max(lows), max(highs)
    if low + high < _SHARE * energy or high > low * _TWIST or low > high * _TWIST:
        return _MISS
    row, column = lows.index(low), highs.index(high)
    lows[row] = highs[column] = 0.0
    if max(lows) * _NEIGHBOUR > low or max(highs) * _NEIGHBOUR > high:
        return _MISS
    if power[8 + column] > _HARMONIC * high:
        return _MISS
    return KEYS[row][column], low + high
