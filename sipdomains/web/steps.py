"""The TwiML of a call as it ran: each document with its source and its verbs. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from sipdomains.models import CallEvent
from sipdomains.redaction import masked
from sipdomains.web.formatting import milliseconds, offset

OUTCOMES = {
    "continue": "done",
    "fetch": "led to another document",
    "hangup": "hung up",
    "reject": "rejected the call",
    "call-ended": "cut short: the call was over",
    "interrupted": "interrupted",
}

REASONS = {
    "voice-url": "voice URL of the domain",
    "fallback": "fallback URL",
    "redirect": "Redirect",
    "url": "URL of the call that REST created",
    "live-update": "live update by REST",
}
_INLINE = "given by REST, without a URL"


@dataclass(slots=True)
class Step:
    """One verb. ``duration`` and ``outcome`` are empty while it runs."""

    verb: str
    line: int
    summary: str
    started: datetime
    start: str
    duration: str = ""
    outcome: str = ""
    failed: bool = False


@dataclass(slots=True)
class Document:
    url: str
    reason: str
    at: datetime
    start: str
    lines: list[tuple[int, str, bool]]
    verbs: list[str]
    steps: list[Step] = field(default_factory=list)

    @property
    def skipped(self) -> list[str]:
        """Verbs that were never reached."""
        return self.verbs[len(self.steps) :]


def documents(events: Iterable[CallEvent], zero: datetime) -> list[Document]:
    found: list[Document] = []
    running: dict[int, Step] = {}
    reason = ""
    for event in events:
        data = event.data
        match event.kind:
            case "webhook":
                why = str(data.get("reason", ""))
                reason = REASONS.get(why, why)
            case "document":
                why = reason if data.get("url") else _INLINE
                found.append(_document(event, why, zero))
                running = {}
            case "verb-started" if found:
                step = _step(event, zero)
                running[data.get("index", -1)] = step
                found[-1].steps.append(step)
            case "verb-ended":
                ended = running.pop(data.get("index", -1), None)
                if ended is not None:
                    _end(ended, event)
    for document in found:
        _mark(document)
    return found


def numbered(text: str) -> list[tuple[int, str, bool]]:
    """Lines with their numbers; the flag, set elsewhere, is for lines that ran."""
    return [(number, line, False) for number, line in enumerate(text.splitlines(), 1)]


def _document(event: CallEvent, reason: str, zero: datetime) -> Document:
    verbs = event.data.get("verbs")
    return Document(
        url=masked(str(event.data.get("url", ""))),
        reason=reason,
        at=event.at,
        start=offset(event.at, zero),
        lines=numbered(str(event.data.get("body", ""))),
        verbs=[str(verb) for verb in verbs] if isinstance(verbs, list) else [],
    )


def _step(event: CallEvent, zero: datetime) -> Step:
    line = event.data.get("line")
    return Step(
        verb=str(event.data.get("verb", "?")),
        line=line if isinstance(line, int) else 0,
        summary=masked(str(event.data.get("summary", ""))),
        started=event.at,
        start=offset(event.at, zero),
    )


def _end(step: Step, event: CallEvent) -> None:
    outcome = str(event.data.get("outcome", ""))
    step.duration = milliseconds((event.at - step.started).total_seconds() * 1000)
    step.failed = outcome.startswith("failed")
    step.outcome = OUTCOMES.get(outcome, outcome)


def _mark(document: Document) -> None:
    ran = {step.line for step in document.steps}
    document.lines = [(number, text, number in ran) for number, text, _ in document.lines]
