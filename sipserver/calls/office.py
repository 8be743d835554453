"""What a call needs of the manager of all calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol

from sipdomains.policy import DomainPolicy
from sipserver.calls.admission import IncomingRates, Load, RefusalBudget, SpentNonces
from sipserver.calls.session import CallSession
from twimlrunner.engine.ports import Dialled, DialPlan

if TYPE_CHECKING:
    from sipserver.calls.control import LiveCall
    from sipserver.calls.fraud import OutgoingGuard
    from sipserver.calls.inbound import InboundSession
    from sipserver.calls.outbound import OutboundSession


class Office(Protocol):
    """Implemented by ``calls.manager.CallManager``."""

    live: dict[str, int]
    incoming_rates: IncomingRates
    refusals: RefusalBudget
    spent_nonces: SpentNonces
    guard: OutgoingGuard

    def load(self) -> Load: ...

    def claim(self, *sids: str) -> None: ...

    def release(self, *sids: str) -> None: ...

    def remember_challenge(self, session: InboundSession, policy: DomainPolicy) -> None: ...

    async def dial(self, call: LiveCall, plan: DialPlan) -> Dialled:
        """Run one Dial."""

    def start(self, leg: OutboundSession, work: Coroutine[Any, Any, None]) -> None:
        """Run the life of a leg that we place, in a task of its own."""

    def attach(self, usage: int, leg: OutboundSession) -> None:
        """Events of this INVITE of ours are the leg's."""

    def find(self, call_sid: str) -> CallSession | None:
        """The live leg of that SID."""

    def ended(self, session: CallSession) -> asyncio.Future[Any]:
        """Done when its row is final, or at once when it is not live."""

    def session_of(self, usage: int) -> CallSession | None:
        """The live leg of a usage."""

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something that belongs to no single call; it is cancelled when the node stops."""

    def later(self, seconds: float, action: Callable[[], None]) -> asyncio.TimerHandle: ...
