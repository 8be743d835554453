"""Every language of the table is heard, by the engines themselves."""

import numpy as np
import pytest
import soundfile

from twimlrunner.speech import engines
from twimlrunner.speech.plan import chunk
from twimlrunner.speech.ports import Silence, Utterance
from twimlrunner.speech.render import Renderer
from twimlrunner.speech.voices import VoiceTable, tags

SAMPLES = {
    "am": "ሰላም ነው",
    "ar": "مرحبا بكم",
    "arb": "مرحبا بكم",
    "as": "নমস্কাৰ",
    "bn": "নমস্কার",
    "be": "добры дзень",
    "bg": "добър ден",
    "cmn": "你好",
    "el": "καλημέρα",
    "fa": "سلام دوست",
    "gu": "નમસ્તે",
    "he": "שלום",
    "iw": "שלום",
    "hi": "नमस्ते",
    "hy": "բարեւ",
    "ja": "こんにちは",
    "ka": "გამარჯობა",
    "kk": "сәлем",
    "kn": "ನಮಸ್ಕಾರ",
    "ko": "안녕하세요",
    "kok": "नमस्कार",
    "ml": "നമസ്കാരം",
    "mr": "नमस्कार",
    "my": "မင်္ဂလာပါ",
    "ne": "नमस्ते",
    "or": "ନମସ୍କାର",
    "pa": "ਸਤ ਸ੍ਰੀ ਅਕਾਲ",
    "ru": "добрый день",
    "sd": "سلام دوست",
    "shn": "မႂ်ႇသုင်",
    "si": "ආයුබෝවන්",
    "ta": "வணக்கம்",
    "te": "నమస్కారం",
    "th": "สวัสดี",
    "ti": "ሰላም ነው",
    "uk": "добрий день",
    "ur": "سلام دوست",
    "yue": "你好",
    "zh": "你好",
    "zh-hk": "你好",
    "zh-mo": "你好",
    "zh-yue": "你好",
}


@pytest.fixture(scope="module")
def renderer():
    return Renderer({})


@pytest.fixture(scope="module")
def table():
    return VoiceTable(engines.versions({}))


def render(renderer, path, *parts):
    renderer.write(chunk(parts), str(path))
    return soundfile.read(path)[0]


@pytest.mark.parametrize("gender", ["f", "m"])
@pytest.mark.parametrize("tag", tags())
def test_each_language_is_audible(renderer, table, tmp_path, tag, gender):
    voice = table.for_language(tag, gender)
    found = render(renderer, tmp_path / "x.wav", Utterance(SAMPLES.get(tag, "Mama banana"), voice))
    assert len(found) > 1000
    assert np.sqrt(np.mean(found**2)) > 0.03


@pytest.mark.parametrize("tag", ["en", "de", "pl"])
def test_rate_and_pitch_work_on_every_engine(renderer, table, tmp_path, tag):
    voice = table.for_language(tag, "f")
    text = "banana banana banana"
    plain = render(renderer, tmp_path / "a.wav", Utterance(text, voice))
    slow = render(renderer, tmp_path / "b.wav", Utterance(text, voice, rate=0.5))
    high = render(renderer, tmp_path / "c.wav", Utterance(text, voice, pitch=1.3))
    assert len(slow) > 1.5 * len(plain)
    assert len(high) == pytest.approx(len(plain), rel=0.25)
    assert not np.array_equal(high[: len(plain)], plain[: len(high)])


def test_phonemes_decide_how_an_english_word_sounds(renderer, table, tmp_path):
    voice = table.for_language("en", "f")
    short = render(renderer, tmp_path / "a.wav", Utterance("x", voice, ipa="ba"))
    long = render(renderer, tmp_path / "b.wav", Utterance("x", voice, ipa="banabanabanabana"))
    assert len(long) > 1.5 * len(short)


def test_hibari_gives_the_same_samples_each_time(renderer, table, tmp_path):
    voice = table.for_language("en", "f")
    first = render(renderer, tmp_path / "a.wav", Utterance("The same.", voice))
    second = render(renderer, tmp_path / "b.wav", Utterance("The same.", voice))
    assert np.array_equal(first, second)


@pytest.mark.parametrize("text", ["[x](/həlˈO/)", "<volume level='0'>a", "日本語", "a\x00b"])
@pytest.mark.parametrize("tag", ["en", "de", "pl"])
def test_odd_text_hurts_no_engine(renderer, table, tmp_path, tag, text):
    found = render(renderer, tmp_path / "a.wav", Utterance(text, table.for_language(tag, "f")))
    assert np.abs(found).max(initial=0) <= 1


def test_loud_volume_stays_under_the_ceiling(renderer, table, tmp_path):
    voice = table.for_language("en", "f")
    found = render(renderer, tmp_path / "a.wav", Silence(100), Utterance("Loud", voice, volume=12))
    assert not found[:800].any()
    assert 0.7 < np.abs(found).max() <= 10 ** (-1 / 20) + 0.001
