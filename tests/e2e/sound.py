"""Sound that tests play, and what they recognise it by."""

from __future__ import annotations

import io
import wave
from pathlib import Path
from typing import Any

import numpy as np

Samples = np.ndarray[Any, Any]
SILENCE = 500  # amplitudes below are noise


def tone(frequency: float, seconds: float = 1.0, rate: int = 16000) -> bytes:
    """A WAV file with one frequency."""
    samples = np.sin(2 * np.pi * frequency * np.arange(int(rate * seconds)) / rate)
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((samples * 12000).astype("<i2").tobytes())
    return buffer.getvalue()


def read_wav(path: Path) -> tuple[int, Samples]:
    """Rate and samples of a mono file of 16 bits; also of one whose writer was interrupted."""
    with wave.open(str(path)) as file:
        return file.getframerate(), np.frombuffer(file.readframes(1 << 30), "<i2").astype(float)


def loudest(samples: Samples, rate: int = 8000) -> float:
    """The strongest frequency, Hz."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * rate / len(samples))


def sounding(samples: Samples) -> Samples:
    """Without the silence before and after."""
    loud = np.flatnonzero(np.abs(samples) > SILENCE)
    return samples[loud[0] : loud[-1] + 1] if len(loud) else samples[:0]


def is_speech(samples: Samples, rate: int = 8000) -> bool:
    """Loud enough, and with energy at many frequencies in the voice band, unlike a tone."""
    if len(samples) < rate // 4 or np.abs(samples).max() < 3000:
        return False
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    frequencies = np.fft.rfftfreq(len(samples), 1 / rate)
    voice = spectrum[(frequencies > 100) & (frequencies < 3400)]
    return bool(np.count_nonzero(voice > voice.max() / 10) > 30)
