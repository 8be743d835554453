import pytest
from hypothesis import given
from hypothesis import strategies as st

from twimlrunner.engine.ports import Speech
from twimlrunner.speech.plan import make_plan
from twimlrunner.speech.ports import Silence, Utterance
from twimlrunner.speech.prosody import break_ms, emphasis, pitch_factor, rate_factor, volume_db
from twimlrunner.speech.say_as import say_as
from twimlrunner.speech.ssml import SsmlError, parse_ssml
from twimlrunner.speech.voices import VoiceTable

TABLE = VoiceTable({"hibari": "1", "nanotts": "1", "espeak-ng": "1"})


def parts(markup, voice="Polly.Joanna", limit=3000):
    found, language, _ = TABLE.resolve(voice, "")
    return parse_ssml(markup, voice, found, language, TABLE, limit)


def short(markup):
    """Texts and pauses only."""
    return [part.ms if isinstance(part, Silence) else part.text for part in parts(markup)]


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ("plain text", ["plain text"]),
        ("a<break/>b", ["a", 400, "b"]),
        ('a<break time="2s"/>b', ["a", 2000, "b"]),
        ('a<break strength="none"/>b', ["a b"]),
        ("<p>One.</p><p>Two.</p>", ["One.", 500, "Two.", 500]),
        ("<s>One</s><s>Two</s>", ["One", 220, "Two", 220]),
        ("<p><s>One</s><s>Two</s></p>", ["One", 220, "Two", 500]),
        ("the <sub alias='World Wide Web'>WWW</sub> works", ["the World Wide Web works"]),
        ("I <w role='amazon:VBD'>read</w> it", ["I read it"]),
        ("<say-as interpret-as='digits'>1234</say-as> ok", ["1 2 3 4 ok"]),
        ("<unknown>still spoken</unknown>", ["still spoken"]),
        ("<amazon:effect name='whispered'>psst</amazon:effect>", ["psst"]),
        ("<speak>wrapped</speak>", ["wrapped"]),
        ("a<!-- not this -->b", ["ab"]),
        ("5 &lt; 6", ["5 < 6"]),
        ("<phoneme alphabet='ipa' ph='pɪˈkɑːn'>pecan</phoneme> pie", ["pecan", "pie"]),
        ("<phoneme alphabet='x-sampa' ph='pI'>pecan</phoneme> pie", ["pecan pie"]),
        ("call <say-as interpret-as='telephone'>5550199</say-as>", ["call 5 5 5, 0 1 9 9"]),
    ],
)
def test_tags_become_texts_and_pauses(markup, expected):
    assert short(markup) == expected


def test_prosody_becomes_factors_and_nests():
    first, second, third = parts(
        "<prosody rate='slow' pitch='+10%' volume='loud'>a"
        "<prosody rate='80%'>b</prosody></prosody>c"
    )
    assert (first.rate, round(first.pitch, 2), first.volume) == (0.75, 1.1, 4.0)
    assert (round(second.rate, 2), round(second.pitch, 2)) == (0.6, 1.1)
    assert (third.rate, third.pitch, third.volume) == (1.0, 1.0, 0.0)


def test_prosody_stays_in_sane_bounds():
    deep = "<prosody rate='x-slow' pitch='x-low' volume='+90dB'>" * 8 + "x" + "</prosody>" * 8
    (part,) = parts(deep)
    assert (part.rate, part.pitch, part.volume) == (0.3, 0.5, 12.0)


def test_lang_changes_the_voice_for_its_text_only():
    first, second, third = parts("hello <lang xml:lang='fr-FR'>bonjour</lang> bye")
    assert [p.voice.engine for p in (first, second, third)] == ["hibari", "nanotts", "hibari"]
    (unknown,) = parts("<lang xml:lang='xx'>still English</lang>")
    assert unknown.voice.engine == "hibari"


def test_lang_keeps_the_gender():
    (part,) = parts("<lang xml:lang='de-DE'>hallo</lang>", voice="Polly.Matthew")
    assert part.voice.name == "de+m3"


def test_phoneme_keeps_its_sound():
    first, _ = parts("<phoneme alphabet='ipa' ph='həˈloʊ'>hello</phoneme> you")
    assert first == Utterance("hello", first.voice, ipa="həˈloʊ")


@pytest.mark.parametrize(
    "markup",
    [
        "<break>",
        "<a></b>",
        "&undefined;",
        "<!DOCTYPE x>",
        "<x>" * 40 + "</x>" * 40,
        "x" * 70_000,
        "<x a='1' a='2'/>",
    ],
)
def test_hostile_markup_is_refused(markup):
    with pytest.raises(SsmlError):
        parts(markup)


def test_broken_markup_is_spoken_as_text_with_a_warning():
    plan = make_plan(Speech("still heard", "Polly.Joanna", "", "<p>still heard"), TABLE)
    assert [issue.code for issue in plan.issues] == [12200]
    assert plan.chunks[0].parts[0].text == "still heard"


def test_text_over_the_limit_is_cut():
    texts = [p.text for p in parts("<s>abcde</s>" * 10, limit=12) if isinstance(p, Utterance)]
    assert texts == ["abcde", "abcde", "ab"]


@pytest.mark.parametrize(
    ("text", "kind", "form", "language", "spoken"),
    [
        ("12345", "digits", "", "en-US", "1 2 3, 4 5"),
        ("abc", "characters", "", "en-US", "A, B, C"),
        ("a1*", "spell-out", "", "en-US", "A, 1, star"),
        ("ab", "verbatim", "", "fr-FR", "A, B"),
        ("1984", "cardinal", "", "en-US", "1,984"),
        ("1984", "number", "", "de-DE", "1984"),
        ("1", "ordinal", "", "en-US", "1st"),
        ("112", "ordinal", "", "en-GB", "112th"),
        ("23", "ordinal", "", "en-US", "23rd"),
        ("3", "ordinal", "", "de-DE", "3."),
        ("1", "ordinal", "", "fr-FR", "1er"),
        ("2", "ordinal", "", "fr-FR", "2e"),
        ("many", "ordinal", "", "en-US", "many"),
        ("12/25/2026", "date", "mdy", "en-US", "December 25th, 2026"),
        ("25/12/2026", "date", "dmy", "en-GB", "December 25th, 2026"),
        ("2026-12-25", "date", "", "en-US", "December 25th, 2026"),
        ("20261225", "date", "yyyymmdd", "en-US", "December 25th, 2026"),
        ("12/2026", "date", "my", "en-US", "December 2026"),
        ("12/25", "date", "md", "en-US", "December 25th"),
        ("2.5.2026", "date", "dmy", "de-DE", "2. Mai 2026"),
        ("2/5/2026", "date", "dmy", "es-ES", "2 de mayo de 2026"),
        ("2/5/2026", "date", "dmy", "fr-FR", "2 mai 2026"),
        ("99/99/2026", "date", "mdy", "en-US", "99/99/2026"),
        ("2/5/2026", "date", "dmy", "pl-PL", "2/5/2026"),
        ("1'21\"", "time", "", "en-US", "1 minute 21 seconds"),
        ("2:30pm", "time", "hms12", "en-US", "2:30pm"),
        ("(415) 555-0100", "telephone", "", "en-US", "4 1 5, 5 5 5, 0 1 0 0"),
        ("$42.50", "currency", "", "en-US", "$42.50"),
        ("damn", "expletive", "", "en-US", ""),
        ("12 Main St", "address", "", "en-US", "12 Main St"),
    ],
)
def test_say_as(text, kind, form, language, spoken):
    assert say_as(text, kind, form, language) == spoken


@pytest.mark.parametrize(
    ("function", "value", "expected"),
    [
        (rate_factor, None, 1.0),
        (rate_factor, "x-fast", 1.5),
        (rate_factor, "80%", 0.8),
        (rate_factor, "+10%", 1.1),
        (rate_factor, "-200%", 0.1),
        (rate_factor, "1.2", 1.2),
        (rate_factor, "0%", 1.0),
        (rate_factor, "3st", 1.0),
        (rate_factor, "nonsense", 1.0),
        (pitch_factor, "high", 1.15),
        (pitch_factor, "-10%", 0.9),
        (pitch_factor, "+12st", 2.0),
        (pitch_factor, "+19Hz", 1.1),
        (pitch_factor, "380Hz", 2.0),
        (pitch_factor, "5", 1.0),
        (volume_db, "+6dB", 6.0),
        (volume_db, "-3.5dB", -3.5),
        (volume_db, "soft", -6.0),
        (volume_db, "silent", -96.0),
        (volume_db, "50", 0.0),
        (emphasis, None, (0.92, 1.5)),
        (emphasis, "strong", (0.85, 3.0)),
        (emphasis, "reduced", (1.1, -3.0)),
        (emphasis, "none", (1.0, 0.0)),
    ],
)
def test_attribute_values(function, value, expected):
    assert function(value) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("strength", "time", "ms"),
    [
        (None, None, 400),
        ("weak", None, 200),
        ("x-strong", None, 1000),
        ("none", None, 0),
        ("weak", "250ms", 250),
        (None, "1.5s", 1500),
        (None, ".5s", 500),
        (None, "60s", 10_000),
        (None, "-1s", 400),
        (None, "soon", 400),
        ("odd", None, 400),
    ],
)
def test_break(strength, time, ms):
    assert break_ms(strength, time) == ms


@given(st.text(alphabet="<>/&;ab \"'=psbreakmprosody", max_size=120))
def test_any_markup_gives_parts_or_the_one_error(markup):
    try:
        found = parts(markup)
    except SsmlError:
        return
    assert all(isinstance(part, Utterance | Silence) for part in found)
