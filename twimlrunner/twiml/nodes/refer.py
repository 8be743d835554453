"""Refer: hand the call over to another SIP URI (twiml-voice.md section 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from twimlrunner.twiml.attributes import quoted
from twimlrunner.twiml.element import Element
from twimlrunner.twiml.errors import SCHEMA


@dataclass(frozen=True, slots=True)
class Refer:
    """``target`` goes into Refer-To unchanged; empty if the document names none. ``action`` None:
    the next verb follows."""

    NAME: ClassVar[str] = "Refer"
    target: str
    action: str | None
    method: str
    line: int

    @classmethod
    def from_element(cls, e: Element) -> Refer:
        targets = e.children({"Sip": Element.body})
        if len(targets) != 1 or not targets[0]:
            e.report(SCHEMA, "needs exactly one Sip with a URI")
        target = targets[0] if targets else ""
        if not target.isprintable() or " " in target:
            host = target.rpartition("@")[2]  # what stands before it may be a password
            e.report(SCHEMA, f"{quoted(host)} is not a SIP URI")
            target = ""
        return cls(target=target, action=e.url("action"), method=e.method(), line=e.line)
