"""Dial at the moments when two things happen at once."""

from __future__ import annotations

import asyncio

from sipserver.sip.events import Acknowledged, Ended
from tests.calls.test_dial import (
    ON_BRIDGE,
    PLAIN,
    all_ended,
    answers,
    child,
    dialling,
    rings,
)
from tests.fakes.calls import World, incoming


async def test_callee_hangs_up_before_the_caller_is_connected() -> None:
    world = await dialling(ON_BRIDGE, up=False)
    world.events(answers(101))
    await world.ladder_has("200")
    world.events(Ended(101, "bye"))
    await world.ladder_has("closed completed callee-hangup")
    world.events(Acknowledged(1, b""))
    await all_ended(world)
    assert "bridged" not in world.ladder
    assert "played speech:after" in world.ladder
    assert world.ladder[-1] == "closed completed document-ended"


async def test_callee_hangs_up_in_the_moment_of_bridging() -> None:
    world = await dialling(PLAIN)
    world.events(answers(101))
    await asyncio.sleep(0)
    world.events(Ended(101, "bye"))
    await all_ended(world)
    assert world.ladder[-1] == "closed completed document-ended"
    assert child(world).cause == "callee-hangup"


async def test_legs_meet_on_one_media_worker_although_the_caller_is_answered_last() -> None:
    world = World()
    world.media.scattered = True
    world.document(ON_BRIDGE)
    world.events(incoming())
    await world.until(lambda: len(world.sip.invites) == 1)
    world.events(rings(101), answers(101))
    await world.ladder_has("200")
    world.events(Acknowledged(1, b""))
    await world.ladder_has("bridged")
    world.events(Ended(101, "bye"))
    await all_ended(world)
