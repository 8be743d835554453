"""The only place, beside the runner, where the interpreter deals with tasks and events.

Verbs must not import asyncio; what they need of concurrency they find here.
"""

from __future__ import annotations

import asyncio

from twimlrunner.engine.interrupts import Interrupt, InterruptBox, Redirected


class InterruptSignal:
    """An :class:`InterruptBox` that can be waited for. Single consumer, one event loop."""

    __slots__ = ("_box", "_event")

    def __init__(self) -> None:
        self._box = InterruptBox()
        self._event = asyncio.Event()

    @property
    def pending(self) -> Interrupt | None:
        return self._box.pending

    def put(self, interrupt: Interrupt) -> bool:
        """As :meth:`InterruptBox.put`; wakes the waiter."""
        accepted = self._box.put(interrupt)
        self._event.set()
        return accepted

    async def wait(self) -> Interrupt:
        """Return what is pending, at once when something is. Does not consume it."""
        while (pending := self._box.pending) is None:
            self._event.clear()
            await self._event.wait()
        return pending

    def take_redirect(self) -> Redirected | None:
        """As :meth:`InterruptBox.take_redirect`."""
        return self._box.take_redirect()
