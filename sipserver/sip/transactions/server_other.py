"""Non-INVITE server transaction (RFC 3261 17.2.2, RFC 4320)."""

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
    TRYING = "trying"
    PROCEEDING = "proceeding"
    COMPLETED = "completed"
    TERMINATED = "terminated"


class ServerOther:
    """An unanswered one dies 64*T1 after the request: the client has given up by then, and a late
    response only does harm (RFC 4320 3.1)."""

    __slots__ = (
        "_last",
        "_layer",
        "_limit",
        "flow",
        "key",
        "merge_key",
        "number",
        "request",
        "state",
        "target",
        "usage",
    )

    def __init__(
        self,
        layer: TransactionLayer,
        request: Request,
        flow: Flow | None,
        target: tuple[str, str, int],
        now: float,
    ) -> None:
        self._layer = layer
        self.request = request
        self.flow = flow
        self.target = target
        self.key: tuple[str, ...] = ()
        self.merge_key: tuple[str, ...] | None = None
        self.number = 0  # the engine's handle while somebody above owes the answer
        self.usage = 0
        self.state = State.TRYING
        self._last = b""
        self._limit: Deadline | None = layer.deadlines.at(now + layer.timers.limit, self._terminate)

    @property
    def reliable(self) -> bool:
        return self.target[0] != "udp"

    def respond(self, status: int, data: bytes, now: float) -> None:
        """Send a response.

        Raises LocalProtocolError after the final response, and for what RFC 4320 4 forbids here:
        408 and provisional responses other than 100.
        """
        if self.state in (State.COMPLETED, State.TERMINATED):
            raise LocalProtocolError("The request has its final response already, or expired")
        if status == 408 or 100 < status < 200:
            raise LocalProtocolError(f"{status} must not answer a non-INVITE request")
        self._layer.output.send(data, self.flow, self.target, self.usage)
        self._last = data
        if status < 200:
            self.state = State.PROCEEDING
            return
        self._layer.deadlines.cancel(self._limit)
        lifetime = self._layer.timers.j(reliable=self.reliable)
        if lifetime:
            self.state = State.COMPLETED
            self._limit = self._layer.deadlines.at(now + lifetime, self._terminate)
        else:
            self._terminate(now)

    def repeated(self, now: float) -> None:
        """The request came again: repeat the last response if there is one."""
        if self._last:
            self._layer.output.send(self._last, self.flow, self.target)

    def _terminate(self, now: float) -> None:
        self.state = State.TERMINATED
        self._layer.forget_server(self)
