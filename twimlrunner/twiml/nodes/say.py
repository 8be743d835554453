"""Say: speak a text (twiml-voice.md section 2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from twimlrunner.twiml import limits
from twimlrunner.twiml.attributes import is_language_tag
from twimlrunner.twiml.element import Element
from twimlrunner.twiml.errors import SCHEMA
from twimlrunner.twiml.ssml import read_markup

BAD_LOOP = 13510
BAD_VOICE = 13511
BAD_LANGUAGE = 13512
TEXT_EMPTY = 13520
TEXT_TOO_LONG = 13521

DEFAULT_VOICE = "man"
DEFAULT_LANGUAGE = "en-US"
BASIC_VOICES = ("man", "woman")


@dataclass(frozen=True, slots=True)
class Say:
    """``text`` is plain and may be empty (nothing is said then); ``ssml`` the inner XML, only
    when there is markup. ``language`` is empty for "that of the voice". ``loop`` is the number of
    times."""

    NAME: ClassVar[str] = "Say"
    text: str
    ssml: str
    voice: str
    language: str
    loop: int
    line: int

    @classmethod
    def from_element(
        cls, e: Element, *, voice_code: int = BAD_VOICE, loop_code: int = BAD_LOOP
    ) -> Say:
        voice = e.checked("voice", DEFAULT_VOICE, is_voice, "a known voice", code=voice_code)
        language = e.language("language", language_of(voice), code=BAD_LANGUAGE)
        loop = e.loop(code=loop_code)
        text, ssml = _content(e)
        if not text and not ssml:
            e.report(TEXT_EMPTY, "has no text")
        elif len(text) > longest_text(voice):
            e.report(TEXT_TOO_LONG, f"text is over {longest_text(voice)} characters; not spoken")
            text = ssml = ""
        return cls(text=text, ssml=ssml, voice=voice, language=language, loop=loop, line=e.line)


def is_voice(name: str) -> bool:
    """Whether a voice name has one of the documented forms."""
    if name in BASIC_VOICES:
        return True
    family, _, voice = name.partition(".")
    if family == "Polly":
        return voice.replace("-", "").isalnum()
    return family == "Google" and is_language_tag("-".join(voice.split("-")[:2]))


def language_of(voice: str) -> str:
    """The default language for a voice; empty when only the engine knows it."""
    if voice in BASIC_VOICES:
        return DEFAULT_LANGUAGE
    family, _, name = voice.partition(".")
    return "-".join(name.split("-")[:2]) if family == "Google" else ""


def longest_text(voice: str) -> int:
    """Characters that a voice speaks at most (13521)."""
    if voice.startswith("Polly."):
        return limits.SAY_POLLY_CHARACTERS
    return limits.SAY_BASIC_CHARACTERS


def _content(e: Element) -> tuple[str, str]:
    source = e.take_children()
    if not len(source):
        return " ".join((source.text or "").split()), ""
    markup, plain = read_markup(source, lambda message: e.report(SCHEMA, message))
    # Text is escaped, so a "<" is a tag that survived.
    return " ".join(plain.split()), (markup.strip() if "<" in markup else "")
