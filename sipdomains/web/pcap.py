"""SIP messages as a capture file that Wireshark opens. Pure.

The classic format of libpcap with link type RAW: each packet begins with its IP header. What was
really on the wire (fragments, retransmissions of TCP, TLS) is not known; each message is one packet
with headers made for it. Masked or cut messages get the Content-Length of what is left of them, so
that the messages behind them on a TCP stream are still found.
Sources: draft-ietf-opsawg-pcap; RFC 791, 8200 (IP), 768 (UDP), 9293 (TCP), 1071 (checksum).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address, ip_address

_MAGIC = 0xA1B2C3D4  # microseconds
_LINKTYPE_RAW = 101
_SNAPLEN = 65_535
_UDP, _TCP = 17, 6
_PSH_ACK = 0x18
MAX_MESSAGE = 60_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LENGTH = re.compile(rb"(?im)^(content-length|l)([ \t]*:[ \t]*)\d+")

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Message:
    """``transport`` as in a Via; everything but UDP becomes TCP. Hosts are numeric addresses."""

    at: datetime
    source: Address
    target: Address
    transport: str
    data: bytes


def capture(messages: Iterable[Message]) -> bytes:
    """The file. Addresses that are none become documentation addresses (RFC 5737, 3849)."""
    parts = [struct.pack("<IHHiIII", _MAGIC, 2, 4, 0, 0, _SNAPLEN, _LINKTYPE_RAW)]
    sent: dict[tuple[Address, Address], int] = {}  # octets of each direction of a TCP stream
    for number, message in enumerate(messages):
        data = consistent(message.data[:MAX_MESSAGE])
        packet = _packet(message, data, number, sent)
        micros = max(0, round((message.at - _EPOCH).total_seconds() * 1e6))
        seconds, rest = divmod(micros, 1_000_000)
        parts.append(struct.pack("<IIII", seconds, rest, len(packet), len(packet)))
        parts.append(packet)
    return b"".join(parts)


def consistent(data: bytes) -> bytes:
    """With the Content-Length of the body that is there."""
    head, blank, body = data.partition(b"\r\n\r\n")
    if not blank:
        return data
    length = str(len(body)).encode()
    return _LENGTH.sub(lambda found: found[1] + found[2] + length, head) + blank + body


def _packet(
    message: Message, data: bytes, number: int, sent: dict[tuple[Address, Address], int]
) -> bytes:
    source, target = _addresses(message.source[0], message.target[0])
    ports = struct.pack(">HH", message.source[1] & 0xFFFF, message.target[1] & 0xFFFF)
    if message.transport.lower() == "udp":
        protocol = _UDP
        header = ports + struct.pack(">HH", 8 + len(data), 0)
        place = 6
    else:
        protocol = _TCP
        way = (message.source, message.target)
        back = (message.target, message.source)
        sequence, answer = sent.get(way, 0), sent.get(back, 0)
        sent[way] = sequence + len(data)
        header = ports + struct.pack(
            ">IIBBHHH", sequence + 1, answer + 1, 5 << 4, _PSH_ACK, 65_535, 0, 0
        )
        place = 16
    pseudo = (
        source.packed + target.packed + struct.pack(">IHBB", len(header + data), 0, 0, protocol)
    )
    total = checksum(pseudo + header + data)
    if protocol == _UDP and total == 0:
        total = 0xFFFF  # 0 means that there is none
    header = header[:place] + struct.pack(">H", total) + header[place + 2 :]
    return _ip(source, target, protocol, len(header + data), number) + header + data


def _ip(
    source: IPv4Address | IPv6Address,
    target: IPv4Address | IPv6Address,
    protocol: int,
    length: int,
    number: int,
) -> bytes:
    if source.version == 6:
        fixed = struct.pack(">IHBB", 6 << 28, length, protocol, 64)
        return fixed + source.packed + target.packed
    fixed = struct.pack(">BBHHHBBH", 0x45, 0, 20 + length, number & 0xFFFF, 0, 64, protocol, 0)
    total = checksum(fixed + source.packed + target.packed)
    return fixed[:10] + struct.pack(">H", total) + source.packed + target.packed


def _addresses(
    source: str, target: str
) -> tuple[IPv4Address | IPv6Address, IPv4Address | IPv6Address]:
    """Both of one version: one that is unknown, or of the other version, is made up."""
    one, other = _address(source), _address(target)
    version = (one or other or IPv4Address(0)).version
    made_up = ("192.0.2.1", "192.0.2.2") if version == 4 else ("2001:db8::1", "2001:db8::2")
    if one is None or one.version != version:
        one = ip_address(made_up[0])
    if other is None or other.version != version:
        other = ip_address(made_up[1])
    return one, other


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        return None


def checksum(data: bytes) -> int:
    """Of RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
