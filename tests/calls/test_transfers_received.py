"""REFER that an endpoint sends while Dial has it connected, blind and attended
(sip-domain.md section 12.2)."""

from __future__ import annotations

import asyncio

import pytest

from sipserver.sip.events import Ended
from tests.calls.scenes import (
    WITH_REFER,
    all_ended,
    answers,
    bridged,
    child,
    connected,
    joins,
    parameters,
    refer,
    refuses,
    transferring,
    two_calls,
)

# --- REFER from an endpoint -------------------------------------------------------------------


async def test_refer_without_refer_url_is_declined_and_the_call_stays_up() -> None:
    world = await bridged()
    world.events(refer(101))
    await world.ladder_has("603 in-dialog")
    assert 13802 in world.log.notified()
    assert "unbridged" not in world.ladder
    world.events(Ended(101, "bye"))
    await all_ended(world)


async def test_refer_of_the_callee_sends_the_caller_on() -> None:
    world = await connected(WITH_REFER, "<Response><Say>moved</Say></Response>")
    world.events(refer(101))
    await all_ended(world)
    told = parameters(world, "refer")
    assert told["ReferTransferTarget"] == "<sip:carol@far.example>"
    assert "202 in-dialog" in world.ladder
    steps = [step for step in world.ladder if step.startswith("NOTIFY")]
    assert steps == ["NOTIFY 100", "NOTIFY 200"]
    assert world.ladder.index("fetch refer") < world.ladder.index("NOTIFY 200")
    assert "played speech:moved" in world.ladder
    assert "played speech:after" not in world.ladder
    assert child(world).cause == "transferred"


async def test_refer_of_the_caller_sends_the_callee_on() -> None:
    world = await connected(WITH_REFER, "<Response><Say>moved</Say></Response>")
    world.events(refer(1))
    await all_ended(world)
    told = parameters(world, "refer")
    assert told["CallSid"] == child(world).call_sid
    assert child(world).cause == "document-ended"
    assert "closed completed transferred" in world.ladder


@pytest.mark.parametrize("transferor", [101, 1])
async def test_refer_with_answer_on_bridge_connects_elsewhere(transferor: int) -> None:
    world = await transferring(transferor)
    assert "NOTIFY 200" not in world.ladder
    world.events(answers(102))
    await world.ladder_has("NOTIFY 200")
    world.events(Ended(transferor, "bye"))
    await asyncio.sleep(0.01)
    world.events(Ended(102, "bye"))
    await all_ended(world)
    assert world.ladder.count("bridged") == 2


@pytest.mark.parametrize("transferor", [101, 1])
async def test_refer_with_answer_on_bridge_comes_back_when_it_fails(transferor: int) -> None:
    world = await transferring(transferor)
    world.events(refuses(102, 486))
    await world.until(lambda: world.ladder.count("bridged") == 2)
    assert "NOTIFY 503" in world.ladder
    world.events(Ended(101, "bye"))
    await all_ended(world)
    assert "played speech:after" in world.ladder


async def test_attended_transfer_between_two_calls_of_one_phone() -> None:
    world = await two_calls()
    joins(world, 1, 2)
    await world.until(lambda: world.ladder.count("bridged") == 3)
    assert "202 in-dialog" in world.ladder
    assert "NOTIFY 200" in world.ladder
    assert world.media.sessions[1].bridged is world.media.sessions[3]
    await world.until(lambda: world.ladder.count("closed completed transferred") == 2)
    world.events(Ended(102, "bye"))
    await all_ended(world)
