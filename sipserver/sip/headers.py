"""The header fields of one message, and the two structured values every message has.

``Headers`` keeps order, spelling and unknown fields; names compare case-insensitively and compact
forms (RFC 3261 7.3.3 and the IANA registry) equal their long forms.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple, TypeVar

from sipserver.sip import grammar, limits
from sipserver.sip.errors import LocalProtocolError, RemoteProtocolError
from sipserver.sip.uri import NO_PARAMS, Params, parse_params

T = TypeVar("T")

COMPACT_FORMS: Final = {
    "a": "accept-contact",
    "b": "referred-by",
    "c": "content-type",
    "d": "request-disposition",
    "e": "content-encoding",
    "f": "from",
    "i": "call-id",
    "j": "reject-contact",
    "k": "supported",
    "l": "content-length",
    "m": "contact",
    "o": "event",
    "r": "refer-to",
    "s": "subject",
    "t": "to",
    "u": "allow-events",
    "v": "via",
    "x": "session-expires",
    "y": "identity",
}

_USUAL_NAMES = (
    "Accept Accept-Encoding Accept-Language Alert-Info Allow Allow-Events Authorization Call-ID "
    "Call-Info Contact Content-Disposition Content-Encoding Content-Length Content-Type CSeq Date "
    "Diversion Event Expires From History-Info Max-Forwards Min-Expires Min-SE P-Asserted-Identity "
    "P-Preferred-Identity Path Privacy Proxy-Authenticate Proxy-Authorization RAck Reason "
    "Record-Route Refer-To Referred-By Remote-Party-ID Replaces Require Retry-After Route RSeq "
    "Server Session-Expires Session-ID Subject Subscription-State Supported Timestamp To "
    "Unsupported User-Agent User-to-User Via Warning WWW-Authenticate"
)

# Spelling → comparison key, for the spellings that make up nearly all traffic. A constant table:
# a cache that grows with what peers send would be theirs to fill.
KNOWN_KEYS: Final = {
    **{name: name.lower() for name in _USUAL_NAMES.split()},
    **{name.lower(): name.lower() for name in _USUAL_NAMES.split()},
    **COMPACT_FORMS,
    **{short.upper(): name for short, name in COMPACT_FORMS.items()},
}


Field = tuple[str, str, str]
"""One header field: comparison key, name as spelled, raw value without outer blanks."""


def header_key(name: str) -> str:
    """Return the comparison key of a header name: lower case, long form."""
    key = KNOWN_KEYS.get(name)
    if key is None:
        lowered = name.lower()
        key = KNOWN_KEYS.get(lowered, lowered)
    return key


class Headers:
    """Ordered multi-map of header fields. Values parsed from it are cached until it changes."""

    __slots__ = ("_fields", "_parsed")

    def __init__(self, items: Iterable[tuple[str, str]] = ()) -> None:
        self._fields: list[Field] = [(header_key(name), name, value) for name, value in items]
        self._parsed: dict[str, Any] = {}

    @classmethod
    def of_fields(cls, fields: list[Field]) -> Headers:
        """Take over a list of ready fields (hot path of parser and builder)."""
        headers = cls.__new__(cls)
        headers._fields = fields
        headers._parsed = {}
        return headers

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the raw value of the first field of that name."""
        wanted = header_key(name)
        for key, _, value in self._fields:
            if key == wanted:
                return value
        return default

    def get_all(self, name: str) -> list[str]:
        """Return the raw values of all fields of that name, in order."""
        wanted = header_key(name)
        return [value for key, _, value in self._fields if key == wanted]

    def values(self, name: str) -> list[str]:
        """Return the comma-separated elements of all fields of that name, in order.

        Only for headers whose grammar is a list. Raises RemoteProtocolError for empty elements
        and above ``limits.MAX_ELEMENTS``.
        """
        elements: list[str] = []
        for value in self.get_all(name):
            elements += grammar.split_elements(value)
            if len(elements) > limits.MAX_ELEMENTS:
                raise RemoteProtocolError(f"Too many elements in {name}")
        return elements

    def count(self, name: str) -> int:
        """Return how many fields of that name there are."""
        wanted = header_key(name)
        return sum(1 for key, _, _ in self._fields if key == wanted)

    def add(self, name: str, value: str) -> None:
        """Append a field."""
        self._fields.append((header_key(name), name, value))
        self._parsed.clear()

    def prepend(self, name: str, value: str) -> None:
        """Put a field in front of all others (Via of ours, Route)."""
        self._fields.insert(0, (header_key(name), name, value))
        self._parsed.clear()

    def set(self, name: str, value: str) -> None:
        """Give the first field of that name this value and drop its others, or append it."""
        wanted = header_key(name)
        kept: list[Field] = []
        found = False
        for field in self._fields:
            if field[0] != wanted:
                kept.append(field)
            elif not found:
                kept.append((wanted, name, value))
                found = True
        if not found:
            kept.append((wanted, name, value))
        self._fields = kept
        self._parsed.clear()

    def replace_first_element(self, name: str, element: str) -> None:
        """Replace the first comma-separated element of the first field of that name, all else
        untouched (the top Via). Raises LocalProtocolError if there is no such field."""
        wanted = header_key(name)
        for index, (key, spelled, value) in enumerate(self._fields):
            if key == wanted:
                _, rest = grammar.first_element(value)
                self._fields[index] = (key, spelled, element + rest)
                self._parsed.clear()
                return
        raise LocalProtocolError(f"No {name} to replace")

    def remove(self, name: str) -> None:
        """Drop all fields of that name, if any."""
        wanted = header_key(name)
        self._fields = [field for field in self._fields if field[0] != wanted]
        self._parsed.clear()

    def items(self) -> Iterator[tuple[str, str]]:
        """Yield (name as spelled, raw value) in order."""
        for _, name, value in self._fields:
            yield name, value

    @property
    def fields(self) -> list[Field]:
        """The fields themselves. Read-only by agreement: changes go through the methods."""
        return self._fields

    def cached(self, slot: str, build: Callable[[Headers], T]) -> T:
        """Return ``build(self)``, remembered under ``slot`` until the headers change."""
        try:
            value: T = self._parsed[slot]
        except KeyError:
            value = self._parsed[slot] = build(self)
        return value

    def copy(self) -> Headers:
        """Return an independent copy."""
        return Headers.of_fields(self._fields.copy())

    def __contains__(self, name: str) -> bool:
        wanted = header_key(name)
        return any(key == wanted for key, _, _ in self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self._fields == other._fields

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        # Names only: values may hold digest responses and caller ids.
        return f"Headers({', '.join(name for _, name, _ in self._fields)})"


_VIA_PROTOCOL = re.compile(
    r"([A-Za-z0-9\-.!%*_+`'~]+)\s*/\s*([A-Za-z0-9\-.!%*_+`'~]+)\s*/\s*"
    r"([A-Za-z0-9\-.!%*_+`'~]+)\s+"
)


@dataclass(frozen=True, slots=True)
class Via:
    """One Via element (RFC 3261 20.42, RFC 3581). ``transport`` is as spelled, ``host`` without
    the brackets of IPv6."""

    transport: str
    host: str
    port: int | None = None
    params: Params = NO_PARAMS
    protocol: str = "SIP/2.0"

    @property
    def branch(self) -> str | None:
        """The ``branch`` parameter; None when absent or empty."""
        return self.params.get("branch") or None

    @property
    def received(self) -> str | None:
        """The ``received`` address without brackets; None when absent."""
        value = self.params.get("received")
        return value.strip("[]") if value else None

    @property
    def rport(self) -> int | None:
        """The port an ``rport`` parameter carries; None when it has none (see
        ``rport_requested``) or no usable one."""
        value = self.params.get("rport")
        if not value or not (value.isascii() and value.isdigit() and len(value) <= 5):
            return None
        return int(value)

    @property
    def rport_requested(self) -> bool:
        """Whether the sender wants its response at the source port (RFC 3581 3)."""
        return self.params.has("rport")

    def with_source(self, address: str, port: int) -> Via:
        """Return this Via as a server must mark it on receipt (RFC 3261 18.2.1, RFC 3581 4).

        ``received`` is added when the sender's host differs from ``address`` or asked for rport,
        and ``rport`` is filled in if it was asked for. What the sender claimed for either goes.
        """
        params = self.params.without("received") if self.params.has("received") else self.params
        if params.has("rport"):
            params = params.with_value("rport", str(port)).with_value("received", address)
        elif self.host != address:
            params = params.with_value("received", address)
        return self if params == self.params else replace(self, params=params)

    def __str__(self) -> str:
        host = grammar.format_host_port(self.host, self.port)
        return f"{self.protocol}/{self.transport} {host}{self.params}"


def parse_via(element: str) -> Via:
    """Read one Via element. Raises RemoteProtocolError."""
    protocol = "SIP/2.0"
    transport, blank, rest = "", "", ""
    if element.startswith("SIP/2.0/"):
        transport, blank, rest = element[8:].partition(" ")
    if not blank or not transport.isalnum():
        match = _VIA_PROTOCOL.match(element)
        if match is None:
            raise RemoteProtocolError("Malformed Via")
        protocol = f"{match[1]}/{match[2]}"
        transport = match[3]
        rest = element[match.end() :]
    sent_by, semicolon, tail = rest.partition(";")
    sent_by = sent_by.strip()
    if " " in sent_by or "\t" in sent_by:
        sent_by = re.sub(r"[ \t]*:[ \t]*", ":", sent_by)
    host, port = grammar.parse_host_port(sent_by)
    return Via(transport, host, port, parse_params(tail) if semicolon else NO_PARAMS, protocol)


class CSeq(NamedTuple):
    """Sequence number (below 2**31) and method (case-sensitive)."""

    number: int
    method: str

    def __str__(self) -> str:
        return f"{self.number} {self.method}"


def parse_cseq(text: str) -> CSeq:
    """Read a CSeq value. Raises RemoteProtocolError."""
    parts = text.split()
    if len(parts) != 2 or not (parts[1].isalpha() or grammar.is_token(parts[1])):
        raise RemoteProtocolError("Malformed CSeq")
    return CSeq(grammar.parse_number(parts[0], "CSeq", limits.MAX_CSEQ), parts[1])
