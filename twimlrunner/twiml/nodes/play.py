"""Play: an audio file, or digits (twiml-voice.md section 2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from twimlrunner.twiml import limits
from twimlrunner.twiml.element import Element
from twimlrunner.twiml.errors import SCHEMA

BAD_LOOP = 13410
BAD_DIGITS = 13430

DIGITS = "0123456789ABCD#*wW"


@dataclass(frozen=True, slots=True)
class Play:
    """``url`` as written, may be relative, or empty; ``digits`` empty when none are to be sent.
    ``loop`` is the number of times."""

    NAME: ClassVar[str] = "Play"
    url: str
    digits: str
    loop: int
    line: int

    @classmethod
    def from_element(cls, e: Element, *, loop_code: int = BAD_LOOP) -> Play:
        loop = e.loop(code=loop_code)
        digits = e.characters("digits", "", DIGITS, code=BAD_DIGITS)
        if len(digits) > limits.PLAY_DIGITS:
            e.report(BAD_DIGITS, f"digits are more than {limits.PLAY_DIGITS}; none are sent")
            digits = ""
        url = e.body()
        if not url and not digits:
            e.report(SCHEMA, "has neither a URL nor digits; nothing is played")
        return cls(url=url, digits=digits, loop=loop, line=e.line)
