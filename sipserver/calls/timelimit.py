"""How long a call may last: a timer that a live update can set anew."""

from __future__ import annotations

import asyncio

from sipserver.calls.office import Office
from sipserver.calls.session import CallSession
from twimlrunner.engine.interrupts import TimeLimit


class TimeLimiter:
    """Ends ``session`` when its time is over, counted from now. What REST allows is bounded by the
    policy."""

    def __init__(self, session: CallSession, office: Office) -> None:
        self._session = session
        self._office = office
        self._began = asyncio.get_running_loop().time()
        self._timer: asyncio.TimerHandle | None = None
        self.set()
        session.limiter = self

    def set(self) -> None:
        """Anew, by what the session says now."""
        session = self._session
        seconds: float = session.policy.max_call_seconds
        if session.time_limit is not None:
            seconds = min(seconds, session.time_limit)
        left = self._began + seconds - asyncio.get_running_loop().time()
        self.cancel()
        self._timer = self._office.later(max(0.0, left), lambda: session.interrupt(TimeLimit()))

    def cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
