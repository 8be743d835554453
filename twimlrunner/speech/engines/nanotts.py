"""German, Spanish, French and Italian by py-nanotts (SVOX Pico, Apache-2.0): 16 kHz.

The extension holds the interpreter lock while it speaks and gave varying results under threads,
so it is locked.
"""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray
from py_nanotts import NanoTTS

from twimlrunner.speech.ports import Utterance

_RATE = 16_000
_MARKUP = str.maketrans("<>", "  ")
"""Pico reads tags of its own in angle brackets."""


class NanottsEngine:
    """One female voice per language."""

    def __init__(self) -> None:
        self._engine = NanoTTS()
        self._lock = threading.Lock()

    def render(self, utterance: Utterance) -> tuple[NDArray[np.float32], float]:
        with self._lock:
            data = self._engine.speak(
                utterance.text.translate(_MARKUP),
                voice=utterance.voice.name,
                speed=utterance.rate,
                pitch=utterance.voice.pitch * utterance.pitch,
            )
        return np.frombuffer(data, "<i2").astype(np.float32) / np.float32(32768), _RATE
