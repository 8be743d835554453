"""Conference and Queue: nouns of Dial that stand alone (twiml-voice.md section 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from twimlrunner.twiml import limits
from twimlrunner.twiml.element import Element
from twimlrunner.twiml.nodes.callbacks import (
    Callback,
    read_callback,
    read_recording_callback,
)
from twimlrunner.twiml.nodes.record import TRIM

BAD_MUTED = 13230
BAD_END_ON_EXIT = 13231
BAD_START_ON_ENTER = 13232
BAD_WAIT_URL = 13233
BAD_WAIT_METHOD = 13234
BAD_BEEP = 13235
BAD_NAME = 13237
BAD_TRIM = 13239
BAD_COACH = 13240
BAD_LABEL = 16023
BAD_QUEUE_METHOD = 14210
BAD_QUEUE_URL = 14211
QUEUE_NAME_TOO_SHORT = 14212
QUEUE_NAME_TOO_LONG = 14213

EVENTS = (
    "start", "end", "join", "leave", "mute", "hold", "modify", "speaker", "announcement",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Conference:
    """``wait_url`` None is the built-in music, empty is silence. ``coach`` a call SID."""

    NAME: ClassVar[str] = "Conference"
    name: str
    muted: bool
    beep: str
    start_on_enter: bool
    end_on_exit: bool
    participant_label: str
    jitter_buffer_size: str
    wait_url: str | None
    wait_method: str
    max_participants: int
    record: str
    trim: str
    coach: str
    region: str
    status_callback: Callback | None
    recording_callback: Callback | None
    recording_configuration_id: str
    event_callback_url: str | None
    line: int

    @classmethod
    def from_element(cls, e: Element) -> Conference:
        name = e.body()
        if not name or len(name) > limits.CONFERENCE_NAME:
            e.report(BAD_NAME, f"needs a name of 1 to {limits.CONFERENCE_NAME} characters")
            name = ""
        silent = e.is_empty("waitUrl")
        wait_url = e.url("waitUrl", code=BAD_WAIT_URL)
        wait_method = e.method("waitMethod", "POST" if wait_url else "GET", code=BAD_WAIT_METHOD)
        low, high = limits.CONFERENCE_PARTICIPANTS
        return cls(
            name=name,
            muted=e.boolean("muted", False, code=BAD_MUTED),
            beep=e.one_of("beep", "true", ("true", "false", "onEnter", "onExit"), code=BAD_BEEP),
            start_on_enter=e.boolean("startConferenceOnEnter", True, code=BAD_START_ON_ENTER),
            end_on_exit=e.boolean("endConferenceOnExit", False, code=BAD_END_ON_EXIT),
            participant_label=e.checked(
                "participantLabel", "", _is_label, "a participant label", code=BAD_LABEL
            ),
            jitter_buffer_size=e.one_of(
                "jitterBufferSize", "large", ("small", "medium", "large", "off")
            ),
            wait_url="" if silent else wait_url,
            wait_method=wait_method,
            max_participants=e.integer("maxParticipants", high, low=low, high=high),
            record=e.one_of("record", "do-not-record", ("do-not-record", "record-from-start")),
            trim=e.one_of("trim", "trim-silence", TRIM, code=BAD_TRIM),
            coach=e.checked("coach", "", _is_call_sid, "a call SID", code=BAD_COACH),
            region=e.text("region"),
            status_callback=read_callback(e, events=EVENTS),
            recording_callback=read_recording_callback(e),
            recording_configuration_id=e.text("recordingConfigurationId"),
            event_callback_url=e.callback("eventCallbackUrl"),
            line=e.line,
        )


def _is_label(value: str) -> bool:
    return len(value) <= limits.PARTICIPANT_LABEL and "/" not in value and not _is_call_sid(value)


def _is_call_sid(value: str) -> bool:
    return len(value) == 34 and value.startswith("CA") and not value[2:].strip("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class Queue:
    """The front member of a queue. ``url``: document for the queued call before the bridge."""

    NAME: ClassVar[str] = "Queue"
    name: str
    url: str | None
    method: str
    reservation_sid: str
    post_work_activity_sid: str
    line: int

    @classmethod
    def from_element(cls, e: Element) -> Queue:
        return cls(
            name=queue_name(e, QUEUE_NAME_TOO_SHORT, QUEUE_NAME_TOO_LONG),
            url=e.url("url", code=BAD_QUEUE_URL),
            method=e.method(code=BAD_QUEUE_METHOD),
            reservation_sid=e.text("reservationSid"),
            post_work_activity_sid=e.text("postWorkActivitySid"),
            line=e.line,
        )


def queue_name(e: Element, too_short: int, too_long: int) -> str:
    """The element's text as the name of a queue."""
    name = e.body()
    if not name:
        e.report(too_short, "needs the name of a queue")
    if len(name) > limits.QUEUE_NAME:
        e.report(too_long, f"queue name is over {limits.QUEUE_NAME} characters")
    return name
