"""All other languages by eSpeak NG (GPL-3.0 or later), through its C library: 22.05 kHz.

The library is one global state per process, so everything happens under one lock. The C names are
those of ``speak_lib.h``.
"""

from __future__ import annotations

import ctypes
import threading

import espeakng_loader
import numpy as np
from numpy.typing import NDArray

from twimlrunner.speech.ports import Utterance

_AUDIO_OUTPUT_SYNCHRONOUS = 2
_INITIALIZE_DONT_EXIT = 0x8000
_CHARS_UTF8 = 1
_PARAMETER_RATE, _PARAMETER_PITCH = 1, 3
_WORDS_PER_MINUTE = 160
_MEAN_PITCH = 50  # of 0..99
_OK = 0

_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


class EspeakError(Exception):
    """The library refused: unknown voice, or it could not start."""


class EspeakEngine:
    """Voice names are language names, ``+m3`` or ``+f3`` appended for the kind of voice.

    Phonemes are not used: the library takes them in its own mnemonics only, which differ by
    language (``alphabet="ipa"`` has no effect in 1.52, as measured).
    """

    def __init__(self) -> None:
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = espeakng_loader.get_data_path().encode()
        self._rate = self._library.espeak_Initialize(
            _AUDIO_OUTPUT_SYNCHRONOUS, 0, data, _INITIALIZE_DONT_EXIT
        )
        if self._rate <= 0:
            raise EspeakError("eSpeak NG could not start")
        self._samples: list[bytes] = []
        self._callback = _Callback(self._collect)  # kept: the library holds only its address
        self._library.espeak_SetSynthCallback(self._callback)
        self._lock = threading.Lock()

    def render(self, utterance: Utterance) -> tuple[NDArray[np.float32], float]:
        """Raises EspeakError for a voice that the library does not have."""
        data = utterance.text.replace("\x00", "").encode("utf-8", "replace") + b"\0"
        pitch = utterance.voice.pitch * utterance.pitch
        with self._lock:
            self._samples = []
            self._select(utterance.voice.name)
            self._set(_PARAMETER_RATE, round(_WORDS_PER_MINUTE * utterance.rate), 80, 450)
            self._set(_PARAMETER_PITCH, round(_MEAN_PITCH * pitch), 0, 99)
            self._library.espeak_Synth(data, len(data), 0, 0, 0, _CHARS_UTF8, None, None)
            self._library.espeak_Synchronize()
            collected, self._samples = b"".join(self._samples), []
        return np.frombuffer(collected, np.int16).astype(np.float32) / np.float32(32768), self._rate

    def _collect(self, samples: object, count: int, _events: object) -> int:
        if samples and count > 0:
            self._samples.append(ctypes.string_at(samples, count * 2))  # type: ignore[arg-type]  # a ctypes pointer
        return 0

    def _select(self, name: str) -> None:
        if self._library.espeak_SetVoiceByName(name.encode()) != _OK:
            raise EspeakError(f"no voice {name!r}")

    def _set(self, parameter: int, value: int, low: int, high: int) -> None:
        self._library.espeak_SetParameter(parameter, min(max(value, low), high), 0)
