"""Runs of the TwiML bench, kept for a while: setup and moves are written by the page, results by
the worker. Nothing of them is in the database."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from sipdomains.bench import MAX_MOVES, BenchResult, BenchSetup, Move
from sipdomains.services import atwork, deskcache

KEEP_SECONDS = 2 * 3600
STARTS_PER_MINUTE = 10
MOVES_PER_MINUTE = 60

_RUN, _RESULT, _MOVE = "bench-run", "bench-result", "bench-move"


class TooMany(Exception):
    """The user has asked too often, or the run has had as many moves as it may."""


@dataclass(frozen=True, slots=True)
class Run:
    """``at`` is when the worker was asked to carry it on last, by the wall clock."""

    id: str
    user: int
    setup: BenchSetup
    moves: tuple[Move, ...]
    at: float


def start(user: int, setup: BenchSetup) -> Run:
    """Raises TooMany, CacheAway."""
    if not deskcache.spend("bench", user, STARTS_PER_MINUTE):
        raise TooMany("You have started many runs within a minute. Wait a little.")
    run = Run(deskcache.new_id(), user, setup, (), time.time())
    _store(run)
    return run


def find(id_: str, user: int | None = None) -> Run | None:
    """None: there is none, no longer, or it is of another ``user`` (None: whose is not asked)."""
    stored: dict[str, Any] | None = deskcache.get(_RUN, id_)
    if stored is None or user not in (None, stored["user"]):
        return None
    moves = tuple([Move.from_json(move) for move in stored["moves"]])
    return Run(id_, stored["user"], BenchSetup.from_json(stored["setup"]), moves, stored["at"])


def move(run: Run, step: int, made: Move) -> Run | None:
    """The run with one move more; None when another has been made at that step. Raises TooMany."""
    if step != len(run.moves) or not deskcache.once(_MOVE, f"{run.id}:{step}", KEEP_SECONDS):
        return None
    if len(run.moves) >= MAX_MOVES:
        raise TooMany(f"A run has at most {MAX_MOVES} moves. Start another one.")
    if not deskcache.spend("bench-move", run.user, MOVES_PER_MINUTE):
        raise TooMany("These were many moves within a minute. Wait a little, then start anew.")
    run = Run(run.id, run.user, run.setup, (*run.moves, made), time.time())
    _store(run)
    return run


def result(id_: str) -> BenchResult | None:
    stored: dict[str, Any] | None = deskcache.get(_RESULT, id_)
    return BenchResult(**stored) if stored is not None else None


def work_name(run: Run) -> str:
    """By which a worker gives signs of life while it works on the run's last move."""
    return f"{run.id}-{len(run.moves)}"


def given_up(run: Run) -> str:
    """Why the last move will have no result; "" while it may."""
    return atwork.given_up(work_name(run), run.at)


def put_result(id_: str, found: BenchResult) -> None:
    deskcache.put(_RESULT, id_, found.to_json(), KEEP_SECONDS)


def _store(run: Run) -> None:
    value = {
        "user": run.user,
        "setup": run.setup.to_json(),
        "moves": [made.to_json() for made in run.moves],
        "at": run.at,
    }
    deskcache.put(_RUN, run.id, value, KEEP_SECONDS)
