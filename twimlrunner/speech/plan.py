"""A Say → the files it is made of. Pure and deterministic, so that the node finds cached files
without asking the worker."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from twimlrunner.engine.ports import Speech
from twimlrunner.speech.frames import part_to_json
from twimlrunner.speech.normalise import normalise
from twimlrunner.speech.ports import Chunk, Part, Silence, SpeechIssue, SpeechPlan, Utterance
from twimlrunner.speech.sentences import LIMIT, pieces
from twimlrunner.speech.ssml import SsmlError, parse_ssml
from twimlrunner.speech.voices import VoiceTable

FORMAT = "1"
"""Part of every key: raise it when the rendering of the same parts changes."""

MAX_CHARACTERS = 4096
MAX_CHARACTERS_VENDOR = 3000
"""Of basic voices and of Polly and Google voices (13521)."""

SENTENCE_GAP_MS = 220
CLAUSE_GAP_MS = 80
_SENTENCE_MARKS = frozenset(".!?…؟۔।॥。！？｡")
_CLAUSE_MARKS = frozenset(",;:،、，；：–—")
_UNSPOKEN = re.compile(r"[\s.,;:!?…\"'“”‘’«»()\[\]{}–—_-]*")


def make_plan(speech: Speech, voices: VoiceTable) -> SpeechPlan:
    """Never raises: bad input is spoken as far as it goes and reported in ``issues``."""
    voice, language, issues = voices.resolve(speech.voice, speech.language)
    limit = MAX_CHARACTERS_VENDOR if "." in speech.voice else MAX_CHARACTERS
    text = speech.text
    if len(text) > limit:
        issues.append(SpeechIssue(13521, f"text of {len(text)} characters, cut at {limit}"))
        text = text[:limit]
    parts: list[Part] | None = None
    if speech.ssml:
        try:
            parts = parse_ssml(speech.ssml, speech.voice, voice, language, voices, limit)
        except SsmlError as error:
            issues.append(SpeechIssue(12200, f"SSML: {error}; spoken as plain text"))
    if parts is None:
        parts = [Utterance(normalise(text, language), voice)]
    chunks = tuple(_chunks(parts))
    if not chunks:
        issues.append(SpeechIssue(13520, "nothing to say"))
    return SpeechPlan(chunks, tuple(issues))


def chunk(parts: Iterable[Part]) -> Chunk:
    """A chunk with its content address."""
    fixed = tuple(parts)
    content = json.dumps([FORMAT, *map(part_to_json, fixed)], ensure_ascii=False)
    return Chunk(hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:40], fixed)


def _chunks(parts: Iterable[Part]) -> Iterator[Chunk]:
    """Cut after each sentence and each pause; what is left open joins the next part's start, so
    that a stressed word does not tear its sentence apart."""
    waiting: list[Part] = []
    size = gap = 0
    first = True
    for part in parts:
        if isinstance(part, Silence):
            yield chunk([*waiting, part])
            waiting, size, gap, first = [], 0, 0, False
            continue
        texts = [part.text] if part.ipa else _speakable(pieces(part.text, first=first))
        for index, text in enumerate(texts, 1):
            if gap:
                waiting.append(Silence(gap))
            waiting.append(replace(part, text=text))
            size += len(text)
            gap = _gap_after(text, within=index < len(texts))
            first = False
            if index < len(texts) or gap or size > LIMIT:
                yield chunk(waiting)
                waiting, size = [], 0
    if waiting:
        yield chunk(waiting)


def _speakable(texts: Iterable[str]) -> list[str]:
    return [text for text in texts if not _UNSPOKEN.fullmatch(text)]


def _gap_after(text: str, *, within: bool) -> int:
    """Milliseconds of pause between a piece and the next; ``within``: of the same part."""
    mark = text.rstrip("\"'”’»)]")[-1:]
    if mark in _SENTENCE_MARKS:
        return SENTENCE_GAP_MS
    return CLAUSE_GAP_MS if within and mark in _CLAUSE_MARKS else 0
