"""Sip: the noun of Dial, with its Uri, Headers and Header (twiml-voice.md section 3,
sip-domain.md section 8)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from twimlrunner.twiml import limits
from twimlrunner.twiml.attributes import quoted
from twimlrunner.twiml.element import Element, Reader
from twimlrunner.twiml.nodes.callbacks import Callback, read_progress_callback
from twimlrunner.twiml.nodes.number import MachineDetection, read_machine_detection

BAD_METHOD = 13241
BAD_URI = 13243
BAD_CREDENTIALS = 13249
TOO_MANY_URIS = 13250
TOO_MANY_HEADERS = 13251
BAD_HEADER_NAME = 13252
HEADERS_TOO_LONG = 13253

_TOKEN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.!%*_+`'~")


def is_token(name: str) -> bool:
    """Whether ``name`` may be a SIP header's (RFC 3261 section 25.1)."""
    return name != "" and _TOKEN.issuperset(name)


@dataclass(frozen=True, slots=True)
class Uri:
    """One target. Lower ``priority`` is tried first; of equal ones ``weight`` decides."""

    NAME: ClassVar[str] = "Uri"
    uri: str
    priority: int
    weight: int
    username: str
    password: str
    line: int

    @classmethod
    def from_element(cls, e: Element) -> Uri:
        username, password = _credentials(e)
        return cls(
            uri=_uri(e, e.body()),
            priority=e.integer("priority", 0, high=65_535),
            weight=e.integer("weight", 0, high=65_535),
            username=username,
            password=password,
            line=e.line,
        )

    def __repr__(self) -> str:
        return f"Uri({self.uri!r}, line={self.line})"  # no passwords in logs


@dataclass(frozen=True, slots=True)
class Header:
    """One header for the INVITE. A name that is no token is left out by whoever sends it."""

    NAME: ClassVar[str] = "Header"
    name: str
    value: str
    line: int

    @classmethod
    def from_element(cls, e: Element) -> Header:
        name = e.text("name")
        if not is_token(name):
            e.report(BAD_HEADER_NAME, f"{quoted(name)} is not a header name; it is not sent")
            name = ""
        return cls(name=name, value=e.text("value"), line=e.line)


@dataclass(frozen=True, slots=True)
class Sip:
    """``uris``: several in the nested form, one for plain text, none if it names no target."""

    NAME: ClassVar[str] = "Sip"
    uris: tuple[Uri, ...]
    headers: tuple[Header, ...]
    url: str | None
    method: str
    status_callback: Callback | None
    machine_detection: MachineDetection | None
    line: int

    @classmethod
    def from_element(cls, e: Element) -> Sip:
        username, password = _credentials(e)
        text = e.body()
        uris: list[Uri] = []
        headers: list[Header] = []
        for child in e.children(_CHILDREN):
            if isinstance(child, Uri):
                uris.append(child)
            else:
                headers.extend(child)
        if text or not uris:
            uris = [Uri(_uri(e, text), 0, 0, username, password, e.line)]
        if len(uris) > limits.SIP_URIS:
            e.report(TOO_MANY_URIS, f"has over {limits.SIP_URIS} Uri; the rest are left out")
        return cls(
            uris=tuple([uri for uri in uris if uri.uri][: limits.SIP_URIS]),
            headers=tuple(headers),
            url=e.url("url"),
            method=e.method(code=BAD_METHOD),
            status_callback=read_progress_callback(e),
            machine_detection=read_machine_detection(e),
            line=e.line,
        )


def _uri(e: Element, uri: str) -> str:
    """The URI as written, or empty: its form is the SIP stack's business, blanks are ours."""
    if not uri or not uri.isprintable() or " " in uri:
        host = uri.rpartition("@")[2]  # what stands before it may be a password
        e.report(BAD_URI, f"{quoted(host)} is not a SIP URI")
        return ""
    return uri


def _credentials(e: Element) -> tuple[str, str]:
    username, password = e.text("username"), e.text("password")
    longest = limits.SIP_CREDENTIAL
    if len(username) > longest or len(password) > longest:
        e.report(BAD_CREDENTIALS, f"username or password is over {longest} characters; unused")
        return "", ""
    return username, password


def _headers(e: Element) -> tuple[Header, ...]:
    headers = [header for header in e.children({"Header": Header.from_element}) if header.name]
    if len(headers) > limits.SIP_HEADERS:
        e.report(TOO_MANY_HEADERS, f"are over {limits.SIP_HEADERS}; the rest are left out")
        headers = headers[: limits.SIP_HEADERS]
    if sum(len(h.name) + len(h.value) for h in headers) > limits.SIP_HEADERS_CHARACTERS:
        most = limits.SIP_HEADERS_CHARACTERS
        e.report(HEADERS_TOO_LONG, f"are over {most} characters together; none are sent")
        return ()
    return tuple(headers)


_CHILDREN: Mapping[str, Reader[Uri | tuple[Header, ...]]] = {
    "Uri": Uri.from_element,
    "Headers": _headers,
}
