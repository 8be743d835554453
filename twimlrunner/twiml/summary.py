"""One line about a node for the call log. Pure. Digits and passwords never show up in it."""

from __future__ import annotations

from urllib.parse import urlsplit

from twimlrunner.twiml.attributes import quoted
from twimlrunner.twiml.document import Node
from twimlrunner.twiml.nodes.conference import Conference, Queue
from twimlrunner.twiml.nodes.connect import Connect, Start, Stop
from twimlrunner.twiml.nodes.dial import Dial, Noun
from twimlrunner.twiml.nodes.enqueue import Enqueue
from twimlrunner.twiml.nodes.flow import Redirect, Reject
from twimlrunner.twiml.nodes.gather import Gather
from twimlrunner.twiml.nodes.number import Application, Client, Number, Sim, WhatsApp
from twimlrunner.twiml.nodes.pause import Pause
from twimlrunner.twiml.nodes.play import Play
from twimlrunner.twiml.nodes.refer import Refer
from twimlrunner.twiml.nodes.say import Say
from twimlrunner.twiml.nodes.sip import Sip
from twimlrunner.twiml.redact import without_passwords


def summarise(node: Node) -> str:
    """What an operator wants to see of the verb beside its name; may be empty."""
    match node:
        case Say():
            times = f" x{node.loop}" if node.loop > 1 else ""
            return f"{quoted(node.text)} {node.voice}{times}"
        case Play():
            times = f" x{node.loop}" if node.loop > 1 else ""
            return (f"{len(node.digits)} digits" if node.digits else _shown(node.url)) + times
        case Pause():
            return f"{node.length} s"
        case Redirect():
            return f"{node.method} {_shown(node.url) or '(current document)'}"
        case Reject():
            return node.reason
        case Gather():
            return " ".join(node.input)
        case Dial():
            return ", ".join([f"{noun.NAME} {_target(noun)}".rstrip() for noun in node.nouns])
        case Enqueue():
            return quoted(node.name)
        case Refer():
            return without_passwords(node.target)
        case Connect():
            return node.service.NAME if node.service else ""
        case Start() | Stop():
            return ", ".join([noun.NAME for noun in node.nouns])
        case _:
            return ""


def _target(noun: Noun) -> str:
    """Who is to be called."""
    match noun:
        case Number() | WhatsApp():
            return quoted(noun.number)
        case Sip():
            return " ".join([quoted(without_passwords(uri.uri)) for uri in noun.uris])
        case Client():
            return quoted(noun.identity)
        case Conference() | Queue():
            return quoted(noun.name)
        case Application() | Sim():
            return quoted(noun.sid)


def _shown(url: str) -> str:
    """The URL without the user and password that may stand in it."""
    if "@" not in url:
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(not a URL)"
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
