"""Sound files and rows of recordings, as nodes leave them."""

from __future__ import annotations

import math
import struct
import wave
from datetime import UTC, datetime
from pathlib import Path

from sipdomains.models import Recording

NOON = datetime(2026, 3, 4, 12, 0, 0, tzinfo=UTC)
RATE = 8000


def write_tone(path: Path, seconds: float, hertz=(440,)) -> Path:
    """A WAV file of 8 kHz, 16 bit, with a channel for each tone."""
    frames = bytearray()
    for number in range(round(seconds * RATE)):
        for tone in hertz:
            frames += struct.pack("<h", round(9000 * math.sin(2 * math.pi * tone * number / RATE)))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(hertz))
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(bytes(frames))
    return path


def start_recording(account, call=None, *, spool: Path, number=1, **fields) -> Recording:
    """A row in progress whose spool file is, or may be, in ``spool``."""
    sid = f"RE{number:032x}"
    fields = {
        "sid": sid,
        "account": account,
        "call": call,
        "source": "RecordVerb",
        "status": "in-progress",
        "started_at": NOON,
        "node": "boot",
        "spool_path": str(spool / f"{sid}.wav"),
        "callback": {
            "url": "http://app.example/recorded",
            "method": "POST",
            "events": ["completed", "absent"],
        },
    } | fields
    return Recording.objects.create(**fields)
