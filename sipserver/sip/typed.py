"""Typed values of the headers that the protocol itself acts on: ``Headers`` in, value out.

``Message`` exposes them as cached properties. Each raises RemoteProtocolError when its header is
malformed, or missing where every message must have it.
"""

from __future__ import annotations

from sipserver.sip import grammar, limits
from sipserver.sip.errors import RemoteProtocolError
from sipserver.sip.headers import CSeq, Headers, Via, parse_cseq, parse_via
from sipserver.sip.uri import NameAddr, parse_name_addr


def _single(headers: Headers, name: str) -> str:
    value = headers.get(name)
    if not value:
        raise RemoteProtocolError(f"Missing {name}")
    return value


def call_id(headers: Headers) -> str:
    value = _single(headers, "Call-ID")
    if " " in value or "\t" in value:
        raise RemoteProtocolError("Malformed Call-ID")
    return value


def cseq(headers: Headers) -> CSeq:
    return parse_cseq(_single(headers, "CSeq"))


def top_via(headers: Headers) -> Via:
    return parse_via(grammar.first_element(_single(headers, "Via"))[0])


def vias(headers: Headers) -> list[Via]:
    elements = headers.values("Via")
    if len(elements) > limits.MAX_VIAS:
        raise RemoteProtocolError("Too many Vias")
    return [parse_via(element) for element in elements]


def from_(headers: Headers) -> NameAddr:
    return parse_name_addr(_single(headers, "From"))


def to(headers: Headers) -> NameAddr:
    return parse_name_addr(_single(headers, "To"))


def contacts(headers: Headers) -> list[NameAddr]:
    elements = headers.values("Contact")
    if elements == ["*"]:
        return []
    return [parse_name_addr(element) for element in elements]


def _number(headers: Headers, name: str, largest: int) -> int | None:
    value = headers.get(name)
    return None if value is None else grammar.parse_number(value, name, largest)


def max_forwards(headers: Headers) -> int | None:
    return _number(headers, "Max-Forwards", 255)


def expires(headers: Headers) -> int | None:
    return _number(headers, "Expires", limits.MAX_DELTA_SECONDS)


def routes(headers: Headers) -> list[NameAddr]:
    return [parse_name_addr(element) for element in headers.values("Route")]


def record_routes(headers: Headers) -> list[NameAddr]:
    return [parse_name_addr(element) for element in headers.values("Record-Route")]


def content_type(headers: Headers) -> str | None:
    value = headers.get("Content-Type")
    if not value:
        return None
    kind, slash, subtype = value.partition(";")[0].lower().partition("/")
    kind, subtype = kind.strip(), subtype.strip()
    if not slash or not grammar.is_token(kind) or not grammar.is_token(subtype):
        raise RemoteProtocolError("Malformed Content-Type")
    return f"{kind}/{subtype}"


def _option_tags(headers: Headers, name: str) -> tuple[str, ...]:
    # Split by hand to forgive empty elements ("replaces, , timer"), which mean nothing here.
    tags = (tag.strip() for value in headers.get_all(name) for tag in value.split(","))
    return tuple(tag.lower() for tag in tags if tag)


def require(headers: Headers) -> tuple[str, ...]:
    return _option_tags(headers, "Require")


def supported(headers: Headers) -> tuple[str, ...]:
    return _option_tags(headers, "Supported")
