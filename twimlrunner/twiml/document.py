"""A parsed document: nodes in order, and what was odd about it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

from twimlrunner.twiml.errors import Issue


class Node(Protocol):
    """Any element of the language: a frozen dataclass of its attributes and children."""

    NAME: ClassVar[str]

    @property
    def line(self) -> int:
        """Line of the start tag, from 1; 0 for a node that no source text has."""


@dataclass(frozen=True, slots=True)
class Invalid:
    """A verb that fails when it runs, for ``issue`` (level error). ``verb`` is its name."""

    NAME: ClassVar[str] = "Invalid"
    verb: str
    issue: Issue
    line: int


@dataclass(frozen=True, slots=True)
class Document:
    """Verbs in the order they run, and the warnings met while reading."""

    nodes: tuple[Node, ...] = ()
    issues: tuple[Issue, ...] = ()
