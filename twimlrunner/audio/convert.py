"""Any playable file → 8 kHz mono 16-bit WAV, block by block. Runs in the worker's threads."""

from __future__ import annotations

import numpy as np
import soundfile
import soxr

from twimlrunner.audio.formats import UNPLAYABLE, Format
from twimlrunner.speech.ports import PromptError

RATE = 8000
VERSION = "1"
"""Part of the key of converted files: raise it when the conversion changes."""

_BLOCK = 32_768
_MAX_CHANNELS = 8
_MIN_RATE, _MAX_RATE = 1000, 384_000
_RAW = {Format.RAW_ULAW: "ULAW", Format.RAW_GSM: "GSM610"}


def convert(source: str, form: Format, destination: str, max_seconds: int) -> None:
    """Decode, mix to mono, resample, cut at ``max_seconds``. Raises PromptError 13420 for what
    cannot be decoded, OSError when the disk fails."""
    try:
        with _open(source, form) as audio:
            _check(audio)
            with soundfile.SoundFile(destination, "w", RATE, 1, "PCM_16", format="WAV") as output:
                _copy(audio, output, max_seconds)
                if not output.frames:
                    raise PromptError(UNPLAYABLE, "the file holds no audio")
    except soundfile.LibsndfileError as error:
        raise PromptError(UNPLAYABLE, f"cannot be decoded: {error.error_string}") from error


def _open(source: str, form: Format) -> soundfile.SoundFile:
    if form is Format.CONTAINER:
        return soundfile.SoundFile(source)
    return soundfile.SoundFile(
        source, samplerate=RATE, channels=1, subtype=_RAW[form], format="RAW"
    )


def _check(audio: soundfile.SoundFile) -> None:
    if not 1 <= audio.channels <= _MAX_CHANNELS:
        raise PromptError(UNPLAYABLE, f"{audio.channels} channels")
    if not _MIN_RATE <= audio.samplerate <= _MAX_RATE:
        raise PromptError(UNPLAYABLE, f"{audio.samplerate} samples per second")


def _copy(audio: soundfile.SoundFile, output: soundfile.SoundFile, max_seconds: int) -> None:
    resampler = soxr.ResampleStream(audio.samplerate, RATE, 1, dtype="float32")
    left = max_seconds * audio.samplerate
    while True:
        block = audio.read(min(_BLOCK, left), dtype="float32", always_2d=True)
        left -= len(block)
        last = not len(block) or not left
        # A float file may hold what is not a number.
        mono = np.nan_to_num(block.mean(axis=1), copy=False)
        done = resampler.resample_chunk(mono, last=last)
        output.write(np.clip(done, -1.0, 1.0))
        if last:
            return
