"""The one kind of sound file that is played: RIFF WAVE, PCM, 8 kHz, mono, 16-bit."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

HEAD_SIZE = 4096  # enough of the file to give to locate(): chunks before the data are small
_FORMAT = Struct("<HHIIHH")


class UnsupportedWav(ValueError):
    """Not a WAVE file of the kind named above."""


@dataclass(frozen=True, slots=True)
class SampleSpan:
    """``offset`` in bytes from the start of the file, ``count`` in samples."""

    offset: int
    count: int


def locate(head: bytes, file_size: int) -> SampleSpan:
    """Where the samples are, from the first HEAD_SIZE bytes. A data size that reaches beyond the
    file (writers of streams put 0xFFFFFFFF there) is cut to it. Raises UnsupportedWav."""
    if len(head) < 12 or head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        raise UnsupportedWav("not a RIFF WAVE file")
    position, known = 12, False
    while position + 8 <= len(head):
        name = head[position : position + 4]
        size = int.from_bytes(head[position + 4 : position + 8], "little")
        position += 8
        if name == b"fmt ":
            _check_format(head[position : position + min(size, 16)])
            known = True
        elif name == b"data":
            if not known:
                raise UnsupportedWav("data before format")
            return SampleSpan(position, min(size, max(0, file_size - position)) // 2)
        position += size + (size & 1)
    raise UnsupportedWav("no data chunk near the start")


def _check_format(chunk: bytes) -> None:
    if len(chunk) < 16:
        raise UnsupportedWav("format chunk cut off")
    kind, channels, rate, _, _, bits = _FORMAT.unpack(chunk)
    if (kind, channels, rate, bits) != (1, 1, 8000, 16):
        raise UnsupportedWav(f"format {kind}, {channels} channels, {rate} Hz, {bits} bits")
