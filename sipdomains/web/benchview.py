"""A bench run as the page shows it: the transcript in sentences, the document that runs. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sipdomains.bench import BenchResult
from sipdomains.models import WebhookRequest
from sipdomains.redaction import masked
from sipdomains.web.errorcodes import CodeInfo, explain
from sipdomains.web.formatting import clock
from sipdomains.web.source import Line as SourceLine
from sipdomains.web.source import numbered
from sipdomains.web.steps import OUTCOMES, REASONS
from sipdomains.web.webhooks import Attempt, attempts

_WHY = REASONS | {
    "gather-action": "action of Gather",
    "record-action": "action of Record",
    "dial-action": "action of Dial",
    "refer-action": "action of Refer",
    "refer-url": "referUrl of Dial",
}
_DIALLED = {
    "completed": "The other side answers; they talk {seconds} s.",
    "busy": "The other side is busy.",
    "no-answer": "Nobody answers.",
    "failed": "The other side cannot be reached.",
}
_REFERRED = {
    "accepted": "The phone accepts the transfer, and it succeeds.",
    "busy": "The phone accepts the transfer; its target is busy.",
    "refused": "The phone refuses the transfer (603).",
}


@dataclass(slots=True)
class Line:
    """``kind`` is that of the entry; ``label`` a word before ``text``. The rest as far as the kind
    has it."""

    kind: str
    at: str
    text: str
    label: str = ""
    detail: str = ""
    level: str = ""
    code: CodeInfo | None = None
    number: int = 0
    parameters: list[tuple[str, str]] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    sent: bool = True


@dataclass(frozen=True, slots=True)
class Source:
    """The document that runs, or ran last; its lines are marked where verbs ran, and where one
    runs now."""

    url: str
    lines: list[SourceLine]


def transcript(result: BenchResult) -> list[Line]:
    found: list[Line] = []
    requests = 0
    for entry in result.entries:
        line = _line(entry, result.replies)
        if line is None:
            continue
        if line.kind == "request":
            requests += 1
            line.number = requests
        found.append(line)
    return found


def source(result: BenchResult) -> Source | None:
    document: dict[str, Any] | None = None
    ran: set[int] = set()
    now = 0
    for entry in result.entries:
        match entry["kind"]:
            case "document":
                document, ran, now = entry["data"], set(), 0
            case "verb":
                now = entry["data"]["line"]
                ran.add(now)
            case "verb-end":
                now = 0
    if document is None:
        return None
    lines = numbered(str(document["text"]))
    for line in lines:
        line.ran, line.last = line.number in ran, line.number == now
    return Source(document["url"], lines)


def _line(entry: dict[str, Any], replies: list[dict[str, Any]]) -> Line | None:
    kind, data, at = entry["kind"], entry["data"], clock(int(entry["at"]))
    match kind:
        case "verb" | "verb-end" | "document" | "note":
            return _program_line(kind, at, data)
        case "request":
            return _request(at, data, replies)
        case "say":
            voice = f"{data['voice']}, {data['language']}" + (", SSML" if data["ssml"] else "")
            return Line(kind, at, data["text"], "says", voice)
        case "play":
            return Line(kind, at, data["url"], "plays")
        case "digits":
            return Line(kind, at, data["digits"], "sends the keys")
        case "pause":
            return Line(kind, at, f"Silence of {data['seconds']:g} s.")
        case "answered":
            return Line(kind, at, "The call is answered (200 OK).")
        case "move":
            return Line(kind, at, _move_words(data))
    return Line(kind, at, str(data.get("text", "")))


def _program_line(kind: str, at: str, data: dict[str, Any]) -> Line | None:
    """What the interpreter tells of documents and verbs."""
    match kind:
        case "verb":
            shown = f"{data['verb']} {masked(data['summary'])}".rstrip()
            return Line(kind, at, shown, detail=f"line {data['line']}" if data["line"] else "")
        case "verb-end" if data["outcome"] == "continue":
            return None
        case "verb-end":
            outcome = OUTCOMES.get(data["outcome"], data["outcome"])
            return Line(kind, at, f"{data['verb']}: {outcome}.")
        case "document":
            where = data["url"] or "the pasted document"
            return Line(kind, at, f"Runs {where}", detail=", ".join(data["verbs"]) or "no verb")
    return Line(
        kind,
        at,
        masked(data["message"]),
        label=data["level"],
        level=data["level"],
        code=explain(data["code"]),
    )


def _request(at: str, data: dict[str, Any], replies: list[dict[str, Any]]) -> Line:
    why = _WHY.get(data["why"], data["why"])
    line = Line("request", at, masked(data["url"]), data["method"], why)
    line.parameters = [(name, value) for name, value in data["parameters"]]
    number = data["number"]
    line.sent = number >= 0
    if 0 <= number < len(replies):
        rows = [_row(kept) for kept in replies[number]["attempts"]]
        line.attempts = attempts(rows, rows[0].at) if rows else []
    return line


def _row(kept: dict[str, Any]) -> WebhookRequest:
    """An attempt as the call log would hold it; never saved."""
    values = {
        name: value for name, value in kept.items() if name not in ("call_sid", "account_sid")
    }
    return WebhookRequest(**values | {"at": datetime.fromtimestamp(kept["at"], UTC)})


def _move_words(data: dict[str, Any]) -> str:
    how, seconds = str(data["how"]), int(data["seconds"])
    match data["do"]:
        case "keys":
            return f"You press {data['keys']}."
        case "nothing":
            return "You press nothing until the time is over."
        case "hangup":
            return "The caller hangs up."
        case "record" if not seconds:
            return "Nothing is said."
        case "record":
            ends = {"silence": "silence", "key": f"the key {data['keys']}", "hangup": "hang-up"}
            return f"You speak for {seconds} s, ended by {ends.get(how, how)}."
        case "dial":
            return _DIALLED.get(how, how).format(seconds=seconds)
        case "refer":
            return _REFERRED.get(how, how)
    return str(data["do"])
