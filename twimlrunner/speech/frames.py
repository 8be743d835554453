"""Frames between the node and the prompt worker: 4 bytes length (big endian), then JSON. Pure.

``hello`` is the first frame both ways: ``{"v": 1, "op": "hello", …}``. The node then sends
``{"id", "op": "speak"|"fetch", …}``; the worker answers each id once with
``{"id", "path"}`` or ``{"id", "code", "message"}``. A text is asked for sentence by sentence, so
the replies are its progress. End of file means the other side is dead.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from twimlrunner.speech.ports import Chunk, Part, Silence, Utterance, Voice

if TYPE_CHECKING:
    from asyncio import StreamReader

VERSION = 1
MAX_FRAME = 1024 * 1024
HEADER = 4


class FrameError(Exception):
    """The other side does not keep to the protocol."""


def encode(message: Mapping[str, Any]) -> bytes:
    """Raises FrameError if the message is over ``MAX_FRAME`` bytes."""
    body = json.dumps(message, separators=(",", ":")).encode("ascii")
    if len(body) > MAX_FRAME:
        raise FrameError(f"frame of {len(body)} bytes")
    return len(body).to_bytes(HEADER, "big") + body


def decode(body: bytes) -> dict[str, Any]:
    """Raises FrameError."""
    try:
        message = json.loads(body)
    except ValueError as error:
        raise FrameError("frame is not JSON") from error
    if not isinstance(message, dict):
        raise FrameError("frame is not an object")
    return message


async def read(reader: StreamReader) -> dict[str, Any]:
    """The next frame. Raises FrameError, and asyncio.IncompleteReadError at the end."""
    length = int.from_bytes(await reader.readexactly(HEADER), "big")
    if length > MAX_FRAME:
        raise FrameError(f"frame of {length} bytes")
    return decode(await reader.readexactly(length))


def part_to_json(part: Part) -> list[Any]:
    """A short list: ``[ms]`` or the fields of utterance and voice in order."""
    if isinstance(part, Silence):
        return [part.ms]
    voice = part.voice
    return [
        part.text,
        [voice.engine, voice.version, voice.name, voice.language, voice.pitch],
        part.rate,
        part.pitch,
        part.volume,
        part.ipa,
    ]


def part_from_json(data: list[Any]) -> Part:
    """Inverse of :func:`part_to_json`. Raises FrameError."""
    try:
        if len(data) == 1:
            return Silence(int(data[0]))
        text, voice, rate, pitch, volume, ipa = data
        return Utterance(text, Voice(*voice), rate, pitch, volume, ipa)
    except (TypeError, ValueError) as error:
        raise FrameError("bad part") from error


def chunk_to_json(chunk: Chunk) -> dict[str, Any]:
    return {"key": chunk.key, "parts": [part_to_json(part) for part in chunk.parts]}


def chunk_from_json(data: Mapping[str, Any]) -> Chunk:
    """Inverse of :func:`chunk_to_json`. Raises FrameError."""
    try:
        return Chunk(data["key"], tuple(part_from_json(part) for part in data["parts"]))
    except (KeyError, TypeError) as error:
        raise FrameError("bad chunk") from error
