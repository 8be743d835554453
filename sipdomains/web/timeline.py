"""Every stored fact of a call in one line each. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sipdomains.models import CallEvent
from sipdomains.web.formatting import masked, offset, status_word
from sipdomains.web.steps import OUTCOMES


@dataclass(frozen=True, slots=True)
class Fact:
    at: datetime
    offset: str
    kind: str
    words: str
    status: str


def timeline(events: Iterable[CallEvent], zero: datetime) -> list[Fact]:
    return [
        Fact(
            at=event.at,
            offset=offset(event.at, zero),
            kind=event.kind,
            words=masked(describe(event.kind, event.data)),
            status=status_word(event.status) if event.status else "",
        )
        for event in events
    ]


def describe(kind: str, data: dict[str, Any]) -> str:
    """What ``data`` says, in words; shapes are those of ``contracts.EVENT_KINDS``."""

    def get(name: str) -> str:
        return str(data.get(name, "") or "")

    match kind:
        case "sip":
            way = "sent to" if data.get("dir") == "out" else "received from"
            return f"{get('summary')}, {way} {get('peer')}"
        case "accepted":
            parts = []
            if get("username"):
                parts.append(f"user {get('username')}")
            if get("acl"):
                parts.append(f"access control list “{get('acl')}”")
            return "The caller may call: " + ", ".join(parts) if parts else "The caller may call."
        case "ringing":
            return "180 sent: the caller hears ringing."
        case "answered":
            return "200 sent: the call is answered."
        case "webhook":
            return f"{get('method')} {get('url')} ({get('reason')})"
        case "document":
            verbs = data.get("verbs") or []
            return f"{', '.join(map(str, verbs)) or 'no verbs'} from {get('url')}"
        case "verb-started":
            return get("summary") or get("verb")
        case "verb-ended":
            return f"{get('verb')}: {OUTCOMES.get(get('outcome'), get('outcome'))}"
        case "media":
            return _media(data)
        case _:
            return get("what") or get("reason") or get("cause")


def _media(data: dict[str, Any]) -> str:
    match data.get("what"):
        case "connected":
            return f"Audio connected, {data.get('codec', '')}"
        case "first-packet":
            remote = data.get("remote")
            place = ":".join(map(str, remote)) if isinstance(remote, list) else ""
            after = data.get("ms")
            late = f" after {after:.0f} ms" if isinstance(after, (int, float)) else ""
            return f"First audio packet from {place or 'the caller'}{late}"
        case "hold":
            return f"Put on hold ({data.get('direction', '')})"
        case "resume":
            return "Taken off hold"
        case what:
            return str(what or "")
