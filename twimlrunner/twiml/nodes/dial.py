"""Dial: connect the caller with somebody (twiml-voice.md section 3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from twimlrunner.twiml import limits
from twimlrunner.twiml.attributes import quoted
from twimlrunner.twiml.element import Element, Reader
from twimlrunner.twiml.errors import SCHEMA
from twimlrunner.twiml.nodes.callbacks import Callback, read_recording_callback
from twimlrunner.twiml.nodes.conference import Conference, Queue
from twimlrunner.twiml.nodes.number import (
    Application,
    Client,
    Number,
    Sim,
    WhatsApp,
    check_number,
)
from twimlrunner.twiml.nodes.record import TRIM
from twimlrunner.twiml.nodes.sip import Sip

MIXED_NOUNS = 13000
BAD_METHOD = 13210
BAD_TIMEOUT = 13212
BAD_HANGUP_ON_STAR = 13213
BAD_CHILD = 13215
BAD_TIME_LIMIT = 13216
BAD_RECORD = 13217
BAD_SEQUENTIAL = 13218
BAD_ANSWER_ON_BRIDGE = 13219
BAD_RING_TONE = 13220
CALLER_ID_TOO_LONG = 13248
BAD_RECORDING_TRACK = 13622

RECORD = (
    "do-not-record", "record-from-answer", "record-from-answer-dual", "record-from-ringing",
    "record-from-ringing-dual", "true", "false",
)  # fmt: skip
_RECORD_SYNONYMS = {"true": "record-from-answer", "false": "do-not-record"}
RING_TONES = (
    "at", "au", "bg", "br", "be", "ch", "cl", "cn", "cz", "de", "dk", "ee", "es", "fi", "fr",
    "gr", "hu", "il", "in", "it", "lt", "jp", "mx", "my", "nl", "no", "nz", "ph", "pl", "pt",
    "ru", "se", "sg", "th", "uk", "us", "us-old", "tw", "ve", "za",
)  # fmt: skip

Noun: TypeAlias = Number | Sip | Client | Conference | Queue | Application | Sim | WhatsApp


@dataclass(frozen=True, slots=True)
class Dial:
    """``action`` None: the next verb follows. Seconds. ``caller_id`` empty is the caller's own,
    ``ring_tone`` empty chooses itself. ``nouns``: one Conference, or one Queue, or up to ten
    others; plain text has become a Number."""

    NAME: ClassVar[str] = "Dial"
    action: str | None
    method: str
    timeout: int
    time_limit: int
    hangup_on_star: bool
    caller_id: str
    record: str
    recording_track: str
    trim: str
    recording_callback: Callback | None
    answer_on_bridge: bool
    ring_tone: str
    sequential: bool
    refer_url: str | None
    refer_method: str
    call_reason: str
    recording_configuration_id: str
    events: str
    passports: str
    nouns: tuple[Noun, ...]
    line: int

    @classmethod
    def from_element(cls, e: Element) -> Dial:
        low, high = limits.DIAL_TIMEOUT
        shortest, longest = limits.DIAL_TIME_LIMIT
        record = e.one_of("record", "do-not-record", RECORD, code=BAD_RECORD)
        return cls(
            action=e.url("action"),
            method=e.method(code=BAD_METHOD),
            timeout=e.integer("timeout", 30, low=low, high=high, code=BAD_TIMEOUT),
            time_limit=e.integer(
                "timeLimit", 14_400, low=shortest, high=longest, code=BAD_TIME_LIMIT
            ),
            hangup_on_star=e.boolean("hangupOnStar", False, code=BAD_HANGUP_ON_STAR),
            caller_id=e.text("callerId", longest=limits.CALLER_ID, code=CALLER_ID_TOO_LONG),
            record=_RECORD_SYNONYMS.get(record, record),
            recording_track=e.one_of(
                "recordingTrack", "both", ("inbound", "outbound", "both"), code=BAD_RECORDING_TRACK
            ),
            trim=e.one_of("trim", "do-not-trim", TRIM),
            recording_callback=read_recording_callback(e),
            answer_on_bridge=e.boolean("answerOnBridge", False, code=BAD_ANSWER_ON_BRIDGE),
            ring_tone=e.one_of("ringTone", "", RING_TONES, code=BAD_RING_TONE),
            sequential=e.boolean("sequential", False, code=BAD_SEQUENTIAL),
            refer_url=e.url("referUrl"),
            refer_method=e.method("referMethod", code=BAD_METHOD),
            call_reason=e.text("callReason", longest=limits.CALL_REASON),
            recording_configuration_id=e.text("recordingConfigurationId"),
            events=e.text("events"),
            passports=e.text("passports"),
            nouns=_nouns(e),
            line=e.line,
        )


def _nouns(e: Element) -> tuple[Noun, ...]:
    text = e.body()
    nouns = e.children(_NOUNS, BAD_CHILD)
    if text and nouns:
        e.report(SCHEMA, f"has nouns; the text {quoted(text)} is ignored")
    elif text:
        return (_plain_number(e, text),)
    elif not nouns:
        e.report(BAD_CHILD, "names nobody to dial")
    alone = [noun for noun in nouns if isinstance(noun, Conference | Queue)]
    if alone and len(nouns) > 1:
        e.report(MIXED_NOUNS, f"{alone[0].NAME} stands alone; the other nouns are left out")
        return (alone[0],)
    if len(nouns) > limits.DIALLED_NOUNS:
        e.report(BAD_CHILD, f"has over {limits.DIALLED_NOUNS} nouns; the rest are left out")
    return nouns[: limits.DIALLED_NOUNS]


def _plain_number(e: Element, text: str) -> Number:
    return Number(
        number=check_number(e, text),
        url=None,
        method="POST",
        status_callback=None,
        machine_detection=None,
        send_digits="",
        byoc="",
        phone_number="",
        line=e.line,
    )


_NOUNS: Mapping[str, Reader[Noun]] = {
    "Number": Number.from_element,
    "Sip": Sip.from_element,
    "Client": Client.from_element,
    "Conference": Conference.from_element,
    "Queue": Queue.from_element,
    "Application": Application.from_element,
    "Sim": Sim.from_element,
    "WhatsApp": WhatsApp.from_element,
}
