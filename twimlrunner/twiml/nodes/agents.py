"""Nouns of Connect that hand the call to a service: ConversationRelay, VirtualAgent, Room,
Conversation, AiSession, Autopilot (twiml-voice.md section 5).

Their settings are for that service: they are handed on as written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from twimlrunner.twiml.element import Element, Reader
from twimlrunner.twiml.errors import SCHEMA
from twimlrunner.twiml.nodes.callbacks import Callback, Parameter, read_callback
from twimlrunner.twiml.nodes.streams import websocket_url

Options = tuple[tuple[str, str], ...]

_RELAY_OPTIONS = (
    "language", "ttsLanguage", "transcriptionLanguage", "ttsProvider", "voice",
    "transcriptionProvider", "speechModel", "profanityFilter", "dtmfDetection", "welcomeGreeting",
    "welcomeGreetingInterruptible", "partialPrompts", "interruptible", "preemptible", "hints",
    "intelligenceService", "reportInputDuringAgentSpeech", "elevenlabsTextNormalization",
    "interruptSensitivity", "debug", "backgroundNoiseReduction", "speechTimeout",
    "deepgramSmartFormat", "ignoreBackchannel", "events", "partialPromptOnHangup",
    "eagerEotThreshold", "asrSmartFormat", "ttsTextNormalization", "ttsLanguageTextNormalization",
    "elevenlabsLanguageTextNormalization", "includeInPrompt", "customerName",
    "applicationReconnect", "echoPromptFiltering", "turnDetection",
)  # fmt: skip
_RELAY_LANGUAGE_OPTIONS = (
    "ttsProvider", "voice", "transcriptionProvider", "speechModel", "hints", "asrSmartFormat",
    "ttsTextNormalization", "ttsLanguageTextNormalization",
)  # fmt: skip
_CONVERSATION_OPTIONS = (
    "serviceInstanceSid", "inboundAutocreation", "routingAssignmentTimeout", "inboundTimeout",
    "url", "method", "record", "trim", "recordingStatusCallback", "recordingStatusCallbackMethod",
    "recordingStatusCallbackEvent", "statusCallback", "statusCallbackMethod",
    "statusCallbackEvent",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Language:
    """Settings of ConversationRelay for one language."""

    NAME: ClassVar[str] = "Language"
    code: str
    options: Options
    line: int

    @classmethod
    def from_element(cls, e: Element) -> Language:
        code = e.language("code", "")
        return cls(code=code, options=e.options(_RELAY_LANGUAGE_OPTIONS), line=e.line)


@dataclass(frozen=True, slots=True)
class ConversationRelay:
    """Speech in and out over a WebSocket at ``url``."""

    NAME: ClassVar[str] = "ConversationRelay"
    url: str
    options: Options
    languages: tuple[Language, ...]
    parameters: tuple[Parameter, ...]
    line: int

    @classmethod
    def from_element(cls, e: Element) -> ConversationRelay:
        readers: Mapping[str, Reader[Language | Parameter]] = {
            "Language": Language.from_element,
            "Parameter": Parameter.from_element,
        }
        children = e.children(readers)
        return cls(
            url=websocket_url(e),
            options=e.options(_RELAY_OPTIONS),
            languages=tuple([child for child in children if isinstance(child, Language)]),
            parameters=tuple([child for child in children if isinstance(child, Parameter)]),
            line=e.line,
        )


@dataclass(frozen=True, slots=True)
class Config:
    """One setting of a virtual agent."""

    NAME: ClassVar[str] = "Config"
    name: str
    value: str
    line: int

    @classmethod
    def from_element(cls, e: Element) -> Config:
        return cls(name=e.text("name"), value=e.text("value"), line=e.line)


@dataclass(frozen=True, slots=True)
class VirtualAgent:
    """An agent behind a connector of the account."""

    NAME: ClassVar[str] = "VirtualAgent"
    connector_name: str
    language: str
    sentiment_analysis: bool
    status_callback: Callback | None
    configs: tuple[Config, ...]
    parameters: tuple[Parameter, ...]
    line: int

    @classmethod
    def from_element(cls, e: Element) -> VirtualAgent:
        readers: Mapping[str, Reader[Config | Parameter]] = {
            "Config": Config.from_element,
            "Parameter": Parameter.from_element,
        }
        children = e.children(readers)
        return cls(
            connector_name=e.text("connectorName"),
            language=e.language("language", ""),
            sentiment_analysis=e.boolean("sentimentAnalysis", False),
            status_callback=read_callback(e),
            configs=tuple([child for child in children if isinstance(child, Config)]),
            parameters=tuple([child for child in children if isinstance(child, Parameter)]),
            line=e.line,
        )


@dataclass(frozen=True, slots=True)
class Room:
    """A video room by name."""

    NAME: ClassVar[str] = "Room"
    name: str
    participant_identity: str
    line: int

    @classmethod
    def from_element(cls, e: Element) -> Room:
        name = e.body()
        if not name:
            e.report(SCHEMA, "needs the name of a room")
        return cls(name=name, participant_identity=e.text("participantIdentity"), line=e.line)


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation of a messaging service."""

    NAME: ClassVar[str] = "Conversation"
    options: Options
    line: int

    @classmethod
    def from_element(cls, e: Element) -> Conversation:
        return cls(options=e.options(_CONVERSATION_OPTIONS), line=e.line)


@dataclass(frozen=True, slots=True)
class AiSession:
    """A session of an AI connector."""

    NAME: ClassVar[str] = "AiSession"
    ai_connector: str
    ai_session_configuration: str
    line: int

    @classmethod
    def from_element(cls, e: Element) -> AiSession:
        return cls(
            ai_connector=e.text("aiConnector"),
            ai_session_configuration=e.text("aiSessionConfiguration"),
            line=e.line,
        )


@dataclass(frozen=True, slots=True)
class Autopilot:
    """Retired by the vendor; known by name only."""

    NAME: ClassVar[str] = "Autopilot"
    name: str
    line: int

    @classmethod
    def from_element(cls, e: Element) -> Autopilot:
        return cls(name=e.body(), line=e.line)
