"""The syntax table: every verb by its name, case-sensitive.

A noun is known to the verbs that may contain it, and stands in their modules.
"""

from __future__ import annotations

from typing import ClassVar, Protocol

from twimlrunner.twiml.document import Node
from twimlrunner.twiml.element import Element
from twimlrunner.twiml.nodes.connect import Connect, Start, Stop
from twimlrunner.twiml.nodes.dial import Dial
from twimlrunner.twiml.nodes.enqueue import Enqueue
from twimlrunner.twiml.nodes.flow import Echo, Hangup, Leave, Redirect, Reject
from twimlrunner.twiml.nodes.gather import Gather
from twimlrunner.twiml.nodes.pause import Pause
from twimlrunner.twiml.nodes.pay import Pay, Prompt, Sms
from twimlrunner.twiml.nodes.play import Play
from twimlrunner.twiml.nodes.record import Record
from twimlrunner.twiml.nodes.refer import Refer
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
    "Gather": Gather,
    "Record": Record,
    "Dial": Dial,
    "Enqueue": Enqueue,
    "Leave": Leave,
    "Hangup": Hangup,
    "Reject": Reject,
    "Redirect": Redirect,
    "Refer": Refer,
    "Connect": Connect,
    "Start": Start,
    "Stop": Stop,
    "Pay": Pay,
    "Prompt": Prompt,
    "Echo": Echo,
    "Sms": Sms,
}
