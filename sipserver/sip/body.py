"""The session description inside a message body (RFC 3261 7.4, RFC 5621)."""

from __future__ import annotations

from typing import Final

from sipserver.sip import grammar
from sipserver.sip.message import Message
from sipserver.sip.uri import parse_params

SDP: Final = "application/sdp"
_MAX_PARTS: Final = 16


def session_description(message: Message) -> bytes | None:
    """Return the SDP of a message: empty if it has no body, or only one it calls optional; None
    if its body is something else that we would have to understand.

    Looks into ``multipart/mixed`` and ``multipart/alternative``, one level deep. A body without
    Content-Type is taken for SDP, as senders that forget it mean it. Raises RemoteProtocolError.
    """
    if not message.body:
        return b""
    kind = message.content_type or SDP
    encoding = message.headers.get("Content-Encoding") or "identity"
    if encoding.lower() == "identity":
        if kind == SDP:
            return message.body
        if kind in ("multipart/mixed", "multipart/alternative"):
            part = _sdp_part(message)
            if part is not None:
                return part
    return b"" if _is_optional(message) else None


def _is_optional(message: Message) -> bool:
    """RFC 5621 5.1: ``handling=optional`` lets a receiver pass over a body."""
    _, semicolon, tail = (message.headers.get("Content-Disposition") or "").partition(";")
    return bool(semicolon) and (parse_params(tail).get("handling") or "").lower() == "optional"


def _sdp_part(message: Message) -> bytes | None:
    _, semicolon, tail = (message.headers.get("Content-Type") or "").partition(";")
    boundary = grammar.unquote(parse_params(tail).get("boundary") or "") if semicolon else ""
    if not boundary:
        return None
    delimiter = b"\r\n--" + boundary.encode("utf-8", "surrogateescape")
    parts = (b"\r\n" + message.body).split(delimiter, _MAX_PARTS)
    for part in parts[1:]:
        if part.startswith(b"--"):
            return None
        head, blank, content = part.partition(b"\r\n\r\n")
        if blank and _is_sdp(head):
            return content
    return None


def _is_sdp(head: bytes) -> bool:
    for line in head.lower().split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip() in (b"content-type", b"c"):
            return value.partition(b";")[0].strip() == SDP.encode()
    return False
