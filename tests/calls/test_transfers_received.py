"""REFER that an endpoint sends while Dial has it connected, blind and attended
(sip-domain.md section 12.2)."""

from __future__ import annotations

import asyncio

import pytest

from sipserver.sip.events import Acknowledged, Ended, InDialogRequest
from tests.calls.test_dial import (
    HANG_ON,
    PLAIN,
    all_ended,
    answers,
    bridged,
    child,
    parameters,
    refuses,
    request,
)
from tests.fakes.calls import World, answered, incoming

# --- REFER from an endpoint -------------------------------------------------------------------


def refer(usage: int, target: str = "<sip:carol@far.example>") -> InDialogRequest:
    return InDialogRequest(usage, 77, request("REFER", f"Refer-To: {target}"))


async def test_refer_without_refer_url_is_declined_and_the_call_stays_up() -> None:
    world = await bridged()
    world.events(refer(101))
    await world.ladder_has("603 in-dialog")
    assert 13802 in world.log.notified()
    assert "unbridged" not in world.ladder
    world.events(Ended(101, "bye"))
    await all_ended(world)


WITH_REFER = HANG_ON.format(' referUrl="/refer"', "<Sip>sip:bob@far.example</Sip>")


async def test_refer_of_the_callee_sends_the_caller_on() -> None:
    world = World()
    world.document("<Response><Say>moved</Say></Response>", "refer")
    await answered(world, WITH_REFER)
    await world.until(lambda: len(world.sip.invites) == 1)
    world.events(answers(101))
    await world.ladder_has("bridged")
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
    world = World()
    world.document("<Response><Say>moved</Say></Response>", "refer")
    await answered(world, WITH_REFER)
    await world.until(lambda: len(world.sip.invites) == 1)
    world.events(answers(101))
    await world.ladder_has("bridged")
    world.events(refer(1))
    await all_ended(world)
    told = parameters(world, "refer")
    assert told["CallSid"] == child(world).call_sid
    assert child(world).cause == "document-ended"
    assert "closed completed transferred" in world.ladder


KEPT = HANG_ON.format(' referUrl="/refer" answerOnBridge="true"', "<Sip>sip:bob@far.example</Sip>")
TO_CAROL = "<Response><Dial><Sip>sip:carol@far.example</Sip></Dial></Response>"


@pytest.mark.parametrize("transferor", [101, 1])
async def test_refer_with_answer_on_bridge_connects_elsewhere(transferor: int) -> None:
    world = World()
    world.document(TO_CAROL, "refer")
    world.document(KEPT)
    world.events(incoming())
    await world.until(lambda: len(world.sip.invites) == 1)
    world.events(answers(101))
    await world.ladder_has("200")
    world.events(Acknowledged(1, b""))
    await world.ladder_has("bridged")
    world.events(refer(transferor))
    await world.until(lambda: len(world.sip.invites) == 2)
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
    world = World()
    world.document(TO_CAROL, "refer")
    world.document(KEPT)
    world.events(incoming())
    await world.until(lambda: len(world.sip.invites) == 1)
    world.events(answers(101))
    await world.ladder_has("200")
    world.events(Acknowledged(1, b""))
    await world.ladder_has("bridged")
    world.events(refer(transferor))
    await world.until(lambda: len(world.sip.invites) == 2)
    world.events(refuses(102, 486))
    await world.until(lambda: world.ladder.count("bridged") == 2)
    assert "NOTIFY 503" in world.ladder
    world.events(Ended(101, "bye"))
    await all_ended(world)
    assert "played speech:after" in world.ladder


async def times(world: World, step: str, count: int) -> None:
    await world.until(lambda: world.ladder.count(step) == count)


async def test_attended_transfer_between_two_calls_of_one_phone() -> None:
    world = World()
    world.document(PLAIN)
    for usage, call_id in ((1, "call-1"), (2, "call-2")):
        world.events(incoming(usage, call_id=call_id))
        await times(world, "200", usage)
        world.events(Acknowledged(usage, b""))
        await world.until(lambda wanted=usage: len(world.sip.invites) == wanted)
        world.events(answers(100 + usage))
        await times(world, "bridged", usage)
    world.sip.dialogs["call-2", "t1", "t2"] = 2
    replaces = "call-2%3Bto-tag%3Dt1%3Bfrom-tag%3Dt2"
    world.events(refer(1, f"<sip:carol@far.example?Replaces={replaces}>"))
    await world.until(lambda: world.ladder.count("bridged") == 3)
    assert "202 in-dialog" in world.ladder
    assert "NOTIFY 200" in world.ladder
    assert world.media.sessions[1].bridged is world.media.sessions[3]
    await world.until(lambda: world.ladder.count("closed completed transferred") == 2)
    world.events(Ended(102, "bye"))
    await all_ended(world)
