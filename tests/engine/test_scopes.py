"""DigitStream and first_key: what is done while something else runs."""

import asyncio
from types import SimpleNamespace

import pytest

from tests.fakes.call_control import World, pressed
from twimlrunner.engine.ports import CallEnded, VerbFailed
from twimlrunner.engine.scopes import DigitStream, first_key

# --- DigitStream --------------------------------------------------------------------------------


async def test_keys_wait_for_whoever_asks():
    digits = DigitStream()
    for key in "12":
        assert digits.push(key)
    assert not digits.push("x")
    assert [await digits.next(0), await digits.next(None), await digits.next(0)] == ["1", "2", None]
    assert asyncio.get_running_loop().time() == 0.0


async def test_whoever_asks_waits_for_a_key():
    digits = DigitStream()
    loop = asyncio.get_running_loop()
    loop.call_at(3.0, digits.push, "x")  # wakes the waiter for nothing
    loop.call_at(4.0, digits.push, "7")
    assert await digits.next(None) == "7"
    assert loop.time() == 4.0


async def test_until_time_is_up():
    digits = DigitStream()
    assert await digits.next(5.0) is None
    assert asyncio.get_running_loop().time() == 5.0


async def test_cleared_keys_are_gone():
    digits = DigitStream()
    digits.push("1")
    digits.clear()
    assert await digits.next(1.0) is None


async def test_a_waiter_that_is_cancelled_takes_no_key():
    digits = DigitStream()
    waiter = asyncio.create_task(digits.next(None))
    await asyncio.sleep(0)
    digits.push("1")
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert await digits.next(0) == "1"


# --- first_key ----------------------------------------------------------------------------------


class Line:
    """A line with keys at times, and prompts on it."""

    def __init__(self, keys=()):
        self.world = World(keys=keys)
        self.heard = []
        loop = asyncio.get_running_loop()
        for at, key in keys:
            loop.call_at(at, self.world.digits.push, key)

    async def prompts(self, seconds: float, error: Exception | None = None) -> None:
        try:
            await asyncio.sleep(seconds)
            if error:
                raise error
            self.heard.append("end")
        finally:
            self.heard.append("over")


@pytest.mark.parametrize(
    ("at", "key", "now", "heard"),
    [
        (0.5, "1", 0.5, ["over"]),  # within the prompts: they stop
        (2.5, "1", 2.5, ["end", "over"]),  # after them
        (4.9, "1", 4.9, ["end", "over"]),
        (5.1, None, 5.0, ["end", "over"]),  # three seconds after their end
    ],
)
async def test_first_key(at, key, now, heard):
    line = Line(pressed("1", at=at))
    assert await first_key(line.world, line.prompts(2.0), 3.0) == key
    assert asyncio.get_running_loop().time() == pytest.approx(now)
    assert line.heard == heard
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_key_in_the_instant_the_prompts_end_is_not_lost():
    line = Line(pressed("1", at=2.0))
    assert await first_key(line.world, line.prompts(2.0), 3.0) == "1"


async def test_no_prompts_at_all():
    line = Line(pressed("1", at=1.0))
    assert await first_key(line.world, line.prompts(0.0), 3.0) == "1"


@pytest.mark.parametrize("error", [VerbFailed(11200, "x"), CallEnded()])
async def test_what_the_prompts_raise(error):
    line = Line()
    with pytest.raises(type(error)):
        await first_key(line.world, line.prompts(1.0, error), 3.0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("at", [0.5, 1.0, 2.0])
async def test_the_call_ends(at):
    """Before, together with, and after the prompts."""
    line = Line()

    async def next_digit(timeout: float | None) -> str | None:
        await asyncio.sleep(at)
        raise CallEnded

    call = SimpleNamespace(next_digit=next_digit)
    with pytest.raises(CallEnded):
        await first_key(call, line.prompts(1.0, CallEnded() if at == 1.0 else None), 3.0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("at", [0.0, 0.5, 1.5])
async def test_cancelling_stops_both(at):
    line = Line()
    task = asyncio.create_task(first_key(line.world, line.prompts(1.0), 3.0))
    await asyncio.sleep(at)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}
