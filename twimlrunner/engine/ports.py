"""What the interpreter needs from the world, as Protocols and small values. Pure.

Implemented by ``sipserver.calls`` (live calls) and by ``tests.fakes`` (virtual ones).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from twimlrunner.twiml.document import Document


class CallEnded(Exception):
    """The peer is gone. Raised by every pending and future operation of :class:`CallControl`."""


class VerbFailed(Exception):
    """An ERROR-level failure while a verb ran (errors.md): the document ends, fallback is asked."""

    def __init__(self, code: int, message: str, url: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.url = url


# --- what can be played ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Speech:
    """Text to speak. ``ssml`` is the inner XML of Say when it has markup, else empty."""

    text: str
    voice: str
    language: str
    ssml: str = ""


@dataclass(frozen=True, slots=True)
class AudioUrl:
    """An audio file to fetch (absolute URL) and play."""

    url: str


Clip = Speech | AudioUrl


# --- callbacks that a verb asks for ---------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CallbackTarget:
    """Where progress is told, asynchronously: absolute ``url``; ``events`` it is wanted for."""

    url: str
    method: str
    events: tuple[str, ...]


# --- recording ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RecordPlan:
    """What Record asks for. Seconds; ``silence_timeout`` 0 never ends it by silence, ``finish_on``
    holds every key that ends it (twiml-voice.md section 2)."""

    max_length: int
    silence_timeout: int
    finish_on: str
    beep: bool
    trim: bool
    callback: CallbackTarget | None


@dataclass(frozen=True, slots=True)
class Recorded:
    """A recording that has ended. ``seconds`` are those of the file, rounded; 0 and ``heard``
    False: nothing worth keeping was recorded, ``silent`` tells whether it was long enough but
    silent. ``ended_by``: ``silence``, ``max-length``, ``key``, ``hangup``; ``key`` the finish key
    or empty. ``url`` has no extension (webhooks.md section 4.3)."""

    sid: str
    url: str
    seconds: int
    ended_by: str
    key: str
    heard: bool
    silent: bool = False


# --- dialling -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DialUri:
    """One way to reach a Sip noun: the URI as written, with what answers a challenge."""

    uri: str
    username: str = ""
    password: str = field(default="", repr=False)
    priority: int = 0
    weight: int = 0


@dataclass(frozen=True, slots=True)
class DialTarget:
    """One noun. ``kind`` is ``sip`` (``uris``), ``number`` or ``client`` (``address``).

    ``headers`` are wanted in the INVITE (twiml Headers, Client Parameters). ``screening`` is the
    (absolute url, method) of the document that the callee hears before the bridge.
    ``send_digits`` go out after the answer, before that document.
    """

    kind: str
    address: str
    uris: tuple[DialUri, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    screening: tuple[str, str] | None = None
    callback: CallbackTarget | None = None
    send_digits: str = ""


@dataclass(frozen=True, slots=True)
class DialRecording:
    """``start`` is ``answer`` or ``ringing``; ``track`` inbound, outbound or both; ``dual`` puts
    the parent on channel 1 and the child on channel 2."""

    start: str
    dual: bool
    track: str
    trim: bool
    callback: CallbackTarget | None


@dataclass(frozen=True, slots=True)
class DialPlan:
    """What Dial asks for (twiml-voice.md section 3). Seconds. ``refer`` is (absolute url, method)
    for a REFER of an endpoint, None refuses it."""

    targets: tuple[DialTarget, ...]
    timeout: int
    time_limit: int
    hangup_on_star: bool
    caller_id: str
    answer_on_bridge: bool
    ring_tone: str
    sequential: bool
    recording: DialRecording | None
    refer: tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class Dialled:
    """How Dial ended. ``status`` is DialCallStatus: completed, busy, no-answer, failed, canceled.

    The leg is the one that won, or the last one; its SID is empty when no leg could start, and
    ``kind`` is that of its target. ``headers`` are the X- headers of its final response or BYE.
    ``caller_gone``: the caller hung up. ``refer_target``: an endpoint's REFER was accepted for
    this call, whose program goes on with the plan's ``refer`` document. ``replaced``: the call has
    been handed over already (a transfer with answerOnBridge ran to its end): the program has
    nothing more to do.
    """

    status: str
    call_sid: str = ""
    seconds: int = 0
    bridged: bool = False
    recording_url: str = ""
    sip_call_id: str = ""
    sip_status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    caller_gone: bool = False
    refer_target: str = ""
    replaced: bool = False
    kind: str = ""


# --- transfer -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Referred:
    """How a REFER of ours ended. ``refer_status`` is the response to it (0: none),
    ``notify_status`` the last status that a NOTIFY told (0: none). ``ended_by``: ``refused``,
    ``final`` (a final NOTIFY), ``terminated`` (the subscription, without a final status),
    ``timeout``, ``hangup``."""

    refer_status: int
    notify_status: int
    ended_by: str


class CallControl(Protocol):
    """What a verb may do to its call. Seconds are floats. Each operation raises CallEnded, except
    those that owe a report (``record``, ``dial``, ``refer``): they return it."""

    @property
    def answered(self) -> bool:
        """Whether the call has been answered (2xx sent, or received on a leg that we placed)."""

    @property
    def type_ahead(self) -> bool:
        """Whether keys pressed before a Gather begins belong to it (an option of the domain)."""

    async def ensure_answered(self) -> None:
        """Answer if that has not happened; returns when media can flow."""

    async def play(self, clip: Clip) -> None:
        """Play to the end. Raises VerbFailed (11200 family, 13420 …) when it cannot be had."""

    async def pause(self, seconds: float) -> None:
        """Let time pass (before the answer: without answering)."""

    async def send_digits(self, digits: str) -> None:
        """Send DTMF ``0-9 A-D # *``; ``w`` pauses 0.5 s, ``W`` 1 s. Returns when sent."""

    async def next_digit(self, timeout: float | None) -> str | None:
        """The peer's next key, in order; None when ``timeout`` seconds have passed without one
        (0: only a key that waits already). Keys wait in a buffer while nobody asks."""

    def forget_digits(self) -> None:
        """Drop the keys that wait."""

    async def record(self, plan: RecordPlan) -> Recorded:
        """Record the peer. A hang-up ends it as any other cause does: no CallEnded."""

    async def dial(self, plan: DialPlan) -> Dialled:
        """Ring the targets, bridge the first that answers, return when the bridge is over. The
        caller is answered at once, or with ``answer_on_bridge`` by the callee's answer."""

    async def refer(self, target: str) -> Referred:
        """Send REFER with ``target`` as Refer-To, wait for what comes of it."""


# --- documents ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DocumentRequest:
    """A document to fetch. ``url`` is absolute. ``report`` are the verb's extra parameters,
    already in the vendor's names (made by ``twimlrunner.webhooks.request``), ``why`` is for the
    log (``voice-url``, ``redirect``, ``gather-action``, ``fallback`` …). ``parting`` marks a
    report that a verb owes: it is sent and waited for although the call is over, or ends
    meanwhile; what comes back is run only if the call is still up. ``inline`` is the document
    itself, given without a URL: nothing is fetched."""

    url: str
    method: str
    why: str
    report: tuple[tuple[str, str], ...] = ()
    parting: bool = False
    inline: str | None = None


@dataclass(frozen=True, slots=True)
class Fetched:
    """A document was got and parsed; ``url`` is the base for relative URLs in it. ``text`` is the
    source for the log: cut to the stored limit, passwords masked."""

    document: Document
    url: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class FetchFailed:
    """No usable document: ``code`` from errors.md sections 4-5."""

    code: int
    message: str
    url: str


FetchResult = Fetched | FetchFailed


class DocumentPort(Protocol):
    async def fetch(self, request: DocumentRequest) -> FetchResult:
        """Fetch and parse once (retries by URL fragment included, fallback URL not).

        May raise CallEnded when the peer goes while a request that is not ``parting`` is out."""


class ProgramLog(Protocol):
    """Where the runner tells what happens. Synchronous, never fails, never blocks."""

    def document_started(self, url: str, verbs: Sequence[str], text: str) -> None: ...

    def verb_started(self, index: int, verb: str, line: int, summary: str) -> None: ...

    def verb_ended(self, index: int, verb: str, outcome: str) -> None: ...

    def notify(self, code: int, level: str, message: str, url: str = "") -> None:
        """``level`` is ``error`` or ``warning`` (errors.md)."""
