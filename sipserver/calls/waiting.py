"""Waiting for something while the call may end at any moment."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from twimlrunner.engine.ports import CallEnded

T = TypeVar("T")


async def unless_over(over: asyncio.Future[Any], work: Coroutine[Any, Any, T]) -> T:
    """Await ``work``; the moment ``over`` is done it is cancelled and CallEnded raised."""
    if over.done():
        work.close()
        raise CallEnded
    task = asyncio.ensure_future(work)
    waiting: set[asyncio.Future[Any]] = {task, over}
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        await cancel(task)
        raise
    if task.done():
        return task.result()
    await cancel(task)
    raise CallEnded


async def first(*futures: asyncio.Future[Any], timeout: float | None = None) -> None:
    """Return when one of ``futures`` is done, or the time has passed. Cancels nothing."""
    await asyncio.wait(futures, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)


async def cancel(task: asyncio.Future[Any]) -> None:
    """Cancel and wait for the end; what comes of it interests nobody any more."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()


async def value(future: asyncio.Future[T]) -> T:
    """The future's result, without cancelling it when the waiter is."""
    return await asyncio.shield(future)
