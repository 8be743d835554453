"""INVITE client transaction (RFC 3261 17.1.1 with the Accepted state of RFC 6026 7.2)."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING

from sipserver.sip import build

if TYPE_CHECKING:
    from sipserver.sip.events import Flow
    from sipserver.sip.message import Request, Response
    from sipserver.sip.timers import Deadline
    from sipserver.sip.transactions.layer import TransactionLayer

OnResponse = Callable[["Response", "Flow", float], None]
"""(response, its flow, now): each provisional one, the final one, and every copy of a 2xx."""
OnFailure = Callable[[int, float], None]
"""(status, now): no final response; 408 for timer B or a dead CANCEL, 503 for the transport."""


class State(Enum):
    CALLING = "calling"
    PROCEEDING = "proceeding"
    ACCEPTED = "accepted"
    COMPLETED = "completed"
    TERMINATED = "terminated"


class ClientInvite:
    """Sends the INVITE and the ACK of a non-2xx; the ACK of a 2xx is the usage's."""

    __slots__ = (
        "_ack",
        "_data",
        "_interval",
        "_layer",
        "_limit",
        "_on_failure",
        "_on_response",
        "_retransmit",
        "cancelled",
        "flow",
        "key",
        "request",
        "seen",
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
        on_response: OnResponse,
        on_failure: OnFailure,
        now: float,
        *,
        usage: int,
    ) -> None:
        self._layer = layer
        self.request = request
        self.flow = flow
        self.target = target
        self._on_response = on_response
        self._on_failure = on_failure
        self.usage = usage
        self.key: tuple[str, ...] = ()
        self.seen = b""  # the last response's bytes, to tell retransmissions
        self.cancelled = False  # CANCEL has been sent
        self.state = State.CALLING
        self._ack = b""
        self._data = request.to_bytes()
        self._interval = layer.timers.t1
        self._retransmit: Deadline | None = None
        layer.output.send(self._data, flow, target, usage)
        if not self.reliable:
            self._retransmit = layer.deadlines.at(now + self._interval, self._on_a)
        self._limit: Deadline | None = layer.deadlines.at(now + layer.timers.limit, self._on_b)

    @property
    def reliable(self) -> bool:
        return self.target[0] != "udp"

    @property
    def pending(self) -> bool:
        """True until the final response."""
        return self.state in (State.CALLING, State.PROCEEDING)

    def receive(self, response: Response, flow: Flow, now: float) -> None:
        """Take a response that matched."""
        status = response.status
        if self.pending:
            if status < 200:
                if self.state is State.CALLING:
                    self._stop()  # only then: limit_to may have set a new limit since
                    self.state = State.PROCEEDING
            elif status < 300:
                self._stop()
                self.state = State.ACCEPTED
                limit = now + self._layer.timers.limit
                self._limit = self._layer.deadlines.at(limit, self._terminate)  # timer M
            else:
                self._enter_completed(response, now)
            self._on_response(response, flow, now)
        elif self.state is State.ACCEPTED and 200 <= status < 300:
            self._on_response(response, flow, now)
        elif self.state is State.COMPLETED and status >= 300:
            self._layer.output.send(self._ack, self.flow, self.target)

    def limit_to(self, when: float) -> None:
        """Give up at ``when`` without a final response: RFC 3261 9.1, after a CANCEL."""
        if self.pending:
            self._layer.deadlines.cancel(self._limit)
            self._limit = self._layer.deadlines.at(when, self._on_b)

    def failed(self, now: float) -> None:
        """The transport could not deliver the request or lost the connection."""
        if self.pending:
            self._give_up(503, now)

    def _enter_completed(self, response: Response, now: float) -> None:
        self._stop()
        self._ack = build.ack_for(self.request, response).to_bytes()
        self._layer.output.send(self._ack, self.flow, self.target, self.usage)
        lifetime = self._layer.timers.d(reliable=self.reliable)
        if lifetime:
            self.state = State.COMPLETED
            self._limit = self._layer.deadlines.at(now + lifetime, self._terminate)
        else:
            self._terminate(now)

    def _on_a(self, now: float) -> None:
        self._layer.output.send(self._data, self.flow, self.target)
        self._interval *= 2  # 17.1.1.2: timer A has no ceiling, timer B ends it
        self._retransmit = self._layer.deadlines.at(now + self._interval, self._on_a)

    def _on_b(self, now: float) -> None:
        self._give_up(408, now)

    def _give_up(self, status: int, now: float) -> None:
        self._terminate(now)
        self._on_failure(status, now)

    def _stop(self) -> None:
        self._layer.deadlines.cancel(self._retransmit)
        self._layer.deadlines.cancel(self._limit)

    def _terminate(self, now: float) -> None:
        self._stop()
        self.state = State.TERMINATED
        self._layer.forget_client(self)
