"""Verbs that end, refuse or move the call's program: Hangup, Reject, Redirect, Leave, Echo
(twiml-voice.md sections 3 and 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from twimlrunner.twiml.element import Element

BAD_REDIRECT_METHOD = 13710
BAD_REJECT_REASON = 13810


@dataclass(frozen=True, slots=True)
class Hangup:
    """End the call."""

    NAME: ClassVar[str] = "Hangup"
    line: int

    @classmethod
    def from_element(cls, e: Element) -> Hangup:
        return cls(line=e.line)


@dataclass(frozen=True, slots=True)
class Reject:
    """Refuse an unanswered call. ``reason``: ``rejected`` or ``busy``."""

    NAME: ClassVar[str] = "Reject"
    reason: str
    line: int

    @classmethod
    def from_element(cls, e: Element) -> Reject:
        reason = e.one_of("reason", "rejected", ("rejected", "busy"), code=BAD_REJECT_REASON)
        return cls(reason=reason, line=e.line)


@dataclass(frozen=True, slots=True)
class Redirect:
    """Go on with another document; ``url`` empty is the current one."""

    NAME: ClassVar[str] = "Redirect"
    url: str
    method: str
    line: int

    @classmethod
    def from_element(cls, e: Element) -> Redirect:
        return cls(url=e.body(), method=e.method(code=BAD_REDIRECT_METHOD), line=e.line)


@dataclass(frozen=True, slots=True)
class Leave:
    """Leave the queue whose wait document this is."""

    NAME: ClassVar[str] = "Leave"
    line: int

    @classmethod
    def from_element(cls, e: Element) -> Leave:
        return cls(line=e.line)


@dataclass(frozen=True, slots=True)
class Echo:
    """Send the caller's audio back."""

    NAME: ClassVar[str] = "Echo"
    line: int

    @classmethod
    def from_element(cls, e: Element) -> Echo:
        return cls(line=e.line)
