import pytest
from hypothesis import given
from hypothesis import strategies as st

from twimlrunner.speech.normalise import characters, digits, normalise, telephone


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("Hello there", "Hello there"),
        ("Press # or *", "Press pound or star"),
        ("Press *, then #.", "Press star, then pound."),
        ("Dial *67# now", "Dial star 67 pound now"),
        ("Your order #1234 is here", "Your order number 1234 is here"),
        ("this is *important* text", "this is *important* text"),
        ("Call 1-800-555-0199.", "Call 1, 8 0 0, 5 5 5, 0 1 9 9."),
        ("Call (415) 555-0100 today", "Call 4 1 5, 5 5 5, 0 1 0 0 today"),
        ("Call 415.555.0100 today", "Call 4 1 5, 5 5 5, 0 1 0 0 today"),
        ("555-0199", "5 5 5, 0 1 9 9"),
        ("+14155550100", "plus 1, 4 1 5, 5 5 5, 0 1 0 0"),
        ("+49 30 1234567", "plus 4 9, 3 0, 1 2 3 4 5 6 7"),
        ("account 00123", "account 0 0 1, 2 3"),
        ("Your code is 4711", "Your code is 4 7 1 1"),
        ("PIN: 90210 please", "PIN: 9 0 2, 1 0 please"),
        ("number 12345678", "number 1 2 3 4, 5 6 7 8"),
        ("Reference ABC123", "Reference A, B, C, 1, 2, 3"),
        ("It was in 1984", "It was in 1984"),
        ("It costs $1,250,000", "It costs $1,250,000"),
        ("It costs $12500000", "It costs $12500000"),
        ("Pay 3.1415926 now", "Pay 3.1415926 now"),
        ("On 12/25/2026 at 10:30", "On 12/25/2026 at 10:30"),
        ("1,000,000 people", "1,000,000 people"),
        ("we have 100000 users", "we have 100000 users"),
        ("MP3 and B2B and A4", "MP3 and B2B and A4"),
        ("2026-11-23", "2026-11-23"),
        ("a\x00b\u200bc\ud800d", "abcd"),
    ],
)
def test_english_reads_as_on_the_telephone(text, spoken):
    assert normalise(text, "en-US") == spoken


@pytest.mark.parametrize(
    ("language", "spoken"),
    [
        ("de-DE", "1 Raute Stern"),
        ("fr", "1 dièse étoile"),
        ("es-MX", "1 almohadilla asterisco"),
        ("it_IT", "1 cancelletto asterisco"),
        ("ja-JP", "1 # *"),
    ],
)
def test_keys_have_names_in_other_languages(language, spoken):
    assert normalise("1 # *", language) == spoken


def test_digits_come_in_groups():
    assert digits("12345") == "1 2 3, 4 5"
    assert digits("12-34") == "1 2 3 4"
    assert digits("none") == ""


def test_characters_are_named():
    assert characters("ab#1", "en-US") == "A, B, pound, 1"
    assert characters("ß", "de-DE") == "ß"


def test_telephone_without_groups_is_cut():
    assert telephone("18005550199") == "1, 8 0 0, 5 5 5, 0 1 9 9"
    assert telephone("112") == "1 1 2"


@given(st.text(max_size=300))
def test_any_text_is_normalised_to_something_bounded(text):
    assert len(normalise(text, "en-US")) <= 8 * len(text) + 8
