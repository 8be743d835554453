"""Pause: let time pass (twiml-voice.md section 2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from twimlrunner.twiml.element import Element

BAD_LENGTH = 13910


@dataclass(frozen=True, slots=True)
class Pause:
    """``length`` in seconds."""

    NAME: ClassVar[str] = "Pause"
    length: int
    line: int

    @classmethod
    def from_element(cls, e: Element) -> Pause:
        return cls(length=e.integer("length", 1, low=1, code=BAD_LENGTH), line=e.line)
