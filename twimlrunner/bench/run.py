"""One replay of a bench run, from its beginning to where the script ends. No IO, no real time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, assert_never

from sipdomains.bench import BenchSetup, Entry, Move
from sipdomains.contracts import FetchReply
from twimlrunner.bench.clock import VirtualLoop
from twimlrunner.bench.world import BenchWorld
from twimlrunner.engine.ports import DocumentRequest
from twimlrunner.engine.runner import (
    PEER_GONE,
    ApplicationError,
    Completed,
    HungUp,
    ProgramEnd,
    Rejected,
    run_program,
)
from twimlrunner.twiml.content import interpret
from twimlrunner.twiml.document import Document
from twimlrunner.twiml.errors import TwimlError
from twimlrunner.verbs.registry import HANDLERS

XML = "text/xml; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Played:
    """``wants`` as :class:`BenchWorld` says; empty when the program has ended."""

    entries: list[Entry]
    wants: dict[str, Any]


def play(setup: BenchSetup, moves: Sequence[Move], replies: Sequence[FetchReply]) -> Played:
    """Run the program of ``setup`` with what has happened so far. The same for the same
    arguments. Blocks for as long as the interpreter computes."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(_play(setup, moves, replies))


async def _play(setup: BenchSetup, moves: Sequence[Move], replies: Sequence[FetchReply]) -> Played:
    loop = asyncio.get_running_loop()
    given = [_as_if_fetched(setup)] if setup.document and setup.base_url else []
    world = BenchWorld(setup, moves, [*given, *replies], loop.time, given=len(given))
    try:
        first = _first(setup)
    except TwimlError as error:
        world.notify(error.code, "error", f"{error.message} (line {error.line})")
        world.tell("end", text="The document cannot be run. " + _failure_words(setup, False))
        return Played(world.entries, {})
    fallback = (setup.fallback_url, setup.fallback_method) if setup.fallback_url else None
    program = asyncio.ensure_future(
        run_program(
            first,
            handlers=HANDLERS,
            call=world,
            documents=world,
            log=world,
            clock=loop.time,
            fallback=lambda: fallback,
        )
    )
    either: set[asyncio.Future[Any]] = {program, world.wanted}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if world.wanted.done():
        program.cancel()
        await asyncio.wait({program})
        return Played(world.entries, world.wanted.result())
    world.tell("end", text=_end_words(program.result(), setup, world.answered))
    return Played(world.entries, {})


def _first(setup: BenchSetup) -> DocumentRequest | Document:
    if setup.document and not setup.base_url:
        return interpret(setup.document.encode(), XML, "")
    return DocumentRequest(setup.url or setup.base_url, setup.method, "voice-url")


def _as_if_fetched(setup: BenchSetup) -> FetchReply:
    """The pasted document as an answer of its base URL, which is not asked."""
    body = setup.document.encode().decode("latin-1")
    return FetchReply("", "", body=body, content_type=XML, final_url=setup.base_url, status=200)


def _end_words(end: ProgramEnd, setup: BenchSetup, answered: bool) -> str:
    match end:
        case Completed():
            return "Every verb has run, so the server hangs up."
        case Rejected(status=status):
            return f"The call is refused with {status}; it was never answered."
        case HungUp(reason=reason) if reason == PEER_GONE:
            return "The caller has hung up; nothing more is run."
        case HungUp():
            return "The application hangs up."
        case ApplicationError(code=code):
            return f"The program fails ({code}). " + _failure_words(setup, answered)
        case _:
            assert_never(end)


def _failure_words(setup: BenchSetup, answered: bool) -> str:
    if setup.fail_with_503 and not answered:
        return "The domain wants such calls refused: the caller gets 503."
    return "The caller hears the error announcement, then the server hangs up."
