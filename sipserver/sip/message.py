"""SIP requests and responses: bytes to value and back (RFC 3261 7).

Only the start line and the cutting into header fields happen when a message arrives; each typed
property parses its header when it is first asked for, and raises RemoteProtocolError if it is
malformed. ``validate_request`` asks for all that must be right before a request is processed.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import Final

from sipserver.sip import grammar, limits, typed
from sipserver.sip.errors import LocalProtocolError, RemoteProtocolError
from sipserver.sip.headers import KNOWN_KEYS, CSeq, Field, Headers, Via, header_key, parse_via
from sipserver.sip.uri import NameAddr, SipUri, Uri, parse_uri

_FOLDING = re.compile(r"[ \t]*\n[ \t]+")
_VERSION: Final = "SIP/2.0"
_ANY_VERSION = re.compile(r"SIP/[0-9]+\.[0-9]+", re.IGNORECASE)

# RFC 3261 20: headers that stand for one value and must not be repeated, as far as we act on them.
_SINGLETONS: Final = frozenset(
    {
        "call-id",
        "content-length",
        "content-type",
        "cseq",
        "expires",
        "from",
        "max-forwards",
        "refer-to",
        "session-expires",
        "to",
    }
)


class Message(ABC):
    """What requests and responses have in common."""

    __slots__ = ("body", "headers")

    headers: Headers
    body: bytes

    @property
    @abstractmethod
    def start_line(self) -> str:
        """First line, without its line end."""

    @property
    def call_id(self) -> str:
        """Call-ID, compared octet by octet."""
        return self.headers.cached("call-id", typed.call_id)

    @property
    def cseq(self) -> CSeq:
        """CSeq: number and method."""
        return self.headers.cached("cseq", typed.cseq)

    @property
    def via(self) -> Via:
        """The top Via."""
        return self.headers.cached("via", typed.top_via)

    @property
    def vias(self) -> list[Via]:
        """All Vias, top first."""
        return self.headers.cached("vias", typed.vias)

    @property
    def from_(self) -> NameAddr:
        """From."""
        return self.headers.cached("from", typed.from_)

    @property
    def to(self) -> NameAddr:
        """To."""
        return self.headers.cached("to", typed.to)

    @property
    def contacts(self) -> list[NameAddr]:
        """Contact elements in order; empty for ``Contact: *`` (see ``contact_is_wildcard``)."""
        return self.headers.cached("contacts", typed.contacts)

    @property
    def contact(self) -> NameAddr | None:
        """First Contact, None if there is none."""
        contacts = self.contacts
        return contacts[0] if contacts else None

    @property
    def contact_is_wildcard(self) -> bool:
        """Whether this is the ``Contact: *`` of a REGISTER that removes all bindings."""
        return self.headers.get_all("contact") == ["*"]

    @property
    def max_forwards(self) -> int | None:
        """Max-Forwards, 0 to 255; None when absent (RFC 2543 peers)."""
        return self.headers.cached("max-forwards", typed.max_forwards)

    @property
    def expires(self) -> int | None:
        """Expires in seconds; None when absent."""
        return self.headers.cached("expires", typed.expires)

    @property
    def routes(self) -> list[NameAddr]:
        """Route elements, first hop first."""
        return self.headers.cached("route", typed.routes)

    @property
    def record_routes(self) -> list[NameAddr]:
        """Record-Route elements in message order."""
        return self.headers.cached("record-route", typed.record_routes)

    @property
    def content_type(self) -> str | None:
        """Media type in lower case without parameters; None when absent."""
        return self.headers.cached("content-type", typed.content_type)

    @property
    def require(self) -> tuple[str, ...]:
        """Option tags of Require in lower case."""
        return self.headers.cached("require", typed.require)

    @property
    def supported(self) -> tuple[str, ...]:
        """Option tags of Supported in lower case."""
        return self.headers.cached("supported", typed.supported)

    def to_bytes(self) -> bytes:
        """Serialise, with the Content-Length the body has.

        Raises LocalProtocolError if a line end got into the start line or a header field: that
        would let one peer write headers into what another peer reads.
        """
        length = str(len(self.body))
        lines = [self.start_line]
        has_length = False
        for key, name, value in self.headers.fields:
            if key == "content-length":
                if not has_length:
                    lines.append(f"{name}: {length}")
                has_length = True
            else:
                lines.append(f"{name}: {value}")
        if not has_length:
            lines.append(f"Content-Length: {length}")
        head = "\r\n".join(lines)
        if head.count("\n") != len(lines) - 1 or head.count("\r") != len(lines) - 1:
            raise LocalProtocolError("Line end inside a header field")
        return head.encode("utf-8", "surrogateescape") + b"\r\n\r\n" + self.body

    __bytes__ = to_bytes


class Request(Message):
    """A request. ``uri_text`` is the Request-URI as spelled, ``uri`` the parsed value."""

    __slots__ = ("_uri", "method", "uri_text")

    def __init__(self, method: str, uri: Uri | str, headers: Headers, body: bytes = b"") -> None:
        self.method = method
        self.headers = headers
        self.body = body
        self._uri: Uri | None
        if isinstance(uri, str):
            self.uri_text = uri
            self._uri = None
        else:
            self.uri_text = str(uri)
            self._uri = uri

    @property
    def uri(self) -> Uri:
        """Request-URI. Raises RemoteProtocolError (400, 414)."""
        if self._uri is None:
            self._uri = parse_uri(self.uri_text)
        return self._uri

    @property
    def start_line(self) -> str:
        return f"{self.method} {self.uri_text} SIP/2.0"

    def __repr__(self) -> str:
        return f"<Request {grammar.printable(self.method)}>"


class Response(Message):
    """A response: ``status`` 100 to 699 and ``reason``, which may be empty."""

    __slots__ = ("reason", "status")

    def __init__(self, status: int, reason: str, headers: Headers, body: bytes = b"") -> None:
        self.status = status
        self.reason = reason
        self.headers = headers
        self.body = body

    @property
    def start_line(self) -> str:
        return f"SIP/2.0 {self.status} {self.reason}"

    def __repr__(self) -> str:
        return f"<Response {self.status}>"


# ---- parsing -------------------------------------------------------------------------------


def parse_datagram(data: bytes) -> Request | Response:
    """Read one message: a datagram, or what ``framing.StreamFramer`` cut out of a stream.

    Octets behind Content-Length are dropped (RFC 3261 18.3); without Content-Length the body goes
    to the end. Bare LF line ends are accepted. Raises RemoteProtocolError; its ``request`` tells
    whether an answer is possible.
    """
    if len(data) > limits.MAX_MESSAGE_SIZE:
        raise RemoteProtocolError("Message too large", 513, read_best_effort(data))
    message, body, problem = _read_head(data)
    if problem is None:
        try:
            message.body = _cut_body(message.headers, body)
        except RemoteProtocolError as error:
            problem = error
    if problem is not None:
        raise RemoteProtocolError(problem.message, problem.status_hint, _answerable(message))
    return message


def _read_head(data: bytes) -> tuple[Request | Response, bytes, RemoteProtocolError | None]:
    """Return message without body, what follows its head, and the first problem found."""
    start = 0
    while data.startswith(b"\r\n", start):  # RFC 3261 7.5
        start += 2
    end = data.find(b"\r\n\r\n", start)
    body_at = end + 4
    if end < 0:
        end = data.find(b"\n\n", start)
        body_at = end + 2
    problem: RemoteProtocolError | None = None
    if end < 0:
        end = body_at = len(data)
        problem = RemoteProtocolError("No empty line ends the header fields")
    if end - start > limits.MAX_HEAD_SIZE:
        end = start + limits.MAX_HEAD_SIZE
        problem = RemoteProtocolError("Header fields too large", 513)
    lines, line_problem = _cut_lines(data[start:end].decode("utf-8", "surrogateescape"))
    fields, field_problem = _read_fields(lines)
    message, start_problem = _read_start_line(lines[0], Headers.of_fields(fields))
    return message, data[body_at:], start_problem or problem or line_problem or field_problem


def _cut_lines(head: str) -> tuple[list[str], RemoteProtocolError | None]:
    """Return start line and unfolded header lines, none of which holds CR or LF."""
    lines = head.split("\r\n")
    ends = len(lines) - 1
    if (
        head.count("\n") == ends
        and head.count("\r") == ends
        and "\n " not in head
        and "\n\t" not in head
    ):
        return lines, None
    problem: RemoteProtocolError | None = None
    text = head.replace("\r\n", "\n")
    if "\r" in text:
        text = text.replace("\r", " ")
        problem = RemoteProtocolError("CR without LF in the header fields")
    return _FOLDING.sub(" ", text).split("\n"), problem


def _read_fields(lines: list[str]) -> tuple[list[Field], RemoteProtocolError | None]:
    """Cut header lines into fields; a bad line is skipped and the first one reported."""
    fields: list[Field] = []
    problem: RemoteProtocolError | None = None
    if len(lines) - 1 > limits.MAX_HEADER_COUNT:
        problem = RemoteProtocolError("Too many header fields", 513)
    known_key = KNOWN_KEYS.get
    for line in lines[1 : limits.MAX_HEADER_COUNT + 1]:
        name, colon, value = line.partition(":")
        key = known_key(name)
        if key is None:
            name = name.rstrip(grammar.WSP)
            key = header_key(name)
            if not grammar.is_token(name):
                problem = problem or RemoteProtocolError("Malformed header field")
                continue
        if not colon or len(line) > limits.MAX_HEADER_SIZE:
            problem = problem or RemoteProtocolError("Malformed or oversized header field")
            continue
        fields.append((key, name, value.strip(" \t")))
    return fields, problem


def _read_start_line(
    line: str, headers: Headers
) -> tuple[Request | Response, RemoteProtocolError | None]:
    if line[:4].upper() == "SIP/":
        return _read_status_line(line, headers)
    parts = line.split(" ")
    problem: RemoteProtocolError | None = None
    if len(parts) != 3 or not grammar.is_token(parts[0]) or "\t" in line:
        problem = RemoteProtocolError("Malformed request line")
    elif parts[2] != _VERSION and parts[2].upper() != _VERSION:
        if _ANY_VERSION.fullmatch(parts[2]):
            problem = RemoteProtocolError("Unsupported SIP version", 505)
        else:
            problem = RemoteProtocolError("Malformed request line")
    if problem is None:
        return Request(parts[0], parts[1], headers), None
    return Request(parts[0], " ".join(parts[1:-1]), headers), problem


def _read_status_line(line: str, headers: Headers) -> tuple[Response, RemoteProtocolError | None]:
    version, _, rest = line.partition(" ")
    code, _, reason = rest.partition(" ")
    valid = code.isascii() and code.isdigit() and len(code) == 3 and "1" <= code[0] <= "6"
    if not valid or version.upper() != _VERSION:
        return Response(0, "", headers), RemoteProtocolError("Malformed status line")
    return Response(int(code), reason, headers), None


def _cut_body(headers: Headers, body: bytes) -> bytes:
    lengths = headers.get_all("content-length")
    if not lengths:
        return body
    length = grammar.parse_number(lengths[0], "Content-Length", 2**63)
    if len(lengths) > 1 and any(other != lengths[0] for other in lengths):
        raise RemoteProtocolError("Contradicting Content-Length")
    if length > len(body):
        raise RemoteProtocolError("Body shorter than Content-Length")
    return body[:length]


def read_best_effort(head: bytes) -> Request | None:
    """Return what can be read of a request whose body cannot be told apart, if it can be
    answered."""
    return _answerable(_read_head(head)[0])


def _answerable(message: Request | Response) -> Request | None:
    """Return the message if it is a request that a stateless response can reach.

    A response repeats what it finds of To, From and Call-ID; only a Via and a CSeq must be there
    (RFC 4475 3.3.1). Of a malformed Via its sent-by will do (RFC 4475 3.1.2.1).
    """
    if not isinstance(message, Request) or message.method == "ACK":
        return None
    headers = message.headers
    top_via = headers.get("Via")
    if not top_via or not headers.get("CSeq"):
        return None
    try:
        _read(message.via)
    except RemoteProtocolError:
        try:
            via = parse_via(top_via.partition(";")[0])
        except RemoteProtocolError:
            return None
        headers.set("Via", str(via))
    return message


# ---- validation ----------------------------------------------------------------------------


def validate_request(request: Request) -> None:
    """Check what RFC 3261 8.1.1, 8.2.2.1 and 16.3 want right before a request is processed.

    Parses (and so caches) the top Via, From, To, Call-ID, CSeq, Max-Forwards, Contact, Route and
    Record-Route. A missing Max-Forwards, From tag or branch is accepted (RFC 2543 peers). Not
    checked here, because it needs more than the message: Require, hop count, loops, Contact of an
    INVITE, bodies. Raises RemoteProtocolError with status 400, 414 or 416 and its ``request`` set
    to this one, or to None if nobody can be answered.
    """
    try:
        _check(request)
    except RemoteProtocolError as error:
        error.request = _answerable(request)
        raise


def _check(request: Request) -> None:
    seen: set[str] = set()
    for key, name, _ in request.headers.fields:
        if key in _SINGLETONS:
            if key in seen:
                raise RemoteProtocolError(f"Repeated {grammar.printable(name)}")
            seen.add(key)
    if request.via.protocol.upper() != _VERSION:
        raise RemoteProtocolError("Unsupported protocol in Via")
    _check_uri(request)
    _read(request.from_, request.to, request.call_id, request.max_forwards, request.expires)
    _read(request.routes, request.record_routes)
    if request.cseq.method != request.method:
        raise RemoteProtocolError("CSeq names another method")
    for contact in request.contacts:
        expires = contact.params.get("expires")
        if expires is not None:
            grammar.parse_number(expires, "Contact expires", limits.MAX_DELTA_SECONDS)


def _check_uri(request: Request) -> None:
    uri = request.uri
    if not isinstance(uri, SipUri):
        raise RemoteProtocolError("Unsupported URI scheme", 416)
    # RFC 3261 19.1.1: headers do not belong into a Request-URI.
    if uri.headers is not None:
        raise RemoteProtocolError("Request-URI with headers")


def _read(*values: object) -> None:
    """Typed properties raise while they are read; that is all a check needs of them."""
