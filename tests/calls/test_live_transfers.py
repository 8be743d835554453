"""Live updates in the middle of a transfer: nobody is left in silence, nobody is hung up who was
taken away."""

from __future__ import annotations

import asyncio

import pytest

from sipdomains.contracts import CallClosed
from sipdomains.live import Command
from sipserver.sip.events import Acknowledged, Ended
from tests.calls.test_dial import PLAIN, all_ended, answers, refuses
from tests.calls.test_live_updates import CHILD, NEW, PARENT, ask, closed, redirect
from tests.calls.test_transfers_received import KEPT, TO_CAROL, WITH_REFER, refer, times
from tests.fakes.calls import World, answered, incoming

SECOND = f"CA{4:032x}"


async def transferring(transferor: int) -> World:
    """One of two that are connected has been sent on, and rings carol; the other is kept."""
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
    return world


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
    world = World()
    world.document(PLAIN)
    for usage, call_id in ((1, "call-1"), (2, "call-2")):
        world.events(incoming(usage, call_id=call_id))
        await times(world, "200", usage)
        world.events(Acknowledged(usage, b""))
        await world.until(lambda wanted=usage: len(world.sip.invites) == wanted)
        world.events(answers(100 + usage))
        await times(world, "bridged", usage)
    world.sip.dialogs["call-2", "t1", "t2"] = 102
    replaces = "call-2%3Bto-tag%3Dt1%3Bfrom-tag%3Dt2"
    world.events(refer(101, f"<sip:carol@far.example?Replaces={replaces}>"))
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
        world = World()
        world.document('<Response><Pause length="60"/></Response>', "refer")
        await answered(world, WITH_REFER)
        await world.until(lambda world=world: len(world.sip.invites) == 1)
        world.events(answers(101))
        await world.ladder_has("bridged")
        world.events(refer(transferor))
        applied.append(await truly_redirected(world, turns, "transferred"))
        world.events(Ended(1, "bye"))
        await all_ended(world)
    assert applied[0]
    if transferor == 1:
        assert all(applied)


async def test_a_callee_is_redirected_when_the_caller_hangs_up() -> None:
    for turns in TURNS:
        world = await answered(World(), PLAIN)
        await world.until(lambda world=world: len(world.sip.invites) == 1)
        world.events(answers(101))
        await world.ladder_has("bridged")
        world.events(Ended(1, "bye"))
        await truly_redirected(world, turns, "released")
        await all_ended(world)
