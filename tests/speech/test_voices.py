import pytest

from twimlrunner.speech.config import SiteEngine
from twimlrunner.speech.voices import POLLY, VoiceTable, tags

TABLE = VoiceTable({"hibari": "1", "nanotts": "2", "espeak-ng": "3"})


@pytest.mark.parametrize(
    ("voice", "language", "engine", "name", "pitch"),
    [
        ("", "", "hibari", "heart", 1.0),
        ("woman", "en-US", "hibari", "heart", 1.0),
        ("alice", "en-GB", "hibari", "heart", 1.0),
        ("man", "en-US", "hibari", "heart", 0.8),
        ("MAN", "EN_us", "hibari", "heart", 0.8),
        ("woman", "de-DE", "nanotts", "de-DE", 1.0),
        ("alice", "fr-CA", "nanotts", "fr-FR", 1.0),
        ("woman", "es-MX", "nanotts", "es-ES", 1.0),
        ("woman", "it", "nanotts", "it-IT", 1.0),
        ("man", "de-DE", "espeak-ng", "de+m3", 1.0),
        ("man", "it-IT", "espeak-ng", "it+m3", 1.0),
        ("woman", "pt-BR", "espeak-ng", "pt-br+f3", 1.0),
        ("woman", "pt-PT", "espeak-ng", "pt+f3", 1.0),
        ("woman", "zh-CN", "espeak-ng", "cmn+f3", 1.0),
        ("woman", "zh-HK", "espeak-ng", "yue+f3", 1.0),
        ("woman", "nb-NO", "espeak-ng", "nb+f3", 1.0),
        ("woman", "no", "espeak-ng", "nb+f3", 1.0),
        ("woman", "arb", "espeak-ng", "ar+f3", 1.0),
        ("woman", "ja-JP", "espeak-ng", "ja+f3", 1.0),
        ("Polly.Joanna", "", "hibari", "heart", 1.0),
        ("Polly.Joanna-Neural", "", "hibari", "heart", 1.0),
        ("Polly.Ruth-Generative", "", "hibari", "heart", 1.0),
        ("Polly.Matthew", "", "hibari", "heart", 0.8),
        ("Polly.Stephen-Neural", "", "hibari", "heart", 0.8),
        ("Polly.Brian", "en-US", "hibari", "heart", 0.8),
        ("Polly.Vicki-Neural", "", "nanotts", "de-DE", 1.0),
        ("Polly.Hans", "", "espeak-ng", "de+m3", 1.0),
        ("Polly.Léa", "", "nanotts", "fr-FR", 1.0),
        ("Polly.Lea", "", "nanotts", "fr-FR", 1.0),
        ("Polly.Camila", "", "espeak-ng", "pt-br+f3", 1.0),
        ("Polly.Vicki", "en-US", "nanotts", "de-DE", 1.0),
        ("Polly.Zeina", "", "espeak-ng", "ar+f3", 1.0),
        ("Google.en-US-Standard-C", "", "hibari", "heart", 1.0),
        ("Google.en-US-Standard-A", "", "hibari", "heart", 0.8),
        ("Google.en-US-Wavenet-D", "", "hibari", "heart", 0.8),
        ("Google.de-DE-Neural2-F", "", "nanotts", "de-DE", 1.0),
        ("Google.de-DE-Wavenet-B", "", "espeak-ng", "de+m3", 1.0),
        ("Google.en-US-Chirp3-HD-Aoede", "", "hibari", "heart", 1.0),
        ("Google.en-US-Chirp3-HD-Puck", "", "hibari", "heart", 0.8),
        ("Google.cmn-CN-Standard-A", "", "espeak-ng", "cmn+f3", 1.0),
        ("Google.pl-PL-Standard-B", "", "espeak-ng", "pl+m3", 1.0),
    ],
)
def test_each_vendor_form_finds_its_engine(voice, language, engine, name, pitch):
    found, _, issues = TABLE.resolve(voice, language)
    assert (found.engine, found.name, found.pitch, issues) == (engine, name, pitch, [])


@pytest.mark.parametrize(
    ("voice", "language", "codes", "name", "spoken"),
    [
        ("Polly.Nobody", "de-DE", [13511], "de-DE", "de-DE"),
        ("robot", "", [13511], "heart", "en-US"),
        ("Google.x", "fr-FR", [13511], "fr-FR", "fr-FR"),
        ("woman", "tlh-KX", [13512], "heart", "en-US"),
        ("man", "xx", [13512], "heart", "en-US"),
        ("robot", "xx", [13511, 13512], "heart", "en-US"),
        ("Google.xx-XX-Standard-A", "", [13512], "heart", "en-US"),
        ("x" * 5000, "y" * 5000, [13511, 13512], "heart", "en-US"),
    ],
)
def test_what_is_unknown_is_reported_and_spoken_by_the_default(
    voice, language, codes, name, spoken
):
    found, tag, issues = TABLE.resolve(voice, language)
    assert ([code for code, _ in issues], found.name, tag) == (codes, name, spoken)
    assert all(len(message) < 200 for _, message in issues)


@pytest.mark.parametrize("name", sorted(POLLY))
def test_every_polly_voice_speaks_without_a_warning(name):
    _, language, issues = TABLE.resolve(f"Polly.{name.title()}-Neural", "")
    assert issues == []
    assert language == POLLY[name][0]


def test_every_language_has_both_genders():
    for tag in tags():
        assert TABLE.for_language(tag, "f") is not None, tag
        assert TABLE.for_language(tag, "m") is not None, tag


def test_a_sites_engine_wins_for_its_languages_and_voices():
    site = {
        "acme": SiteEngine("acme:Engine", "7", {"en-GB": "jeeves", "nl": "joost"}, {"boss": "b"})
    }
    table = VoiceTable({"hibari": "1", "acme": "7"}, site)
    assert table.resolve("woman", "en-GB")[0].name == "jeeves"
    assert table.resolve("woman", "nl-BE")[0].name == "joost"
    assert table.resolve("woman", "en-US")[0].engine == "hibari"
    found, _, issues = table.resolve("boss", "")
    assert (found.engine, found.name, found.version, issues) == ("acme", "b", "7", [])


def test_an_engine_that_is_not_installed_is_passed_over():
    table = VoiceTable({"hibari": "1", "nanotts": "absent", "espeak-ng": "3"})
    assert table.resolve("woman", "de-DE")[0].name == "de+f3"
    table = VoiceTable({"hibari": "1", "nanotts": "absent", "espeak-ng": "absent"})
    found, _, issues = table.resolve("woman", "de-DE")
    assert (found.engine, [code for code, _ in issues]) == ("hibari", [13512])
