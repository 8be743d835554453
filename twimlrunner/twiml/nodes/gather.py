"""Gather: collect digits or speech while prompts play (twiml-voice.md section 2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from twimlrunner.twiml import limits
from twimlrunner.twiml.element import Element, Reader
from twimlrunner.twiml.nodes.callbacks import Callback, read_callback
from twimlrunner.twiml.nodes.pause import Pause
from twimlrunner.twiml.nodes.play import BAD_DIGITS, Play
from twimlrunner.twiml.nodes.say import Say

BAD_FINISH_KEY = 13310
BAD_METHOD = 13312
BAD_TIMEOUT = 13313
BAD_NUM_DIGITS = 13314
BAD_CHILD = 13320
BAD_SAY_VOICE = 13321
BAD_CHILD_LOOP = 13322
BAD_INPUT = 13326
BAD_SPEECH_TIMEOUT = 13327
BAD_MAX_SPEECH_TIME = 13328
BAD_PARTIAL_METHOD = 13329
BAD_HINTS = 13330
BAD_LANGUAGE = 13331
BAD_BARGE_IN = 13332
BAD_PROFANITY_FILTER = 13333
BAD_MODEL = 13334
AUTO_WITH_DEFAULT_MODEL = 13335
BAD_ACTION_ON_EMPTY = 13338

_MODELS = ("default", "numbers_and_commands", "phone_call")
_MODEL_FAMILIES = ("experimental_", "googlev2_", "deepgram_")


@dataclass(frozen=True, slots=True)
class Gather:
    """``action`` None is the current document. Times are seconds; ``timeout`` and
    ``speech_timeout`` None mean ``auto``. ``finish_on_key`` empty: every key is data.
    ``num_digits`` and ``max_speech_time`` None: no limit of its own."""

    NAME: ClassVar[str] = "Gather"
    action: str | None
    method: str
    input: tuple[str, ...]
    timeout: int | None
    speech_timeout: int | None
    num_digits: int | None
    finish_on_key: str
    action_on_empty_result: bool
    language: str
    hints: tuple[str, ...]
    profanity_filter: bool
    speech_model: str
    enhanced: bool
    partial_result: Callback | None
    barge_in: bool
    max_speech_time: int | None
    debug: bool
    prompts: tuple[Say | Play | Pause, ...]
    line: int

    @classmethod
    def from_element(cls, e: Element) -> Gather:
        wanted = e.some_of("input", ("dtmf",), ("dtmf", "speech"), code=BAD_INPUT)
        timeout = e.seconds_or_auto("timeout", 5, code=BAD_TIMEOUT)
        if timeout is None and "speech" not in wanted:
            e.report(BAD_TIMEOUT, 'timeout="auto" needs speech input; the default is used')
            timeout = 5
        speech_timeout = e.seconds_or_auto("speechTimeout", timeout, code=BAD_SPEECH_TIMEOUT)
        model = e.checked("speechModel", "default", _is_model, "a speech model", code=BAD_MODEL)
        if speech_timeout is None and "speech" in wanted and model == "default":
            message = 'speechTimeout="auto" does not go with speechModel="default"'
            e.report(AUTO_WITH_DEFAULT_MODEL, message)
        return cls(
            action=e.url("action"),
            method=e.method(code=BAD_METHOD),
            input=wanted,
            timeout=timeout,
            speech_timeout=speech_timeout,
            num_digits=e.integer("numDigits", None, low=1, code=BAD_NUM_DIGITS),
            finish_on_key=e.checked(
                "finishOnKey", "#", _is_finish_key, "one of 0-9 # * or empty", code=BAD_FINISH_KEY
            ),
            action_on_empty_result=e.boolean(
                "actionOnEmptyResult", False, code=BAD_ACTION_ON_EMPTY
            ),
            language=e.language("language", "en-US", code=BAD_LANGUAGE),
            hints=_hints(e),
            profanity_filter=e.boolean("profanityFilter", True, code=BAD_PROFANITY_FILTER),
            speech_model=model,
            enhanced=e.boolean("enhanced", False),
            partial_result=read_callback(
                e, "partialResultCallback", method_code=BAD_PARTIAL_METHOD
            ),
            barge_in=e.boolean("bargeIn", True, code=BAD_BARGE_IN),
            max_speech_time=e.integer("maxSpeechTime", None, low=1, code=BAD_MAX_SPEECH_TIME),
            debug=e.boolean("debug", False),
            prompts=e.children(_PROMPTS, BAD_CHILD),
            line=e.line,
        )


def _is_finish_key(value: str) -> bool:
    return value == "" or (len(value) == 1 and value in "0123456789#*")


def _is_model(value: str) -> bool:
    return value in _MODELS or value.startswith(_MODEL_FAMILIES)


def _hints(e: Element) -> tuple[str, ...]:
    hints = tuple([hint for part in e.text("hints").split(",") if (hint := part.strip())])
    if len(hints) > limits.HINTS or any(len(hint) > limits.HINT_CHARACTERS for hint in hints):
        most = f"{limits.HINTS} entries of {limits.HINT_CHARACTERS} characters"
        e.report(BAD_HINTS, f"hints are more than {most}; none are used")
        return ()
    return hints


def _say(e: Element) -> Say:
    return Say.from_element(e, voice_code=BAD_SAY_VOICE, loop_code=BAD_CHILD_LOOP)


def _play(e: Element) -> Play:
    node = Play.from_element(e, loop_code=BAD_CHILD_LOOP)
    if node.digits:
        e.report(BAD_DIGITS, "may not send digits inside Gather; none are sent")
        node = replace(node, digits="")
    return node


_PROMPTS: Mapping[str, Reader[Say | Play | Pause]] = {
    "Say": _say,
    "Play": _play,
    "Pause": Pause.from_element,
}
