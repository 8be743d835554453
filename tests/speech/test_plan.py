import pytest
from hypothesis import given
from hypothesis import strategies as st

from twimlrunner.engine.ports import Speech
from twimlrunner.speech.frames import chunk_from_json, chunk_to_json, decode, encode
from twimlrunner.speech.plan import make_plan
from twimlrunner.speech.ports import Silence, Utterance
from twimlrunner.speech.sentences import FIRST_LIMIT
from twimlrunner.speech.voices import VoiceTable

TABLE = VoiceTable({"hibari": "1", "nanotts": "1", "espeak-ng": "1"})


def plan(text, voice="woman", language="", ssml=""):
    return make_plan(Speech(text, voice, language, ssml), TABLE)


def texts(found):
    return [
        [part.ms if isinstance(part, Silence) else part.text for part in chunk.parts]
        for chunk in found.chunks
    ]


def test_each_sentence_is_a_file_with_a_pause_between():
    assert texts(plan("One. Two? Three")) == [["One."], [220, "Two?"], [220, "Three"]]


def test_a_stressed_word_does_not_tear_its_sentence():
    found = plan("", ssml="This is <emphasis>very</emphasis> good. Yes.")
    assert texts(found) == [["This is", "very", "good."], [220, "Yes."]]


def test_pauses_end_a_file():
    assert texts(plan("", ssml="One<break time='1s'/>two")) == [["One", 1000], ["two"]]


def test_the_first_file_of_a_long_text_is_short():
    found = plan("This sentence goes on and on, and on and on, " * 60)
    assert len(found.chunks[0].parts[0].text) <= FIRST_LIMIT
    assert len(found.chunks) > 10


def test_keys_are_stable_and_depend_on_all_that_is_heard():
    key = plan("Hello.").chunks[0].key
    assert plan("Hello.").chunks[0].key == key
    newer = VoiceTable({"hibari": "2", "nanotts": "1", "espeak-ng": "1"})
    others = [
        plan("Hello!"),
        plan("Hello.", "man"),
        plan("Hello.", language="fr-FR"),
        plan("", ssml="<prosody rate='slow'>Hello.</prosody>"),
        plan("", ssml="<prosody volume='loud'>Hello.</prosody>"),
        make_plan(Speech("Hello.", "woman", ""), newer),
    ]
    assert len({key, *(other.chunks[0].key for other in others)}) == 7


@pytest.mark.parametrize(
    ("text", "voice", "codes", "chunks"),
    [
        ("", "woman", [13520], 0),
        (" ... !? ", "woman", [13520], 0),
        ("x" * 4097, "woman", [13521], 18),
        ("x" * 3001, "Polly.Joanna", [13521], 14),
        ("x" * 3001, "woman", [], 14),
        ("hello", "nobody", [13511], 1),
    ],
)
def test_issues(text, voice, codes, chunks):
    found = plan(text, voice)
    assert [issue.code for issue in found.issues] == codes
    assert len(found.chunks) == chunks


@given(st.text(max_size=400), st.text(max_size=20), st.text(max_size=20))
def test_a_plan_travels_in_frames_and_never_fails(text, voice, language):
    for chunk in plan(text, voice, language).chunks:
        assert chunk_from_json(decode(encode(chunk_to_json(chunk))[4:])) == chunk
        assert any(isinstance(part, Utterance) for part in chunk.parts)
