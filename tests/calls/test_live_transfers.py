"""Live updates in the middle of a transfer: nobody is left in silence, nobody is hung up who was
taken away."""

from __future__ import annotations

import asyncio

import pytest

from sipdomains.contracts import CallClosed
from sipdomains.live import Command
from sipserver.sip.events import Ended
from tests.calls.scenes import (
    CHILD,
    NEW,
    PARENT,
    PLAIN,
    SILENCE,
    WITH_REFER,
    all_ended,
    answers,
    ask,
    closed,
    connected,
    joins,
    redirect,
    refer,
    refuses,
    times,
    transferring,
    two_calls,
)
from tests.fakes.calls import World, answered

SECOND = f"CA{4:032x}"


async def test_the_transferee_on_its_way_is_redirected() -> None:
    world = await transferring(1)
    assert (await redirect(world, CHILD)).applied
    await all_ended(world)
    assert "CANCEL 102" in world.ladder
    assert "NOTIFY 503" in world.ladder
    assert world.ladder.count("bridged") == 1
    assert closed(world, CHILD).cause == "document-ended"
    assert "played speech:after" in world.ladder  # the caller goes on behind Dial
    assert closed(world, PARENT).cause == "document-ended"


async def test_the_transferor_who_waits_is_redirected() -> None:
    world = await transferring(1)
    assert (await redirect(world, PARENT)).applied
    await world.until(lambda: "played speech:new" in world.ladder)
    world.events(refuses(102, 486))
    await all_ended(world)
    assert closed(world, PARENT).cause == "document-ended"
    assert closed(world, CHILD).cause == "document-ended"
    assert world.ladder.count("bridged") == 1


@pytest.mark.parametrize("connects", [True, False])
async def test_a_callee_who_has_sent_the_caller_on_is_redirected(connects: bool) -> None:
    world = await transferring(101)
    assert (await redirect(world, CHILD)).applied
    await world.until(lambda: "played speech:new" in world.ladder)
    world.events(answers(102) if connects else refuses(102, 486))
    if connects:
        await times(world, "bridged", 2)
        world.events(Ended(102, "bye"))
    await all_ended(world)
    assert world.ladder.count("bridged") == (2 if connects else 1)
    assert closed(world, CHILD).cause == "document-ended"
    assert ("played speech:after" in world.ladder) == (not connects)


async def test_a_callee_about_to_be_dismissed_is_redirected() -> None:
    world = World()
    world.document("<Response/>", "refer")
    world.webhooks.hold.add("http://app.example.net/refer")
    await answered(world, WITH_REFER)
    await world.until(lambda: len(world.sip.invites) == 1)
    world.events(answers(101))
    await world.ladder_has("bridged")
    world.events(refer(101))
    await world.ladder_has("fetch refer")
    await ask(world, "redirect", CHILD, twiml='<Response><Pause length="60"/></Response>')
    world.events(Ended(1, "bye"))
    await world.until(lambda: world.manager.load().calls == 1)
    assert world.manager.find(CHILD) is not None
    assert (await redirect(world, CHILD)).applied
    await all_ended(world)
    assert closed(world, CHILD).cause == "document-ended"


async def attended() -> World:
    """Two calls of one phone; it has joined its two partners (101 and 102) and is gone."""
    world = await two_calls()
    joins(world, 1, 2)
    await times(world, "bridged", 3)
    return world


@pytest.mark.parametrize("sid", [CHILD, SECOND])
async def test_one_of_two_that_were_joined_is_redirected(sid: str) -> None:
    world = await attended()
    assert (await redirect(world, sid)).applied
    await all_ended(world)
    other = SECOND if sid == CHILD else CHILD
    assert closed(world, sid).cause == "document-ended"
    assert closed(world, other).cause == "released"
    assert world.ladder.count("unbridged") == 3


async def joined_by_the_callee() -> World:
    """Two calls that reached the same phone (101 and 102), which is about to join the callers."""
    world = await two_calls()
    joins(world, 101, 102)
    return world


def has_closed(world: World, sid: str) -> bool:
    return any(isinstance(row, CallClosed) and row.call_sid == sid for row in world.log.records)


async def truly_redirected(world: World, turns: int, otherwise: str) -> bool:
    """Redirect the child ``turns`` turns of the loop from now: what REST is told comes true."""
    world.document(NEW, "new")
    command = Command(1, CHILD, "redirect", {"url": "http://app.example.net/new"}, "SK1")
    for _ in range(turns):
        await asyncio.sleep(0)
    applied = (await world.manager.apply(command)).applied  # in this very turn
    await world.until(lambda: has_closed(world, CHILD))
    assert closed(world, CHILD).cause == ("document-ended" if applied else otherwise)
    assert ("played speech:new" in world.ladder) == applied
    return applied


# More turns than it takes until the one who transferred is gone.
TURNS = range(16)


async def test_a_phone_that_joins_its_callers_is_redirected_at_any_moment() -> None:
    applied = []
    for turns in TURNS:
        world = await joined_by_the_callee()
        applied.append(await truly_redirected(world, turns, "transferred"))
        joined = "NOTIFY 200" in world.ladder  # else REST was first: it is no transfer any more
        if joined:
            await times(world, "bridged", 3)
        world.events(Ended(1, "bye"), Ended(2, "bye"))
        await all_ended(world)
        assert closed(world, SECOND).cause == ("transferred" if joined else "released")
    assert applied[0]


@pytest.mark.parametrize("transferor", [1, 101])
async def test_a_callee_is_redirected_at_any_moment_of_a_transfer(transferor: int) -> None:
    applied = []
    for turns in TURNS:
        world = await connected(WITH_REFER, SILENCE)
        world.events(refer(transferor))
        applied.append(await truly_redirected(world, turns, "transferred"))
        world.events(Ended(1, "bye"))
        await all_ended(world)
    assert applied[0]
    if transferor == 1:
        assert all(applied)


async def test_a_callee_is_redirected_when_the_caller_hangs_up() -> None:
    for turns in TURNS:
        world = await connected(PLAIN, SILENCE)
        world.events(Ended(1, "bye"))
        await truly_redirected(world, turns, "released")
        await all_ended(world)
