"""A virtual call and a virtual web site for the interpreter: no time passes but on their clock.

Everything that happens is written to one ladder, in order, so that a test reads like a call flow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twimlrunner.engine.handler import Handlers
from twimlrunner.engine.ports import (
    AudioUrl,
    CallEnded,
    Clip,
    DocumentRequest,
    Fetched,
    FetchFailed,
    FetchResult,
    VerbFailed,
)
from twimlrunner.engine.program import ProgramLimits
from twimlrunner.engine.runner import ProgramEnd, run_program
from twimlrunner.twiml.content import interpret
from twimlrunner.twiml.document import Document
from twimlrunner.twiml.errors import TwimlError
from twimlrunner.verbs.registry import HANDLERS

BASE = "http://app.example/voice"
CLIP_SECONDS = 2.0

Answer = str | FetchFailed | Callable[[DocumentRequest], str]


class World:
    """One call (:class:`CallControl`), its documents and its log.

    ``site`` maps URLs to TwiML, a failure, or a function of the request; a URL that is not there
    fails with 11200. ``hangs_up_at``: the peer goes at that time. ``broken`` holds URLs of audio
    that cannot be had.
    """

    def __init__(
        self,
        site: dict[str, Answer] | None = None,
        *,
        answered: bool = False,
        hangs_up_at: float | None = None,
        fetch_seconds: float = 0.0,
        broken: Sequence[str] = (),
    ) -> None:
        self.site = site or {}
        self.answered = answered
        self.hangs_up_at = hangs_up_at
        self.fetch_seconds = fetch_seconds
        self.broken = broken
        self.now = 0.0
        self.ladder: list[str] = []
        self.verbs: list[str] = []
        self.notes: list[tuple[int, str]] = []
        self.messages: list[str] = []
        self.requests: list[DocumentRequest] = []

    async def run(
        self,
        first: str | DocumentRequest | Document = BASE,
        *,
        fallback: tuple[str, str] | None = None,
        limits: ProgramLimits | None = None,
        handlers: Handlers = HANDLERS,
    ) -> ProgramEnd:
        """Run the program that begins at ``first`` (a URL is asked for by POST)."""
        if isinstance(first, str):
            first = DocumentRequest(first, "POST", "voice-url")
        return await run_program(
            first,
            handlers=handlers,
            call=self,
            documents=self,
            log=self,
            clock=lambda: self.now,
            fallback=fallback,
            limits=limits,
        )

    # --- CallControl ----------------------------------------------------------------------------

    async def ensure_answered(self) -> None:
        self._spend(0)
        if not self.answered:
            self.answered = True
            self.ladder.append("answer")

    async def play(self, clip: Clip) -> None:
        if isinstance(clip, AudioUrl):
            self.ladder.append(f"play {clip.url}")
            if clip.url in self.broken:
                raise VerbFailed(11200, "audio cannot be had", clip.url)
        else:
            self.ladder.append(f"say {clip.text}")
        self._spend(CLIP_SECONDS)

    async def pause(self, seconds: float) -> None:
        self.ladder.append(f"pause {seconds:g}")
        self._spend(seconds)

    async def send_digits(self, digits: str) -> None:
        self.ladder.append(f"digits {digits}")
        self._spend(0.2 * len(digits))

    def _spend(self, seconds: float) -> None:
        """Let time pass, or meet the hang-up on the way."""
        if self.hangs_up_at is not None and self.hangs_up_at <= self.now + seconds:
            self.now = max(self.now, self.hangs_up_at)
            raise CallEnded
        self.now += seconds

    # --- DocumentPort ---------------------------------------------------------------------------

    async def fetch(self, request: DocumentRequest) -> FetchResult:
        self.requests.append(request)
        self.ladder.append(f"{request.method} {request.url}")
        if not request.parting:
            self._spend(self.fetch_seconds)
        answer = self.site.get(request.url, FetchFailed(11200, "HTTP status 404", request.url))
        if callable(answer):
            answer = answer(request)
        if isinstance(answer, FetchFailed):
            return answer
        try:
            document = interpret(answer.encode(), "text/xml", request.url)
        except TwimlError as error:
            return FetchFailed(error.code, error.message, request.url)
        return Fetched(document, request.url, answer)

    # --- ProgramLog -----------------------------------------------------------------------------

    def document_started(self, url: str, verbs: Sequence[str], text: str) -> None:
        self.verbs.append(f"document {url}: {' '.join(verbs)}")

    def verb_started(self, index: int, verb: str, line: int, summary: str) -> None:
        self.verbs.append(f"{index} {verb} {summary}".rstrip())

    def verb_ended(self, index: int, verb: str, outcome: str) -> None:
        self.verbs.append(f"{index} {verb}: {outcome}")

    def notify(self, code: int, level: str, message: str, url: str = "") -> None:
        self.notes.append((code, level))
        self.messages.append(message)


def twiml(inner: str) -> str:
    return f"<Response>{inner}</Response>"


def one_document(inner: str, **options: object) -> World:
    """A world whose voice URL answers with these verbs."""
    return World({BASE: twiml(inner)}, **options)  # type: ignore[arg-type]
