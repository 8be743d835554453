"""What a verb says when it has run: a closed union. Pure.

A verb never fetches and never starts a document; it returns what is to happen (architecture
section 7, choice 2).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final


class Needs(Enum):
    """What a verb needs of the call before it runs. Only the runner brings the call there."""

    NOTHING = "nothing"
    ANSWERED = "answered"
    UNANSWERED = "unanswered"  # on an answered call the verb does not run: the call is hung up


@dataclass(frozen=True, slots=True)
class Continue:
    """The next verb."""


@dataclass(frozen=True, slots=True)
class Fetch:
    """Another document replaces this one.

    ``url`` as written in the document, may be relative; None or empty is the current document.
    ``why``, ``report`` and ``parting`` as in :class:`ports.DocumentRequest`.
    """

    url: str | None
    method: str
    why: str
    report: tuple[tuple[str, str], ...] = ()
    parting: bool = False


TRANSFERRED: Final = "transferred"


@dataclass(frozen=True, slots=True)
class Hangup:
    """End the answered call. ``reason`` is a slug for the log; :data:`TRANSFERRED`: somebody else
    has the call already, the program merely stops."""

    reason: str


@dataclass(frozen=True, slots=True)
class Reject:
    """Refuse the unanswered call with a final SIP ``status``."""

    status: int


Outcome = Continue | Fetch | Hangup | Reject
"""Closed: whoever consumes it matches all four."""
