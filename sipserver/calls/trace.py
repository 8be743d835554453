"""SIP messages as the log keeps them: readable, bounded, without secrets. Pure."""

from __future__ import annotations

import re
from typing import Any

from sipserver.sip.events import MessageTraced
from sipserver.sip.grammar import format_host_port

MAX_TEXT = 8192

# Values of response, nonce and cnonce. Names are case-insensitive, values may be unquoted, and a
# long message is cut anywhere. To look at what stands before "=" is three times as fast as \b(…).
_DIGEST_SECRETS = re.compile(r'(?<=nse|nce)\s*=\s*(?:"[^"]*"?|[^\s",;]+)', re.IGNORECASE)
_OTHER_SCHEMES = re.compile(
    r"^((?:proxy-)?authorization\s*:\s*(?!digest\b)\S+[ \t]+)[^\r\n]+",
    re.IGNORECASE | re.MULTILINE,
)
# What stands in INFO is mostly the keys that somebody pressed: card numbers, codes.
_BODY = re.compile(r"(\r?\n\r?\n).+", re.DOTALL)
_SDES_KEY = re.compile(r"(a=crypto:\d+\s+\S+\s+inline:)\S+", re.IGNORECASE)


def trace_data(message: MessageTraced) -> dict[str, Any]:
    """``data`` of a ``sip`` event: ``dir peer local transport summary text``."""
    text = message.data[:MAX_TEXT].decode("utf-8", "replace")
    first = text.partition("\r\n")[0]
    lowered = text.lower()
    if "authorization" in lowered or "authenticate" in lowered:
        text = _OTHER_SCHEMES.sub(r"\1…", _DIGEST_SECRETS.sub('="…"', text))
    if text.lstrip().startswith("INFO "):
        text = _BODY.sub(r"\1…", text)
    if "a=crypto:" in lowered:
        text = _SDES_KEY.sub(r"\1…", text)
    transport, peer, local = _places(message)
    return {
        "dir": "out" if message.outbound else "in",
        "peer": peer,
        "local": local,
        "transport": transport,
        "summary": _summary(first, text),
        "text": text,
    }


def _places(message: MessageTraced) -> tuple[str, str, str]:
    """Transport, the far end and ours, as far as they are known."""
    if message.flow is not None:
        transport, local, remote, _ = message.flow
        return transport, format_host_port(*remote), format_host_port(*local)
    if message.target is not None:
        transport, host, port = message.target
        return transport, format_host_port(host, port), ""
    return "", "", ""


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
