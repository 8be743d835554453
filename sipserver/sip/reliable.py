"""Provisional responses that must arrive, and their PRACK (RFC 3262)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from sipserver.sip import grammar
from sipserver.sip.errors import RemoteProtocolError
from sipserver.sip.transactions.client_other import ignore

if TYPE_CHECKING:
    from sipserver.sip.core import Core, HeaderList
    from sipserver.sip.dialog import Dialog
    from sipserver.sip.invite_usage import InviteUsage
    from sipserver.sip.message import Request, Response
    from sipserver.sip.timers import Deadline
    from sipserver.sip.transactions.server_invite import ServerInvite

OPTION_TAG: Final = "100rel"
_FIRST_RSEQ_BELOW: Final = 2**30  # RFC 3262 3 allows up to 2**31 - 1, and it counts up from there
_LARGEST_RSEQ: Final = 2**32 - 1

Provisional = tuple[int, bytes, "HeaderList"]
"""(status, SDP, headers) of a response that waits for its turn."""


class ReliableProvisionals:
    """The provisional responses of ours to one INVITE that requires 100rel: one after the other.

    ``send`` gives a response to the transaction; ``on_timeout`` is told when no PRACK came.
    """

    __slots__ = (
        "_answer",
        "_core",
        "_interval",
        "_limit",
        "_next",
        "_on_timeout",
        "_queue",
        "_rseq",
        "_send",
        "_transaction",
        "_waiting",
        "_with_sdp",
    )

    def __init__(
        self,
        core: Core,
        transaction: ServerInvite,
        send: Callable[[Provisional, float], None],
        on_timeout: Callable[[float], None],
    ) -> None:
        self._core = core
        self._transaction = transaction
        self._send = send
        self._on_timeout = on_timeout
        self._rseq = core.random_below(_FIRST_RSEQ_BELOW)  # of the last one sent
        self._waiting = False  # for the PRACK of the last one
        self._with_sdp = False
        self._queue: list[Provisional] = []
        self._answer: Callable[[float], None] | None = None
        self._interval = 0.0
        self._next: Deadline | None = None
        self._limit: Deadline | None = None

    @property
    def holds_answer(self) -> bool:
        """Whether a 2xx waits for a PRACK."""
        return self._answer is not None

    def ring(self, provisional: Provisional, now: float) -> None:
        """Send a response, or keep it until the one before has its PRACK."""
        if self._waiting:
            self._queue.append(provisional)
            return
        status, body, headers = provisional
        core = self._core
        self._rseq += 1
        self._waiting, self._with_sdp = True, bool(body)
        reliable = (("Require", OPTION_TAG), ("RSeq", str(self._rseq)))
        self._send((status, body, (*reliable, *headers)), now)
        timers = core.config.timers
        self._interval = timers.t1
        self._next = core.deadlines.at(now + self._interval, self._repeat)
        self._limit = core.deadlines.at(now + timers.limit, self._on_timeout)

    def hold(self, answer: Callable[[float], None]) -> bool:
        """Keep the 2xx back if SDP of ours is not acknowledged yet (RFC 3262 3); false if it may be
        sent at once. Either way no more provisional responses follow."""
        self._queue.clear()
        if self._waiting and self._with_sdp:
            self._answer = answer
            return True
        self.stop()
        return False

    def acknowledged_by(self, prack: Request) -> bool:
        """Take a PRACK; false if it is for no response that waits for one."""
        expected = [str(self._rseq), str(self._transaction.request.cseq.number), "INVITE"]
        if not self._waiting or (prack.headers.get("RAck") or "").split() != expected:
            return False
        self._waiting = False
        self.stop()
        return True

    def proceed(self, now: float) -> None:
        """The PRACK is answered: go on with what had to wait for it."""
        if self._answer is not None:
            answer, self._answer = self._answer, None
            answer(now)
        elif self._queue:
            self.ring(self._queue.pop(0), now)

    def stop(self) -> None:
        """Repeat no more. A late PRACK will still be known."""
        self._core.deadlines.cancel(self._next)
        self._core.deadlines.cancel(self._limit)

    def _repeat(self, now: float) -> None:
        self._transaction.repeated(now)
        self._interval *= 2  # RFC 3262 3: without the ceiling that a 2xx has
        self._next = self._core.deadlines.at(now + self._interval, self._repeat)


def acknowledge(
    core: Core, usage: InviteUsage, dialog: Dialog, response: Response, now: float
) -> bool:
    """Send the PRACK of a provisional response to us, if it is a reliable one. False if it came
    before, or before its turn: then it is to be ignored (RFC 3262 4)."""
    if OPTION_TAG not in response.require:
        return True
    number = _rseq(response)
    if number is None:
        return True
    invite = response.cseq.number
    last = dialog.reliable
    if last is not None and last[0] == invite and number != last[1] + 1:
        return False
    dialog.reliable = (invite, number)
    rack = ("RAck", f"{number} {invite} INVITE")
    core.send_in_dialog(usage, "PRACK", ignore, now, headers=(rack,), dialog=dialog)
    return True


def _rseq(response: Response) -> int | None:
    try:
        return grammar.parse_number(response.headers.get("RSeq") or "", "RSeq", _LARGEST_RSEQ)
    except RemoteProtocolError:
        return None
