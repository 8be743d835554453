"""G.711 companding. Octets 8 kHz; linear side 16-bit, native byte order is little-endian here."""

from __future__ import annotations

import audioop

CODECS = ("PCMU", "PCMA")
SILENCE = {"PCMU": b"\xff", "PCMA": b"\xd5"}


def encode(pcm: bytes, codec: str) -> bytes:
    """``pcm``: whole 16-bit samples. Raises KeyError for another codec."""
    return _ENCODERS[codec](pcm, 2)


def decode(payload: bytes, codec: str) -> bytes:
    return _DECODERS[codec](payload, 2)


_ENCODERS = {"PCMU": audioop.lin2ulaw, "PCMA": audioop.lin2alaw}
_DECODERS = {"PCMU": audioop.ulaw2lin, "PCMA": audioop.alaw2lin}

_ALL = bytes(range(256))
TRANSCODING = {
    ("PCMU", "PCMA"): encode(decode(_ALL, "PCMU"), "PCMA"),
    ("PCMA", "PCMU"): encode(decode(_ALL, "PCMA"), "PCMU"),
}
"""For ``bytes.translate``: both codecs have one octet for each sample."""
