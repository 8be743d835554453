"""Enqueue, with its Task (twiml-voice.md section 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from twimlrunner.twiml import limits
from twimlrunner.twiml.element import Element
from twimlrunner.twiml.errors import SCHEMA
from twimlrunner.twiml.nodes.conference import queue_name

BAD_METHOD = 14201
BAD_WAIT_URL = 14202
BAD_ACTION = 14203
NAME_TOO_SHORT = 14204
NAME_TOO_LONG = 14205
BAD_WAIT_METHOD = 14206

DEFAULT_QUEUE_SIZE = 1000


@dataclass(frozen=True, slots=True)
class Task:
    """Attributes for a task router, as JSON text."""

    NAME: ClassVar[str] = "Task"
    body: str
    priority: int
    timeout: int | None
    line: int

    @classmethod
    def from_element(cls, e: Element) -> Task:
        return cls(
            body=e.body(),
            priority=e.integer("priority", 0),
            timeout=e.integer("timeout", None, low=1),
            line=e.line,
        )


@dataclass(frozen=True, slots=True)
class Enqueue:
    """``action`` None: the next verb follows. ``wait_url`` None is the built-in music. The name
    may be empty only with a ``workflow_sid``."""

    NAME: ClassVar[str] = "Enqueue"
    name: str
    action: str | None
    method: str
    wait_url: str | None
    wait_url_method: str
    workflow_sid: str
    max_queue_size: int
    tasks: tuple[Task, ...]
    line: int

    @classmethod
    def from_element(cls, e: Element) -> Enqueue:
        workflow = e.text("workflowSid")
        low, high = limits.QUEUE_SIZE
        tasks = e.children({"Task": Task.from_element})
        if len(tasks) > 1:
            e.report(SCHEMA, "may contain one Task; the rest are left out")
        return cls(
            name=e.body() if workflow else queue_name(e, NAME_TOO_SHORT, NAME_TOO_LONG),
            action=e.url("action", code=BAD_ACTION),
            method=e.method(code=BAD_METHOD),
            wait_url=e.url("waitUrl", code=BAD_WAIT_URL),
            wait_url_method=e.method("waitUrlMethod", code=BAD_WAIT_METHOD),
            workflow_sid=workflow,
            max_queue_size=e.integer("maxQueueSize", DEFAULT_QUEUE_SIZE, low=low, high=high),
            tasks=tasks[:1],
            line=e.line,
        )
