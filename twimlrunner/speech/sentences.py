"""Text → pieces to synthesise one after the other. Pure.

A piece is a sentence, or part of a long one. The first is kept short, since the caller waits for
it; the later ones are made while the earlier ones play.
"""

from __future__ import annotations

import re

from twimlrunner.speech.tables import word_set

FIRST_LIMIT = 100
LIMIT = 240
"""Characters. Splitting happens at clauses, then at blanks, then anywhere."""

_ABBREVIATIONS = word_set(
    "mr mrs ms mx dr prof st sr jr rev gen gov sen rep col capt lt sgt hon messrs mt ft"
    " vs etc e.g i.e eg ie cf al approx est dept univ inc ltd co corp bros no nos vol fig sec ch p"
    " pp ext tel apt ave blvd rd jan feb mar apr jun jul aug sep sept oct nov dec mon tue wed thu"
    " fri sat sun a.m p.m u.s u.k"
    # de, fr, es, it
    " z.b bzw usw ca nr str hr fr bspw d.h u.a evtl inkl zzgl abs m mme mlle mm env p.ex sra srta"
    " ud uds av avda sig sigg dott prof.ssa ecc pag"
)
_ENDS_ALWAYS_KNOWN = word_set("etc usw ecc a.m p.m inc ltd co corp u.s u.k jr sr al")
"""Abbreviations that do end a sentence when a capital follows."""

_END = re.compile(r"[.!?…؟۔।॥。！？｡]+[\"'”’»)\]]*")
_NO_BLANK_NEEDED = frozenset("。！？｡")
_CLAUSE = re.compile(r"(?<=[,;:،、，；：])\s+|(?<=[、，；：])|\s+(?=[–—(-]\s)")
_BLANKS = re.compile(r"\s+")
_PARAGRAPH = re.compile(r"\n\s*\n")


def split_sentences(text: str) -> list[str]:
    """Sentences without blanks at either end; blank lines end sentences too."""
    sentences: list[str] = []
    for paragraph in _PARAGRAPH.split(text):
        line = _BLANKS.sub(" ", paragraph).strip()
        start = 0
        for match in _END.finditer(line):
            if match.end() < len(line) and _ends(line, start, match):
                sentences.append(line[start : match.end()].strip())
                start = match.end()
        sentences.append(line[start:].strip())
    return [sentence for sentence in sentences if sentence]


def split_long(sentence: str, limit: int) -> list[str]:
    """Pieces of at most ``limit`` characters, cut where a speaker would breathe."""
    if len(sentence) <= limit:
        return [sentence]
    pieces: list[str] = []
    rest = sentence
    while len(rest) > limit:
        cut = _cut(rest, limit)
        pieces.append(rest[:cut].strip())
        rest = rest[cut:].strip()
    return [*pieces, rest] if rest else pieces


def pieces(text: str, *, first: bool) -> list[str]:
    """Sentences, long ones split; ``first`` says that nothing is spoken before this text."""
    result: list[str] = []
    for sentence in split_sentences(text):
        if first and not result and len(sentence) > FIRST_LIMIT:
            cut = _cut(sentence, FIRST_LIMIT)
            result.append(sentence[:cut].strip())
            sentence = sentence[cut:].strip()
        result.extend(split_long(sentence, LIMIT))
    return [piece for piece in result if piece]


def _ends(line: str, start: int, match: re.Match[str]) -> bool:
    mark = match.group()
    if mark[0] in _NO_BLANK_NEEDED:
        return True
    if not line[match.end()].isspace():
        return False  # 3.50, example.com, v1.2
    following = line[match.end() :].lstrip()
    if following[0].islower():
        return False  # "hm… yes", "approx. five"
    if mark[0] != "." or len(mark.rstrip("\"'”’»)]")) > 1:
        return True
    word = line[line.rfind(" ", start, match.start()) + 1 : match.start()].lstrip("\"'“‘«([")
    if len(word) == 1 and word.isalpha() and word.isupper():
        return False  # an initial
    lower = word.lower()
    if lower in _ENDS_ALWAYS_KNOWN:
        return following[0].isupper()
    if lower in _ABBREVIATIONS:
        return False
    # "am 3. Mai": an ordinal of one or two digits, but "Press 1. Press 2." ends
    return not (word.isdigit() and len(word) <= 2 and _month_follows(following))


_MONTHS = word_set("jan feb mär mar apr mai jun jul aug sep okt oct nov dez dec")


def _month_follows(following: str) -> bool:
    return following[:3].lower() in _MONTHS


def _cut(text: str, limit: int) -> int:
    """Where to cut ``text``, longer than ``limit``: after a clause if one ends in the second
    half (or anywhere sensible), else at a blank, else at the limit."""
    clause = 0
    for match in _CLAUSE.finditer(text, 0, limit):
        clause = match.end()
    if clause >= limit // 4:
        return clause
    blank = text.rfind(" ", 1, limit)
    return blank if blank > 0 else limit
