"""What is done to a recording when it has ended, outside the worker: mend and trim its file."""

from __future__ import annotations

import audioop
import os
from pathlib import Path

from sipserver.rtp import wav
from sipserver.rtp.silence import FRAME_BYTES, FRAME_MS, SilenceDetector, levels

_MARGIN_MS = 200  # left of the silence, so that no word is cut


def repair_wav(path: str) -> float:
    """Write the header anew by the size of the file; seconds of sound. For a file whose writer was
    killed. Raises OSError or wav.UnsupportedWav (a ValueError)."""
    with open(path, "r+b") as file:
        head = file.read(wav.HEAD_SIZE)
        size = os.fstat(file.fileno()).st_size
        if len(head) < wav.HEADER_SIZE:
            raise wav.UnsupportedWav("the header is missing")
        span = wav.locate(head, size, most_channels=2)
        block = 2 * span.channels
        held = (size - wav.HEADER_SIZE) // block * block
        file.seek(0)
        file.write(wav.header(span.channels, held))
        file.truncate(wav.HEADER_SIZE + held)
    return held / (block * wav.RATE)


def trim(path: str, *, leading: bool, trailing: bool) -> float:
    """Cut the silence off, but for a fifth of a second; the seconds that are left. The file is
    replaced at once, or not at all. Raises OSError or wav.UnsupportedWav."""
    data = Path(path).read_bytes()
    span = wav.locate(data[: wav.HEAD_SIZE], len(data), most_channels=2)
    block = 2 * span.channels
    pcm = data[span.offset : span.offset + span.count * block]
    loud = _loud_frames(pcm, span.channels)
    first, last = (loud[0], loud[-1] + 1) if loud else (0, 0)
    frames = -(-len(pcm) // (FRAME_BYTES * span.channels))
    margin = _MARGIN_MS // FRAME_MS
    start = max(0, first - margin) if leading else 0
    end = min(frames, last + margin) if trailing else frames
    kept = pcm[start * FRAME_BYTES * span.channels : end * FRAME_BYTES * span.channels]
    if len(kept) < len(pcm):
        temporary = f"{path}.trimmed"
        with open(temporary, "wb", opener=_private) as file:
            file.write(wav.header(span.channels, len(kept)))
            file.write(kept)
        os.replace(temporary, path)
    return len(kept) / (block * wav.RATE)


def _loud_frames(pcm: bytes, channels: int) -> list[int]:
    """Numbers of the frames with speech on any channel."""
    sides = [pcm] if channels == 1 else [audioop.tomono(pcm, 2, *w) for w in ((1, 0), (0, 1))]
    loud: set[int] = set()
    for side in sides:
        end = len(side) - len(side) % FRAME_BYTES
        heard = levels(side, end)
        # The noise of the whole file is known here: its quietest tenth.
        quiet = sorted(heard)[len(heard) // 10] if heard else 0
        detector = SilenceDetector(float(quiet))
        for number, level in enumerate(heard):
            if detector.loud(level):
                loud.update((number - 1, number))
    return sorted(loud)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
