"""Which engine speaks a vendor's voice and language. Pure.

Vendor forms (twiml-voice.md, Say): ``man``, ``woman``, ``alice``, ``Polly.<Name>[-Neural|
-Generative|-Long-Form]``, ``Google.<locale>-<kind>-<letter or name>``. A vendor voice brings its
own language; ``language`` counts for the basic voices. Whatever is unknown falls back to the
default with a warning: a wrong name must never cost the call.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field

from twimlrunner.speech.config import SiteEngine
from twimlrunner.speech.ports import SpeechIssue, Voice
from twimlrunner.speech.tables import word_set

DEFAULT_LANGUAGE = "en-US"
HIBARI, NANOTTS, ESPEAK = "hibari", "nanotts", "espeak-ng"
ABSENT = "absent"
"""The version of an engine that is not installed."""

MALE_PITCH = 0.8
"""Of the female English voice: spoken slower, played faster, it is a male voice."""

FEMALE, MALE = "f", "m"
_BASIC = {"": FEMALE, "woman": FEMALE, "alice": FEMALE, "man": MALE}

_POLLY_NAMES = {
    "ar-AE": "Hala Zayd/m",
    "arb": "Zeina",
    "ca-ES": "Arlet",
    "cmn-CN": "Zhiyu",
    "cs-CZ": "Jitka",
    "cy-GB": "Gwyneth",
    "da-DK": "Naja Sofie Mads/m",
    "de-AT": "Hannah",
    "de-CH": "Sabrina",
    "de-DE": "Marlene Vicki Hans/m Daniel/m",
    "en-AU": "Nicole Olivia Russell/m",
    "en-GB": "Amy Emma Brian/m Arthur/m Geraint/m",
    "en-IE": "Niamh",
    "en-IN": "Raveena Aditi Kajal",
    "en-NZ": "Aria",
    "en-SG": "Jasmine",
    "en-US": "Danielle Ivy Joanna Kendra Kimberly Ruth Salli Tiffany"
    " Gregory/m Joey/m Justin/m Kevin/m Matthew/m Patrick/m Stephen/m",
    "en-ZA": "Ayanda",
    "es-ES": "Conchita Lucia Alba Enrique/m Sergio/m Raul/m",
    "es-MX": "Mia Andres/m",
    "es-US": "Lupe Penelope Miguel/m Pedro/m",
    "fi-FI": "Suvi",
    "fr-BE": "Isabelle",
    "fr-CA": "Chantal Gabrielle Liam/m",
    "fr-FR": "Celine Lea Mathieu/m Remi/m",
    "is-IS": "Dora Karl/m",
    "it-IT": "Carla Bianca Giorgio/m Adriano/m",
    "ja-JP": "Mizuki Kazuha Tomoko Takumi/m",
    "ko-KR": "Seoyeon Jihye",
    "nb-NO": "Liv Ida",
    "nl-BE": "Lisa",
    "nl-NL": "Lotte Laura Ruben/m",
    "pl-PL": "Ewa Maja Ola Jacek/m Jan/m",
    "pt-BR": "Camila Vitoria Ricardo/m Thiago/m",
    "pt-PT": "Ines Cristiano/m",
    "ro-RO": "Carmen",
    "ru-RU": "Tatyana Maxim/m",
    "sv-SE": "Astrid Elin",
    "tr-TR": "Filiz Burcu",
    "yue-CN": "Hiujin",
}
POLLY: Mapping[str, tuple[str, str]] = {
    name.partition("/")[0].lower(): (language, name.partition("/")[2] or FEMALE)
    for language, names in _POLLY_NAMES.items()
    for name in names.split()
}
"""Lower-case name without accents → (language, gender)."""

_POLLY_ENGINES = ("-neural", "-generative", "-long-form", "-longform")
_GOOGLE_MALE_LETTERS = frozenset("bdij")
_GOOGLE_MALE_NAMES = word_set(
    "achird algenib algieba alnilam charon enceladus fenrir iapetus orus puck rasalgethi"
    " sadachbia sadaltager schedar umbriel zubenelgenubi"
)

_NANOTTS = {"de": "de-DE", "es": "es-ES", "fr": "fr-FR", "it": "it-IT"}
_ESPEAK_LANGUAGES = word_set(
    "af am an ar as az ba be bg bn bs ca cmn cs cv cy da de el en eo es et eu fa fi fr ga gd"
    " gn gu he hi hr ht hu hy id is it ja ka kk kl kn ko kok ku ky la lb lt lv mi mk ml mr ms mt"
    " my nb ne nl nog om or pa pap pl pt qu ro ru sd shn si sk sl sq sr sv sw ta te th ti tk tn"
    " tr tt ug uk ur uz vi yue"
)
_ESPEAK_NAMES = {
    "arb": "ar",
    "zh": "cmn",
    "zh-hk": "yue",
    "zh-mo": "yue",
    "zh-yue": "yue",
    "no": "nb",
    "nn": "nb",
    "iw": "he",
    "in": "id",
    "pt-br": "pt-br",
    "en": "en-us",
    "en-gb": "en-gb-x-rp",
}
"""Lower-case tags whose espeak name is not simply their first subtag."""


def tags() -> tuple[str, ...]:
    """Every language that has a voice, as the shortest tag."""
    return tuple(sorted({*_ESPEAK_LANGUAGES, *_ESPEAK_NAMES}))


@dataclass(frozen=True, slots=True)
class VoiceTable:
    """``versions`` maps engine names to versions; ``site`` are the site's own engines."""

    versions: Mapping[str, str]
    site: Mapping[str, SiteEngine] = field(default_factory=dict)

    def resolve(self, voice: str, language: str) -> tuple[Voice, str, list[SpeechIssue]]:
        """(voice to use, language spoken as a BCP-47 tag, warnings 13511 and 13512)."""
        issues: list[SpeechIssue] = []
        known = vendor_voice(voice)
        own = self._site_voice(voice)
        if known is None:
            if own is None:
                issues.append(SpeechIssue(13511, f"unknown voice {voice[:64]!r}, default used"))
            known = "", FEMALE
        spoken = known[0] or language or DEFAULT_LANGUAGE
        found = own or self.for_language(spoken, known[1])
        if found is None:
            issues.append(SpeechIssue(13512, f"unknown language {spoken[:64]!r}, default used"))
            spoken = DEFAULT_LANGUAGE
            found = self.for_language(spoken, known[1])
            if found is None:  # the table itself speaks DEFAULT_LANGUAGE
                raise AssertionError("no default voice")
        return found, spoken, issues

    def for_language(self, tag: str, gender: str) -> Voice | None:
        """The voice for a BCP-47 tag, None if nobody speaks it."""
        tag = tag.replace("_", "-").lower()
        primary = tag.partition("-")[0]
        for name, engine in self.site.items():
            languages = {key.lower(): value for key, value in engine.languages.items()}
            if found := languages.get(tag) or languages.get(primary):
                return Voice(name, engine.version, found, tag)
        if primary == "en":
            pitch = MALE_PITCH if gender == MALE else 1.0
            return self._voice(HIBARI, "heart", "en", pitch)
        if gender == FEMALE and primary in _NANOTTS and self._has(NANOTTS):
            return self._voice(NANOTTS, _NANOTTS[primary], _NANOTTS[primary])
        name = _ESPEAK_NAMES.get(tag) or _ESPEAK_NAMES.get(primary, primary)
        known = name in _ESPEAK_LANGUAGES or name in _ESPEAK_NAMES.values()
        if not known or not self._has(ESPEAK):
            return None
        return self._voice(ESPEAK, name + ("+m3" if gender == MALE else "+f3"), name)

    def _voice(self, engine: str, name: str, language: str, pitch: float = 1.0) -> Voice:
        return Voice(engine, self.versions.get(engine, ABSENT), name, language, pitch)

    def _has(self, engine: str) -> bool:
        """A site may leave an engine out, for its licence or its size."""
        return self.versions.get(engine, ABSENT) != ABSENT

    def _site_voice(self, voice: str) -> Voice | None:
        for name, engine in self.site.items():
            if found := engine.voices.get(voice):
                return Voice(name, engine.version, found, "")
        return None


def vendor_voice(voice: str) -> tuple[str, str] | None:
    """(language or empty, gender) of a vendor's voice name; None if it is not one."""
    name = _plain(voice)
    if name in _BASIC:
        return "", _BASIC[name]
    vendor, _, rest = name.partition(".")
    if vendor == "polly":
        for engine in _POLLY_ENGINES:
            rest = rest.removesuffix(engine)
        return POLLY.get(rest)
    if vendor == "google":
        return _google(rest)
    return None


def _google(name: str) -> tuple[str, str] | None:
    """``en-us-wavenet-d``, ``en-us-chirp3-hd-puck``, ``cmn-cn-standard-a``, ``de-de``."""
    subtags = name.split("-")
    if len(subtags) < 2 or not 2 <= len(subtags[0]) <= 3 or not subtags[0].isalpha():
        return None
    locale = f"{subtags[0]}-{subtags[1].upper()}"
    last = subtags[-1] if len(subtags) > 2 else ""
    male = last in _GOOGLE_MALE_LETTERS or last in _GOOGLE_MALE_NAMES
    if last == "a" and locale == "en-US":  # the one locale whose first voice is male
        male = True
    return locale, MALE if male else FEMALE


def _plain(text: str) -> str:
    """Lower case without accents: Polly.Léa is Polly.Lea."""
    if text.isascii():
        return text.strip().lower()
    decomposed = unicodedata.normalize("NFD", text)
    return "".join(c for c in decomposed if not unicodedata.combining(c)).strip().lower()
