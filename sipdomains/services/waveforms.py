"""How loud a recording is over its length, to draw it: computed once, kept beside the sound."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import soundfile
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from sipdomains.models import Recording
from sipdomains.services.recording_files import Unreadable, converting, keep_beside, waveform_name

COLUMNS = 400
_BLOCK_FRAMES = 1 << 17
_FULL = 32_768


@dataclass(frozen=True, slots=True)
class Waveform:
    """Of each channel at most COLUMNS peaks of 0 to 100."""

    channels: list[list[int]]


def waveform(recording: Recording) -> Waveform:
    """Reads the whole sound the first time. Raises Busy and Unreadable."""
    original = str(recording.file.name)
    name = waveform_name(original)
    known = _stored(name)
    if known is not None:
        return known
    with converting():
        known = _stored(name)  # made by the one that was waited for
        if known is not None:
            return known
        try:
            with default_storage.open(original) as source:
                found = Waveform(_peaks(source))
        except (OSError, soundfile.SoundFileError) as error:
            raise Unreadable(f"{original}: {error}") from error
        text = json.dumps(found.channels, separators=(",", ":"))
        keep_beside(original, name, ContentFile(text.encode()))
    return found


def _stored(name: str) -> Waveform | None:
    """None too for one that cannot be read: it is made anew."""
    try:
        with default_storage.open(name) as file:
            channels = json.loads(file.read())
        return Waveform([[int(peak) for peak in channel] for channel in channels])
    except (OSError, ValueError, TypeError):
        return None


def _peaks(source: Any) -> list[list[int]]:
    with soundfile.SoundFile(source) as sound:
        frames = max(1, -(-len(sound) // COLUMNS))  # of one column
        block = frames * max(1, _BLOCK_FRAMES // frames)
        columns: list[Any] = []
        while len(samples := sound.read(block, dtype="int16", always_2d=True)):
            missing = -len(samples) % frames
            if missing:
                samples = np.pad(samples, ((0, missing), (0, 0)))
            loud = np.abs(samples.astype(np.int32)).reshape(-1, frames, sound.channels)
            columns.append(loud.max(axis=1))
        if not columns:
            return [[] for _ in range(sound.channels)]
        shares = np.concatenate(columns) * 100 // _FULL
    return [[int(peak) for peak in channel] for channel in shares.T]
