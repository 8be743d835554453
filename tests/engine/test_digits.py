"""Keys that wait, and keys that a Gather takes (twiml-voice.md section 2)."""

import pytest

from twimlrunner.engine.digits import Collection, DigitBuffer
from twimlrunner.twiml.limits import BUFFERED_DIGITS, GATHERED_DIGITS


def buffer(keys: str) -> DigitBuffer:
    result = DigitBuffer()
    for key in keys:
        assert result.push(key)
    return result


@pytest.mark.parametrize(
    ("keys", "finish_on", "length", "digits", "finished_on", "taken"),
    [
        ("12", "#", None, "12", "", 2),
        ("12#3", "#", None, "12", "#", 3),
        ("#", "#", None, "", "#", 1),
        ("12#", "", None, "12#", "", 3),
        ("1234", "#", 3, "123", "", 3),
        ("12#", "#", 3, "12", "#", 3),
        ("12", "#", 1, "1", "", 1),
        ("1*2", "*", None, "1", "*", 2),
        ("515", "5", None, "", "5", 1),
        ("ABCD", "#", None, "ABCD", "", 4),
        ("1" * (GATHERED_DIGITS + 1), "#", None, "1" * GATHERED_DIGITS, "", GATHERED_DIGITS),
        ("1" * (GATHERED_DIGITS + 1), "#", 10**6, "1" * GATHERED_DIGITS, "", GATHERED_DIGITS),
    ],
)
def test_collection(keys, finish_on, length, digits, finished_on, taken):
    collection = Collection(finish_on, length)
    count = 0
    for key in keys:
        count += 1
        if not collection.add(key):
            break
    assert (collection.digits, collection.finished_on, count) == (digits, finished_on, taken)


def test_the_buffer_gives_keys_in_order():
    digits = buffer("1*#A")
    assert [digits.pop() for _ in range(5)] == ["1", "*", "#", "A", None]


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
