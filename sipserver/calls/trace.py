"""SIP messages as the log keeps them: readable, bounded, without secrets. Pure."""

from __future__ import annotations

import re
from typing import Any

from sipserver.sip.events import MessageTraced

MAX_TEXT = 8192

_DIGEST_SECRETS = re.compile(r'\b(response|cnonce|nonce)="[^"]*"')
_SDES_KEY = re.compile(r"(a=crypto:\d+ \S+ inline:)\S+")


def trace_data(message: MessageTraced) -> dict[str, Any]:
    """``data`` of a ``sip`` event: ``dir peer transport summary text``."""
    text = message.data[:MAX_TEXT].decode("utf-8", "replace")
    first = text.partition("\r\n")[0]
    if "Authorization:" in text or "Authenticate:" in text:
        text = _DIGEST_SECRETS.sub(r'\1="…"', text)
    if "a=crypto:" in text:
        text = _SDES_KEY.sub(r"\1…", text)
    flow = message.flow
    return {
        "dir": "out" if message.outbound else "in",
        "peer": f"{flow.remote[0]}:{flow.remote[1]}" if flow else "",
        "transport": flow.transport if flow else "",
        "summary": _summary(first, text),
        "text": text,
    }


def _summary(first: str, text: str) -> str:
    """``INVITE``, ``200 OK (INVITE)`` …: what an arrow of the ladder says."""
    if not first.startswith("SIP/"):
        return first.partition(" ")[0]
    status = first.partition(" ")[2]
    method = ""
    for line in text.split("\r\n"):
        if line[:5].lower() == "cseq:":
            method = line.rpartition(" ")[2]
            break
    return f"{status} ({method})" if method else status
