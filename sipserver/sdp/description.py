"""Session descriptions: text to value and back (RFC 8866, RFC 4566).

Every line is kept, known or not, in its place; ``bytes`` of a parsed description with CRLF line
ends is the input again. Only what negotiation reads is interpreted, and only when it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, NamedTuple

from sipserver.sdp import limits

DIRECTIONS: Final = ("sendrecv", "sendonly", "recvonly", "inactive")


class SdpError(Exception):
    """The text is no usable session description (log code 32102)."""


class Line(NamedTuple):
    """``kind=value``, without line end."""

    kind: str
    value: str


class Origin(NamedTuple):
    """The o= line; ``address`` as spelled."""

    username: str
    session_id: int
    version: int
    address: str


@dataclass(frozen=True, slots=True)
class MediaLine:
    """One m= line with the lines that belong to it. ``port`` 0 means rejected or disabled;
    ``port_count`` is the number behind ``/``, None when absent."""

    media: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    lines: tuple[Line, ...] = ()
    port_count: int | None = None

    @property
    def connection(self) -> str | None:
        """Address of the first c= line of this medium, see ``parse_connection``."""
        return _connection(self.lines)

    @property
    def direction(self) -> str | None:
        """``sendrecv``, ``sendonly``, ``recvonly`` or ``inactive``; None when not stated."""
        return _direction(self.lines)

    def attribute(self, name: str) -> str | None:
        """Value of the first ``a=name``: ``""`` for a flag, None when absent."""
        return next(_attributes(self.lines, name), None)

    def attributes(self, name: str) -> list[str]:
        """Values of all ``a=name`` lines in order."""
        return list(_attributes(self.lines, name))

    def mapped(self, name: str) -> dict[str, str]:
        """Payload type → rest, for ``rtpmap`` and ``fmtp``; the first line of a type counts."""
        found: dict[str, str] = {}
        for value in _attributes(self.lines, name):
            payload_type, _, rest = value.partition(" ")
            found.setdefault(payload_type, rest.strip())
        return found

    def __str__(self) -> str:
        count = "" if self.port_count is None else f"/{self.port_count}"
        formats = " ".join(self.formats)
        head = f"m={self.media} {self.port}{count} {self.protocol} {formats}\r\n"
        return head + _text(self.lines)


@dataclass(frozen=True, slots=True)
class SessionDescription:
    """The session-level lines in order, ``v=0`` first, and the media."""

    lines: tuple[Line, ...]
    media: tuple[MediaLine, ...] = ()

    @classmethod
    def parse(cls, body: bytes) -> SessionDescription:
        """Read a description. LF line ends and a missing last line end are accepted.

        Raises SdpError: empty, over a limit, not beginning with ``v=0``, no ``o=``, or a
        malformed line.
        """
        if len(body) > limits.MAX_SIZE:
            raise SdpError("SDP too large")
        text = body.decode("utf-8", "surrogateescape")
        rows = text.replace("\r\n", "\n").rstrip("\n").split("\n")
        if rows[0] != "v=0":
            raise SdpError("SDP does not begin with v=0")
        if len(rows) > limits.MAX_LINES:
            raise SdpError("Too many SDP lines")
        session: list[Line] = []
        media: list[tuple[str, list[Line]]] = []
        lines = session
        for row in rows:
            if len(row) < 2 or row[1] != "=" or not ("a" <= row[0] <= "z"):
                raise SdpError("Malformed SDP line")
            if len(row) > limits.MAX_LINE_SIZE or "\r" in row or "\0" in row:
                raise SdpError("SDP line too long or with control characters")
            if row[0] == "m":
                lines = []
                media.append((row[2:], lines))
            else:
                lines.append(Line(row[0], row[2:]))
        if len(media) > limits.MAX_MEDIA:
            raise SdpError("Too many SDP media")
        description = cls(
            tuple(session), tuple(_media_line(value, tuple(rest)) for value, rest in media)
        )
        _read_origin(description.lines)
        return description

    @property
    def origin(self) -> Origin:
        """The o= line. Raises SdpError when there is none that is valid."""
        return _read_origin(self.lines)

    @property
    def connection(self) -> str | None:
        """Address of the session-level c= line, see ``parse_connection``."""
        return _connection(self.lines)

    @property
    def direction(self) -> str | None:
        """Session-level direction; None when not stated."""
        return _direction(self.lines)

    @property
    def timing(self) -> list[str]:
        """Values of the t= lines."""
        return [line.value for line in self.lines if line.kind == "t"]

    def attribute(self, name: str) -> str | None:
        """Value of the first session-level ``a=name``: ``""`` for a flag, None when absent."""
        return next(_attributes(self.lines, name), None)

    def __str__(self) -> str:
        return _text(self.lines) + "".join(str(medium) for medium in self.media)

    def __bytes__(self) -> bytes:
        return str(self).encode("utf-8", "surrogateescape")


def parse_connection(value: str) -> str:
    """Return the address of ``IN IP4 address`` (c=, and the tail of a=rtcp), IPv6 without scope.

    Raises SdpError for host names, which would need a resolver, multicast (RFC 8866 5.7 with a
    TTL) and anything else.
    """
    parts = value.split()
    if len(parts) != 3 or parts[0].upper() != "IN":
        raise SdpError("Malformed SDP address")
    try:
        address: IPv4Address | IPv6Address = ip_address(parts[2])
    except ValueError:
        raise SdpError("SDP address is no unicast IP address") from None
    if address.is_multicast or f"IP{address.version}" != parts[1].upper():
        raise SdpError("SDP address is multicast or of another family")
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise SdpError("SDP address with a scope")
    return str(address)


def parse_port(text: str) -> int:
    """Read a port number, 0 to 65535. Raises SdpError."""
    if not (text.isascii() and text.isdigit()) or len(text) > 5 or int(text) > 65_535:
        raise SdpError("Malformed SDP port")
    return int(text)


def _media_line(value: str, lines: tuple[Line, ...]) -> MediaLine:
    parts = value.split()
    if len(parts) < 4 or len(parts) > limits.MAX_FORMATS + 3:
        raise SdpError("Malformed m= line")
    port, slash, count = parts[1].partition("/")
    return MediaLine(
        media=parts[0],
        port=parse_port(port),
        protocol=parts[2],
        formats=tuple(parts[3:]),
        lines=lines,
        port_count=parse_port(count) if slash else None,
    )


def _read_origin(lines: tuple[Line, ...]) -> Origin:
    for line in lines:
        if line.kind == "o":
            parts = line.value.rsplit(" ", 5)  # a user name with blanks is no reason to refuse
            if len(parts) != 6:
                break
            numbers = (parts[1], parts[2])
            # RFC 3264 5 wants 64 bits; longer ones are in use and cost nothing up to here.
            if not all(n.isascii() and n.isdigit() and len(n) <= 40 for n in numbers):
                break
            return Origin(parts[0], int(parts[1]), int(parts[2]), parts[5])
    raise SdpError("No valid o= line")


def _connection(lines: tuple[Line, ...]) -> str | None:
    for line in lines:
        if line.kind == "c":
            return parse_connection(line.value)
    return None


def _direction(lines: tuple[Line, ...]) -> str | None:
    for line in lines:
        if line.kind == "a" and line.value in DIRECTIONS:
            return line.value
    return None


def _attributes(lines: tuple[Line, ...], name: str) -> Iterator[str]:
    for line in lines:
        if line.kind == "a":
            found, _, value = line.value.partition(":")
            if found == name:
                yield value


def _text(lines: tuple[Line, ...]) -> str:
    return "".join([f"{line.kind}={line.value}\r\n" for line in lines])
