"""Non-INVITE client transaction (RFC 3261 17.1.2)."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sipserver.sip.events import Flow
    from sipserver.sip.message import Request, Response
    from sipserver.sip.timers import Deadline
    from sipserver.sip.transactions.layer import TransactionLayer

OnFinal = Callable[[int, "Response | None", float], None]
"""(status, response, now): without a response, 408 means timer F and 503 a transport error."""


def ignore(_status: int, _response: Response | None, _now: float) -> None:
    """The ``OnFinal`` of a CANCEL, a PRACK or a fork's BYE: what becomes of it changes nothing."""


class State(Enum):
    TRYING = "trying"
    PROCEEDING = "proceeding"
    COMPLETED = "completed"
    TERMINATED = "terminated"


class ClientOther:
    """Tells its user the one outcome; provisional responses only slow the retransmissions."""

    __slots__ = (
        "_data",
        "_interval",
        "_layer",
        "_limit",
        "_on_final",
        "_retransmit",
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
        on_final: OnFinal,
        now: float,
        *,
        usage: int = 0,
    ) -> None:
        self._layer = layer
        self.request = request
        self.flow = flow
        self.target = target
        self._on_final = on_final
        self.usage = usage
        self.key: tuple[str, ...] = ()
        self.seen = b""  # the last response's bytes, to tell retransmissions
        self.state = State.TRYING
        self._data = request.to_bytes()
        self._interval = layer.timers.t1
        self._retransmit: Deadline | None = None
        layer.output.send(self._data, flow, target, usage)
        if not self.reliable:
            self._retransmit = layer.deadlines.at(now + self._interval, self._on_e)
        self._limit: Deadline | None = layer.deadlines.at(now + layer.timers.limit, self._on_f)

    @property
    def reliable(self) -> bool:
        return self.target[0] != "udp"

    def receive(self, response: Response, _flow: Flow, now: float) -> None:
        """Take a response that matched."""
        if self.state in (State.COMPLETED, State.TERMINATED):
            return
        if response.status < 200:
            self.state = State.PROCEEDING
            return
        self._stop()
        lifetime = self._layer.timers.k(reliable=self.reliable)
        if lifetime:
            self.state = State.COMPLETED
            self._limit = self._layer.deadlines.at(now + lifetime, self._terminate)
        else:
            self._terminate(now)
        self._on_final(response.status, response, now)

    def failed(self, now: float) -> None:
        """The transport could not deliver the request or lost the connection."""
        self._give_up(503, now)

    def _on_e(self, now: float) -> None:
        timers = self._layer.timers
        self._layer.output.send(self._data, self.flow, self.target)
        # RFC 3261 17.1.2.2: after a provisional response the interval is T2 at once.
        proceeding = self.state is State.PROCEEDING
        self._interval = timers.t2 if proceeding else timers.longer(self._interval)
        self._retransmit = self._layer.deadlines.at(now + self._interval, self._on_e)

    def _on_f(self, now: float) -> None:
        self._give_up(408, now)

    def _give_up(self, status: int, now: float) -> None:
        if self.state in (State.COMPLETED, State.TERMINATED):
            return
        self._terminate(now)
        self._on_final(status, None, now)

    def _stop(self) -> None:
        self._layer.deadlines.cancel(self._retransmit)
        self._layer.deadlines.cancel(self._limit)

    def _terminate(self, now: float) -> None:
        self._stop()
        self.state = State.TERMINATED
        self._layer.forget_client(self)
