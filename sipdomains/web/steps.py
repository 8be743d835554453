"""The TwiML of a call as it ran: each document with its source and its verbs. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from sipdomains.models import CallEvent
from sipdomains.redaction import masked
from sipdomains.web.formatting import milliseconds, offset
from sipdomains.web.source import Line, numbered

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
    "gather-action": "action of Gather",
    "record-action": "action of Record",
    "dial-action": "action of Dial",
    "refer-action": "action of Refer",
}
_INLINE = "given by REST, without a URL"

SHOWN_LINES = 60
INLINE_CHARACTERS = 6_000  # with its colours it takes six to ten times as many


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
    """``later``: its ``lines`` are left out here, and loaded when somebody wants them."""

    url: str
    reason: str
    at: datetime
    start: str
    body: str
    verbs: list[str]
    steps: list[Step] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    later: bool = False

    @property
    def long(self) -> bool:
        return len(self.lines) > SHOWN_LINES

    @property
    def skipped(self) -> list[str]:
        """Verbs that were never reached."""
        return self.verbs[len(self.steps) :]


def documents(
    events: Iterable[CallEvent], zero: datetime, *, inline: int = INLINE_CHARACTERS
) -> list[Document]:
    """``inline``: how many characters of source are taken along, from the first document on."""
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
    ran = [document for document in found if document.steps]
    for document in found:
        inline -= len(document.body)
        document.later = bool(document.body) and inline < 0
        if not document.later:
            document.lines = numbered(document.body)
            _mark(document, last=bool(ran) and document is ran[-1])
    return found


def _document(event: CallEvent, reason: str, zero: datetime) -> Document:
    verbs = event.data.get("verbs")
    return Document(
        url=masked(str(event.data.get("url", ""))),
        reason=reason,
        at=event.at,
        start=offset(event.at, zero),
        body=str(event.data.get("body", "")),
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


def _mark(document: Document, *, last: bool) -> None:
    """What ran and what became of it, beside the lines of the verbs."""
    lines = {line.number: line for line in document.lines}
    for step in document.steps:
        line = lines.get(step.line)
        if line is None:
            continue
        line.ran = True
        line.failed = line.failed or step.failed
        line.last = last and step is document.steps[-1]
        line.beside.append(f"{step.outcome}, {step.duration}" if step.outcome else "")
