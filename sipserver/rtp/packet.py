"""RTP packets (RFC 3550 section 5.1)."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

HEADER = Struct("!BBHII")
HEADER_SIZE = 12
PLAIN = 0x80  # first octet: version 2, no padding, extension or contributing sources


class MalformedPacket(ValueError):
    """Not an RTP or RTCP packet as the RFC has them."""


@dataclass(frozen=True, slots=True)
class RtpPacket:
    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes
    marker: bool = False

    def build(self) -> bytes:
        second = self.payload_type | (0x80 if self.marker else 0)
        return HEADER.pack(PLAIN, second, self.sequence, self.timestamp, self.ssrc) + self.payload


def parse(data: bytes) -> RtpPacket:
    """Raises MalformedPacket."""
    start, end = payload_span(data, len(data))
    _, second, sequence, timestamp, ssrc = HEADER.unpack_from(data)
    return RtpPacket(
        second & 0x7F, sequence, timestamp, ssrc, bytes(data[start:end]), second >= 0x80
    )


def payload_span(data: bytes | bytearray, size: int) -> tuple[int, int]:
    """Where the payload of the packet in ``data[:size]`` begins and ends. Raises
    MalformedPacket."""
    if size < HEADER_SIZE:
        raise MalformedPacket("shorter than a header")
    first = data[0]
    if first >> 6 != 2:
        raise MalformedPacket("version is not 2")
    start, end = HEADER_SIZE + 4 * (first & 0x0F), size
    if first & 0x10:
        if start + 4 > size:
            raise MalformedPacket("extension header cut off")
        start += 4 + 4 * (data[start + 2] << 8 | data[start + 3])
    if start > size:
        raise MalformedPacket("header longer than the packet")
    if first & 0x20:
        padding = data[size - 1]
        if padding == 0 or start + padding > size:
            raise MalformedPacket("impossible padding")
        end -= padding
    return start, end


def is_rtcp(second: int) -> bool:
    """Tells RTCP from RTP on a shared port by the second octet (RFC 5761 section 4)."""
    return 192 <= second <= 223
