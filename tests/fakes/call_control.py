"""A virtual call and a virtual web site for the interpreter, for tests on a ``VirtualLoop``.

Everything that happens is written to one ladder, in order, so that a test reads like a call flow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from twimlrunner.engine.handler import Handlers
from twimlrunner.engine.ports import (
    AudioUrl,
    CallEnded,
    Clip,
    Dialled,
    DialPlan,
    DocumentRequest,
    Fetched,
    FetchFailed,
    FetchResult,
    Recorded,
    RecordPlan,
    Referred,
    VerbFailed,
)
from twimlrunner.engine.program import ProgramLimits
from twimlrunner.engine.runner import ProgramEnd, run_program
from twimlrunner.engine.scopes import DigitStream
from twimlrunner.twiml.content import interpret
from twimlrunner.twiml.document import Document
from twimlrunner.twiml.errors import TwimlError
from twimlrunner.verbs.registry import HANDLERS

BASE = "http://app.example/voice"
CLIP_SECONDS = 2.0
RECORDED = Recorded("RE1", "http://rec.example/RE1", 3, "silence", "", heard=True)
SILENCE = Recorded("RE1", "http://rec.example/RE1", 0, "silence", "", heard=False, silent=True)
DIALLED = Dialled(
    "completed", "CA2", 7, bridged=True, sip_call_id="c2", sip_status=200, kind="sip"
)  # fmt: skip
NO_ANSWER = Dialled("no-answer", "CA2", sip_call_id="c2", sip_status=487, kind="sip")
REFERRED = Referred(202, 200, "final")

Answer = str | FetchFailed | Callable[[DocumentRequest], str]
T = TypeVar("T")


class World:
    """One call (:class:`CallControl`), its documents and its log.

    ``site`` maps URLs to TwiML, a failure, or a function of the request; a URL that is not there
    fails with 11200. ``keys`` are pressed at their times, ``hangs_up_at`` the peer goes at that
    time (before anything else that is due then). ``broken`` maps URLs of audio that cannot be had
    to a code. ``recorded``, ``dialled`` and ``referred`` are how those operations end after
    ``operation_seconds``, unless the peer goes before.
    """

    def __init__(
        self,
        site: dict[str, Answer] | None = None,
        *,
        answered: bool = False,
        type_ahead: bool = False,
        keys: Iterable[tuple[float, str]] = (),
        hangs_up_at: float | None = None,
        fetch_seconds: float = 0.0,
        operation_seconds: float = 10.0,
        clip_seconds: float = CLIP_SECONDS,
        broken: dict[str, int] | None = None,
        recorded: Recorded = RECORDED,
        dialled: Dialled = DIALLED,
        referred: Referred = REFERRED,
    ) -> None:
        self.site = site or {}
        self.answered = answered
        self.type_ahead = type_ahead
        self.keys = keys
        self.hangs_up_at = hangs_up_at
        self.fetch_seconds = fetch_seconds
        self.operation_seconds = operation_seconds
        self.clip_seconds = clip_seconds
        self.broken = broken or {}
        self.recorded = recorded
        self.dialled = dialled
        self.referred = referred
        self.digits = DigitStream()
        self.ladder: list[str] = []
        self.verbs: list[str] = []
        self.notes: list[tuple[int, str]] = []
        self.messages: list[str] = []
        self.requests: list[DocumentRequest] = []
        self.plans: list[RecordPlan | DialPlan] = []
        self._over = asyncio.Event()

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
        loop = asyncio.get_running_loop()
        for at, key in self.keys:
            loop.call_at(at, self.digits.push, key)
        if self.hangs_up_at is not None and self.hangs_up_at <= self.now:
            self._over.set()
        elif self.hangs_up_at is not None:
            loop.call_at(self.hangs_up_at, self._over.set)
        return await run_program(
            first,
            handlers=handlers,
            call=self,
            documents=self,
            log=self,
            clock=lambda: self.now,
            fallback=lambda: fallback,
            limits=limits,
        )

    async def run_until_redirected(self, at: float) -> None:
        """Run the program until a live update stops it, as the supervisor does."""
        program = asyncio.create_task(self.run())
        await asyncio.sleep(at - self.now)
        assert not program.done()
        program.cancel()
        try:
            await program
        except asyncio.CancelledError:
            return
        raise AssertionError("the program swallowed its cancellation")

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    # --- CallControl ----------------------------------------------------------------------------

    async def ensure_answered(self) -> None:
        await self._unless_over(asyncio.sleep(0))
        if not self.answered:
            self.answered = True
            self.ladder.append("answer")

    async def play(self, clip: Clip) -> None:
        what = f"play {clip.url}" if isinstance(clip, AudioUrl) else f"say {clip.text}"
        self.ladder.append(what)
        if isinstance(clip, AudioUrl) and clip.url in self.broken:
            raise VerbFailed(self.broken[clip.url], "audio cannot be had", clip.url)
        await self._operation(self.clip_seconds, what)

    async def pause(self, seconds: float) -> None:
        if seconds:
            self.ladder.append(f"pause {seconds:g}")
        await self._operation(seconds, "pause")

    async def send_digits(self, digits: str) -> None:
        self.ladder.append(f"digits {digits}")
        await self._operation(0.2 * len(digits), "digits")

    async def next_digit(self, timeout: float | None) -> str | None:
        return await self._unless_over(self.digits.next(timeout))

    def forget_digits(self) -> None:
        self.digits.clear()

    async def record(self, plan: RecordPlan) -> Recorded:
        self.plans.append(plan)
        self.ladder.append("record")
        try:
            await self._operation(self.operation_seconds, "record")
        except CallEnded:
            return replace(self.recorded, ended_by="hangup", key="")
        return self.recorded

    async def dial(self, plan: DialPlan) -> Dialled:
        self.plans.append(plan)
        self.ladder.append(f"dial {' '.join([target.address for target in plan.targets])}")
        if self.dialled.bridged and not self.answered:
            await self.ensure_answered()
        try:
            await self._operation(self.operation_seconds, "dial")
        except CallEnded:
            return replace(self.dialled, caller_gone=True)
        return self.dialled

    async def refer(self, target: str) -> Referred:
        self.ladder.append(f"refer {target}")
        try:
            await self._operation(self.operation_seconds, "refer")
        except CallEnded:
            return Referred(202, 180, "hangup")
        return self.referred

    async def _operation(self, seconds: float, what: str) -> None:
        """Let time pass; one that does not get to its end is on the ladder as stopped."""
        try:
            await self._unless_over(asyncio.sleep(seconds))
        except asyncio.CancelledError:
            self.ladder.append(f"stop {what}")
            raise

    async def _unless_over(self, work: Coroutine[Any, Any, T]) -> T:
        over = asyncio.ensure_future(self._over.wait())
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait((over, task), return_when=asyncio.FIRST_COMPLETED)
            if self._over.is_set():
                raise CallEnded
            return task.result()
        finally:
            over.cancel()
            task.cancel()
            await asyncio.wait((over, task))

    # --- DocumentPort ---------------------------------------------------------------------------

    async def fetch(self, request: DocumentRequest) -> FetchResult:
        self.requests.append(request)
        self.ladder.append(f"{request.method} {request.url}")
        work = asyncio.sleep(self.fetch_seconds)
        await (work if request.parting else self._unless_over(work))
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


def one_document(inner: str, **options: Any) -> World:
    """A world whose voice URL answers with these verbs."""
    return World({BASE: twiml(inner)}, **options)


def pressed(keys: str, *, at: float = 0.5, every: float = 0.5) -> list[tuple[float, str]]:
    """``keys`` one after the other, the first at ``at`` seconds."""
    return [(at + index * every, key) for index, key in enumerate(keys)]
