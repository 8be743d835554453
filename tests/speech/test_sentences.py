import pytest
from hypothesis import given
from hypothesis import strategies as st

from twimlrunner.speech.sentences import FIRST_LIMIT, LIMIT, pieces, split_long, split_sentences


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Hello.", ["Hello."]),
        ("Hello. How are you? Fine!", ["Hello.", "How are you?", "Fine!"]),
        ("  Two\n lines. \n\nParagraph  two ", ["Two lines.", "Paragraph two"]),
        ("Dr. Smith is in. Mr. J. Doe is not.", ["Dr. Smith is in.", "Mr. J. Doe is not."]),
        ("It costs 3.50 today. Buy it.", ["It costs 3.50 today.", "Buy it."]),
        ("See example.com now. Thanks.", ["See example.com now.", "Thanks."]),
        ("Well... maybe. Yes.", ["Well... maybe.", "Yes."]),
        ("Wait… What? No!", ["Wait…", "What?", "No!"]),
        ("Wait... What?", ["Wait...", "What?"]),
        ("Open at 9 a.m. Come early.", ["Open at 9 a.m.", "Come early."]),
        ("Open at 9 a.m. on Monday.", ["Open at 9 a.m. on Monday."]),
        ("Press 1. Press 2.", ["Press 1.", "Press 2."]),
        ("Am 3. Mai um 9 Uhr. Bitte warten.", ["Am 3. Mai um 9 Uhr.", "Bitte warten."]),
        ("Das gilt z.B. Montag. Danke.", ["Das gilt z.B. Montag.", "Danke."]),
        ('He said "Stop." Then he left.', ['He said "Stop."', "Then he left."]),
        ("Really?! Yes.", ["Really?!", "Yes."]),
        ("你好。再见！好吗？", ["你好。", "再见！", "好吗？"]),
        ("नमस्ते। कैसे हैं?", ["नमस्ते।", "कैसे हैं?"]),
        ("كيف حالك؟ بخير.", ["كيف حالك؟", "بخير."]),
        ("v1.2.3 is out", ["v1.2.3 is out"]),
        ("", []),
        (" \n ", []),
        ("No end", ["No end"]),
    ],
)
def test_sentences_end_where_a_speaker_stops(text, sentences):
    assert split_sentences(text) == sentences


def test_the_first_piece_is_short_and_ends_at_a_clause():
    text = "When you have found the number of your order, " + "which is long, " * 20 + "press one."
    first, *rest = pieces(text, first=True)
    assert len(first) <= FIRST_LIMIT
    assert first.endswith(",")
    assert all(len(piece) <= LIMIT for piece in rest)


def test_without_a_first_the_whole_sentence_stays():
    text = "a " * 80 + "end."
    assert pieces(text, first=False) == [text]


def test_a_word_without_blanks_is_cut_hard():
    assert split_long("x" * 500, 240) == ["x" * 240, "x" * 240, "x" * 20]


@given(st.text(max_size=600), st.booleans())
def test_nothing_is_lost_and_nothing_is_too_long(text, first):
    found = pieces(text, first=first)
    assert "".join("".join(found).split()) == "".join(text.split())
    assert all(0 < len(piece) <= LIMIT for piece in found)
