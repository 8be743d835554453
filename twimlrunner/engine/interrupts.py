"""What can end a program from outside, and which of several wins. Pure.

Interrupts are state, not events (architecture section 7, choice 5): they are kept in a box, and
whoever looks later still sees them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from twimlrunner.engine.ports import DocumentRequest
from twimlrunner.twiml.document import Document


@dataclass(frozen=True, slots=True)
class RemoteHangup:
    """The peer sent BYE, or its side is gone (no ACK, flow lost). ``cause`` is a slug."""

    cause: str = "bye"


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The caller gave up before the answer (CANCEL)."""


@dataclass(frozen=True, slots=True)
class MediaLost:
    """The media worker of the call died, or no audio came for too long. ``cause`` is a slug."""

    cause: str = "worker"


@dataclass(frozen=True, slots=True)
class NodeDraining:
    """This node stops now; the call must end."""


@dataclass(frozen=True, slots=True)
class TimeLimit:
    """The call has lasted as long as it may."""


@dataclass(frozen=True, slots=True)
class Released:
    """Whoever placed this leg needs it no longer. ``cause`` is a slug."""

    cause: str


@dataclass(frozen=True, slots=True)
class Redirected:
    """A live update: run this instead. An empty :class:`Document` ends the call."""

    first: DocumentRequest | Document


Over: TypeAlias = RemoteHangup | Cancelled | MediaLost
"""Facts: the call is over. Every port operation raises CallEnded."""

Decision: TypeAlias = NodeDraining | TimeLimit | Released | Redirected
"""Somebody wants something else to happen: the supervisor cancels the program."""

Interrupt: TypeAlias = Over | Decision


def merge(pending: Interrupt | None, new: Interrupt) -> Interrupt:
    """What is pending after ``new`` has come in.

    A fact beats every decision; an ordered end (drain, time limit) beats a redirect. Of two of
    the same rank the first stays, since it is the reason the call ended, except that the last
    redirect wins.
    """
    if pending is None or _rank(new) > _rank(pending):
        return new
    if isinstance(pending, Redirected):
        return new
    return pending


def _rank(interrupt: Interrupt) -> int:
    match interrupt:
        case Redirected():
            return 0
        case NodeDraining() | TimeLimit() | Released():
            return 1
        case RemoteHangup() | Cancelled() | MediaLost():
            return 2


class InterruptBox:
    """The interrupt of one call: level-triggered, one consumer."""

    __slots__ = ("_pending",)

    def __init__(self) -> None:
        self._pending: Interrupt | None = None

    @property
    def pending(self) -> Interrupt | None:
        """What the consumer has to see to, if anything."""
        return self._pending

    def put(self, interrupt: Interrupt) -> bool:
        """Merge it in. False: it has no effect, because what is pending beats it."""
        self._pending = merge(self._pending, interrupt)
        return self._pending is interrupt

    def take_redirect(self) -> Redirected | None:
        """Consume a pending redirect. Whatever ends the call stays for good."""
        pending = self._pending
        if isinstance(pending, Redirected):
            self._pending = None
            return pending
        return None
