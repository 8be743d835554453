"""Where in a long list the row number so-and-so is.

Neither SQLite nor PostgreSQL can tell that without walking over all rows before it, which takes a
quarter of a second for a million. So marks are laid: the place of each STEP-th row, counted from
the oldest, so that rows which arrive leave them where they are. They are kept in the cache, and
laid anew once a day and after rows of their owner were deleted. Between two marks the walk is
short. A row that arrives with an old time shifts pages by one until then, as any new row does.

Housekeeping lays them before somebody asks; without it (or when the cache has forgotten them) the
first one who does waits for that one walk.
"""

from __future__ import annotations

import hashlib
import time
from bisect import bisect_left
from dataclasses import replace

from django.core.cache import cache

from sipdomains.selectors.stretch import Place, Stretch

STEP = 5_000  # rows that are walked over in a millisecond or two
_DAY = 24 * 3600


def place(rows: Stretch, number: int, owner: str) -> Place | None:
    """Of the ``number``-th row from the newest, which is 1; None when there are not that many."""
    if number <= STEP:
        return rows.newest(number)
    whole = replace(rows, after=None, before=None)  # whose marks serve every stretch of it
    marks = _marks(whole, owner)
    passed = len(marks) if rows.before is None else bisect_left(marks, rows.before)
    reach = whole.newer(marks[passed - 1]) if passed else whole
    from_oldest = passed * STEP + reach.older(rows.before).count() - number + 1
    if from_oldest < 1:
        return None
    above = -(-from_oldest // STEP)  # the first mark that is not older
    if above > len(marks):
        return rows.newest(number)
    mark = marks[above - 1]
    steps = above * STEP - from_oldest
    found = whole.older(mark).newest(steps) if steps else mark
    return found if found and (rows.after is None or found > rows.after) else None


def forget(owner: str) -> None:
    """Rows of ``owner`` were deleted: marks of its lists are not what they say any more."""
    name = f"marks-version:{owner}"
    cache.set(name, cache.get(name, 0) + 1, 4 * _DAY)


def prepare(rows: Stretch, owner: str) -> None:
    """Lay marks, or the ones that are missing at the new end."""
    if rows.newest(STEP + 1) is not None:
        _marks(rows, owner, _DAY)


def _marks(rows: Stretch, owner: str, oldest: float = 2 * _DAY) -> list[Place]:
    """Oldest first; none laid longer than ``oldest`` seconds ago."""
    version = cache.get(f"marks-version:{owner}", 0)
    digest = hashlib.sha256(rows.fingerprint().encode()).hexdigest()
    name, now = f"marks:{owner}:{version}:{digest}", time.time()
    laid_at, places = cache.get(name, (now, ()))
    if now - laid_at > oldest:
        laid_at, places = now, ()
    marks = [Place(at, sid) for at, sid in places]
    # One by one: numbering all rows in one query takes ten times as long.
    while mark := (rows.newer(marks[-1]) if marks else rows).oldest(STEP):
        marks.append(mark)
    if len(marks) > len(places):
        cache.set(name, (laid_at, [(mark.at, mark.sid) for mark in marks]), 2 * _DAY)
    return marks
