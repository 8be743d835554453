"""Nouns of Dial that ring one telephone or application: Number, Client, Application, Sim,
WhatsApp; and what they share with Sip (twiml-voice.md section 3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from twimlrunner.twiml.attributes import quoted
from twimlrunner.twiml.element import Element, Reader
from twimlrunner.twiml.errors import SCHEMA
from twimlrunner.twiml.nodes.callbacks import (
    Callback,
    Parameter,
    read_callback,
    read_progress_callback,
)

BAD_NUMBER_METHOD = 13221
BAD_SEND_DIGITS = 13222
BAD_NUMBER = 13223

_NUMBER = "+0123456789*# ().-"


@dataclass(frozen=True, slots=True)
class MachineDetection:
    """``mode``: ``Enable`` or ``DetectMessageEnd``. ``timeout`` seconds, the others ms."""

    mode: str
    timeout: int
    speech_threshold: int
    speech_end_threshold: int
    silence_timeout: int
    callback: Callback | None


def read_machine_detection(e: Element) -> MachineDetection | None:
    """The machineDetection family; None when it is not asked for."""
    name = "machineDetection"
    mode = e.one_of(name, "", ("Enable", "DetectMessageEnd"))
    detection = MachineDetection(
        mode=mode,
        timeout=e.integer(f"{name}Timeout", 30, low=3, high=60),
        speech_threshold=e.integer(f"{name}SpeechThreshold", 2400, low=1000, high=6000),
        speech_end_threshold=e.integer(f"{name}SpeechEndThreshold", 1200, low=500, high=5000),
        silence_timeout=e.integer(f"{name}SilenceTimeout", 5000, low=2000, high=10_000),
        callback=read_callback(e, "amdStatusCallback"),
    )
    return detection if mode else None


def check_number(e: Element, number: str) -> str:
    """The number as written; one that cannot be dialled is reported, its leg will fail."""
    if not number or number.strip(_NUMBER):
        e.report(BAD_NUMBER, f"{quoted(number)} is not a phone number")
    return number


@dataclass(frozen=True, slots=True)
class Number:
    """``url`` is the screening document, None without. ``send_digits`` after the answer."""

    NAME: ClassVar[str] = "Number"
    number: str
    url: str | None
    method: str
    status_callback: Callback | None
    machine_detection: MachineDetection | None
    send_digits: str
    byoc: str
    phone_number: str
    line: int

    @classmethod
    def from_element(cls, e: Element) -> Number:
        return cls(
            number=check_number(e, e.body()),
            url=e.url("url"),
            method=e.method(code=BAD_NUMBER_METHOD),
            status_callback=read_progress_callback(e),
            machine_detection=read_machine_detection(e),
            send_digits=e.characters("sendDigits", "", "0123456789*#wW", code=BAD_SEND_DIGITS),
            byoc=e.text("byoc"),
            phone_number=e.text("phoneNumber"),
            line=e.line,
        )


@dataclass(frozen=True, slots=True)
class Client:
    """A registered application by ``identity``."""

    NAME: ClassVar[str] = "Client"
    identity: str
    parameters: tuple[Parameter, ...]
    url: str | None
    method: str
    status_callback: Callback | None
    line: int

    @classmethod
    def from_element(cls, e: Element) -> Client:
        identity, parameters = _target(e, "Identity")
        return cls(
            identity=identity,
            parameters=parameters,
            url=e.url("url"),
            method=e.method(),
            status_callback=read_progress_callback(e),
            line=e.line,
        )


@dataclass(frozen=True, slots=True)
class Application:
    """An application of the account by its SID."""

    NAME: ClassVar[str] = "Application"
    sid: str
    parameters: tuple[Parameter, ...]
    url: str | None
    method: str
    status_callback: Callback | None
    customer_id: str
    copy_parent_to: bool
    line: int

    @classmethod
    def from_element(cls, e: Element) -> Application:
        sid, parameters = _target(e, "ApplicationSid")
        return cls(
            sid=sid,
            parameters=parameters,
            url=e.url("url"),
            method=e.method(),
            status_callback=read_progress_callback(e),
            customer_id=e.text("customerId"),
            copy_parent_to=e.boolean("copyParentTo", False),
            line=e.line,
        )


@dataclass(frozen=True, slots=True)
class Sim:
    """A SIM card by its SID."""

    NAME: ClassVar[str] = "Sim"
    sid: str
    line: int

    @classmethod
    def from_element(cls, e: Element) -> Sim:
        return cls(sid=e.body(), line=e.line)


@dataclass(frozen=True, slots=True)
class WhatsApp:
    """A WhatsApp number."""

    NAME: ClassVar[str] = "WhatsApp"
    number: str
    url: str | None
    method: str
    status_callback: Callback | None
    line: int

    @classmethod
    def from_element(cls, e: Element) -> WhatsApp:
        return cls(
            number=check_number(e, e.body()),
            url=e.url("url"),
            method=e.method(),
            status_callback=read_progress_callback(e),
            line=e.line,
        )


def _target(e: Element, child: str) -> tuple[str, tuple[Parameter, ...]]:
    """(target, parameters): the target is the element's text, or that of its one ``child``."""
    readers: Mapping[str, Reader[str | Parameter]] = {
        child: Element.body,
        "Parameter": Parameter.from_element,
    }
    parameters: list[Parameter] = []
    target = e.body()
    for item in e.children(readers):
        if isinstance(item, Parameter):
            parameters.append(item)
        elif target:
            e.report(SCHEMA, f"names its target twice; {quoted(item)} is ignored")
        else:
            target = item
    if not target:
        e.report(SCHEMA, "names no target")
    return target, tuple(parameters)
