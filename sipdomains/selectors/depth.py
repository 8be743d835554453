"""Where in a long list the row number so-and-so is.

Neither SQLite nor PostgreSQL can tell that without walking over all rows before it, which takes a
quarter of a second for a million. So the database keeps how many rows its segments have (ADR 20,
``services.segments``): they are added up from the oldest on, so that rows which arrive change none
of them, and what is walked over is one segment, and what came after the last one.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace

from sipdomains import longlists
from sipdomains.models import ListSegment
from sipdomains.stretch import ListName, Place, Stretch


def place(rows: Stretch, number: int) -> Place | None:
    """Of the ``number``-th row from the newest, which is 1; None when there are not that many."""
    if number <= longlists.STEP or rows.name is None:
        return rows.newest(number)
    ends, sums = _segments(rows.name)
    whole = replace(rows, after=None, before=None)  # whose segments serve every stretch of it
    passed = len(ends) if rows.before is None else bisect_left(ends, rows.before)
    if not passed:
        return rows.newest(number)
    unlaid = whole.newer(ends[passed - 1]).older(rows.before).count()
    if number <= unlaid:
        return rows.newest(number)
    from_oldest = sums[passed] + unlaid - number + 1
    if from_oldest < 1:
        return None
    within = bisect_left(sums, from_oldest)  # the first sum that reaches it; sums[0] is 0
    start = whole.newer(ends[within - 2]) if within > 1 else whole
    found = start.oldest(from_oldest - sums[within - 1])
    return found if found and (rows.after is None or found > rows.after) else None


def _segments(name: ListName) -> tuple[list[Place], list[int]]:
    """Where each ends, oldest first, and how many rows there are up to there, from 0 on."""
    found = ListSegment.objects.filter(account=name.account, kind=name.kind, value=name.value)
    ends, sums = [], [0]
    for at, sid, rows in found.order_by("at", "sid").values_list("at", "sid", "rows"):
        ends.append(Place(at, sid))
        sums.append(sums[-1] + max(0, rows))
    return ends, sums
