"""Recordings that are finished, or that nobody could finish. Not for the worker: it blocks."""

from __future__ import annotations

import audioop
import os
import shutil
import tempfile
from array import array
from pathlib import Path
from typing import BinaryIO

from sipserver.rtp import wav
from sipserver.rtp.silence import FRAME_BYTES, FRAME_MS, SilenceDetector, levels

_BLOCK = 500 * FRAME_BYTES  # ten seconds of one channel
_MARGIN = 200 // FRAME_MS  # frames that stay before and after speech: no word is cut
_QUIETEST = 10  # one in so many frames is taken to be mere noise


def repair_wav(path: str | os.PathLike[str]) -> float:
    """Make the header tell the samples that the file has; their seconds. A writer that was killed
    leaves it up to some seconds behind. Raises OSError or UnsupportedWav."""
    with open(path, "r+b") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(wav.HEADER_SIZE)
        if len(head) < wav.HEADER_SIZE:
            raise wav.UnsupportedWav("shorter than a header")
        span = wav.locate(head, size, most_channels=2)
        block = 2 * span.channels
        count = min(size - span.offset, wav.MAX_DATA) // block
        if span.offset != wav.HEADER_SIZE:
            raise wav.UnsupportedWav("not a recording")
        file.truncate(span.offset + count * block)
        file.seek(0)
        file.write(wav.header(span.channels, count * block))
        file.flush()
        os.fsync(file.fileno())
    return count / wav.RATE


def trim(path: str | os.PathLike[str], *, leading: bool, trailing: bool) -> float:
    """Cut silence (of all channels at once) from the ends of a recording, but for a fifth of a
    second; the seconds that stay, 0 if there is no speech. The file is replaced in one step, or
    not at all. Raises OSError or UnsupportedWav."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        span = wav.locate(file.read(wav.HEAD_SIZE), size, most_channels=2)
        begin, end = _speech(file, span)
        if not leading and end:
            begin = 0
        if not trailing and end:
            end = span.count
        if (begin, end) != (0, span.count):
            _cut(file, span, begin, end, Path(path))
    return (end - begin) / wav.RATE


def _speech(file: BinaryIO, span: wav.SampleSpan) -> tuple[int, int]:
    """First sample of it on any channel and the one after the last, with margins; (0, 0): none."""
    first, last = None, 0
    for loudness in _loudness(file, span):
        noise = sorted(loudness)[len(loudness) // _QUIETEST] if loudness else 0
        detector = SilenceDetector(noise)
        speech = [at for at, level in enumerate(loudness) if detector.loud(level)]
        if speech:
            # Of two loud frames the detector tells the second.
            first = min(speech[0] - 1, speech[0] if first is None else first)
            last = max(speech[-1] + 1, last)
    if first is None:
        return 0, 0
    samples = FRAME_MS * wav.RATE // 1000
    return max(0, first - _MARGIN) * samples, min((last + _MARGIN) * samples, span.count)


def _loudness(file: BinaryIO, span: wav.SampleSpan) -> list[array[int]]:
    """RMS of the whole frames of each channel."""
    found = [array("H") for _ in range(span.channels)]
    file.seek(span.offset)
    left = span.count * 2 * span.channels
    while left > 0 and (data := file.read(min(left, _BLOCK * span.channels))):
        left -= len(data)
        for channel, loudness in enumerate(found):
            pcm = data
            if span.channels == 2:
                pcm = audioop.tomono(data, 2, 1 - channel, channel)
            loudness.extend(levels(pcm, len(pcm) - len(pcm) % FRAME_BYTES))
    return found


def _cut(file: BinaryIO, span: wav.SampleSpan, begin: int, end: int, path: Path) -> None:
    block = 2 * span.channels
    descriptor, name = tempfile.mkstemp(prefix=path.name, suffix=".part", dir=path.parent)
    try:
        with open(descriptor, "wb") as output:
            output.write(wav.header(span.channels, (end - begin) * block))
            file.seek(span.offset + begin * block)
            left = (end - begin) * block
            while left > 0 and (data := file.read(min(left, 1 << 20))):
                output.write(data)
                left -= len(data)
            output.flush()
            os.fsync(descriptor)
        shutil.copymode(path, name)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
