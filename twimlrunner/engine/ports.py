"""What the interpreter needs from the world, as Protocols and small values. Pure.

Implemented by ``sipserver.calls`` (live calls) and by ``tests.fakes`` (virtual ones).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from twimlrunner.twiml.document import Document


class CallEnded(Exception):
    """The peer is gone. Raised by every pending and future operation of :class:`CallControl`."""


class VerbFailed(Exception):
    """An ERROR-level failure while a verb ran (errors.md): the document ends, fallback is asked."""

    def __init__(self, code: int, message: str, url: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.url = url


# --- what can be played ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Speech:
    """Text to speak. ``ssml`` is the inner XML of Say when it has markup, else empty."""

    text: str
    voice: str
    language: str
    ssml: str = ""


@dataclass(frozen=True, slots=True)
class AudioUrl:
    """An audio file to fetch (absolute URL) and play."""

    url: str


Clip = Speech | AudioUrl


class CallControl(Protocol):
    """What a verb may do to its call. Seconds are floats. Each operation raises CallEnded."""

    @property
    def answered(self) -> bool:
        """Whether the call has been answered (2xx sent)."""

    async def ensure_answered(self) -> None:
        """Answer if that has not happened; returns when media can flow."""

    async def play(self, clip: Clip) -> None:
        """Play to the end. Raises VerbFailed (11200 family, 13420 …) when it cannot be had."""

    async def pause(self, seconds: float) -> None:
        """Let time pass (before the answer: without answering)."""

    async def send_digits(self, digits: str) -> None:
        """Send DTMF ``0-9 A-D # *``; ``w`` pauses 0.5 s, ``W`` 1 s. Returns when sent."""


# --- documents ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DocumentRequest:
    """A document to fetch. ``url`` is absolute. ``report`` are the verb's extra parameters,
    already in the vendor's names (made by ``twimlrunner.webhooks.request``), ``why`` is for the
    log (``voice-url``, ``redirect``, ``gather-action``, ``fallback`` …). ``parting`` marks the
    report of a verb that the peer's hang-up ended: it is sent although the call is over, and what
    comes back is not run."""

    url: str
    method: str
    why: str
    report: tuple[tuple[str, str], ...] = ()
    parting: bool = False


@dataclass(frozen=True, slots=True)
class Fetched:
    """A document was got and parsed; ``url`` is the base for relative URLs in it. ``text`` is the
    source for the log: cut to the stored limit, passwords masked."""

    document: Document
    url: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class FetchFailed:
    """No usable document: ``code`` from errors.md sections 4-5."""

    code: int
    message: str
    url: str


FetchResult = Fetched | FetchFailed


class DocumentPort(Protocol):
    async def fetch(self, request: DocumentRequest) -> FetchResult:
        """Fetch and parse once (retries by URL fragment included, fallback URL not).

        May raise CallEnded when the peer goes while a request that is not ``parting`` is out."""


class ProgramLog(Protocol):
    """Where the runner tells what happens. Synchronous, never fails, never blocks."""

    def document_started(self, url: str, verbs: Sequence[str], text: str) -> None: ...

    def verb_started(self, index: int, verb: str, line: int, summary: str) -> None: ...

    def verb_ended(self, index: int, verb: str, outcome: str) -> None: ...

    def notify(self, code: int, level: str, message: str, url: str = "") -> None:
        """``level`` is ``error`` or ``warning`` (errors.md)."""
