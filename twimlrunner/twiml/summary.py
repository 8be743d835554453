"""One line about a node for the call log. Pure. Digits and passwords never show up in it."""

from __future__ import annotations

from urllib.parse import urlsplit

from twimlrunner.twiml.attributes import quoted
from twimlrunner.twiml.document import Node
from twimlrunner.twiml.nodes.connect import Connect, Start, Stop
from twimlrunner.twiml.nodes.dial import Dial
from twimlrunner.twiml.nodes.enqueue import Enqueue
from twimlrunner.twiml.nodes.flow import Redirect, Reject
from twimlrunner.twiml.nodes.gather import Gather
from twimlrunner.twiml.nodes.pause import Pause
from twimlrunner.twiml.nodes.play import Play
from twimlrunner.twiml.nodes.refer import Refer
from twimlrunner.twiml.nodes.say import Say


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
            return ", ".join([noun.NAME for noun in node.nouns])
        case Enqueue():
            return quoted(node.name)
        case Refer():
            return node.target
        case Connect():
            return node.service.NAME if node.service else ""
        case Start() | Stop():
            return ", ".join([noun.NAME for noun in node.nouns])
        case _:
            return ""


def _shown(url: str) -> str:
    """The URL without the user and password that may stand in it."""
    if "@" not in url:
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(not a URL)"
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
