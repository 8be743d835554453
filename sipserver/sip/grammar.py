"""Lexical rules that several SIP headers share (RFC 3261 25.1).

Everything works on text that was decoded as UTF-8 with ``surrogateescape``, so that any octet a
peer sends survives to the next hop.
"""

from __future__ import annotations

import re
from typing import Final

from sipserver.sip import limits
from sipserver.sip.errors import RemoteProtocolError

WSP: Final = " \t"

_TOKEN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+")
# Raw control characters, NUL among them, are legal in a quoted string only behind a backslash
# (quoted-pair); CR and LF never are.
_QUOTED = re.compile(r'"(?:[^"\\\r\n\x00-\x08\x0b-\x1f\x7f]|\\[^\r\n])*"')
# RFC 3261 has tokens and blanks here; phones send brackets, "@", "/" and UTF-8 just as well. What
# could be read in two ways stays out.
_DISPLAY_TEXT = re.compile(r'[^\x00-\x08\x0a-\x1f\x7f"<>,;\\]*')
# A gen-value that is not quoted: token or host by the RFC; base64 with its "=" occurs.
_BARE_VALUE = re.compile(r'[^\x00-\x20\x7f"<>,;]*')
_ESCAPED_PAIR = re.compile(r"\\(.)", re.DOTALL)
_HOSTNAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.\-]*[A-Za-z0-9_.])?")
_IPV6 = re.compile(r"[0-9A-Fa-f:.]{2,45}")
# One step of the scanner that looks for separators: a quoted string or a <…> is skipped whole.
_ELEMENT_STEP = re.compile(r'"(?:[^"\\]|\\.)*"|<[^>]*>|,', re.DOTALL)
_PARAM_STEP = re.compile(r'"(?:[^"\\]|\\.)*"|;', re.DOTALL)
_UNSAFE_TO_SHOW = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


def is_token(text: str) -> bool:
    """Tell whether ``text`` is a non-empty token."""
    return _TOKEN.fullmatch(text) is not None


def is_display_text(text: str) -> bool:
    """Tell whether ``text`` is accepted unquoted in front of ``<``."""
    return _DISPLAY_TEXT.fullmatch(text) is not None


def quote(text: str) -> str:
    """Return ``text`` as a quoted string. Control characters become spaces: they could end the
    line or the string at a sloppy receiver."""
    cleaned = re.sub(r"[\x00-\x1f\x7f]", " ", text)
    return '"' + cleaned.replace("\\", "\\\\").replace('"', '\\"') + '"'


def unquote(text: str) -> str:
    """Return the content of a quoted string; other text comes back unchanged."""
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text
    inner = text[1:-1]
    return _ESCAPED_PAIR.sub(r"\1", inner) if "\\" in inner else inner


def quoted_prefix(text: str) -> int:
    """Return the length of the quoted string ``text`` begins with, 0 if it is not a valid one."""
    match = _QUOTED.match(text)
    return match.end() if match else 0


def is_value(text: str) -> bool:
    """Tell whether ``text`` is accepted as the value of a header parameter."""
    if text[:1] == '"':
        return quoted_prefix(text) == len(text)
    return _BARE_VALUE.fullmatch(text) is not None


def split_elements(value: str) -> list[str]:
    """Split a header value at the commas outside quotes and ``<…>``.

    Raises RemoteProtocolError for an empty element or too many of them; an empty value is an
    empty list.
    """
    if "," not in value:
        stripped = value.strip(WSP)
        return [stripped] if stripped else []
    if '"' not in value and "<" not in value:
        parts = value.split(",")
    else:
        parts = _split_at(value, _ELEMENT_STEP, ",")
    if len(parts) > limits.MAX_ELEMENTS:
        raise RemoteProtocolError("Too many elements in one header field")
    elements = [part.strip(WSP) for part in parts]
    if "" in elements:
        raise RemoteProtocolError("Empty element in a comma-separated header field")
    return elements


def first_element(value: str) -> tuple[str, str]:
    """Split off the first element of a comma-separated value: (element, rest with its comma)."""
    if "," not in value:
        return value.strip(WSP), ""
    for match in _ELEMENT_STEP.finditer(value):
        if match.group() == ",":
            return value[: match.start()].strip(WSP), value[match.start() :]
    return value.strip(WSP), ""


def split_params(text: str) -> list[str]:
    """Split ``a=1;b="x;y"`` at the semicolons outside quotes; blanks are not removed."""
    if '"' not in text:
        return text.split(";")
    return _split_at(text, _PARAM_STEP, ";")


def _split_at(text: str, step: re.Pattern[str], separator: str) -> list[str]:
    parts = []
    start = 0
    for match in step.finditer(text):
        if match.group() == separator:
            parts.append(text[start : match.start()])
            start = match.end()
    parts.append(text[start:])
    return parts


def parse_number(text: str, what: str, largest: int) -> int:
    """Read an unsigned decimal number, leading zeros allowed.

    Raises RemoteProtocolError when it is none or above ``largest``.
    """
    # str.isdigit alone accepts the digits of other scripts. Twenty digits hold any 64-bit number
    # with its leading zeros; longer text is not worth converting.
    if not (text.isascii() and text.isdigit()) or len(text) > 20:
        raise RemoteProtocolError(f"{what} is not a number")
    number = int(text)
    if number > largest:
        raise RemoteProtocolError(f"{what} is out of range")
    return number


def parse_host_port(text: str) -> tuple[str, int | None]:
    """Read ``host[:port]``; IPv6 comes in brackets and is returned without them.

    Raises RemoteProtocolError.
    """
    if text[:1] == "[":
        host, bracket, rest = text[1:].partition("]")
        if not bracket or not _IPV6.fullmatch(host) or host.count(":") < 2:
            raise RemoteProtocolError("Malformed IPv6 address")
        colon, port = rest[:1], rest[1:]
        if colon not in ("", ":"):
            raise RemoteProtocolError("Malformed host")
    else:
        host, colon, port = text.partition(":")
        if not _HOSTNAME.fullmatch(host):
            raise RemoteProtocolError("Malformed host")
    if not colon:
        return host, None
    return host, parse_number(port, "Port", 65_535)


def format_host_port(host: str, port: int | None) -> str:
    """Inverse of parse_host_port."""
    bracketed = f"[{host}]" if ":" in host else host
    return bracketed if port is None else f"{bracketed}:{port}"


def canonical_host(host: str) -> str:
    """Return a host as domain tables spell it: lower case, without the root dot."""
    return host.lower().rstrip(".")


def printable(text: str) -> str:
    """Return ``text`` fit for a log, a database or a web page: control characters and octets that
    are no UTF-8 are replaced by U+FFFD."""
    return _UNSAFE_TO_SHOW.sub("\ufffd", text)
