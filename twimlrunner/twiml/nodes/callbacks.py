"""Attributes that many elements share: asynchronous callbacks, and name/value children."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from twimlrunner.twiml.element import Element
from twimlrunner.twiml.errors import SCHEMA

PROGRESS_EVENTS = ("initiated", "ringing", "answered", "completed")
RECORDING_EVENTS = ("in-progress", "completed", "absent")

BAD_RECORDING_CALLBACK = 13256
BAD_RECORDING_EVENT = 13621


@dataclass(frozen=True, slots=True)
class Callback:
    """``url`` may be relative; ``events`` those it is wanted for."""

    url: str
    method: str
    events: tuple[str, ...] = ()


def read_callback(
    e: Element,
    name: str = "statusCallback",
    *,
    events: tuple[str, ...] = (),
    default: tuple[str, ...] = (),
    url_code: int = SCHEMA,
    method_code: int = SCHEMA,
    event_code: int = SCHEMA,
) -> Callback | None:
    """``<name>``, ``<name>Method`` and, where there are ``events``, ``<name>Event``.

    None without a URL. A bad URL costs the callback, not the document, unless its code is an error.
    """
    url = e.url(name, code=url_code)
    method = e.method(name + "Method", code=method_code)
    wanted = e.some_of(name + "Event", default, events, code=event_code) if events else ()
    return Callback(url, method, wanted) if url else None


def read_progress_callback(e: Element) -> Callback | None:
    """The status callback of a dialled leg (webhooks.md section 4.2)."""
    return read_callback(e, events=PROGRESS_EVENTS, default=("completed",))


def read_recording_callback(e: Element) -> Callback | None:
    """The recording status callback (webhooks.md section 4.3)."""
    return read_callback(
        e,
        "recordingStatusCallback",
        events=RECORDING_EVENTS,
        default=("completed",),
        url_code=BAD_RECORDING_CALLBACK,
        event_code=BAD_RECORDING_EVENT,
    )


@dataclass(frozen=True, slots=True)
class Parameter:
    """A name and a value for whoever is at the other end."""

    NAME: ClassVar[str] = "Parameter"
    name: str
    value: str
    line: int

    @classmethod
    def from_element(cls, e: Element) -> Parameter:
        name = e.text("name")
        if not name:
            e.report(SCHEMA, "has no name")
        return cls(name=name, value=e.text("value"), line=e.line)
