"""The only place, beside the runner, where the interpreter deals with tasks and events.

Verbs must not import asyncio; what they need of concurrency they find here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from twimlrunner.engine.digits import DigitBuffer
from twimlrunner.engine.interrupts import Interrupt, InterruptBox, Redirected
from twimlrunner.engine.ports import CallControl


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


class DigitStream:
    """A :class:`DigitBuffer` that can be waited for. Single consumer, one event loop."""

    __slots__ = ("_buffer", "_pressed")

    def __init__(self) -> None:
        self._buffer = DigitBuffer()
        self._pressed = asyncio.Event()

    def push(self, key: str) -> bool:
        """As :meth:`DigitBuffer.push`; wakes the waiter."""
        accepted = self._buffer.push(key)
        self._pressed.set()
        return accepted

    def clear(self) -> None:
        self._buffer.clear()

    async def next(self, timeout: float | None) -> str | None:
        """As :meth:`CallControl.next_digit`, except that nothing ends it but key and time."""
        try:
            async with asyncio.timeout(timeout):
                while (key := self._buffer.pop()) is None:
                    self._pressed.clear()
                    await self._pressed.wait()
                return key
        except TimeoutError:
            return None


async def first_key(
    call: CallControl, prompts: Coroutine[Any, Any, None], timeout: float
) -> str | None:
    """The first key that the peer presses while ``prompts`` run (which stops them at once) or
    within ``timeout`` seconds after they have ended by themselves.

    Raises what ``prompts`` and ``call`` raise; whatever happens, neither of them is left running.
    """
    # One listener for both periods: to cancel it in between could lose the key that just came.
    listening = asyncio.ensure_future(call.next_digit(None))
    playing = asyncio.ensure_future(prompts)
    try:
        await asyncio.wait((listening, playing), return_when=asyncio.FIRST_COMPLETED)
        if not listening.done():
            playing.result()
            await asyncio.wait((listening,), timeout=timeout)
        return listening.result() if listening.done() else None
    finally:
        await _stop(listening, playing)


async def _stop(*tasks: asyncio.Future[Any]) -> None:
    """Cancel what still runs and wait until it has cleaned up."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # seen: what matters of it has been raised
