import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipserver.rtp import rtcp
from sipserver.rtp.packet import MalformedPacket

U32 = st.integers(0, 0xFFFFFFFF)
blocks = st.builds(
    rtcp.ReportBlock,
    ssrc=U32,
    fraction_lost=st.integers(0, 255),
    cumulative_lost=st.integers(-0x800000, 0x7FFFFF),
    highest_sequence=U32,
    jitter=U32,
    last_sr=U32,
    delay=U32,
)
senders = st.builds(
    rtcp.SenderInfo, ntp=st.integers(0, (1 << 64) - 1), rtp_timestamp=U32, packets=U32, octets=U32
)
reports = st.builds(
    rtcp.Report,
    ssrc=U32,
    sender=st.none() | senders,
    blocks=st.lists(blocks, max_size=31).map(tuple),
)


@given(reports, st.binary(max_size=255), st.booleans())
def test_build_and_parse_are_inverse(report, cname, bye):
    data = rtcp.build(report, cname, bye=bye)
    assert len(data) % 4 == 0
    assert rtcp.parse(data) == [report] + [rtcp.Bye((report.ssrc,))] * bye


def test_layout_of_a_receiver_report():
    block = rtcp.ReportBlock(7, 64, -1, 0x10002, 5, 0x11223344, 9)
    data = rtcp.build(rtcp.Report(1, None, (block,)), b"ab")
    assert data == bytes.fromhex(
        "81c90007 00000001 00000007 40ffffff 00010002 00000005 11223344 00000009"
        "81ca0003 00000001 01026162 00000000"
    )


VALID = rtcp.build(
    rtcp.Report(1, rtcp.SenderInfo(1, 2, 3, 4), (rtcp.ReportBlock(1, 0, 0, 0, 0, 0, 0),)), b"x"
)


@pytest.mark.parametrize("size", range(1, len(VALID)))
def test_truncated(size):
    cut_between_packets = size == 52
    if cut_between_packets:
        assert len(rtcp.parse(VALID[:size])) == 1
    else:
        with pytest.raises(MalformedPacket):
            rtcp.parse(VALID[:size])


@pytest.mark.parametrize(
    "data",
    [
        b"\x40\xc8\x00\x00",  # version
        b"\x80\x00\x00\x00",  # kind
        b"\x81\xc9\x00\x01" + bytes(4),  # a block is announced and missing
        b"\x82\xcb\x00\x01" + bytes(4),  # two sources announced, one there
        b"\x80\xc8\x00\x00",  # report without anything
    ],
)
def test_malformed(data):
    with pytest.raises(MalformedPacket):
        rtcp.parse(data)


@given(st.binary(max_size=200))
def test_hostile_bytes_raise_only_malformed(data):
    try:
        rtcp.parse(data)
    except MalformedPacket:
        pass


def test_endless_compounds_are_cut():
    assert len(rtcp.parse(b"\x80\xcb\x00\x00" * 1000)) == rtcp.MAX_PACKETS


def test_round_trip_of_the_rfc_example():
    # RFC 3550 section 6.4.1, figure 2
    block = rtcp.ReportBlock(1, 0, 0, 0, 0, last_sr=0xB7052000, delay=0x00054000)
    assert rtcp.round_trip(block, 0xB7108000 << 16) == pytest.approx(6.125)


@pytest.mark.parametrize(
    ("last_sr", "delay", "now", "seconds"),
    [
        (0xFFFF8000, 0x4000, 0x8000, 0.75),  # the middle of the NTP time has wrapped: each 18 hours
        (0xFFFF8000, 0, 0xFFFFC000, 0.25),
        (1, 0, 65537, 1.0),
        (0x10000, 0x10000, 0x20000, 0.0),
    ],
)
def test_round_trip(last_sr, delay, now, seconds):
    block = rtcp.ReportBlock(1, 0, 0, 0, 0, last_sr, delay)
    assert rtcp.round_trip(block, now << 16) == seconds


@pytest.mark.parametrize(
    ("last_sr", "delay", "now"),
    [(0, 5, 10), (1000, 500, 900), (1, 0, 65536 * 61)],
    ids=["no report heard", "answered before it was sent", "a minute"],
)
def test_senseless_round_trips(last_sr, delay, now):
    block = rtcp.ReportBlock(1, 0, 0, 0, 0, last_sr, delay)
    assert rtcp.round_trip(block, now << 16) is None


def test_ntp_time():
    assert rtcp.ntp_time(0.5) == 2208988800 << 32 | 1 << 31


@pytest.mark.parametrize(
    ("uniform", "initial", "seconds"),
    [(0, False, 2.052), (0.5, False, 4.104), (1, False, 6.156), (0, True, 1.026)],
)
def test_interval_of_reports(uniform, initial, seconds):
    assert rtcp.interval(5, uniform, initial=initial) == pytest.approx(seconds, abs=0.001)
