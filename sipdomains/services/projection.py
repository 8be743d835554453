"""How facts about a call, or about a transfer, move its row. Pure.

Statuses only move forward, and a final one stays: a late or repeated fact can neither reopen a
call nor change how it ended. A close is authoritative (it says itself whether and when the call was
answered), so the row does not depend on the order in which facts arrive.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sipdomains.contracts import CALL_STATUSES, FINAL_STATUSES

NODE_LOST = "node-lost"  # cause of a call that was closed because its node is gone
OPEN_STATUSES = tuple(status for status in CALL_STATUSES if status not in FINAL_STATUSES)


def sources(target: str) -> tuple[str, ...]:
    """The statuses from which a call may move to ``target``. Raises ValueError for an unknown one.

    ``queued`` < ``initiated`` < ``ringing`` < ``in-progress`` < any final status.
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


# --- transfers ------------------------------------------------------------------------------------

# How a transfer ended: of two words the one further right is known better. ``lost`` is said by the
# follow-up when nobody says more, the others are those of ``contracts.TransferChanged``.
_ENDINGS = ("", "lost", "timeout", "canceled", "hangup", "terminated", "refused", "final")
_BUSY = (486, 600)


@dataclass(frozen=True, slots=True)
class TransferFacts:
    """What is known of one REFER: the answer to it and the last status that a NOTIFY told (0: none
    yet), and how it ended (empty: it goes on)."""

    refer_status: int = 0
    notify_status: int = 0
    ended_by: str = ""

    @property
    def state(self) -> str:
        """One of ``models.TransferState``."""
        notified = self.notify_status
        if notified >= 300:
            return "busy" if notified in _BUSY else "failed"
        if notified >= 200:
            return "succeeded"
        if self.refer_status >= 300 or self.ended_by == "refused":
            return "refused"
        if self.ended_by:
            return "canceled" if self.ended_by in ("hangup", "canceled") else "unknown"
        if notified > 100:
            return "ringing"
        return "accepted" if self.refer_status >= 200 or notified else "requested"

    def reason(self, direction: str) -> str:
        """In the operator's words; empty while it goes on."""
        peer = "The PBX" if direction == "sent" else "This server"
        last = f" (last: {self.notify_status})" if self.notify_status else ""
        match self.state:
            case "succeeded":
                return f"The transfer succeeded: {self.notify_status}."
            case "busy":
                return f"The target of the transfer is busy: {self.notify_status}."
            case "failed":
                return f"{peer} could not transfer: {self.notify_status}."
            case "refused" if self.refer_status:
                return f"{peer} refused to transfer: {self.refer_status}."
            case "refused":
                return "The transfer could not be asked for."
            case "canceled":
                return f"The call ended before the outcome of the transfer was told{last}."
            case "unknown" if self.refer_status or self.notify_status:
                return f"{peer} accepted the transfer and never told what came of it{last}."
            case "unknown":
                return f"{peer} never answered the REFER."
        return ""


def merged(one: TransferFacts, other: TransferFacts) -> TransferFacts:
    """What both know together, in whatever order they became known: the furthest wins. Raises
    ValueError for an ending that is none."""
    return TransferFacts(
        max(one.refer_status, other.refer_status),
        max(one.notify_status, other.notify_status),
        max(one.ended_by, other.ended_by, key=_ENDINGS.index),
    )
