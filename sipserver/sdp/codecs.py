"""The audio formats we speak and their RTP payload types (RFC 3551, RFC 4733)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sipserver.sdp.description import MediaLine


@dataclass(frozen=True, slots=True)
class Codec:
    """An encoding as ``a=rtpmap`` names it. ``payload_type`` is the static one, or the dynamic
    one that we propose in offers of ours."""

    name: str
    payload_type: int
    clock_rate: int = 8_000

    def __str__(self) -> str:
        return f"{self.name}/{self.clock_rate}"


PCMU: Final = Codec("PCMU", 0)
PCMA: Final = Codec("PCMA", 8)
TELEPHONE_EVENT: Final = Codec("telephone-event", 101)

EVENTS: Final = "0-16"
"""DTMF 0-9, *, #, A-D and flash: the events we understand (RFC 4733 3.2)."""

_STATIC: Final = {codec.payload_type: codec for codec in (PCMU, PCMA)}


def payload_types(medium: MediaLine, known: tuple[Codec, ...]) -> list[tuple[int, Codec]]:
    """Return (payload type, codec) for each format of an m= line that is one of ``known``, in the
    order of the line. A static type needs no rtpmap; where there is one, it decides."""
    found: list[tuple[int, Codec]] = []
    maps = medium.mapped("rtpmap")
    for text in medium.formats:
        if not (text.isascii() and text.isdigit()) or len(text) > 3 or int(text) > 127:
            continue
        number = int(text)
        codec = _matching(maps[text], known) if text in maps else _STATIC.get(number)
        if codec is not None and codec in known:
            found.append((number, codec))
    return found


def _matching(rtpmap: str, known: tuple[Codec, ...]) -> Codec | None:
    name, _, rest = rtpmap.partition("/")
    rate, _, channels = rest.partition("/")
    if channels not in ("", "1"):
        return None
    for codec in known:
        if codec.name.lower() == name.lower() and rate == str(codec.clock_rate):
            return codec
    return None
