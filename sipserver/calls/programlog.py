"""What the interpreter tells, as events and notifications of the call."""

from __future__ import annotations

from collections.abc import Sequence

from sipserver.calls.session import CallSession
from twimlrunner.twiml.redact import without_passwords


class SessionProgramLog:
    """Implements ``twimlrunner.engine.ports.ProgramLog``."""

    def __init__(self, session: CallSession) -> None:
        self._session = session

    def document_started(self, url: str, verbs: Sequence[str], text: str) -> None:
        shown = without_passwords(url)
        self._session.event("document", {"url": shown, "verbs": list(verbs), "body": text})

    def verb_started(self, index: int, verb: str, line: int, summary: str) -> None:
        self._session.referred_last = verb == "Refer"
        shown = f"{verb} {summary}".rstrip()
        self._session.event(
            "verb-started", {"index": index, "verb": verb, "line": line, "summary": shown}
        )

    def verb_ended(self, index: int, verb: str, outcome: str) -> None:
        self._session.event("verb-ended", {"index": index, "verb": verb, "outcome": outcome})

    def notify(self, code: int, level: str, message: str, url: str = "") -> None:
        self._session.notify(code, level, message, without_passwords(url))
