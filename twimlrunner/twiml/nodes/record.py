"""Record: record the caller (twiml-voice.md section 2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from twimlrunner.twiml import limits
from twimlrunner.twiml.element import Element
from twimlrunner.twiml.nodes.callbacks import Callback, read_recording_callback

BAD_METHOD = 13610
BAD_TIMEOUT = 13611
BAD_MAX_LENGTH = 13612
BAD_FINISH_KEY = 13613
BAD_TRANSCRIBE = 13614
TOO_LONG_TO_TRANSCRIBE = 13615
BAD_PLAY_BEEP = 13616
BAD_TRIM = 13699
BAD_TRANSCRIBE_CALLBACK = 13257

TRIM = ("trim-silence", "do-not-trim")


@dataclass(frozen=True, slots=True)
class Record:
    """``action`` None is the current document. Seconds; ``timeout`` 0: silence never ends it.
    ``finish_on_key`` holds every key that ends it."""

    NAME: ClassVar[str] = "Record"
    action: str | None
    method: str
    timeout: int
    finish_on_key: str
    max_length: int
    play_beep: bool
    trim: str
    recording_callback: Callback | None
    transcribe: bool
    transcribe_callback: str | None
    recording_configuration_id: str
    line: int

    @classmethod
    def from_element(cls, e: Element) -> Record:
        transcribe = e.boolean("transcribe", False, code=BAD_TRANSCRIBE)
        low, high = limits.RECORD_MAX_LENGTH
        length = limits.RECORD_DEFAULT_LENGTH
        if transcribe:
            length = limits.RECORD_TRANSCRIBED_LENGTH
        length = e.integer("maxLength", length, low=low, high=high, code=BAD_MAX_LENGTH)
        if transcribe and length > limits.RECORD_TRANSCRIBED_LENGTH:
            message = f"longer than {limits.RECORD_TRANSCRIBED_LENGTH} s is not transcribed"
            e.report(TOO_LONG_TO_TRANSCRIBE, message)
        return cls(
            action=e.url("action"),
            method=e.method(code=BAD_METHOD),
            timeout=e.integer("timeout", 5, code=BAD_TIMEOUT),
            finish_on_key=e.characters(
                "finishOnKey", "1234567890*#", "0123456789*#", code=BAD_FINISH_KEY
            ),
            max_length=length,
            play_beep=e.boolean("playBeep", True, code=BAD_PLAY_BEEP),
            trim=e.one_of("trim", "trim-silence", TRIM, code=BAD_TRIM),
            recording_callback=read_recording_callback(e),
            transcribe=transcribe,
            transcribe_callback=e.url("transcribeCallback", code=BAD_TRANSCRIBE_CALLBACK),
            recording_configuration_id=e.text("recordingConfigurationId"),
            line=e.line,
        )
