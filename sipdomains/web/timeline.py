"""A stored fact of a call in one line. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sipdomains.web.formatting import ended_by, refer_end
from sipdomains.web.steps import OUTCOMES

_NOBODY: Mapping[str, str] = {}

UNBRIDGED = {
    "hangup": "one of the two hung up",
    "ended": "Dial has ended",
    "answered": "early media is over",
    "transfer": "the call was transferred",
    "transferred": "the call was transferred",
}


def describe(  # noqa: C901, PLR0912 - a table of kinds, one line or two each
    kind: str,
    data: dict[str, Any],
    *,
    placed: bool = False,
    names: Mapping[str, str] = _NOBODY,
) -> str:
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
            return "It rings there." if placed else "180 sent: the caller hears ringing."
        case "answered":
            return f"200 {'received' if placed else 'sent'}: the call is answered."
        case "initiated":
            return f"INVITE for {get('target')}"
        case "dial":
            return _dial(data, names)
        case "bridged":
            return f"Connected with {_who(data, 'with', names)}"
        case "unbridged":
            why = UNBRIDGED.get(get("why"), get("why"))
            return f"Connection with {_who(data, 'with', names)} ended: {why}"
        case "recording":
            return _recording(data)
        case "command":
            return _command(data)
        case "transfer":
            return _transfer(data)
        case "webhook":
            return f"{get('method')} {get('url')} ({get('reason')})"
        case "document":
            verbs = data.get("verbs") or []
            return f"{', '.join(map(str, verbs)) or 'no verbs'} from {get('url') or 'REST'}"
        case "verb-started":
            return get("summary") or get("verb")
        case "verb-ended":
            return f"{get('verb')}: {OUTCOMES.get(get('outcome'), get('outcome'))}"
        case "media":
            return _media(data)
        case "interrupt":
            why = get("what")
            new = "A new document takes the place of the running one"
            return new if why == "redirected" else f"What runs is ended: {why.replace('-', ' ')}"
        case _:
            return get("what") or get("reason") or get("cause")


def _who(data: dict[str, Any], field: str, names: Mapping[str, str]) -> str:
    sid = str(data.get(field, "") or "")
    return names.get(sid) or sid or "the other party"


def _dial(data: dict[str, Any], names: Mapping[str, str]) -> str:
    who = _who(data, "call_sid", names)
    match data.get("what"):
        case "started":
            return f"Dialling {data.get('to') or who}"
        case "answered":
            return f"Answered by {who}"
        case "screening":
            return f"{who} hears a document of its own before it is connected"
        case what:
            return f"{what}: {who}"


def _recording(data: dict[str, Any]) -> str:
    match data.get("what"):
        case "started":
            return "Recording"
        case "paused":
            kept = "skipped" if data.get("behavior") == "skip" else "silent"
            return f"Recording paused: what follows is {kept}"
        case "resumed":
            return "Recording goes on"
    status, seconds = data.get("status"), data.get("seconds")
    kept = f"{seconds} s kept" if status == "completed" else f"nothing kept ({status})"
    return f"Recording ended by {ended_by(str(data.get('cause')))}: {kept}"


def _transfer(data: dict[str, Any]) -> str:
    status = data.get("status") or ""
    match data.get("what"):
        case "sent":
            return f"REFER sent: the peer shall call {data.get('target')}"
        case "received":
            return f"REFER received: the peer wants {data.get('target')}"
        case "notified":
            return f"NOTIFY: {status} of the transfer's target"
        case "ended":
            why = refer_end(str(data.get("by", "")))
            return " ".join(part for part in ("Transfer over", f"with {status}" if status else "",
                                              f"({why})" if why else "") if part)  # fmt: skip
        case what:
            return f"{what or 'Transfer'} {status}".strip()


_ASKED = {
    "create": "asked for this call",
    "redirect": "asked for another document",
    "hangup": "ended the call",
    "cancel": "cancelled the call",
    "update": "changed the call",
    "recording-start": "asked for a recording",
    "recording-update": "changed a recording",
}
_CHANGES = {
    "callback": "status callback",
    "time_limit": "time limit",
    "fallback_url": "fallback URL",
}


_CREDENTIAL = re.compile(r"(AC|SK)[0-9a-f]+")


def _command(data: dict[str, Any]) -> str:
    what = str(data.get("what", ""))
    by = str(data.get("by", ""))
    # The REST API's clients are known by the SID of an account or key, people by their user name.
    client = not by or _CREDENTIAL.fullmatch(by)
    said = f"The REST API ({by})" if client else f"{by}, at the desk,"
    said += f" {_ASKED.get(what, what)}"
    details = [str(data[name]) for name in ("url", "recording_sid", "status") if data.get(name)]
    if data.get("inline"):
        details.append("given with the request")
    changed = [_CHANGES.get(name, str(name)) for name in data.get("changes") or ()]
    if changed:
        details.append(f"new: {', '.join(changed)}")
    return f"{said}: {'; '.join(details)}" if details else f"{said}."


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
