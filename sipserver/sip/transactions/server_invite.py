"""INVITE server transaction (RFC 3261 17.2.1 with the Accepted state of RFC 6026 7.1).

The transaction user may send any number of provisional responses and then one final one; further
copies of a 2xx go through :meth:`ServerInvite.repeat_answer` (the usage decides when).
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from sipserver.sip.errors import LocalProtocolError

if TYPE_CHECKING:
    from sipserver.sip.events import Flow
    from sipserver.sip.message import Request
    from sipserver.sip.timers import Deadline
    from sipserver.sip.transactions.layer import TransactionLayer


class State(Enum):
    PROCEEDING = "proceeding"
    ACCEPTED = "accepted"
    COMPLETED = "completed"
    CONFIRMED = "confirmed"
    TERMINATED = "terminated"


class ServerInvite:
    """``usage`` is the engine's handle of the call leg, 0 when the engine answers by itself."""

    __slots__ = (
        "_interval",
        "_last",
        "_layer",
        "_limit",
        "_retransmit",
        "flow",
        "key",
        "merge_key",
        "request",
        "state",
        "target",
        "to_tag",
        "usage",
    )

    def __init__(
        self,
        layer: TransactionLayer,
        request: Request,
        flow: Flow | None,
        target: tuple[str, str, int],
        to_tag: str,
    ) -> None:
        self._layer = layer
        self.request = request
        self.flow = flow
        self.target = target
        self.to_tag = to_tag  # of all responses but 100 (RFC 3261 9.2: also of the 200 to CANCEL)
        self.key: tuple[str, ...] = ()
        self.merge_key: tuple[str, ...] | None = None
        self.usage = 0
        self.state = State.PROCEEDING
        self._last = b""
        self._interval = 0.0
        self._retransmit: Deadline | None = None
        self._limit: Deadline | None = None

    @property
    def reliable(self) -> bool:
        return self.target[0] != "udp"

    def _send(self, data: bytes, usage: int = 0) -> None:
        self._layer.output.send(data, self.flow, self.target, usage)

    def respond(self, status: int, data: bytes, now: float) -> None:
        """Send a response of the transaction user.

        Raises LocalProtocolError after the final response.
        """
        if self.state is not State.PROCEEDING:
            raise LocalProtocolError("The INVITE has its final response already")
        self._send(data, self.usage)
        if status < 200:
            self._last = data
        elif status < 300:
            self._enter_accepted(now)
        else:
            self._enter_completed(data, now)

    def repeat_answer(self, data: bytes) -> None:
        """Send the 2xx once more; it is the usage that times this (RFC 6026 8.7)."""
        if self.state is State.ACCEPTED:
            self._send(data)

    def _enter_accepted(self, now: float) -> None:
        self.state = State.ACCEPTED
        self._last = b""
        timers = self._layer.timers
        self._limit = self._layer.deadlines.at(now + timers.limit, self._terminate)  # timer L

    def _enter_completed(self, data: bytes, now: float) -> None:
        self.state = State.COMPLETED
        self._last = data
        timers, deadlines = self._layer.timers, self._layer.deadlines
        if not self.reliable:
            self._interval = timers.t1
            self._retransmit = deadlines.at(now + self._interval, self._on_g)
        self._limit = deadlines.at(now + timers.limit, self._terminate)  # timer H

    def abandon(self, now: float) -> None:
        """Say nothing more: copies of the INVITE are absorbed until its client gives up.

        Raises LocalProtocolError after the final response.
        """
        if self.state is not State.PROCEEDING:
            raise LocalProtocolError("The INVITE has its final response already")
        self.state = State.CONFIRMED
        limit = now + self._layer.timers.limit
        self._limit = self._layer.deadlines.at(limit, self._terminate)

    def repeated(self, now: float) -> None:
        """The INVITE came again: repeat the last response, except after a 2xx or its ACK."""
        if self.state in (State.PROCEEDING, State.COMPLETED) and self._last:
            self._send(self._last)

    def acknowledged(self, now: float) -> bool:
        """ACK of a non-2xx response; true for the first one."""
        if self.state is not State.COMPLETED:
            return False
        deadlines = self._layer.deadlines
        deadlines.cancel(self._retransmit)
        deadlines.cancel(self._limit)
        self._last = b""
        self._layer.forget_identity(self)
        lifetime = self._layer.timers.i(reliable=self.reliable)
        if lifetime:
            self.state = State.CONFIRMED
            self._limit = deadlines.at(now + lifetime, self._terminate)
        else:
            self._terminate(now)
        return True

    def _on_g(self, now: float) -> None:
        self._send(self._last)
        self._interval = self._layer.timers.longer(self._interval)
        self._retransmit = self._layer.deadlines.at(now + self._interval, self._on_g)

    def _terminate(self, now: float) -> None:
        self._layer.deadlines.cancel(self._retransmit)
        self.state = State.TERMINATED
        self._layer.forget_server(self)
