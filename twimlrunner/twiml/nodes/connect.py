"""Connect, Start and Stop (twiml-voice.md section 5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from twimlrunner.twiml.element import Element, Reader
from twimlrunner.twiml.errors import SCHEMA
from twimlrunner.twiml.nodes.agents import (
    AiSession,
    Autopilot,
    Conversation,
    ConversationRelay,
    Room,
    VirtualAgent,
)
from twimlrunner.twiml.nodes.streams import (
    BAD_TRACK,
    Recording,
    Siprec,
    Stream,
    Transcription,
)

BAD_SIDE_NOUN = 14300

Service: TypeAlias = (
    Stream | ConversationRelay | Room | VirtualAgent | Conversation | AiSession | Autopilot
)
SideNoun: TypeAlias = Stream | Siprec | Transcription | Recording


@dataclass(frozen=True, slots=True)
class Connect:
    """Hand the call to one ``service`` until that closes; None if the document names none.
    ``action`` None: the next verb follows."""

    NAME: ClassVar[str] = "Connect"
    service: Service | None
    action: str | None
    method: str
    line: int

    @classmethod
    def from_element(cls, e: Element) -> Connect:
        services = e.children(_SERVICES)
        if len(services) != 1:
            e.report(SCHEMA, "needs exactly one noun")
        service = services[0] if services else None
        if isinstance(service, Stream) and service.track != "inbound_track":
            e.report(BAD_TRACK, "sends the inbound track only")
        return cls(service=service, action=e.url("action"), method=e.method(), line=e.line)


@dataclass(frozen=True, slots=True)
class Start:
    """Begin side streams and go on."""

    NAME: ClassVar[str] = "Start"
    nouns: tuple[SideNoun, ...]
    action: str | None
    method: str
    line: int

    @classmethod
    def from_element(cls, e: Element) -> Start:
        nouns = _side_nouns(e)
        return cls(nouns=nouns, action=e.url("action"), method=e.method(), line=e.line)


@dataclass(frozen=True, slots=True)
class Stop:
    """End side streams by the name of the noun."""

    NAME: ClassVar[str] = "Stop"
    nouns: tuple[SideNoun, ...]
    line: int

    @classmethod
    def from_element(cls, e: Element) -> Stop:
        return cls(nouns=_side_nouns(e), line=e.line)


def _side_nouns(e: Element) -> tuple[SideNoun, ...]:
    nouns = e.children(_SIDE_NOUNS, BAD_SIDE_NOUN)
    if not nouns:
        e.report(BAD_SIDE_NOUN, "names nothing to start or stop")
    return nouns


_SERVICES: Mapping[str, Reader[Service]] = {
    "Stream": Stream.from_element,
    "ConversationRelay": ConversationRelay.from_element,
    "Room": Room.from_element,
    "VirtualAgent": VirtualAgent.from_element,
    "Conversation": Conversation.from_element,
    "AiSession": AiSession.from_element,
    "Autopilot": Autopilot.from_element,
}
_SIDE_NOUNS: Mapping[str, Reader[SideNoun]] = {
    "Stream": Stream.from_element,
    "Siprec": Siprec.from_element,
    "Transcription": Transcription.from_element,
    "Recording": Recording.from_element,
}
