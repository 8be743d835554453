"""Parameters that create or change a call (rest-api.md section 3, errors.md section 2)."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

from rest_framework import serializers

from sipdomains.api.fields import Flag, Input, method, url
from twimlrunner.twiml.nodes.sip import is_token

TO_MISSING, TO_INVALID = 21201, 21211
FROM_MISSING, FROM_INVALID = 21213, 21212
URL_INVALID, METHOD_INVALID = 21205, 21209
DIGITS_INVALID, TIMEOUT_INVALID = 21206, 21208
TWIML_TOO_LONG = 32018
DETECTION_INVALID = 21234
HEADERS_TOO_LONG, HEADER_NAME_INVALID, HEADER_VALUE_INVALID = 21227, 21228, 21229

MAX_TWIML = 4000
_MAX_ADDRESS = 255  # without the headers of a URI
_MAX_HEADERS = 1024
_MAX_TIMEOUT = 600
_MAX_CALL_SECONDS = 86_400
_DIGITS = re.compile(r"[0-9#*wW]{1,32}\Z")
_NUMBER = re.compile(r"\+?[0-9*# ().-]*[0-9][0-9*# ().-]*\Z")
_CALLER = re.compile(r"[A-Za-z0-9+._*#() -]+\Z")
_SIP = re.compile(r"sips?:(?:[^@/?]+@)?[^@/?]+(?:\?.*)?\Z", re.IGNORECASE | re.DOTALL)
_CLIENT = re.compile(r"client:\S+\Z", re.IGNORECASE)

PROGRESS_EVENTS = ("initiated", "ringing", "answered", "completed")
RECORDING_EVENTS = ("in-progress", "completed", "absent")


class Words(serializers.ListField):
    """A parameter that may be repeated, or hold several words; each of ``choices``."""

    def __init__(self, choices: tuple[str, ...], **options: Any) -> None:
        self.choices = choices
        super().__init__(child=serializers.CharField(max_length=200), required=False, **options)

    def to_internal_value(self, data: Any) -> list[str]:
        words = [word for text in super().to_internal_value(data) for word in text.split()]
        for word in words:
            if word not in self.choices:
                raise serializers.ValidationError(
                    f"{word!r} is none of {', '.join(self.choices)}", code="invalid"
                )
        return list(dict.fromkeys(words))


def bare(address: str) -> str:
    """A SIP URI without its headers."""
    return address.partition("?")[0]


def _callee(value: str) -> None:
    good = value.isprintable() and len(bare(value)) < _MAX_ADDRESS
    if not good or not (_NUMBER.match(value) or _is_uri(value)):
        raise serializers.ValidationError("is no phone number, sip: URI or client: name")


def _caller(value: str) -> None:
    good = value.isprintable() and len(value) < _MAX_ADDRESS
    if not good or not (_CALLER.match(value) or _is_uri(value)):
        raise serializers.ValidationError("is no phone number, sip: URI or client: name")


def _is_uri(value: str) -> bool:
    return " " not in value and bool(_SIP.match(value) or _CLIENT.match(value))


def _digits(value: str) -> None:
    if value and not _DIGITS.match(value):
        raise serializers.ValidationError("is not up to 32 of 0-9 # * w")


def _milliseconds(low: int, high: int) -> serializers.IntegerField:
    return serializers.IntegerField(required=False, min_value=low, max_value=high)


class CallUpdate(Input):
    CODES = {
        "Url": URL_INVALID,
        "Method": METHOD_INVALID,
        "Twiml": TWIML_TOO_LONG,
        "FallbackUrl": URL_INVALID,
        "FallbackMethod": METHOD_INVALID,
        "StatusCallbackMethod": METHOD_INVALID,
    }

    Url = url()
    Twiml = serializers.CharField(
        required=False, allow_blank=True, max_length=MAX_TWIML, trim_whitespace=False
    )
    Method = method()
    Status = serializers.ChoiceField(("canceled", "completed"), required=False)
    FallbackUrl = url()
    FallbackMethod = method()
    StatusCallback = url()
    StatusCallbackMethod = method()
    TimeLimit = serializers.IntegerField(required=False, min_value=1, max_value=_MAX_CALL_SECONDS)


class RecordingParameters(Input):
    """What is the same for recordings that a call begins with and those begun later."""

    RecordingChannels = serializers.ChoiceField(("mono", "dual"), default="mono")
    RecordingTrack = serializers.ChoiceField(("inbound", "outbound", "both"), default="both")
    RecordingStatusCallback = url()
    RecordingStatusCallbackMethod = method()
    RecordingStatusCallbackEvent = Words(RECORDING_EVENTS)


class CallInput(RecordingParameters):
    MISSING = {"To": TO_MISSING, "From": FROM_MISSING}
    UNUSED = frozenset({"Byoc", "CallToken", "ClientNotificationUrl"})
    CODES = {
        **CallUpdate.CODES,
        "To": TO_INVALID,
        "From": FROM_INVALID,
        "SendDigits": DIGITS_INVALID,
        "Timeout": TIMEOUT_INVALID,
        "MachineDetection": DETECTION_INVALID,
        "MachineDetectionTimeout": DETECTION_INVALID,
        "MachineDetectionSpeechThreshold": DETECTION_INVALID,
        "MachineDetectionSpeechEndThreshold": DETECTION_INVALID,
        "MachineDetectionSilenceTimeout": DETECTION_INVALID,
    }

    To = serializers.CharField(max_length=_MAX_ADDRESS + 4096, validators=[_callee])
    Url = url()
    Twiml = serializers.CharField(
        required=False, allow_blank=True, max_length=MAX_TWIML, trim_whitespace=False
    )
    ApplicationSid = serializers.CharField(required=False, allow_blank=True, max_length=34)
    Method = method()
    FallbackUrl = url()
    FallbackMethod = method()
    StatusCallback = url()
    StatusCallbackMethod = method()
    StatusCallbackEvent = Words(PROGRESS_EVENTS)
    SendDigits = serializers.CharField(required=False, allow_blank=True, validators=[_digits])
    Timeout = serializers.IntegerField(default=60, min_value=1, max_value=_MAX_TIMEOUT)
    TimeLimit = serializers.IntegerField(default=14_400, min_value=1, max_value=_MAX_CALL_SECONDS)
    Record = Flag(default=False)
    Trim = serializers.ChoiceField(("trim-silence", "do-not-trim"), default="trim-silence")
    SipAuthUsername = serializers.CharField(required=False, allow_blank=True, trim_whitespace=False)
    SipAuthPassword = serializers.CharField(required=False, allow_blank=True, trim_whitespace=False)
    MachineDetection = serializers.ChoiceField(("Enable", "DetectMessageEnd"), required=False)
    MachineDetectionTimeout = _milliseconds(3, 59)
    MachineDetectionSpeechThreshold = _milliseconds(1000, 6000)
    MachineDetectionSpeechEndThreshold = _milliseconds(500, 5000)
    MachineDetectionSilenceTimeout = _milliseconds(2000, 10_000)
    AsyncAmd = Flag(default=False)
    AsyncAmdStatusCallback = url()
    AsyncAmdStatusCallbackMethod = method()
    CallerId = serializers.CharField(required=False, allow_blank=True, max_length=128)
    CallReason = serializers.CharField(required=False, allow_blank=True, max_length=50)

    def get_fields(self) -> Any:
        """``To`` and ``From`` first: what is wrong with them is told first. ``from`` is one of
        Python's own words."""
        fields = super().get_fields()
        given = {"To": fields.pop("To")}
        given["From"] = serializers.CharField(max_length=_MAX_ADDRESS, validators=[_caller])
        return {**given, **fields}


def with_good_headers(address: str) -> tuple[str, list[tuple[int, str]]]:
    """A SIP URI without the headers that cannot be sent, and (code, text) of what was wrong."""
    uri, mark, query = address.partition("?")
    if not mark or not uri.lower().startswith(("sip:", "sips:")):
        return address, []
    if len(query) >= _MAX_HEADERS:
        text = f"The headers of the SIP URI are over {_MAX_HEADERS} characters: none is sent."
        return uri, [(HEADERS_TOO_LONG, text)]
    kept, wrong = [], []
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if not is_token(unquote(name)):
            wrong.append((HEADER_NAME_INVALID, "A header of the SIP URI has no name."))
        elif not unquote(value).isprintable():
            text = f"Header {unquote(name)} of the SIP URI cannot be sent with this value."
            wrong.append((HEADER_VALUE_INVALID, text))
        else:
            kept.append(pair)
    return (f"{uri}?{'&'.join(kept)}" if kept else uri), wrong
