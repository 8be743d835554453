import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipserver.rtp.packet import MalformedPacket, RtpPacket, is_rtcp, parse, payload_span

packets = st.builds(
    RtpPacket,
    payload_type=st.integers(0, 127),
    sequence=st.integers(0, 0xFFFF),
    timestamp=st.integers(0, 0xFFFFFFFF),
    ssrc=st.integers(0, 0xFFFFFFFF),
    payload=st.binary(max_size=200),
    marker=st.booleans(),
)


@given(packets)
def test_build_and_parse_are_inverse(packet):
    assert parse(packet.build()) == packet


def test_header_layout():
    packet = RtpPacket(8, 0x1234, 0x01020304, 0xAABBCCDD, b"xy", marker=True)
    assert packet.build() == bytes.fromhex("80 88 1234 01020304 aabbccdd") + b"xy"


HEAD = bytes.fromhex("00 0001 00000002 00000003")
SPANS = [
    (b"\x80" + HEAD + b"abc", (12, 15)),
    (b"\x80" + HEAD, (12, 12)),
    (b"\x82" + HEAD + bytes(8) + b"abc", (20, 23)),  # two contributing sources
    (b"\x90" + HEAD + bytes.fromhex("bede0001 00000000") + b"abc", (20, 23)),  # extension
    (b"\x91" + HEAD + bytes(4) + bytes.fromhex("bede0000") + b"abc", (20, 23)),
    (b"\xa0" + HEAD + b"abc\x00\x02", (12, 15)),  # padding
    (b"\xa0" + HEAD + b"\x01", (12, 12)),
]


@pytest.mark.parametrize(("data", "span"), SPANS)
def test_payload_span(data, span):
    assert payload_span(data, len(data)) == span


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80" + HEAD[:-1],
        b"\x40" + HEAD,  # version 1
        b"\xc0" + HEAD,  # version 3
        b"\x8f" + HEAD + bytes(59),  # contributing sources cut off
        b"\x90" + HEAD + b"\xbe\xde\x00",
        b"\x90" + HEAD + b"\xbe\xde\xff\xff",  # extension longer than the packet
        b"\xa0" + HEAD + b"\x00",  # no padding in spite of the bit
        b"\xa0" + HEAD + b"abc\xff",
        b"\xa0" + HEAD,
    ],
)
def test_malformed(data):
    with pytest.raises(MalformedPacket):
        parse(data)


@given(st.binary(max_size=100))
def test_hostile_bytes_raise_only_malformed(data):
    try:
        start, end = payload_span(data, len(data))
    except MalformedPacket:
        return
    assert 12 <= start <= end <= len(data)


@pytest.mark.parametrize(
    ("second", "rtcp"),
    [(200, True), (207, True), (192, True), (223, True), (0, False), (0x80, False), (0xE5, False)],
)
def test_rtcp_is_told_from_rtp(second, rtcp):
    assert is_rtcp(second) is rtcp
