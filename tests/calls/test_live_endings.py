"""Live updates that end a call, record it or change what it goes by, over fake ports."""

from __future__ import annotations

import pytest

from sipdomains.contracts import CallbackPromised, CallOpened
from tests.calls.scenes import (
    ACTION,
    CHILD,
    GATHER,
    NEW,
    PARENT,
    PLAIN,
    RECORD,
    SID,
    SILENCE,
    all_ended,
    answers,
    ask,
    bridged,
    child,
    closed,
    dialling,
    in_verb,
    leg,
    parameters,
    placed,
    ringing,
    rings,
)
from tests.fakes.calls import World, answered

# --- hangup and cancel ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["hangup", "cancel"])
async def test_unanswered_call_is_refused_with_a_reason(kind: str) -> None:
    world = await ringing()
    assert (await ask(world, kind)).applied
    assert world.ladder[-2:] == ["480", "closed canceled api-refuse"]
    [(name, value)] = world.sip.headers["480"]
    assert name == "Warning"
    assert "ended by request" in value


async def test_the_end_is_written_down_when_rest_is_told() -> None:
    world = await in_verb(GATHER)
    assert (await ask(world, "hangup")).applied
    assert world.ladder[-3:] == ["BYE", "port freed", "closed completed api-hangup"]
    assert world.log.closed.reason.endswith("(SK1)")


async def test_an_answered_call_cannot_be_canceled() -> None:
    world = await in_verb(GATHER)
    outcome = await ask(world, "cancel")
    assert (outcome.error_code, "completed" in outcome.reason) == (21220, True)
    assert world.manager.load().calls == 1
    await ask(world, "hangup")


@pytest.mark.parametrize("kind", ["hangup", "cancel"])
async def test_a_call_of_rest_that_rings(kind: str) -> None:
    world = await placed()
    world.events(rings(101))
    assert (await ask(world, kind, SID)).applied
    assert "CANCEL 101" in world.ladder
    assert (world.log.closed.status, world.log.closed.cause) == ("canceled", "api-cancel")


@pytest.mark.parametrize("kind", ["hangup", "cancel"])
async def test_a_child_that_rings(kind: str) -> None:
    world = await dialling(ACTION)
    world.events(rings(101))
    assert (await ask(world, kind, CHILD)).applied
    await all_ended(world)
    assert parameters(world)["DialCallStatus"] == "canceled"
    assert child(world).cause == "api-cancel"


async def test_a_bridged_child() -> None:
    world = await bridged(ACTION)
    assert (await ask(world, "hangup", CHILD)).applied
    await all_ended(world)
    assert parameters(world)["DialCallStatus"] == "completed"
    assert child(world).cause == "api-hangup"


async def test_a_bridged_parent() -> None:
    world = await bridged(ACTION)
    assert (await ask(world, "hangup")).applied
    await all_ended(world)
    assert world.ladder.count("BYE") == 2
    assert closed(world, PARENT).cause == "api-hangup"
    assert child(world).cause == "released"


async def test_a_call_that_is_recorded_keeps_its_recording() -> None:
    world = await in_verb(RECORD)
    await world.until(lambda: bool(world.log.events("recording")))
    assert (await ask(world, "hangup")).applied
    assert [e.data["what"] for e in world.log.events("recording")] == ["started", "ended"]


# --- recordings (how they go: test_api_recording) -------------------------------------------------


async def test_a_recording_is_started_and_stopped_and_outlives_a_redirect() -> None:
    world = await in_verb(GATHER)
    started = await ask(world, "recording-start", channels=2)
    sid = started.result["recording_sid"]
    assert (await ask(world, "redirect", twiml=GATHER.replace("/done", "http://x/"))).applied
    changed = await ask(world, "recording-update", recording_sid=sid, status="stopped")
    assert changed.result == {"recording_sid": sid, "status": "stopped"}
    refused = await ask(world, "recording-update", recording_sid="RE0", status="stopped")
    assert (refused.applied, refused.error_code) == (False, 20404)
    told = [event.data["what"] for event in world.log.events("command")]
    assert told == ["recording-start", "redirect", "recording-update"]
    await ask(world, "hangup")


# --- update ---------------------------------------------------------------------------------------


async def test_whom_to_tell() -> None:
    callback = {
        "url": "http://app.example.net/a",
        "method": "POST",
        "events": ["answered", "completed"],
    }
    world = await placed(callback=callback)
    new = {"url": "http://app.example.net/b", "method": "GET"}
    outcome = await ask(world, "update", SID, callback=new)
    assert outcome.callback == {**new, "events": ["answered", "completed"]}
    world.events(answers(101))
    await all_ended(world)
    told = [r for r in world.log.records if isinstance(r, CallbackPromised)]
    assert [(one.url, one.method) for one in told] == [("http://app.example.net/b", "GET")] * 2


async def test_whom_to_tell_of_a_call_that_came_in() -> None:
    world = await in_verb(GATHER)
    assert (await ask(world, "update", callback={"url": "http://b/"})).callback == {
        "url": "http://b/", "method": "POST", "events": ["completed"],
    }  # fmt: skip
    await ask(world, "hangup")
    [told] = [r for r in world.log.records if isinstance(r, CallbackPromised)]
    assert dict(told.parameters)["CallStatus"] == "completed"


async def test_nobody_is_to_be_told_any_more() -> None:
    callback = {"url": "http://app.example.net/a", "method": "POST", "events": ["completed"]}
    world = await placed(callback=callback)
    assert (await ask(world, "update", SID, callback={"url": ""})).callback == {}
    world.events(answers(101))
    await all_ended(world)
    assert not [r for r in world.log.records if isinstance(r, CallbackPromised)]


async def test_fallback_of_the_document_that_runs() -> None:
    world = World()
    world.media.endless = True
    await answered(world, "<Response><Say>x</Say><Redirect>/broken</Redirect></Response>")
    await world.playing()
    world.document(NEW, "fallback")
    await ask(
        world, "update", fallback_url="http://app.example.net/fallback", fallback_method="GET"
    )
    world.media.endless = False
    world.media.operations[0].done.set()
    await all_ended(world)
    assert world.webhooks.requests[-1][:2] == ("http://app.example.net/fallback", "GET")
    assert "played speech:new" in world.ladder


async def test_time_limit() -> None:
    world = await in_verb(GATHER)
    assert (await ask(world, "update", time_limit=1000)).applied
    assert (await ask(world, "update", time_limit=0)).applied
    await all_ended(world)
    assert world.log.closed.cause == "max-duration"


async def test_time_limit_of_a_call_that_rings_counts_from_its_answer() -> None:
    world = await placed(url="", twiml=SILENCE)
    assert (await ask(world, "update", SID, time_limit=0)).applied
    world.events(rings(101))
    await world.until(lambda: leg(world).rings)
    world.events(answers(101))
    await all_ended(world)
    assert world.log.closed.cause == "max-duration"


async def test_the_rows_of_children_are_theirs() -> None:
    world = await bridged(PLAIN)
    opened = {r.call_sid for r in world.log.records if isinstance(r, CallOpened)}
    assert opened == {PARENT, CHILD}
    await ask(world, "hangup")
    await all_ended(world)
