"""What a web server's answer means, by its content type (webhooks.md section 1). Pure."""

from __future__ import annotations

from twimlrunner.twiml.document import Document
from twimlrunner.twiml.errors import WRONG_CONTENT_TYPE, Issue, TwimlError
from twimlrunner.twiml.nodes.flow import Hangup
from twimlrunner.twiml.nodes.play import Play
from twimlrunner.twiml.nodes.say import (
    DEFAULT_LANGUAGE,
    DEFAULT_VOICE,
    TEXT_TOO_LONG,
    Say,
    longest_text,
)
from twimlrunner.twiml.parser import parse

_TWIML = frozenset({"text/xml", "application/xml", "text/html"})


def interpret(body: bytes, content_type: str, url: str) -> Document:
    """The document of an answer that came from ``url`` (absolute, after redirects).

    ``content_type`` is the header as received, empty when there was none. An empty body is an
    empty document whatever its type. Raises :class:`TwimlError`: 12300 for a type that cannot be
    run, else as :func:`parse`.
    """
    if not body:
        return Document()
    media_type, _, parameters = content_type.partition(";")
    media_type = media_type.strip().lower()
    if media_type in _TWIML:
        return parse(body)
    if media_type.startswith("audio/"):
        return Document((Play(url=url, digits="", loop=1, line=0), Hangup(line=0)))
    if media_type == "text/plain":
        return _plain(body, parameters)
    shown = media_type[:60] or "none"
    raise TwimlError(
        WRONG_CONTENT_TYPE, f"content type {shown} is neither TwiML nor audio nor text"
    )


def _plain(body: bytes, parameters: str) -> Document:
    try:
        return parse(body)
    except TwimlError:
        text = " ".join(body.decode(_charset(parameters), "replace").split())
    issues: tuple[Issue, ...] = ()
    longest = longest_text(DEFAULT_VOICE)
    if len(text) > longest:
        message = f"text is over {longest} characters; the rest is not spoken"
        issues = (Issue(TEXT_TOO_LONG, "warning", message, 1),)
        text = text[:longest]
    say = Say(
        text=text, ssml="", voice=DEFAULT_VOICE, language=DEFAULT_LANGUAGE, loop=1, line=1
    )  # fmt: skip
    return Document((say, Hangup(line=0)), issues)


def _charset(parameters: str) -> str:
    """The encoding that the type's parameters name; UTF-8 when they name none that we know."""
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            value = value.strip().strip('"').lower()
            return value if value in ("us-ascii", "iso-8859-1", "windows-1252") else "utf-8"
    return "utf-8"
