"""DigitBuffer: finish key, length, cap (twiml-voice.md section 2, Gather)."""

import pytest

from twimlrunner.engine.digits import Collected, DigitBuffer
from twimlrunner.twiml.limits import BUFFERED_DIGITS


def buffer(keys: str) -> DigitBuffer:
    result = DigitBuffer()
    for key in keys:
        assert result.push(key)
    return result


@pytest.mark.parametrize(
    ("keys", "so_far", "finish_on", "length", "collected", "left"),
    [
        ("", "", "#", None, Collected("", None), 0),
        ("12", "", "#", None, Collected("12", None), 0),
        ("12#3", "", "#", None, Collected("12", "#"), 1),
        ("#", "", "#", None, Collected("", "#"), 0),
        ("12#", "", "", None, Collected("12#", None), 0),
        ("1234", "", "#", 3, Collected("123", "length"), 1),
        ("12#", "", "#", 3, Collected("12", "#"), 0),
        ("3", "12", "#", 3, Collected("123", "length"), 0),
        ("", "123", "#", 3, Collected("123", "length"), 0),
        ("3", "12", "#", None, Collected("123", None), 0),
        ("1*2", "", "0123456789*#", None, Collected("", "1"), 2),
        ("12", "", "#", 1, Collected("1", "length"), 1),
        ("ABCD", "", "#", None, Collected("ABCD", None), 0),
    ],
)
def test_take(keys, so_far, finish_on, length, collected, left):
    digits = buffer(keys)
    assert digits.take(so_far, finish_on=finish_on, length=length) == collected
    assert len(digits) == left


@pytest.mark.parametrize("key", ["", "a", "E", "12", " ", "²"])
def test_what_is_no_key_is_dropped(key):
    digits = DigitBuffer()
    assert not digits.push(key)
    assert (len(digits), digits.dropped) == (0, 1)


def test_the_buffer_is_bounded():
    digits = buffer("1" * BUFFERED_DIGITS)
    assert not digits.push("2")
    assert len(digits) == BUFFERED_DIGITS
    digits.clear()
    assert digits.push("2")
