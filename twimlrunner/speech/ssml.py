"""The SSML of Say → utterances and silences, the same for every engine. Pure.

Engines know different parts of SSML or none, so it is resolved here: structure becomes segments,
``prosody`` becomes factors, ``say-as`` becomes words. Unknown tags: their text is spoken
(twiml-voice.md, Say).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from lxml import etree

from twimlrunner.speech.normalise import normalise
from twimlrunner.speech.ports import Part, Silence, Utterance, Voice
from twimlrunner.speech.prosody import (
    break_ms,
    emphasis,
    pitch_factor,
    rate_factor,
    volume_db,
)
from twimlrunner.speech.say_as import say_as
from twimlrunner.speech.voices import FEMALE, VoiceTable, vendor_voice

MAX_BYTES = 64 * 1024
MAX_DEPTH = 32
PARAGRAPH_MS = 500
SENTENCE_MS = 220
_PREFIX = '<speak xmlns:amazon="urn:amazon" xmlns:google="urn:google" xmlns:mstts="urn:mstts">'
_XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"


class SsmlError(Exception):
    """Not well formed, or over a limit."""


@dataclass(frozen=True, slots=True)
class _Style:
    voice: Voice
    language: str
    rate: float = 1.0
    pitch: float = 1.0
    volume: float = 0.0


def parse_ssml(
    markup: str, vendor_name: str, voice: Voice, language: str, voices: VoiceTable, limit: int
) -> list[Part]:
    """``markup`` is the inner XML of Say; at most ``limit`` characters are spoken. Raises
    SsmlError."""
    data = f"{_PREFIX}{markup}</speak>".encode("utf-8", "replace")
    if len(data) > MAX_BYTES:
        raise SsmlError(f"over {MAX_BYTES} bytes")
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise SsmlError(str(error)) from error
    known = vendor_voice(vendor_name)
    builder = _Builder(voices, known[1] if known else FEMALE, limit)
    builder.children(root, _Style(voice, language), 0)
    return builder.finish()


class _Builder:
    """Collects parts in document order; text of one style is gathered into one utterance."""

    def __init__(self, voices: VoiceTable, gender: str, limit: int) -> None:
        self._voices = voices
        self._gender = gender
        self._left = limit
        self._parts: list[Part] = []
        self._text: list[str] = []
        self._style: _Style | None = None

    def finish(self) -> list[Part]:
        self._flush()
        return self._parts

    def children(self, element: etree._Element, style: _Style, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise SsmlError(f"nested deeper than {MAX_DEPTH}")
        self._plain(element.text, style)
        for child in element:
            if isinstance(child.tag, str):
                self._element(child, etree.QName(child).localname, style, depth)
            self._plain(child.tail, style)

    def _element(self, element: etree._Element, tag: str, style: _Style, depth: int) -> None:
        get = element.get
        match tag:
            case "break":
                self._silence(break_ms(get("strength"), get("time")))
            case "p" | "s":
                self._silence_before(PARAGRAPH_MS if tag == "p" else SENTENCE_MS)
                self.children(element, style, depth + 1)
                self._silence_before(PARAGRAPH_MS if tag == "p" else SENTENCE_MS)
            case "emphasis":
                rate, volume = emphasis(get("level"))
                styled = replace(style, rate=style.rate * rate, volume=style.volume + volume)
                self.children(element, styled, depth + 1)
            case "lang":
                self.children(element, self._in_language(style, get(_XML_LANG)), depth + 1)
            case "prosody":
                styled = replace(
                    style,
                    rate=_clamp(style.rate * rate_factor(get("rate")), 0.3, 3.0),
                    pitch=_clamp(style.pitch * pitch_factor(get("pitch")), 0.5, 2.0),
                    volume=_clamp(style.volume + volume_db(get("volume")), -96.0, 12.0),
                )
                self.children(element, styled, depth + 1)
            case "phoneme":
                self._phoneme(_text_of(element), style, get("alphabet"), get("ph"))
            case "say-as":
                kind, form = get("interpret-as", ""), get("format", "")
                self._add(say_as(_text_of(element), kind, form, style.language), style)
            case "sub":
                self._plain(get("alias") or _text_of(element), style)
            case _:
                self.children(element, style, depth + 1)

    def _in_language(self, style: _Style, tag: str | None) -> _Style:
        voice = self._voices.for_language(tag, self._gender) if tag else None
        if voice is None or tag is None:
            return style
        return replace(style, voice=voice, language=tag)

    def _phoneme(self, text: str, style: _Style, alphabet: str | None, ph: str | None) -> None:
        if not ph or (alphabet or "ipa").lower() != "ipa" or self._left <= 0:
            self._plain(text, style)
            return
        self._flush()
        spoken = text.strip() or ph
        self._left -= len(spoken)
        self._parts.append(
            Utterance(spoken, style.voice, style.rate, style.pitch, style.volume, ph[:200])
        )

    def _plain(self, text: str | None, style: _Style) -> None:
        if text:
            self._add(text if text.isspace() else normalise(text, style.language), style)

    def _add(self, text: str, style: _Style) -> None:
        text = text[: max(self._left, 0)]
        if not text:
            return
        self._left -= len(text)
        if style != self._style:
            if text.isspace() and self._text:  # blanks between tags do not change the voice
                self._text.append(text)
                return
            self._flush()
            self._style = style
        if self._text and _touch(self._text[-1], text):
            self._text.append(" ")
        self._text.append(text)

    def _silence(self, ms: int) -> None:
        if ms:
            self._flush()
            self._parts.append(Silence(ms))

    def _silence_before(self, ms: int) -> None:
        """A gap at a paragraph's or sentence's border: not at the start, never twice."""
        self._flush()
        if not self._parts:
            return
        last = self._parts[-1]
        if not isinstance(last, Silence):
            self._parts.append(Silence(ms))
        elif last.ms < ms:
            self._parts[-1] = Silence(ms)

    def _flush(self) -> None:
        text, style = "".join(self._text), self._style
        self._text, self._style = [], None
        if style is not None and text.strip():
            self._parts.append(
                Utterance(text.strip(), style.voice, style.rate, style.pitch, style.volume)
            )


def _touch(before: str, after: str) -> bool:
    """Normalising strips blanks at tag borders: two words must not run together."""
    return before[-1].isalnum() and after[0].isalnum()


def _text_of(element: etree._Element) -> str:
    return "".join(str(text) for text in element.itertext(tag=None))


def _clamp(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)
