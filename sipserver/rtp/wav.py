"""The one kind of sound file that is played and recorded: RIFF WAVE, PCM, 8 kHz, 16-bit; mono,
recordings also with two channels."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

HEAD_SIZE = 4096  # enough of the file to give to locate(): chunks before the data are small
HEADER_SIZE = 44  # of the files that we write
RATE = 8000
MAX_DATA = 0xFFFFFFFF - HEADER_SIZE - 1
_FORMAT = Struct("<HHIIHH")
_HEADER = Struct("<4sI4s4sIHHIIHH4sI")


class UnsupportedWav(ValueError):
    """Not a WAVE file of the kind named above."""


@dataclass(frozen=True, slots=True)
class SampleSpan:
    """``offset`` in bytes from the start of the file, ``count`` in samples of each channel."""

    offset: int
    count: int
    channels: int = 1


def header(channels: int, data_size: int) -> bytes:
    """The first HEADER_SIZE bytes of a file with ``data_size`` bytes (to MAX_DATA) of samples."""
    block = 2 * channels
    return _HEADER.pack(
        b"RIFF",
        HEADER_SIZE - 8 + data_size,
        b"WAVE",
        b"fmt ",
        16,
        1,
        channels,
        RATE,
        RATE * block,
        block,
        16,
        b"data",
        data_size,
    )


def locate(head: bytes, file_size: int, *, most_channels: int = 1) -> SampleSpan:
    """Where the samples are, from the first HEAD_SIZE bytes. A data size that reaches beyond the
    file (writers of streams put 0xFFFFFFFF there) is cut to it. Raises UnsupportedWav."""
    if len(head) < 12 or head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        raise UnsupportedWav("not a RIFF WAVE file")
    position, channels = 12, 0
    while position + 8 <= len(head):
        name = head[position : position + 4]
        size = int.from_bytes(head[position + 4 : position + 8], "little")
        position += 8
        if name == b"fmt ":
            channels = _channels(head[position : position + min(size, 16)], most_channels)
        elif name == b"data":
            if not channels:
                raise UnsupportedWav("data before format")
            held = min(size, max(0, file_size - position))
            return SampleSpan(position, held // (2 * channels), channels)
        position += size + (size & 1)
    raise UnsupportedWav("no data chunk near the start")


def _channels(chunk: bytes, most: int) -> int:
    if len(chunk) < 16:
        raise UnsupportedWav("format chunk cut off")
    kind, channels, rate, _, _, bits = _FORMAT.unpack(chunk)
    if (kind, rate, bits) != (1, RATE, 16) or not 1 <= channels <= most:
        raise UnsupportedWav(f"format {kind}, {channels} channels, {rate} Hz, {bits} bits")
    return int(channels)
