"""DTMF in INFO, in the spellings that phones use."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipserver.sip.info import DTMF_TYPES, Digit, read_digit

RELAY = "application/dtmf-relay"
PLAIN = "application/dtmf"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"Signal=5\r\nDuration=160\r\n", Digit("5", 160)),
        (b"Signal= 5\r\nDuration= 160", Digit("5", 160)),
        (b"signal = 5\nDURATION = 250\n", Digit("5", 250)),
        (b"Duration=90\r\nSignal=1\r\n", Digit("1", 90)),
        (b"Signal=7", Digit("7", 100)),
        (b"Signal=*\r\n", Digit("*", 100)),
        (b"Signal=#\r\n", Digit("#", 100)),
        (b"Signal=10\r\n", Digit("*", 100)),
        (b"Signal=11\r\n", Digit("#", 100)),
        (b"Signal=a\r\n", Digit("A", 100)),
        (b"Signal=D\r\n", Digit("D", 100)),
        (b"Signal=12\r\n", Digit("A", 100)),
        (b"Signal=15\r\n", Digit("D", 100)),
        (b"Signal=5\r\nDuration=0\r\n", Digit("5", 100)),
        (b"Signal=5\r\nDuration=long\r\n", Digit("5", 100)),
        (b"Signal=5\r\nDuration=999999\r\n", Digit("5", 10_000)),
        (b"Signal=5\r\nDuration=9999999\r\n", Digit("5", 100)),
        (b"Signal=16\r\n", None),
        (b"Signal=!\r\n", None),
        (b"Signal=\r\n", None),
        (b"Signal=55\r\n", None),
        (b"Duration=100\r\n", None),
        (b"5", None),
        (b"", None),
        (b"\xff\xfe", None),
        (b"Signal=5" + b" " * 300, None),
    ],
)
def test_dtmf_relay(body, expected):
    assert read_digit(RELAY, body) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"5", Digit("5", 100)),
        (b"5\r\n", Digit("5", 100)),
        (b" # ", Digit("#", 100)),
        (b"*", Digit("*", 100)),
        (b"10", Digit("*", 100)),
        (b"b", Digit("B", 100)),
        (b"Signal=5\r\nDuration=200", Digit("5", 200)),
        (b"16", None),
        (b"x", None),
        (b"", None),
    ],
)
def test_dtmf(body, expected):
    assert read_digit(PLAIN, body) == expected


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/media_control+xml"])
def test_other_bodies_are_no_digits(content_type):
    assert content_type not in DTMF_TYPES
    assert read_digit(content_type, b"Signal=5\r\n") is None


@given(st.sampled_from(sorted(DTMF_TYPES)), st.binary(max_size=80))
def test_any_body_is_a_key_or_none(content_type, body):
    digit = read_digit(content_type, body)
    assert digit is None or (digit.key in "0123456789*#ABCD" and 0 < digit.duration_ms <= 10_000)
