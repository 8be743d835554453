"""A chunk → an 8 kHz mono 16-bit WAV file. Runs in the worker's threads."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from twimlrunner.speech import engines
from twimlrunner.speech.config import SiteEngine
from twimlrunner.speech.ports import Chunk, Silence, SpeechEngine, Utterance

RATE = 8000
PEAK = 10 ** (-2 / 20)
"""-2 dBFS: loud on the telephone, with room for the codec."""

_CEILING = 10 ** (-1 / 20)
_QUIET = 0.01  # of the peak: what counts as silence at the ends
_LEAD, _TRAIL = RATE // 50, RATE // 20  # 20 ms and 50 ms are left


class Renderer:
    """Builds engines when first needed; safe to call from several threads."""

    def __init__(self, site: Mapping[str, SiteEngine]) -> None:
        self._site = site
        self._engines: dict[str, SpeechEngine] = {}
        self._loading: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def engine(self, name: str) -> SpeechEngine:
        """Raises LookupError, or whatever the engine raises at its start."""
        with self._loading[name]:
            engine = self._engines.get(name)
            if engine is None:
                engine = self._engines[name] = engines.load(name, self._site)
            return engine

    def write(self, chunk: Chunk, path: str) -> None:
        """Raises whatever the engine raises, and OSError."""
        parts = [
            np.zeros(part.ms * RATE // 1000, np.float32)
            if isinstance(part, Silence)
            else self._speak(part)
            for part in chunk.parts
        ]
        write_wav(path, np.concatenate(parts) if parts else np.zeros(0, np.float32))

    def _speak(self, utterance: Utterance) -> NDArray[np.float32]:
        samples, rate = self.engine(utterance.voice.engine).render(utterance)
        if not len(samples):
            return np.zeros(0, np.float32)
        if round(rate) != RATE:
            samples = soxr.resample(samples, rate, RATE)
        return _level(_trim(samples), utterance.volume)


def write_wav(path: str, samples: NDArray[np.float32]) -> None:
    """Mono samples in -1..1 at 8 kHz, clipped. Raises OSError."""
    pcm = np.rint(np.clip(samples, -1.0, 1.0) * 32767).astype(np.int16)
    soundfile.write(path, pcm, RATE, subtype="PCM_16", format="WAV")


def _trim(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cut the silence that engines put round an utterance: pauses are the plan's business."""
    level = np.abs(samples)
    loud = np.flatnonzero(level > _QUIET * level.max(initial=0.0))
    if not len(loud):
        return samples[:0]
    return samples[max(loud[0] - _LEAD, 0) : loud[-1] + _TRAIL]


def _level(samples: NDArray[np.float32], volume: float) -> NDArray[np.float32]:
    """Peak to ``PEAK``, then ``volume`` dB; what then exceeds the ceiling is bent, not cut."""
    peak = float(np.abs(samples).max(initial=0.0))
    if not peak:
        return samples
    scaled = samples * np.float32(PEAK / peak * 10 ** (volume / 20))
    if volume > 0:
        scaled = np.tanh(scaled / _CEILING) * _CEILING
    return scaled.astype(np.float32, copy=False)
