"""The sound of recordings in Django's default storage: stored once, converted on request.

A recording's file is ``recordings/YYYY/MM/DD/<SID>.wav`` of the day it began (UTC), so that who
finds a row without its file knows where to look. Other forms of it (MP3, one channel of two) are
made when somebody asks for them, and kept beside it.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path

import soundfile
from django.core.files import File
from django.core.files.storage import default_storage

from sipdomains.models import Recording

FORMATS = {"wav": "audio/wav", "mp3": "audio/mpeg"}
MAX_CONVERSIONS = 2
CONVERSION_WAIT_SECONDS = 10.0
_BLOCK_FRAMES = 1 << 16

_conversions = threading.BoundedSemaphore(MAX_CONVERSIONS)


class Busy(Exception):
    """As many conversions as allowed are under way: ask again in a moment."""


class Unreadable(Exception):
    """The file is gone or holds no sound that can be converted."""


class _Movable(File):  # type: ignore[type-arg] # generic in the stubs only
    """A file that a file system storage moves into its place instead of copying it."""

    def temporary_file_path(self) -> str:
        return str(self.name)


def wav_name(recording: Recording) -> str:
    """Where the file of a recording is, or will be."""
    day = recording.started_at.astimezone(UTC)
    return f"recordings/{day:%Y/%m/%d}/{recording.sid}.wav"


def store(path: str, name: str) -> int:
    """Put the file at ``path`` into the storage under ``name``; returns its bytes.

    The file may have left ``path`` afterwards. Raises OSError, or what the storage raises.
    """
    if default_storage.exists(name):
        default_storage.delete(name)  # left by an attempt that broke off
    with open(path, "rb") as source:
        size = os.fstat(source.fileno()).st_size
        kept = default_storage.save(name, _Movable(source, name=path))
    if kept != name:
        default_storage.delete(kept)
        raise FileExistsError(f"{name} is being written by somebody else")
    return size


def stored_size(name: str) -> int | None:
    """Bytes of a stored file, None when there is none."""
    return default_storage.size(name) if default_storage.exists(name) else None


def stored_seconds(name: str) -> float | None:
    """Length of a stored file, None when there is none. Raises OSError and ValueError."""
    if not default_storage.exists(name):
        return None
    try:
        with default_storage.open(name) as source:
            return float(soundfile.info(source).duration)
    except soundfile.SoundFileError as error:
        raise ValueError(f"{name}: {error}") from error


def variant(recording: Recording, kind: str, channels: int) -> str:
    """Name of the stored file in that form, ``kind`` of :data:`FORMATS`; made if need be.

    More channels than were recorded cannot be had: then it is as recorded. Raises Busy and
    Unreadable.
    """
    original = str(recording.file.name)
    mixed = channels < recording.channels
    if kind == "wav" and not mixed:
        return original
    name = _variant_name(original, kind, mixed)
    if default_storage.exists(name):
        return name
    with converting():
        if not default_storage.exists(name):  # made by the one that was waited for
            _convert(original, name, kind, mixed)
    return name


@contextmanager
def converting() -> Iterator[None]:
    """One of the few at a time that read whole recordings. Raises Busy."""
    if not _conversions.acquire(timeout=CONVERSION_WAIT_SECONDS):
        raise Busy(f"{MAX_CONVERSIONS} recordings are being converted")
    try:
        yield
    finally:
        _conversions.release()


def delete(name: str) -> None:
    """The file, then all forms of it (see :func:`keep_beside`); what is not there does no harm."""
    default_storage.delete(name)
    for kind in FORMATS:
        for mixed in (False, True):
            default_storage.delete(_variant_name(name, kind, mixed))
    default_storage.delete(waveform_name(name))


def waveform_name(original: str) -> str:
    """Where the picture of a recording is, once it was drawn."""
    return f"{original.removesuffix('.wav')}-waveform.json"


def _variant_name(original: str, kind: str, mixed: bool) -> str:
    return f"{original.removesuffix('.wav')}{'-mono' if mixed else ''}.{kind}"


def _convert(original: str, name: str, kind: str, mixed: bool) -> None:
    with _draft() as draft:
        try:
            with default_storage.open(original) as source:
                _transcode(source, draft, kind, mixed)
        except (OSError, soundfile.SoundFileError) as error:
            raise Unreadable(f"{original}: {error}") from error
        with open(draft, "rb") as converted:
            keep_beside(original, name, _Movable(converted, name=draft))


def keep_beside(original: str, name: str, content: File) -> None:  # type: ignore[type-arg] # generic in the stubs only
    """Store what was made of a recording. Raises Unreadable, and keeps nothing, when the recording
    was deleted meanwhile: :func:`delete` begins with the original, so that either it finds this
    file or we find no original."""
    kept = default_storage.save(name, content)
    if kept != name:  # another process was faster
        default_storage.delete(kept)
    if not default_storage.exists(original):
        default_storage.delete(name)
        raise Unreadable(f"{original} was deleted meanwhile")


def _transcode(source: File, target: str, kind: str, mixed: bool) -> None:  # type: ignore[type-arg] # generic in the stubs only
    with (
        soundfile.SoundFile(source) as sound,
        soundfile.SoundFile(
            target,
            "w",
            samplerate=sound.samplerate,
            channels=1 if mixed else sound.channels,
            format=kind.upper(),
        ) as converted,
    ):
        while len(block := sound.read(_BLOCK_FRAMES, dtype="float32", always_2d=True)):
            converted.write(block.mean(axis=1) if mixed else block)


@contextmanager
def _draft() -> Iterator[str]:
    """Path of an empty file of our own, which is gone at the end wherever it went."""
    handle, path = tempfile.mkstemp(prefix="sipdomains-recording-")
    os.close(handle)
    try:
        yield path
    finally:
        Path(path).unlink(missing_ok=True)
