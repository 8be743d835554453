"""SIP URIs and name-addr values (RFC 3261 19.1, 20.10), frozen; ``str`` is the inverse of parsing.

Parts are kept as the peer spelled them. ``unescape`` decodes percent escapes where a reader wants
the meaning instead.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote as unescape_octets

from sipserver.sip import grammar, limits
from sipserver.sip.errors import RemoteProtocolError

# One call repeats its few name-addrs in every message (INVITE, INVITE with credentials, ACK, BYE),
# so their frozen values are kept for a moment. Small: strangers choose what is in it.
_CACHE_SIZE = 1024

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*")
# Wider than RFC 3261's user and password: characters above 127 and "#", "^" and such come from
# real phones and harm nobody. Broken escapes, blanks, quotes and brackets stay out.
_USERINFO = re.compile(r"(?:[^\x00-\x20\x7f\"<>@%\\]|%[0-9A-Fa-f]{2})*")
_URI_TAIL = re.compile(r"(?:[^\x00-\x20\x7f\"<>%]|%[0-9A-Fa-f]{2})*")


class Params(tuple[tuple[str, str | None], ...]):
    """Ordered parameters with case-insensitive names; None is a parameter without ``=``.

    Values are as spelled (a quoted string keeps its quotes; see ``grammar.unquote``).
    """

    __slots__ = ()

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the first value of ``name``: ``""`` if it stands without value, ``default`` if it
        is absent."""
        for key, value in self:
            if key == name or key.lower() == name:
                return value or ""
        return default

    def has(self, name: str) -> bool:
        """Tell whether ``name`` (lower case) is there, with a value or without."""
        return any(key == name or key.lower() == name for key, _ in self)

    def with_value(self, name: str, value: str | None) -> Params:
        """Return a copy in which ``name`` has this value, in place or appended."""
        if not self.has(name):
            return Params((*self, (name, value)))
        return Params((key, value) if key.lower() == name else (key, old) for key, old in self)

    def without(self, *names: str) -> Params:
        """Return a copy that lacks the (lower-case) names."""
        return Params(pair for pair in self if pair[0].lower() not in names)

    def __str__(self) -> str:
        return "".join([f";{key}" if value is None else f";{key}={value}" for key, value in self])


NO_PARAMS = Params()


def parse_params(text: str) -> Params:
    """Read header parameters, ``text`` being all behind the first ``;``.

    Raises RemoteProtocolError for empty or malformed ones and above ``limits.MAX_PARAMS``.
    """
    pairs: list[tuple[str, str | None]] = []
    for part in grammar.split_params(text):
        name, equals, value = part.partition("=")
        name = name.strip()
        if not name.isalnum() and not grammar.is_token(name):
            raise RemoteProtocolError("Malformed parameter name")
        if equals:
            value = value.strip()
            if not value.isalnum() and not grammar.is_value(value):
                raise RemoteProtocolError("Malformed parameter value")
            pairs.append((name, value))
        else:
            pairs.append((name, None))
    return _bounded(pairs)


def _parse_uri_params(text: str) -> Params:
    pairs: list[tuple[str, str | None]] = []
    for part in text.split(";"):
        name, equals, value = part.partition("=")
        if not name:
            raise RemoteProtocolError("Empty URI parameter")
        pairs.append((name, value if equals else None))
    return _bounded(pairs)


def _bounded(pairs: list[tuple[str, str | None]]) -> Params:
    if len(pairs) > limits.MAX_PARAMS:
        raise RemoteProtocolError("Too many parameters")
    return Params(pairs)


@dataclass(frozen=True, slots=True)
class SipUri:
    """A ``sip:`` or ``sips:`` URI. ``host`` is without the brackets of IPv6; ``headers`` is what
    follows ``?``, as spelled. Equality of the dataclass is by spelling; see ``equivalent``."""

    scheme: str
    user: str | None
    password: str | None
    host: str
    port: int | None = None
    params: Params = NO_PARAMS
    headers: str | None = None

    @property
    def domain(self) -> str:
        """The host in the spelling of domain tables (lower case, no root dot)."""
        return grammar.canonical_host(self.host)

    @property
    def username(self) -> str:
        """The user part with its escapes decoded; empty if there is none."""
        return unescape(self.user) if self.user else ""

    @property
    def transport(self) -> str | None:
        """The ``transport`` parameter in lower case."""
        value = self.params.get("transport")
        return value.lower() if value else None

    def bare(self) -> str:
        """Scheme, user, host and port only: an address-of-record."""
        user = f"{self.user}@" if self.user is not None else ""
        return f"{self.scheme}:{user}{grammar.format_host_port(self.host, self.port)}"

    def __str__(self) -> str:
        user = ""
        if self.user is not None:
            user = f"{self.user}@" if self.password is None else f"{self.user}:{self.password}@"
        tail = f"?{self.headers}" if self.headers is not None else ""
        host = grammar.format_host_port(self.host, self.port)
        return f"{self.scheme}:{user}{host}{self.params}{tail}"


@dataclass(frozen=True, slots=True)
class OtherUri:
    """A URI of another scheme (``tel:``, ``http:`` …), verbatim."""

    text: str

    @property
    def scheme(self) -> str:
        """The scheme in lower case."""
        return self.text.partition(":")[0].lower()

    def __str__(self) -> str:
        return self.text


Uri = SipUri | OtherUri


def parse_uri(text: str) -> Uri:
    """Read an absolute URI.

    Raises RemoteProtocolError: 414 when it is too long, else 400.
    """
    if len(text) > limits.MAX_URI_SIZE:
        raise RemoteProtocolError("URI too long", 414)
    spelled_scheme, _, rest = text.partition(":")
    scheme = spelled_scheme.lower()
    if scheme not in ("sip", "sips"):
        if not rest or not _SCHEME.fullmatch(spelled_scheme) or not _URI_TAIL.fullmatch(rest):
            raise RemoteProtocolError("Malformed URI")
        return OtherUri(text)
    user: str | None = None
    password: str | None = None
    before, at, after = rest.partition("@")
    if at:
        user, password = _parse_userinfo(before)
        rest = after
    # The user part may hold ";" and "?", so the tail is cut off only now.
    params = NO_PARAMS
    headers: str | None = None
    if "?" in rest or ";" in rest:
        if not _URI_TAIL.fullmatch(rest):
            raise RemoteProtocolError("Malformed URI")
        rest, question, tail = rest.partition("?")
        if question:
            headers = tail
        rest, semicolon, tail = rest.partition(";")
        if semicolon:
            params = _parse_uri_params(tail)
    host, port = grammar.parse_host_port(rest)
    return SipUri(spelled_scheme, user, password, host, port, params, headers)


def _parse_userinfo(text: str) -> tuple[str, str | None]:
    if text.isalnum():
        return text, None
    if not text or not _USERINFO.fullmatch(text):
        raise RemoteProtocolError("Malformed user part of a URI")
    user, colon, password = text.partition(":")
    if not user:
        raise RemoteProtocolError("Empty user part of a URI")
    return user, password if colon else None


def parse_sip_uri(text: str) -> SipUri:
    """Read a ``sip:`` or ``sips:`` URI. Raises RemoteProtocolError, 416 for another scheme."""
    uri = parse_uri(text)
    if not isinstance(uri, SipUri):
        raise RemoteProtocolError("Unsupported URI scheme", 416)
    return uri


def unescape(text: str) -> str:
    """Decode percent escapes as UTF-8; octets that are no UTF-8 become surrogates."""
    return unescape_octets(text, errors="surrogateescape") if "%" in text else text


def _comparable(text: str | None) -> str | None:
    return None if text is None else unescape(text)


def _comparable_headers(text: str | None) -> list[tuple[str, str]]:
    pairs = (item.partition("=") for item in (text or "").split("&") if item)
    return sorted((unescape(name).lower(), unescape(value)) for name, _, value in pairs)


def equivalent(one: Uri, other: Uri) -> bool:
    """Compare two URIs by RFC 3261 19.1.4.

    ``user``, ``ttl``, ``method`` and ``maddr`` (and ``transport``, which that section's examples
    treat alike) must match when only one side has them; other parameters count only when both
    sides have them.
    """
    if not isinstance(one, SipUri) or not isinstance(other, SipUri):
        return str(one) == str(other)
    if (
        one.scheme.lower() != other.scheme.lower()
        or _comparable(one.user) != _comparable(other.user)
        or _comparable(one.password) != _comparable(other.password)
        or one.host.lower() != other.host.lower()
        or one.port != other.port
    ):
        return False
    left = {unescape(key).lower(): unescape(value or "").lower() for key, value in one.params}
    right = {unescape(key).lower(): unescape(value or "").lower() for key, value in other.params}
    for name in left.keys() | right.keys():
        if name in left and name in right:
            if left[name] != right[name]:
                return False
        elif name in ("user", "ttl", "method", "maddr", "transport"):
            return False
    return _comparable_headers(one.headers) == _comparable_headers(other.headers)


@dataclass(frozen=True, slots=True)
class NameAddr:
    """The value of From, To, Contact, Route …: ``"name" <uri>;params``.

    ``display_name`` is without quotes and escapes.
    """

    display_name: str
    uri: Uri
    params: Params = NO_PARAMS

    @property
    def tag(self) -> str | None:
        """The ``tag`` parameter; None when absent or empty."""
        return self.params.get("tag") or None

    def with_tag(self, tag: str) -> NameAddr:
        """Return a copy that carries this tag."""
        return NameAddr(self.display_name, self.uri, self.params.with_value("tag", tag))

    def __str__(self) -> str:
        name = self.display_name
        if name:
            plain = name == name.strip() and grammar.is_token(name.replace(" ", ""))
            name = f"{name} " if plain else f"{grammar.quote(name)} "
        return f"{name}<{self.uri}>{self.params}"


@lru_cache(maxsize=_CACHE_SIZE)
def parse_name_addr(text: str) -> NameAddr:
    """Read a name-addr or addr-spec with header parameters.

    Without brackets, everything behind ``;`` belongs to the header, and ``?`` or a comma is an
    error (RFC 3261 20). Raises RemoteProtocolError.
    """
    text = text.strip()
    name = ""
    start = 0
    if text[:1] == '"':
        start = grammar.quoted_prefix(text)
        if not start:
            raise RemoteProtocolError("Unterminated or malformed quoted display name")
        name = grammar.unquote(text[:start])
    opening = text.find("<", start)
    if opening < 0:
        return _parse_addr_spec(text)
    between = text[start:opening].strip()
    if between:
        if start or not grammar.is_display_text(between):
            raise RemoteProtocolError("Malformed display name")
        name = between
    closing = text.find(">", opening)
    if closing < 0:
        raise RemoteProtocolError("Missing > after a URI")
    # Blanks inside the brackets are an error of the sender that RFC 4475 3.1.2.14 lets us forgive.
    uri = parse_uri(text[opening + 1 : closing].strip())
    rest = text[closing + 1 :].lstrip()
    if not rest:
        return NameAddr(name, uri)
    if rest[0] != ";":
        raise RemoteProtocolError("Unexpected text after a URI")
    return NameAddr(name, uri, parse_params(rest[1:]))


def _parse_addr_spec(text: str) -> NameAddr:
    spec, semicolon, rest = text.partition(";")
    if "?" in spec or "," in spec:
        raise RemoteProtocolError("A URI with headers or a comma needs brackets")
    uri = parse_uri(spec.rstrip())
    return NameAddr("", uri, parse_params(rest) if semicolon else NO_PARAMS)
