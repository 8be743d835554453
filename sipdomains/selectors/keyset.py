"""Pages of a list that may be long, by key: each begins where its neighbour ends.

A page costs the same wherever it is and however many rows there are: one index has to serve the
list in its order, newest first. Conditions that it does not serve are the ``rest``, for which the
next SCAN_LIMIT rows are looked at only. Such a page may be short, even empty, and still have
neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db.models import Q

from sipdomains.selectors import depth
from sipdomains.stretch import Place, Stretch

SCAN_LIMIT = 2_000
_BEFORE_ALL = Place(datetime(1970, 1, 1, tzinfo=UTC))
_AFTER_ALL = Place(datetime(2200, 1, 1, tzinfo=UTC))


@dataclass(frozen=True, slots=True)
class Turn:
    """Where a page begins: at the rows older than ``place``, or at those newer; without a place it
    is the newest page. ``skip`` so many of the rows that match on the way to older ones."""

    place: Place | None = None
    newer: bool = False
    skip: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """Rows, newest first; ``older`` and ``newer`` lead to the neighbours where there are any."""

    rows: list[Any]
    older: Turn | None
    newer: Turn | None


def page(
    rows: Stretch,
    size: int,
    turn: Turn,
    rest: Q | None = None,
    *,
    scan: int = SCAN_LIMIT,
) -> Page:
    """The page at ``turn``."""
    if turn.newer:
        return _newer(rows, size, turn, rest, scan)
    if rest is None and turn.skip:
        if turn.place is None:
            return _at_depth(rows, size, turn.skip)
        turn = Turn(turn.place)  # of another search: only searches have something to skip behind
    return _older(rows, size, turn, rest, scan)


def _at_depth(rows: Stretch, size: int, skip: int) -> Page:
    before = depth.place(rows, skip)
    if before is None:
        return Page([], None, Turn(_BEFORE_ALL, newer=True))
    return _older(rows, size, Turn(before), None, 0)


def _older(rows: Stretch, size: int, turn: Turn, rest: Q | None, scan: int) -> Page:
    reach, last = rows.older(turn.place), None
    if rest is not None:
        last, beyond = reach.newest_two(scan)
        reach = reach.newer(beyond).that(rest)
    left = max(0, turn.skip - reach.count()) if turn.skip else 0
    shown = [] if left else list(reach.newest_first()[turn.skip : turn.skip + size + 1])
    more = len(shown) > size
    del shown[size:]
    newer = None
    if turn.place is not None or turn.skip:
        newer = Turn(rows.order.of(shown[0]) if shown else (last or _BEFORE_ALL), newer=True)
    if more:
        return Page(shown, Turn(rows.order.of(shown[-1])), newer)
    return Page(shown, Turn(last, skip=left) if last else None, newer)


def _newer(rows: Stretch, size: int, turn: Turn, rest: Q | None, scan: int) -> Page:
    reach, last = rows.newer(turn.place), None
    if rest is not None:
        last, beyond = reach.oldest_two(scan)
        reach = reach.older(beyond).that(rest)
    shown = list(reach.oldest_first()[: size + 1])
    more = len(shown) > size
    del shown[size:]
    older = Turn(rows.order.of(shown[0]) if shown else (last or _AFTER_ALL))
    end = rows.order.of(shown[-1]) if more else last
    shown.reverse()
    return Page(shown, older, Turn(end, newer=True) if end else None)
