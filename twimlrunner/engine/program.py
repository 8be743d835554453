"""Which document runs, where it came from, and how many came before. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit

from twimlrunner.engine.outcomes import Fetch
from twimlrunner.engine.ports import DocumentRequest, VerbFailed
from twimlrunner.twiml import limits
from twimlrunner.twiml.attributes import is_http_url, quoted
from twimlrunner.twiml.document import Document
from twimlrunner.twiml.errors import INVALID_URL, RELATIVE_URL_IN_INLINE
from twimlrunner.twiml.redact import without_passwords


@dataclass(frozen=True, slots=True)
class ProgramLimits:
    """Guards against documents that only fetch each other (twiml-voice.md section 1).

    A document that took less than ``idle_seconds`` from its start to the next fetch was idle:
    nothing can have been heard. More than ``idle_documents`` idle ones in a row end the program;
    faster than ``fetches_per_second`` they are slowed down.
    """

    idle_documents: int = limits.IDLE_DOCUMENTS
    idle_seconds: float = limits.IDLE_SECONDS
    fetches_per_second: int = limits.FETCHES_PER_SECOND


@dataclass(frozen=True, slots=True)
class Page:
    """One document being run. ``request`` None and ``url`` empty: it was given inline."""

    document: Document
    request: DocumentRequest | None
    url: str
    text: str = ""

    def resolve(self, url: str) -> str:
        """Absolute form of a URL that stands in this document.

        Raises :class:`VerbFailed`: 11100 not an HTTP URL, 15004 relative in an inline document.
        """
        url = url.strip()
        if not is_http_url(url):
            shown = quoted(without_passwords(url))
            raise VerbFailed(INVALID_URL, f"{shown} is not an HTTP URL", url)
        if self.url:
            return urljoin(self.url, url)
        if not urlsplit(url).scheme:
            raise VerbFailed(
                RELATIVE_URL_IN_INLINE,
                f"{quoted(url)} is relative, but an inline document has no URL of its own",
            )
        return url

    def request_for(self, fetch: Fetch) -> DocumentRequest:
        """The request that an outcome of this document asks for. Raises as :meth:`resolve`."""
        if fetch.url:
            url = self.resolve(fetch.url)
        elif self.url:
            url = self.url
        else:
            raise VerbFailed(
                RELATIVE_URL_IN_INLINE, "an inline document cannot be fetched again: it has no URL"
            )
        return DocumentRequest(url, fetch.method, fetch.why, fetch.report, fetch.parting)


@dataclass(slots=True)
class Pace:
    """Counts documents; times are seconds of one monotonic clock."""

    limits: ProgramLimits
    documents: int = 0
    idle: int = 0
    _started: float = 0.0
    _fetches: deque[float] = field(default_factory=deque)

    def document_started(self, now: float) -> None:
        self.documents += 1
        self._started = now

    def document_left(self, now: float) -> bool:
        """The document ended in a fetch; False when the program goes round in circles."""
        self.idle = self.idle + 1 if now - self._started < self.limits.idle_seconds else 0
        return self.idle <= self.limits.idle_documents

    def delay(self, now: float) -> float:
        """Seconds to wait before the next fetch may start."""
        if len(self._fetches) < self.limits.fetches_per_second:
            return 0.0
        return max(0.0, self._fetches[0] + 1.0 - now)

    def fetch_started(self, now: float) -> None:
        if len(self._fetches) >= self.limits.fetches_per_second:
            self._fetches.popleft()
        self._fetches.append(now)
