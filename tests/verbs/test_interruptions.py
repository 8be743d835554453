"""What may come in between, for each verb: the peer goes before, while and after it runs, its
media is lost, a live update comes (architecture section 7, choice 5).

Lost media meets a verb as a hang-up does: the call is over and every operation says so.
"""

import asyncio

import pytest

from tests.fakes.call_control import BASE, World, twiml
from twimlrunner.engine.runner import HungUp

ACTION = "http://app.example/action"
OWED = "owed"  # the verb reports what it has got when the peer goes in the middle of it

# verb, seconds it lasts, what the ladder shows when it is stopped, whether it owes a report
VERBS = {
    "Say": ("<Say>a</Say>", 2.0, "stop say a", None),
    "Play": ("<Play>/a</Play>", 2.0, "stop play http://app.example/a", None),
    "Play digits": ("<Play digits='1234567890'/>", 2.0, "stop digits", None),
    "Pause": ("<Pause length='2'/>", 2.0, "stop pause", None),
    "Gather": ("<Gather action='/action' timeout='3'/>", 3.0, None, None),
    "Gather with a prompt": (
        "<Gather action='/action' timeout='1'><Say>a</Say></Gather>", 3.0, "stop say a", None
    ),
    "Gather without barge-in": (
        "<Gather bargeIn='false' timeout='1'><Say>a</Say></Gather>", 3.0, "stop say a", None
    ),
    "Record": ("<Record action='/action'/>", 10.0, "stop record", OWED),
    "Dial": ("<Dial action='/action'>+1</Dial>", 10.0, "stop dial", OWED),
    "Dial without action": ("<Dial>+1</Dial>", 10.0, "stop dial", None),
    "Refer": ("<Refer action='/action'><Sip>sip:a@b</Sip></Refer>", 10.0, "stop refer", OWED),
    "Refer without action": ("<Refer><Sip>sip:a@b</Sip></Refer>", 10.0, "stop refer", None),
}  # fmt: skip


def world_of(verb: str, **options) -> World:
    """A second of silence, the verb, and then something that lasts."""
    site = {
        BASE: twiml(f"<Pause length='1'/>{verb}<Pause length='5'/><Redirect>/never</Redirect>"),
        ACTION: twiml("<Pause length='5'/><Redirect>/never</Redirect>"),
    }
    return World(site, **options)


@pytest.mark.parametrize(("verb", "seconds", "stopped", "report"), VERBS.values(), ids=VERBS)
@pytest.mark.parametrize("moment", ["before", "at the start", "during", "after"])
async def test_the_peer_goes(verb, seconds, stopped, report, moment):
    at = {
        "before": 0.5,
        "at the start": 1.0,
        "during": 1.0 + seconds / 4,
        "after": 1.0 + seconds + 0.5,
    }[moment]
    world = world_of(verb, hangs_up_at=at)
    assert await world.run() == HungUp("peer-gone")
    assert world.now == pytest.approx(at)
    asked = [line for line in world.ladder if line.startswith("POST")]
    told = report == OWED and moment in ("during", "after")
    assert asked == [f"POST {BASE}", *[f"POST {ACTION}"] * told]
    assert world.notes == []
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize(("verb", "seconds", "stopped", "report"), VERBS.values(), ids=VERBS)
async def test_a_live_update_stops_the_verb_and_nothing_is_reported(verb, seconds, stopped, report):
    world = world_of(verb)
    await world.run_until_redirected(1.0 + seconds / 4)
    await asyncio.sleep(0)
    assert len(world.requests) == 1
    assert world.verbs[-1].endswith(": interrupted")
    if stopped:
        assert world.ladder[-1] == stopped
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("verb", ["<Redirect>/never</Redirect>", "<Reject/>", "<Hangup/>"])
async def test_hang_up_before_a_verb_that_ends_the_document(verb):
    world = World({BASE: twiml(f"<Pause length='1'/>{verb}")}, hangs_up_at=1.0)
    assert await world.run() == HungUp("peer-gone")
    assert len(world.requests) == 1
