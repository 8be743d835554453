"""Runs a program: document → verb → outcome → next document, until the call needs no more.

The loop is flat: a thousand redirects use one stack frame. The failure chain is that of
webhooks.md section 1; what ends a program from outside (hang-up, live update) is the supervisor's
business: it cancels the task, or the port raises CallEnded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import assert_never

from twimlrunner.engine.handler import Handlers, VerbContext
from twimlrunner.engine.outcomes import Continue, Fetch, Hangup, Needs, Outcome, Reject
from twimlrunner.engine.ports import (
    CallControl,
    CallEnded,
    DocumentPort,
    DocumentRequest,
    Fetched,
    FetchFailed,
    ProgramLog,
    VerbFailed,
)
from twimlrunner.engine.program import Pace, Page, ProgramLimits
from twimlrunner.twiml.document import Document, Invalid, Node
from twimlrunner.twiml.errors import DOCUMENT_LOOP
from twimlrunner.twiml.summary import summarise
from twimlrunner.webhooks.request import fallback_report

FALLBACK = "fallback"  # why of a request to the fallback URL
PEER_GONE = "peer-gone"  # reason of a program that ended because the call had


@dataclass(frozen=True, slots=True)
class Completed:
    """Every verb has run. The call is answered; the supervisor hangs up."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The unanswered call is to be refused with ``status``."""

    status: int


@dataclass(frozen=True, slots=True)
class HungUp:
    """A verb wants the answered call ended, or (``peer-gone``) the call has ended already."""

    reason: str


@dataclass(frozen=True, slots=True)
class ApplicationError:
    """No document could be run, fallback included. The call may not be answered yet.

    ``code`` and ``message`` are those of the last failure; each failure has been notified.
    """

    code: int
    message: str


ProgramEnd = Completed | Rejected | HungUp | ApplicationError


@dataclass(frozen=True, slots=True)
class _Failure:
    """A document could not be had, or failed. ``request`` is the one it came from."""

    code: int
    message: str
    url: str
    request: DocumentRequest | None


async def run_program(
    first: DocumentRequest | Document,
    *,
    handlers: Handlers,
    call: CallControl,
    documents: DocumentPort,
    log: ProgramLog,
    clock: Callable[[], float],
    fallback: Callable[[], tuple[str, str] | None] = lambda: None,
    limits: ProgramLimits | None = None,
) -> ProgramEnd:
    """Run ``first`` and all that follows from it.

    ``handlers`` is ``twimlrunner.verbs.registry.HANDLERS``; ``clock`` monotonic seconds;
    ``fallback`` gives (url, method), asked once for each failure. Never raises CallEnded or
    VerbFailed.
    """
    run = _Run(handlers, call, documents, log, clock, fallback, Pace(limits or ProgramLimits()))
    try:
        return await run.program(first)
    except CallEnded:
        return HungUp(PEER_GONE)


@dataclass(slots=True)
class _Run:
    handlers: Handlers
    call: CallControl
    documents: DocumentPort
    log: ProgramLog
    clock: Callable[[], float]
    fallback: Callable[[], tuple[str, str] | None]
    pace: Pace

    async def program(self, first: DocumentRequest | Document) -> ProgramEnd:
        step: DocumentRequest | Page | _Failure | ProgramEnd
        step = Page(first, None, "") if isinstance(first, Document) else first
        while True:
            match step:
                case DocumentRequest():
                    step = await self._fetch(step)
                case Page():
                    step = await self._page(step)
                case _Failure():
                    step = self._recover(step)
                case _:
                    return step

    # --- documents ------------------------------------------------------------------------------

    async def _fetch(self, request: DocumentRequest) -> Page | _Failure | HungUp:
        delay = self.pace.delay(self.clock())
        if delay and not await self._is_up(delay) and not request.parting:
            return HungUp(PEER_GONE)
        self.pace.fetch_started(self.clock())
        result = await self.documents.fetch(request)
        over = request.parting and not await self._is_up()
        match result:
            case Fetched():
                if over:  # a verb's last report; nobody is left to run the answer for
                    return HungUp(PEER_GONE)
                return Page(result.document, request, result.url, result.text)
            case FetchFailed():
                if over:
                    self.log.notify(result.code, "error", result.message, result.url)
                    return HungUp(PEER_GONE)
                return _Failure(result.code, result.message, result.url, request)
            case _:
                assert_never(result)

    async def _is_up(self, seconds: float = 0.0) -> bool:
        """Whether the call is there, and still is when ``seconds`` have passed."""
        try:
            await self.call.pause(seconds)
        except CallEnded:
            return False
        return True

    def _recover(self, failure: _Failure) -> DocumentRequest | ApplicationError:
        self.log.notify(failure.code, "error", failure.message, failure.url)
        request = failure.request
        fallback = self.fallback()
        if fallback is None or (request is not None and request.why == FALLBACK):
            return ApplicationError(failure.code, failure.message)
        url, method = fallback
        report = (
            *(request.report if request else ()),
            *fallback_report(failure.code, failure.url),
        )
        return DocumentRequest(url, method, FALLBACK, report)

    # --- verbs ----------------------------------------------------------------------------------

    async def _page(self, page: Page) -> DocumentRequest | _Failure | ProgramEnd:
        nodes = page.document.nodes
        self.log.document_started(page.url, [_name(node) for node in nodes], page.text)
        for issue in page.document.issues:
            self.log.notify(issue.code, issue.level, _placed(issue.message, issue.line), page.url)
        self.pace.document_started(self.clock())
        try:
            outcome = await self._verbs(page)
            if isinstance(outcome, Fetch):
                return self._next(page.request_for(outcome))
        except VerbFailed as error:
            return _Failure(error.code, error.message, error.url or page.url, page.request)
        if isinstance(outcome, Reject):
            return Rejected(outcome.status)
        # A program that runs out unanswered is answered, then ended (sip-domain.md section 5).
        await self.call.ensure_answered()
        return HungUp(outcome.reason) if isinstance(outcome, Hangup) else Completed()

    def _next(self, request: DocumentRequest) -> DocumentRequest | ApplicationError:
        if self.pace.document_left(self.clock()):
            return request
        # No fallback: its document may well be part of the circle.
        message = f"{self.pace.idle} documents in a row did nothing but lead to the next one"
        self.log.notify(DOCUMENT_LOOP, "error", message, request.url)
        return ApplicationError(DOCUMENT_LOOP, message)

    async def _verbs(self, page: Page) -> Outcome:
        """Run verbs until one leads away; Continue when none did."""

        def warn(code: int, message: str) -> None:
            self.log.notify(code, "warning", message, page.url)

        async def perform(nodes: Sequence[Node]) -> None:
            for node in nodes:
                await self._perform(node, context)

        context = VerbContext(self.call, page.resolve, warn, perform)
        for index, node in enumerate(page.document.nodes):
            outcome = await self._verb(index, node, context)
            if not isinstance(outcome, Continue):
                return outcome
        return Continue()

    async def _verb(self, index: int, node: Node, context: VerbContext) -> Outcome:
        name = _name(node)
        self.log.verb_started(index, name, node.line, summarise(node))
        ended = "interrupted"
        try:
            outcome = await self._perform(node, context)
            ended = _word(outcome)
            return outcome
        except CallEnded:
            ended = "call-ended"
            raise
        except VerbFailed as error:
            ended = f"failed {error.code}"
            raise
        finally:
            self.log.verb_ended(index, name, ended)

    async def _perform(self, node: Node, context: VerbContext) -> Outcome:
        if isinstance(node, Invalid):
            raise VerbFailed(node.issue.code, _placed(node.issue.message, node.issue.line))
        handler = self.handlers[type(node)]
        needs = handler.needs if isinstance(handler.needs, Needs) else handler.needs(node)
        if needs is Needs.ANSWERED:
            await self.call.ensure_answered()
        elif needs is Needs.UNANSWERED and self.call.answered:
            return Hangup("already-answered")
        return await handler.run(node, context)


def _name(node: Node) -> str:
    return node.verb if isinstance(node, Invalid) else node.NAME


def _placed(message: str, line: int) -> str:
    return f"line {line}: {message}" if line else message


def _word(outcome: Outcome) -> str:
    match outcome:
        case Continue():
            return "continue"
        case Fetch():
            return "fetch"
        case Hangup():
            return "hangup"
        case Reject():
            return "reject"
        case _:
            assert_never(outcome)
