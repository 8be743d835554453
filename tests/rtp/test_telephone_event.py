import random
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipserver.rtp.telephone_event import (
    DIGITS,
    TelephoneEventDecoder,
    paced,
    valid_digits,
)


def event(code, duration, *, end=False):
    return pack("!BBH", code, (0x80 if end else 0) | 10, duration)


def sent(digits, ptime=20):
    """(timestamp, payload) as a sender would put them on the wire."""
    packets, start = [], 0
    for tick, step in enumerate(paced(digits, ptime)):
        if step is not None:
            if step.first:
                start = tick * ptime * 8
            packets.append((start, step.payload))
    return packets


def decoded(packets):
    decoder = TelephoneEventDecoder()
    return "".join(decoder.feed(*packet) for packet in packets)


def test_pace_of_one_digit():
    steps = list(paced("5", 20))
    assert [step and step.payload.hex() for step in steps] == [
        "050a00a0",
        "050a0140",
        "050a01e0",
        "050a0280",
        "058a0320",
        "058a0320",
        "058a0320",
        None,
        None,
        None,
    ]
    assert [step.first for step in steps if step] == [True] + [False] * 6


@pytest.mark.parametrize(("digits", "ms"), [("w", 500), ("W", 1000), ("1", 200), ("1w#", 900)])
@pytest.mark.parametrize("ptime", [10, 20])
def test_time_taken(digits, ms, ptime):
    assert len(list(paced(digits, ptime))) * ptime == ms


@pytest.mark.parametrize("ptime", [10, 20, 30, 40, 60])
def test_round_trip(ptime):
    assert decoded(sent(DIGITS, ptime)) == DIGITS


def test_a_digit_is_told_with_its_first_packet():
    decoder = TelephoneEventDecoder()
    assert decoder.feed(960, event(7, 0)) == "7"
    assert [decoder.feed(960, event(7, n)) for n in (160, 320, 320)] == ["", "", ""]


@given(st.text(DIGITS, min_size=1, max_size=12), st.integers(0, 1 << 30))
def test_round_trip_over_a_bad_line(digits, seed):
    """Any loss that leaves one packet of each event, with repeats and swaps within an event."""
    chance = random.Random(seed)
    packets = []
    wire = sent(digits)
    for start in sorted({timestamp for timestamp, _ in wire}):
        of_event = [packet for packet in wire if packet[0] == start]
        left = chance.sample(of_event, chance.randint(1, len(of_event)))
        packets += left + chance.sample(left, chance.randint(0, len(left)))
    assert decoded(packets) == digits


@pytest.mark.parametrize(
    ("packets", "digits"),
    [
        ([(0, event(1, 800, end=True))], "1"),  # only an end packet
        ([(0, event(1, 160)), (0, event(1, 320))], "1"),  # no end packet
        ([(0, event(1, 160)), (960, event(1, 160, end=True))], "11"),
        ([(0, event(1, 800, end=True)), (0, event(1, 640))], "1"),  # straggler
        ([(960, event(2, 800, end=True)), (0, event(1, 800, end=True))], "2"),  # older than told
        ([(9_000_000, event(2, 800)), (500, event(1, 160))], "21"),  # the source began anew
        (
            [(0, event(3, 0xFFFF)), (0xFFFF, event(3, 160)), (0xFFFF, event(3, 465, end=True))],
            "3",  # a long event in two segments
        ),
        ([(0, event(3, 0xFFFF)), (0xFFFF, event(4, 160))], "34"),
        ([(0xFFFFFF00, event(4, 800, end=True)), (0x100, event(5, 80, end=True))], "45"),
        ([(0, event(16, 800, end=True))], ""),  # flash
        ([(0, event(255, 800, end=True))], ""),
        ([(0, b"\x01\x8a\x03")], ""),  # too short
        ([(0, b"")], ""),
    ],
)
def test_decoder(packets, digits):
    assert decoded(packets) == digits


@given(st.lists(st.tuples(st.integers(0, 0xFFFFFFFF), st.binary(max_size=8)), max_size=50))
def test_hostile_events_do_not_break_it(packets):
    assert len(decoded(packets)) <= len(packets)


@pytest.mark.parametrize(
    ("digits", "valid"), [("0123456789*#ABCDwW", True), ("1a", False), (" ", False), ("", True)]
)
def test_valid_digits(digits, valid):
    assert valid_digits(digits) is valid
