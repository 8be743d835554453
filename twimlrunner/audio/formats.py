"""What a fetched file is: by its content type, its first bytes, its name. Pure.

Types that Play takes: twiml-voice.md section 2 (Play), webhooks.md section 1 (content types).
"""

from __future__ import annotations

from enum import Enum

from twimlrunner.speech.ports import PromptError
from twimlrunner.speech.tables import word_set

UNPLAYABLE = 13420


class Format(Enum):
    """How to decode: ``CONTAINER`` says itself what it holds."""

    CONTAINER = "container"
    RAW_ULAW = "ulaw"
    RAW_GSM = "gsm"


_CONTAINERS = word_set(
    "audio/mpeg audio/mp3 audio/x-mp3 audio/wav audio/wave audio/x-wav audio/vnd.wave audio/aiff"
    " audio/x-aiff audio/aifc audio/x-aifc"
)
_ULAW = word_set("audio/ulaw audio/x-ulaw audio/mulaw audio/basic")
_GSM = word_set("audio/gsm audio/x-gsm")
_UNSPECIFIC = word_set("application/octet-stream binary/octet-stream")
_EXTENSIONS = {
    "ul": Format.RAW_ULAW,
    "ulaw": Format.RAW_ULAW,
    "mulaw": Format.RAW_ULAW,
    "gsm": Format.RAW_GSM,
}


def choose(content_type: str, path: str, head: bytes) -> Format:
    """``content_type`` as the header says (may be empty), ``path`` of the URL, ``head`` the first
    bytes of the file (16 or more where there are). Raises PromptError 13420."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type in _CONTAINERS:
        return Format.CONTAINER
    if media_type in _ULAW or media_type in _GSM:
        if _has_header(head):
            return Format.CONTAINER
        return Format.RAW_ULAW if media_type in _ULAW else Format.RAW_GSM
    if media_type and media_type not in _UNSPECIFIC:
        raise PromptError(UNPLAYABLE, f"content type {media_type[:80]!r} cannot be played")
    return _sniff(path, head)


def _sniff(path: str, head: bytes) -> Format:
    if _has_header(head):
        return Format.CONTAINER
    # Before MPEG: mu-law silence looks like an MPEG frame's start.
    raw = _EXTENSIONS.get(path.rpartition(".")[2].lower())
    if raw is not None:
        return raw
    if _is_mpeg(head):
        return Format.CONTAINER
    raise PromptError(UNPLAYABLE, "the file is of no audio type that can be played")


def _has_header(head: bytes) -> bool:
    match head[:4]:
        case b"RIFF" | b"RIFX" | b"RF64":
            return head[8:12] == b"WAVE"
        case b"FORM":
            return head[8:12] in {b"AIFF", b"AIFC"}
        case b".snd":
            return True
    return False


def _is_mpeg(head: bytes) -> bool:
    """An ID3 tag, or a frame's sync with a valid version and layer."""
    if head[:3] == b"ID3":
        return True
    return len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0 and head[1] & 0x06 != 0
