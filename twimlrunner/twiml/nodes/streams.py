"""Side streams: the nouns Stream, Recording, Transcription and Siprec
(twiml-voice.md section 5, media-streams.md section 1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import urlsplit

from twimlrunner.twiml import limits
from twimlrunner.twiml.attributes import quoted
from twimlrunner.twiml.element import Element
from twimlrunner.twiml.errors import SCHEMA
from twimlrunner.twiml.nodes.callbacks import (
    Callback,
    Parameter,
    read_callback,
    read_recording_callback,
)
from twimlrunner.twiml.nodes.record import TRIM

URL_WITH_QUERY = 31920
WRONG_SCHEME = 31922
BAD_URL = 31923
BAD_TRACK = 31941

TRACKS = ("inbound_track", "outbound_track", "both_tracks")


@dataclass(frozen=True, slots=True)
class Stream:
    """``url`` is ``wss``, ``ws`` (whether that is allowed is the verb's to say) or relative;
    empty inside Stop, where ``name`` counts."""

    NAME: ClassVar[str] = "Stream"
    url: str
    name: str
    track: str
    status_callback: Callback | None
    connector_name: str
    parameters: tuple[Parameter, ...]
    line: int

    @classmethod
    def from_element(cls, e: Element) -> Stream:
        return cls(
            url=websocket_url(e),
            name=e.text("name"),
            track=e.one_of("track", "inbound_track", TRACKS, code=BAD_TRACK),
            status_callback=read_callback(e),
            connector_name=e.text("connectorName"),
            parameters=read_parameters(e),
            line=e.line,
        )


def websocket_url(e: Element) -> str:
    """The ``url`` attribute of something that speaks WebSocket."""
    url = e.text("url")
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = None
    if parts is None or " " in url or not url.isprintable():
        e.report(BAD_URL, f"url={quoted(url)} is not a URL")
    elif parts.scheme not in ("", "wss", "ws"):
        e.report(WRONG_SCHEME, f"url={quoted(url)} does not begin with wss:")
    elif parts.query:
        e.report(URL_WITH_QUERY, "url may not have a query string; use Parameter")
    return url


def read_parameters(e: Element) -> tuple[Parameter, ...]:
    """The Parameter children; one that is too long is left out."""
    kept = []
    for parameter in e.children({"Parameter": Parameter.from_element}):
        if len(parameter.name) + len(parameter.value) >= limits.STREAM_PARAMETERS_CHARACTERS:
            most = limits.STREAM_PARAMETERS_CHARACTERS
            e.report(SCHEMA, f"Parameter {quoted(parameter.name)} is not under {most} characters")
        else:
            kept.append(parameter)
    return tuple(kept)


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording beside the call."""

    NAME: ClassVar[str] = "Recording"
    recording_callback: Callback | None
    trim: str
    track: str
    channels: str
    name: str
    recording_configuration_id: str
    line: int

    @classmethod
    def from_element(cls, e: Element) -> Recording:
        return cls(
            recording_callback=read_recording_callback(e),
            trim=e.one_of("trim", "do-not-trim", TRIM),
            track=e.one_of("track", "both", ("inbound", "outbound", "both")),
            channels=e.one_of("channels", "mono", ("mono", "dual")),
            name=e.text("name"),
            recording_configuration_id=e.text("recordingConfigurationId"),
            line=e.line,
        )


@dataclass(frozen=True, slots=True)
class Transcription:
    """A transcription beside the call. ``language_code`` empty is the engine's default."""

    NAME: ClassVar[str] = "Transcription"
    name: str
    track: str
    status_callback_url: str | None
    status_callback_method: str
    inbound_track_label: str
    outbound_track_label: str
    partial_results: bool
    language_code: str
    transcription_engine: str
    profanity_filter: bool
    speech_model: str
    hints: str
    enable_automatic_punctuation: bool
    intelligence_service: str
    line: int

    @classmethod
    def from_element(cls, e: Element) -> Transcription:
        return cls(
            name=e.text("name"),
            track=e.one_of("track", "both_tracks", TRACKS),
            status_callback_url=e.callback("statusCallbackUrl"),
            status_callback_method=e.method("statusCallbackMethod"),
            inbound_track_label=e.text("inboundTrackLabel"),
            outbound_track_label=e.text("outboundTrackLabel"),
            partial_results=e.boolean("partialResults", False),
            language_code=e.language("languageCode", ""),
            transcription_engine=e.text("transcriptionEngine"),
            profanity_filter=e.boolean("profanityFilter", True),
            speech_model=e.text("speechModel"),
            hints=e.text("hints"),
            enable_automatic_punctuation=e.boolean("enableAutomaticPunctuation", True),
            intelligence_service=e.text("intelligenceService"),
            line=e.line,
        )


@dataclass(frozen=True, slots=True)
class Siprec:
    """A SIPREC session beside the call."""

    NAME: ClassVar[str] = "Siprec"
    name: str
    connector_name: str
    track: str
    status_callback: Callback | None
    parameters: tuple[Parameter, ...]
    line: int

    @classmethod
    def from_element(cls, e: Element) -> Siprec:
        return cls(
            name=e.text("name"),
            connector_name=e.text("connectorName"),
            track=e.one_of("track", "both_tracks", TRACKS),
            status_callback=read_callback(e),
            parameters=read_parameters(e),
            line=e.line,
        )
