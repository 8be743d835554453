"""The SIP ladder: arrows from the stored messages, and where they stand in the picture. Pure.

Horizontal places are percentages, so that the picture fits every width with its text unscaled;
vertical ones are pixels.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sipdomains.models import CallEvent
from sipdomains.web.formatting import offset

ROW = 34
GAP = 16
TOP = 44
MAX_LABEL = 33
QUIET_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Arrow:
    """One message. ``tone`` request, provisional, success, redirect, client-error or
    server-error; ``y`` of its line; ``quiet`` seconds of silence before it, 0 if hardly any."""

    number: int
    inbound: bool
    label: str
    summary: str
    tone: str
    offset: str
    at: datetime
    peer: str
    transport: str
    text: str
    again: bool
    quiet: float
    y: int


@dataclass(frozen=True, slots=True)
class Ladder:
    arrows: list[Arrow]
    height: int
    tones: list[str]


def ladder(events: Iterable[CallEvent], zero: datetime) -> Ladder:
    """Of the ``sip`` events in order; ``zero`` is what offsets count from."""
    arrows: list[Arrow] = []
    seen: set[tuple[str, str]] = set()
    y, last = TOP, None
    for event in events:
        if event.kind != "sip":
            continue
        data = {name: str(value) for name, value in event.data.items()}
        inbound = data.get("dir") != "out"
        text, summary = data.get("text", ""), data.get("summary", "?")
        silence = (event.at - last).total_seconds() if last is not None else 0.0
        quiet = silence if silence >= QUIET_SECONDS else 0.0
        y += GAP if quiet else 0
        sent = (data.get("dir", ""), text)
        arrows.append(
            Arrow(
                number=len(arrows) + 1,
                inbound=inbound,
                label=label(summary),
                summary=summary,
                tone=tone(summary),
                offset=offset(event.at, zero),
                at=event.at,
                peer=data.get("peer", ""),
                transport=data.get("transport", "").upper(),
                text=text,
                again=bool(text) and sent in seen,
                quiet=quiet,
                y=y,
            )
        )
        seen.add(sent)
        y, last = y + ROW, event.at
    return Ladder(arrows, y, sorted({arrow.tone for arrow in arrows}))


def tone(summary: str) -> str:
    """By the status class of a response; everything else is a request."""
    status = summary[:4]
    if not (status[:3].isdecimal() and status[3:] in ("", " ")):
        return "request"
    match status[0]:
        case "1":
            return "provisional"
        case "2":
            return "success"
        case "3":
            return "redirect"
        case "4":
            return "client-error"
        case _:
            return "server-error"


def label(summary: str) -> str:
    """``summary`` short enough to stand on an arrow of a narrow screen."""
    if len(summary) <= MAX_LABEL:
        return summary
    bare = summary.rpartition(" (")[0] if summary.endswith(")") else summary
    return bare if len(bare) <= MAX_LABEL else bare[: MAX_LABEL - 1] + "…"
