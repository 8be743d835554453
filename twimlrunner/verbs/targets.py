"""Nouns of Dial as the call layer dials them (twiml-voice.md section 3, sip-domain.md 8)."""

from __future__ import annotations

from collections.abc import Iterable

from twimlrunner.engine.handler import VerbContext
from twimlrunner.engine.ports import DialTarget, DialUri
from twimlrunner.twiml.attributes import quoted
from twimlrunner.twiml.errors import UNSUPPORTED_VERB
from twimlrunner.twiml.limits import SIP_HEADERS, SIP_HEADERS_CHARACTERS
from twimlrunner.twiml.nodes.dial import Noun
from twimlrunner.twiml.nodes.number import Client, Number
from twimlrunner.twiml.nodes.sip import Sip, is_token
from twimlrunner.verbs.callbacks import callback_target

SIP = "sip"
NUMBER = "number"
CLIENT = "client"

BAD_HEADER_NAME = 32111
BAD_HEADER_VALUE = 32112
HEADERS_TOO_LONG = 13253

Headers = tuple[tuple[str, str], ...]


def dial_target(noun: Noun, context: VerbContext) -> DialTarget | None:
    """None for a noun that names nobody (reported when it was read) and for one that this version
    cannot dial. Raises VerbFailed for a screening URL that cannot be used."""
    match noun:
        case Number():
            if noun.byoc:
                _unsupported(noun, context, f"byoc of <{noun.NAME}>", "trunks go by their rules")
            return _number(noun, context) if noun.number else None
        case Sip():
            return _sip(noun, context) if noun.uris else None
        case Client():
            return _client(noun, context) if noun.identity else None
        case _:
            _unsupported(noun, context, f"<{noun.NAME}> in <Dial>", "it is not dialled")
            return None


def _number(noun: Number, context: VerbContext) -> DialTarget:
    _check_machine_detection(noun, context)
    return DialTarget(
        kind=NUMBER,
        address=noun.number,
        screening=_screening(noun, context),
        callback=callback_target(noun.status_callback, context),
        send_digits=noun.send_digits,
    )


def _sip(noun: Sip, context: VerbContext) -> DialTarget:
    _check_machine_detection(noun, context)
    uris = [DialUri(u.uri, u.username, u.password, u.priority, u.weight) for u in noun.uris]
    return DialTarget(
        kind=SIP,
        address=uris[0].uri,
        uris=tuple(uris),
        headers=_sendable([(header.name, header.value) for header in noun.headers], noun, context),
        screening=_screening(noun, context),
        callback=callback_target(noun.status_callback, context),
    )


def _client(noun: Client, context: VerbContext) -> DialTarget:
    """Parameters become ``X-`` headers: a telephone has no other place for them."""
    named = [
        (p.name if p.name.lower().startswith("x-") else f"X-{p.name}", p.value)
        for p in noun.parameters
        if p.name
    ]
    return DialTarget(
        kind=CLIENT,
        address=noun.identity,
        headers=_limited(_sendable(named, noun, context), noun, context),
        screening=_screening(noun, context),
        callback=callback_target(noun.status_callback, context),
    )


def _screening(noun: Number | Sip | Client, context: VerbContext) -> tuple[str, str] | None:
    return (context.resolve(noun.url), noun.method) if noun.url else None


def _sendable(headers: Iterable[tuple[str, str]], noun: Noun, context: VerbContext) -> Headers:
    """Without those that would not survive in a SIP message, or would break out of their line."""
    found = []
    for name, value in headers:
        if not is_token(name):
            message = f"line {noun.line}: {quoted(name)} is not a header name; it is not sent"
            context.warn(BAD_HEADER_NAME, message)
        elif not value.isprintable():
            message = f"line {noun.line}: the value of header {quoted(name)} has control characters"
            context.warn(BAD_HEADER_VALUE, f"{message}; it is not sent")
        else:
            found.append((name, value))
    return tuple(found)


def _limited(headers: Headers, noun: Client, context: VerbContext) -> Headers:
    """The limits that the parser holds ``<Headers>`` to."""
    size = sum(len(name) + len(value) for name, value in headers)
    if len(headers) <= SIP_HEADERS and size <= SIP_HEADERS_CHARACTERS:
        return headers
    most = f"{SIP_HEADERS} of {SIP_HEADERS_CHARACTERS} characters together"
    context.warn(HEADERS_TOO_LONG, f"line {noun.line}: Parameters are over {most}; none are sent")
    return ()


def _check_machine_detection(noun: Number | Sip, context: VerbContext) -> None:
    if noun.machine_detection is not None:
        _unsupported(noun, context, f"machineDetection of <{noun.NAME}>", "it is ignored")


def _unsupported(noun: Noun, context: VerbContext, what: str, then: str) -> None:
    message = f"line {noun.line}: {what} is not supported by this version; {then}"
    context.warn(UNSUPPORTED_VERB, message)
