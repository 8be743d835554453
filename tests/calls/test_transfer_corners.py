"""Transfers at the moments when two things happen at once, and what their programs can do."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sipserver.calls import api_recording
from sipserver.calls.leg_media import LegMedia
from sipserver.sip.events import Ended
from tests.calls.scenes import (
    KEPT,
    REPLACES,
    TO_CAROL,
    all_ended,
    child,
    connected,
    joins,
    parameters,
    refer,
    refuses,
    request,
    response,
    times,
    two_calls,
)
from tests.fakes.calls import OFFER, World
from twimlrunner.engine.interrupts import Redirected, TimeLimit
from twimlrunner.engine.ports import DocumentRequest

MENU = '<Response><Gather numDigits="1" action="/chosen"><Pause length="60"/></Gather></Response>'
UPDATE = DocumentRequest("http://app.example.net/update", "POST", "live-update")


@pytest.mark.parametrize(("transferor", "transferee"), [(101, 0), (1, 1)])
async def test_program_of_a_transfer_gets_the_keys(transferor: int, transferee: int) -> None:
    world = await connected(KEPT, MENU)
    world.events(refer(transferor))
    await world.ladder_has("fetch refer")
    await asyncio.sleep(0.01)
    world.media.sessions[transferee].listener("digit", {"digit": "7"})
    await world.ladder_has("fetch chosen")
    assert parameters(world, "chosen")["Digits"] == "7"
    world.events(Ended(1, "bye"))
    await all_ended(world)


async def test_transferee_does_not_come_back_to_a_caller_who_was_redirected() -> None:
    world = await connected(KEPT, TO_CAROL)
    world.events(refer(1))
    await world.until(lambda: len(world.sip.invites) == 2)
    session = world.manager.session_of(1)
    assert session is not None
    session.interrupt(Redirected(UPDATE))
    await world.ladder_has("played speech:updated")
    world.events(Ended(102, "bye"))
    world.events(refuses(102, 486))
    await all_ended(world)
    assert child(world).cause == "document-ended"


async def test_refer_that_nobody_deals_with_any_more_is_answered() -> None:
    world = await connected(KEPT, TO_CAROL)
    world.events(refer(101), Ended(1, "bye"))
    await all_ended(world)
    assert "491 in-dialog" in world.ladder


async def test_attended_transferor_may_hang_up_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    world = await two_calls()
    world.sip.dialogs["call-2", "t1", "t2"] = 2
    told = world.sip.notify

    def notify(usage: int, body: bytes, **how: Any) -> None:
        told(usage, body, **how)
        if b"200" in body:
            world.events(Ended(1, "bye"), Ended(2, "bye"))

    monkeypatch.setattr(world.sip, "notify", notify)
    world.events(refer(1, REPLACES))
    await times(world, "bridged", 3)
    assert world.media.sessions[1].bridged is world.media.sessions[3]
    world.events(Ended(102, "bye"))
    await all_ended(world)


@pytest.mark.parametrize("what", [TimeLimit(), Redirected(UPDATE)])
async def test_party_of_an_attended_transfer_is_not_left_alone(what: object) -> None:
    world = await two_calls()
    joins(world, 101, 102)
    await times(world, "bridged", 3)
    session = world.manager.session_of(1)
    assert session is not None
    session.interrupt(what)
    await all_ended(world)
    assert "played speech:after" in world.ladder  # the other one goes on with its document


async def between_two_workers() -> World:
    """An attended transfer of calls on two media workers, whose re-INVITE is out."""
    world = await two_calls(scattered=True)
    await transferred(world)
    return world


async def transferred(world: World) -> None:
    joins(world, 1, 2)
    await world.until(lambda: any(step.startswith("re-INVITE") for step in world.ladder))


async def test_attended_transfer_of_calls_on_two_media_workers_frees_all_ports() -> None:
    world = await between_two_workers()
    world.events(Ended(101, "bye", request("BYE")), Ended(102, "bye", request("BYE")))
    await all_ended(world)


async def test_glare_with_the_reinvite_that_moves_a_leg_gets_a_second_try(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []
    chosen = LegMedia._glare_pause

    def pause(media: LegMedia) -> float:
        pauses.append(chosen(media))
        return 0.0

    monkeypatch.setattr(LegMedia, "_glare_pause", pause)
    world = await between_two_workers()
    world.sip.referred[-1](491, None)
    await times(world, "re-INVITE 102", 2)
    assert 2.1 <= pauses[0] <= 4.0  # of the leg that we placed
    world.sip.referred[-1](200, response(200, body=OFFER))
    await times(world, "bridged", 3)
    world.events(Ended(102, "bye", request("BYE")))
    await all_ended(world)


@pytest.mark.parametrize(
    ("recorded", "moves", "ends"), [((102,), 101, []), ((101, 102), 102, ["moved"])]
)
async def test_recorded_leg_stays_on_its_media_worker_if_the_other_can_go(
    recorded: tuple[int, ...], moves: int, ends: list[str]
) -> None:
    world = await two_calls(scattered=True)
    for usage in recorded:
        leg = world.manager.session_of(usage)
        assert leg is not None
        await api_recording.start(leg, {})
    await transferred(world)
    assert f"re-INVITE {moves}" in world.ladder
    world.sip.referred[-1](200, response(200, body=OFFER))
    await times(world, "bridged", 3)
    await world.until(lambda: len(world.recordings.finished) == len(ends))
    assert [how["ended_by"] for _, how in world.recordings.finished] == ends
    world.events(Ended(102, "bye", request("BYE")))
    await all_ended(world)
    assert len(world.recordings.finished) == len(recorded)
