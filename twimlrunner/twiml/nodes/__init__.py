"""The syntax table: every verb by its name, case-sensitive.

A noun is known to the verbs that may contain it, and stands in their modules.
"""

from __future__ import annotations

from typing import ClassVar, Protocol

from twimlrunner.twiml.document import Node
from twimlrunner.twiml.element import Element
from twimlrunner.twiml.nodes.flow import Echo, Hangup, Leave, Redirect, Reject
from twimlrunner.twiml.nodes.pause import Pause
from twimlrunner.twiml.nodes.play import Play
from twimlrunner.twiml.nodes.say import Say


class Verb(Protocol):
    """The class of a node that may stand directly in Response."""

    NAME: ClassVar[str]

    @classmethod
    def from_element(cls, e: Element) -> Node: ...


NODES: dict[str, type[Verb]] = {
    "Say": Say,
    "Play": Play,
    "Pause": Pause,
    "Hangup": Hangup,
    "Reject": Reject,
    "Redirect": Redirect,
    "Leave": Leave,
    "Echo": Echo,
}
