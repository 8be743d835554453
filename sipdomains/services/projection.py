"""How facts about a call move its row. Pure.

Statuses only move forward, and a final one stays: a late or repeated fact can neither reopen a
call nor change how it ended. A close is authoritative (it says itself whether and when the call was
answered), so the row does not depend on the order in which facts arrive.
"""

from __future__ import annotations

from collections.abc import Iterable

from sipdomains.contracts import CALL_STATUSES, FINAL_STATUSES

OPEN_STATUSES = tuple(status for status in CALL_STATUSES if status not in FINAL_STATUSES)


def sources(target: str) -> tuple[str, ...]:
    """The statuses from which a call may move to ``target``. Raises ValueError for an unknown one.

    ``queued`` < ``ringing`` < ``in-progress`` < any final status.
    """
    if target in FINAL_STATUSES:
        return OPEN_STATUSES
    if target not in OPEN_STATUSES:
        raise ValueError(f"{target!r} is not a call status")
    return OPEN_STATUSES[: OPEN_STATUSES.index(target)]


def furthest(statuses: Iterable[str]) -> str:
    """The status that a call reaches by these, in whatever order they come.

    Of several final ones the first given wins. Empty ones say nothing. Raises ValueError.
    """
    reached = ""
    for status in filter(None, statuses):
        if reached in ("", *sources(status)):
            reached = status
    return reached


def duration(answered_at: float | None, ended_at: float) -> int | None:
    """Whole seconds, rounded, from answer to end; None for a call that was not answered."""
    if answered_at is None:
        return None
    return max(0, int(ended_at - answered_at + 0.5))
