"""The text of ``<Dial><Sip>`` as a target: URI, headers, security (sip-domain.md section 8)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, NamedTuple
from urllib.parse import quote, unquote_to_bytes

from sipserver.sip import grammar
from sipserver.sip.errors import RemoteProtocolError
from sipserver.sip.uri import Params, SipUri, parse_sip_uri

BAD_URI: Final = 13243
HEADERS_TOO_LONG: Final = 13253
BAD_FORMAT: Final = 32110
BAD_HEADER_NAME: Final = 32111
BAD_HEADER_VALUE: Final = 32112
HEADER_NOT_ALLOWED: Final = 32113
BAD_PARAMETER: Final = 32114

MAX_URI_SIZE: Final = 254
"""Characters of the URI without its headers: less than 255."""

MAX_HEADERS_SIZE: Final = 1023
"""Characters of what follows ``?``: less than 1024."""

_ALLOWED_NAMES: Final = frozenset(
    {"user-to-user", "remote-party-id", "p-preferred-identity", "p-called-party-id"}
)
_TRANSPORTS: Final = ("udp", "tcp", "tls")
# Said to us, not to the peer.
_OUR_PARAMETERS: Final = ("transport", "secure", "edge", "region")

_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_CALLER_ID = re.compile(r"[A-Za-z0-9+\-_.]+")


class Issue(NamedTuple):
    """A warning for the log: ``code`` of errors.md."""

    code: int
    message: str


@dataclass(frozen=True, slots=True)
class SipTarget:
    """``uri`` is a ``sip:`` URI without headers; its ``transport`` parameter is there when it was
    chosen (absent: UDP or what DNS says). ``secure`` wants TLS and SRTP."""

    uri: SipUri
    headers: tuple[tuple[str, str], ...] = ()
    secure: bool = False
    issues: tuple[Issue, ...] = ()


@dataclass(frozen=True, slots=True)
class InvalidTarget:
    """Nothing can be dialled: ``code`` 13243 (no SIP URI) or 32110 (malformed)."""

    code: int
    message: str


def parse_target(text: str) -> SipTarget | InvalidTarget:
    """Read the text of a Sip noun, a nested Uri or the API's ``To``.

    What is wrong with headers and parameters leaves them out, with an issue each.
    """
    spelled, question, headers_text = text.strip().partition("?")
    if not spelled:
        return InvalidTarget(BAD_URI, "The SIP URI is empty")
    if len(spelled) > MAX_URI_SIZE:
        return InvalidTarget(BAD_URI, f"The SIP URI has more than {MAX_URI_SIZE} characters")
    with_scheme = _with_scheme(spelled)
    if with_scheme is None:
        return InvalidTarget(BAD_URI, f"{_shown(spelled)} is not a SIP URI")
    try:
        parsed = parse_sip_uri(with_scheme)
    except RemoteProtocolError as error:
        return InvalidTarget(BAD_FORMAT, f"{_shown(spelled)}: {error.message}")
    uri, secure, issues = _read_parameters(parsed)
    headers: tuple[tuple[str, str], ...] = ()
    if question:
        headers, found = _uri_headers(headers_text)
        issues += found
    return SipTarget(uri, headers, secure, tuple(issues))


def wanted_headers(
    pairs: Iterable[tuple[str, str]],
) -> tuple[tuple[tuple[str, str], ...], list[Issue]]:
    """Return those (name, value) that an application may put into our INVITE, and what is wrong
    with the others. For ``<Headers>``; values are as they shall stand in the header."""
    headers: list[tuple[str, str]] = []
    issues: list[Issue] = []
    for name, value in pairs:
        issue = _objection(name, value)
        if issue is None:
            headers.append((name, value.strip()))
        else:
            issues.append(issue)
    return tuple(headers), issues


def is_caller_id(text: str) -> bool:
    """Tell whether ``text`` may be the user part of our From: letters, digits and ``+ - _ .``."""
    return _CALLER_ID.fullmatch(text) is not None


def aor(user: str, domain: str) -> str:
    """Return ``sip:user@domain``, what a user part cannot hold escaped (RFC 3261 25.1)."""
    escaped = quote(user, safe="-_.!~*'()&=+$,;?/", errors="surrogateescape")
    return f"sip:{escaped}@{grammar.format_host_port(domain, None)}"


def _shown(text: str) -> str:
    return repr(grammar.printable(text[:MAX_URI_SIZE]))


def _with_scheme(text: str) -> str | None:
    """``text`` as ``sip:`` or ``sips:`` URI; None for another scheme. Without a scheme there is no
    password: ``mailto:x@host`` is not user ``mailto`` with password ``x``."""
    if text[:4].lower() == "sip:" or text[:5].lower() == "sips:":
        return text
    user, at, _ = text.partition("@")
    return None if at and ":" in user else f"sip:{text}"


# ---- parameters ----------------------------------------------------------------------------


def _read_parameters(uri: SipUri) -> tuple[SipUri, bool, list[Issue]]:
    issues: list[Issue] = []
    params = uri.params
    transport = uri.transport
    if params.has("transport") and transport not in _TRANSPORTS:
        issues.append(Issue(BAD_PARAMETER, f"transport={_shown(transport or '')} is unknown"))
        transport = None
    wanted = params.get("secure")
    secure = wanted is not None and wanted.lower() == "true"
    if wanted is not None and wanted.lower() not in ("true", "false"):
        issues.append(Issue(BAD_PARAMETER, f"secure={_shown(wanted)} is not true or false; false"))
    if uri.scheme.lower() == "sips":
        transport = "tls"
    elif secure and transport != "tls":
        if transport is not None:
            issues.append(Issue(BAD_PARAMETER, f"secure=true needs TLS, not {transport}"))
        transport = "tls"
    rest = params.without(*_OUR_PARAMETERS)
    if transport is not None:
        rest = Params((*rest, ("transport", transport)))
    return replace(uri, scheme="sip", params=rest), secure, issues


# ---- headers -------------------------------------------------------------------------------


def _uri_headers(text: str) -> tuple[tuple[tuple[str, str], ...], list[Issue]]:
    if len(text) > MAX_HEADERS_SIZE:
        most = MAX_HEADERS_SIZE
        message = f"The headers in the URI have more than {most} characters; none is sent"
        return (), [Issue(HEADERS_TOO_LONG, message)]
    pairs: list[tuple[str, str]] = []
    issues: list[Issue] = []
    for item in text.split("&"):
        if not item:
            continue
        escaped_name, equals, escaped_value = item.partition("=")
        name, value = _decoded(escaped_name), _decoded(escaped_value)
        if name is None:
            issues.append(Issue(BAD_HEADER_NAME, f"{_shown(escaped_name)} is no header name"))
        elif value is None or not equals:
            issues.append(Issue(BAD_HEADER_VALUE, f"The value of {_shown(name)} cannot be sent"))
        else:
            pairs.append((name, value))
    headers, found = wanted_headers(pairs)
    return headers, issues + found


def _decoded(text: str) -> str | None:
    """Percent escapes decoded once; None if they are broken or no UTF-8."""
    if "%" not in text:
        return text
    if _BROKEN_ESCAPE.search(text):
        return None
    try:
        return unquote_to_bytes(text).decode("utf-8")
    except UnicodeDecodeError:
        return None


def _objection(name: str, value: str) -> Issue | None:
    if not grammar.is_token(name):
        return Issue(BAD_HEADER_NAME, f"{_shown(name)} is no header name")
    key = name.lower()
    if (not key.startswith("x-") or key.startswith("x-twilio")) and key not in _ALLOWED_NAMES:
        return Issue(HEADER_NOT_ALLOWED, f"{name} is not a header that may be set; not sent")
    if _CONTROL.search(value) or grammar.printable(value) != value:
        return Issue(BAD_HEADER_VALUE, f"The value of {name} cannot be sent")
    return None
