"""Pay with its Prompt, and Sms: known, so that a document with them is read without complaint
about its syntax (twiml-voice.md section 4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from twimlrunner.twiml.element import Element, Reader
from twimlrunner.twiml.nodes.callbacks import Callback, Parameter, read_callback
from twimlrunner.twiml.nodes.pause import Pause
from twimlrunner.twiml.nodes.play import Play
from twimlrunner.twiml.nodes.say import Say

_PAY_OPTIONS = (
    "input", "bankAccountType", "timeout", "maxAttempts", "securityCode", "postalCode",
    "minPostalCodeLength", "paymentConnector", "paymentMethod", "tokenType", "chargeAmount",
    "currency", "description", "validCardTypes", "language",
)  # fmt: skip
_PROMPT_OPTIONS = ("for", "errorType", "cardType", "attempt", "requireMatchingInputs")


@dataclass(frozen=True, slots=True)
class Prompt:
    """What Pay says at one of its steps."""

    NAME: ClassVar[str] = "Prompt"
    options: tuple[tuple[str, str], ...]
    prompts: tuple[Say | Play | Pause, ...]
    line: int

    @classmethod
    def from_element(cls, e: Element) -> Prompt:
        readers: Mapping[str, Reader[Say | Play | Pause]] = {
            "Say": Say.from_element,
            "Play": Play.from_element,
            "Pause": Pause.from_element,
        }
        return cls(options=e.options(_PROMPT_OPTIONS), prompts=e.children(readers), line=e.line)


@dataclass(frozen=True, slots=True)
class Pay:
    """Take a payment."""

    NAME: ClassVar[str] = "Pay"
    action: str | None
    method: str
    status_callback: Callback | None
    options: tuple[tuple[str, str], ...]
    prompts: tuple[Prompt, ...]
    parameters: tuple[Parameter, ...]
    line: int

    @classmethod
    def from_element(cls, e: Element) -> Pay:
        readers: Mapping[str, Reader[Prompt | Parameter]] = {
            "Prompt": Prompt.from_element,
            "Parameter": Parameter.from_element,
        }
        children = e.children(readers)
        return cls(
            action=e.url("action"),
            method=e.method(),
            status_callback=read_callback(e),
            options=e.options(_PAY_OPTIONS),
            prompts=tuple([child for child in children if isinstance(child, Prompt)]),
            parameters=tuple([child for child in children if isinstance(child, Parameter)]),
            line=e.line,
        )


@dataclass(frozen=True, slots=True)
class Sms:
    """Send a text message (legacy)."""

    NAME: ClassVar[str] = "Sms"
    body: str
    to: str
    sender: str
    action: str | None
    method: str
    status_callback: str | None
    line: int

    @classmethod
    def from_element(cls, e: Element) -> Sms:
        return cls(
            body=e.body(),
            to=e.text("to"),
            sender=e.text("from"),
            action=e.url("action"),
            method=e.method(),
            status_callback=e.callback("statusCallback"),
            line=e.line,
        )
