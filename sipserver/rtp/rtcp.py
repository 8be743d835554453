"""RTCP: reports, description and goodbye (RFC 3550 section 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct

from sipserver.rtp.packet import MalformedPacket

SR, RR, SDES, BYE = 200, 201, 202, 203
MAX_PACKETS = 32  # in one compound
NTP_EPOCH = 2208988800  # 1900 to 1970, seconds

_BLOCK = Struct("!IB3sIIII")
_SENDER = Struct("!IIIII")
_HEADER = Struct("!BBH")


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """About ``ssrc``, as its receiver saw it; ``jitter`` in timestamp units; ``last_sr`` the middle
    32 bits of the NTP time of the last sender report, ``delay`` since then in 1/65536 s."""

    ssrc: int
    fraction_lost: int
    cumulative_lost: int  # signed, 24 bits
    highest_sequence: int
    jitter: int
    last_sr: int
    delay: int


@dataclass(frozen=True, slots=True)
class SenderInfo:
    ntp: int  # 64 bits, see ntp_time
    rtp_timestamp: int
    packets: int
    octets: int


@dataclass(frozen=True, slots=True)
class Report:
    """Sender report, or receiver report if ``sender`` is None."""

    ssrc: int
    sender: SenderInfo | None
    blocks: tuple[ReportBlock, ...]


@dataclass(frozen=True, slots=True)
class Bye:
    ssrcs: tuple[int, ...]


def ntp_time(unix: float) -> int:
    """64-bit NTP timestamp of a Unix time."""
    return int((unix + NTP_EPOCH) * 4294967296) & 0xFFFFFFFFFFFFFFFF


def round_trip(block: ReportBlock, ntp_now: int) -> float | None:
    """Seconds from our sender report to the block that answers it (section 6.4.1). None if the peer
    has had no report of ours, or its figures make no sense."""
    if block.last_sr == 0:
        return None
    units = ((ntp_now >> 16 & 0xFFFFFFFF) - block.last_sr - block.delay) & 0xFFFFFFFF
    return units / 65536 if units < 65536 * 60 else None


def interval(base: float, uniform: float, *, initial: bool) -> float:
    """Seconds to the next report of a session of two (section 6.3.1): ``base`` times a random
    factor of 0.5 to 1.5, divided by the compensation e - 3/2; half of it before the first.
    ``uniform`` is a random number of 0 to 1."""
    return base * (0.5 if initial else 1.0) * (0.5 + uniform) / 1.21828


def build(report: Report, cname: bytes, *, bye: bool = False) -> bytes:
    """A compound packet: report, CNAME, and BYE if wanted. ``cname`` of at most 255 bytes."""
    blocks = b"".join(map(_build_block, report.blocks))
    if report.sender is None:
        body = report.ssrc.to_bytes(4, "big")
        kind = RR
    else:
        info = report.sender
        body = report.ssrc.to_bytes(4, "big") + _SENDER.pack(
            info.ntp >> 32,
            info.ntp & 0xFFFFFFFF,
            info.rtp_timestamp,
            info.packets & 0xFFFFFFFF,
            info.octets & 0xFFFFFFFF,
        )
        kind = SR
    chunk = report.ssrc.to_bytes(4, "big") + bytes((1, len(cname))) + cname
    chunk += bytes(4 - len(chunk) % 4)  # ends with one to four zero octets
    compound = _packet(kind, len(report.blocks), body + blocks) + _packet(SDES, 1, chunk)
    return compound + _packet(BYE, 1, report.ssrc.to_bytes(4, "big")) if bye else compound


def _packet(kind: int, count: int, body: bytes) -> bytes:
    return _HEADER.pack(0x80 | count, kind, len(body) // 4) + body


def _build_block(block: ReportBlock) -> bytes:
    return _BLOCK.pack(
        block.ssrc,
        block.fraction_lost,
        (block.cumulative_lost & 0xFFFFFF).to_bytes(3, "big"),
        block.highest_sequence,
        block.jitter,
        block.last_sr,
        block.delay,
    )


def parse(data: bytes) -> Sequence[Report | Bye]:
    """Reports and goodbyes of a compound packet; other kinds are skipped. Raises
    MalformedPacket. A compound begins with a report (section 6.1); reduced-size ones (RFC 5506)
    are accepted too."""
    found: list[Report | Bye] = []
    position = 0
    for _ in range(MAX_PACKETS):
        if position == len(data):
            break
        if position + 4 > len(data):
            raise MalformedPacket("header cut off")
        first, kind, words = _HEADER.unpack_from(data, position)
        end = position + 4 + 4 * words
        if first >> 6 != 2 or not 192 <= kind <= 223:
            raise MalformedPacket("not RTCP")
        if end > len(data):
            raise MalformedPacket("packet cut off")
        body = data[position + 4 : end]
        if kind in (SR, RR):
            found.append(_parse_report(body, first & 0x1F, sender=kind == SR))
        elif kind == BYE:
            found.append(_parse_bye(body, first & 0x1F))
        position = end
    return found


def _parse_report(body: bytes, count: int, *, sender: bool) -> Report:
    start = 24 if sender else 4
    if len(body) < start + _BLOCK.size * count:
        raise MalformedPacket("report cut off")
    info = None
    if sender:
        seconds, fraction, timestamp, packets, octets = _SENDER.unpack_from(body, 4)
        info = SenderInfo(seconds << 32 | fraction, timestamp, packets, octets)
    blocks = []
    for index in range(count):
        ssrc, fraction, lost, highest, jitter, last_sr, delay = _BLOCK.unpack_from(
            body, start + _BLOCK.size * index
        )
        cumulative = int.from_bytes(lost, "big", signed=True)
        blocks.append(ReportBlock(ssrc, fraction, cumulative, highest, jitter, last_sr, delay))
    return Report(int.from_bytes(body[:4], "big"), info, tuple(blocks))


def _parse_bye(body: bytes, count: int) -> Bye:
    if len(body) < 4 * count:
        raise MalformedPacket("goodbye cut off")
    return Bye(tuple(int.from_bytes(body[4 * i : 4 * i + 4], "big") for i in range(count)))
