"""Redirects of live calls over fake ports, at every stage of a call."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sipserver.sip.events import Acknowledged, Cancelled, Ended
from tests.calls.scenes import (
    ACTION,
    CHILD,
    GATHER,
    HANG_ON,
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
    redirect,
    refuses,
    ringing,
    rings,
)
from tests.fakes.calls import World, answered, incoming
from twimlrunner.engine.interrupts import Redirected
from twimlrunner.engine.ports import DocumentRequest

# --- redirect: one leg ----------------------------------------------------------------------------


async def test_a_ringing_call_stays_unanswered_until_the_new_document_needs_it() -> None:
    world = await ringing()
    world.document('<Response><Pause length="1"/><Reject reason="busy"/></Response>', "new")
    assert (await ask(world, "redirect", url="http://app.example.net/new")).applied
    await all_ended(world)
    assert "200" not in world.ladder
    assert world.log.closed.cause == "reject-busy"
    asked = world.webhooks.requests[1]
    assert (asked[1], asked[2]["CallStatus"]) == ("POST", "ringing")


async def test_a_ringing_call_is_answered_by_a_document_that_speaks() -> None:
    world = await ringing()
    assert (await redirect(world)).applied
    await world.ladder_has("200")
    world.events(Acknowledged(1, b""))
    await all_ended(world)
    assert "played speech:new" in world.ladder


async def test_while_the_first_document_is_fetched() -> None:
    world = World()
    world.document("<Response/>")
    world.webhooks.hold.add("http://app.example.net/voice")
    world.events(incoming())
    await world.ladder_has("fetch voice")
    assert (await redirect(world)).applied
    await world.ladder_has("200")
    world.events(Acknowledged(1, b""))
    await all_ended(world)
    assert world.webhooks.aborted == ["http://app.example.net/voice"]
    assert "played speech:new" in world.ladder


async def test_in_the_middle_of_say() -> None:
    world = World()
    world.media.endless = True
    await answered(world, "<Response><Say>old</Say><Say>rest</Say></Response>")
    await world.playing()
    world.media.endless = False
    assert (await redirect(world)).applied
    await all_ended(world)
    assert "stop" in world.ladder
    assert "played speech:rest" not in world.ladder
    assert world.ladder[-1] == "closed completed document-ended"
    assert world.ladder.index("stop") < world.ladder.index("played speech:new")


async def test_in_the_middle_of_gather_its_action_is_not_asked() -> None:
    world = await in_verb(GATHER)
    assert (await redirect(world)).applied
    await all_ended(world)
    assert "fetch done" not in world.ladder
    assert "played speech:new" in world.ladder


async def test_in_the_middle_of_record_the_recording_is_kept_and_its_action_is_not_asked() -> None:
    world = await in_verb(RECORD)
    await world.until(lambda: bool(world.log.events("recording")))
    assert (await redirect(world)).applied
    await all_ended(world)
    assert "fetch done" not in world.ladder
    [_, ended] = world.log.events("recording")
    assert (ended.data["what"], ended.data["cause"]) == ("ended", "redirected")
    assert "played speech:new" in world.ladder


async def test_the_last_of_several_redirects_wins() -> None:
    world = await in_verb(GATHER)
    world.document("<Response><Say>other</Say></Response>", "other")
    one, two = await asyncio.gather(redirect(world, path="other"), redirect(world))
    assert one.applied
    assert two.applied
    await all_ended(world)
    assert "played speech:new" in world.ladder
    assert "played speech:other" not in world.ladder


async def test_a_redirect_that_comes_as_the_program_ends_still_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the very moment: the program is done, its supervisor has not looked yet."""
    world = World()
    world.document(NEW, "new")
    append, asked = world.log.append, []

    def hook(record: Any) -> None:
        append(record)
        if getattr(record, "kind", "") == "verb-ended" and not asked:
            session = world.manager.find(PARENT)
            assert session is not None
            asked.append(session)
            session.interrupt(Redirected(DocumentRequest("http://app.example.net/new", "GET", "x")))

    monkeypatch.setattr(world.log, "append", hook)
    await answered(world, "<Response><Say>old</Say></Response>")
    await all_ended(world)
    assert {"played speech:old", "played speech:new"} <= set(world.ladder)


async def test_inline_document() -> None:
    world = await in_verb(GATHER)
    twiml = "<Response><Say>inline</Say><Redirect>/voice</Redirect></Response>"
    assert (await ask(world, "redirect", twiml=twiml)).applied
    await all_ended(world)
    assert "played speech:inline" in world.ladder
    assert 15004 in world.log.notified()


async def test_it_says_who_asked_for_what_and_no_secret() -> None:
    world = await in_verb(GATHER)
    await ask(world, "update", time_limit=600, fallback_url="")
    await ask(world, "redirect", url="http://u:secret@app.example.net/new")
    await ask(world, "redirect", twiml='<Response><Dial><Sip password="secret"/></Dial></Response>')
    await all_ended(world)
    told = [event.data for event in world.log.events("command")]
    assert told == [
        {"what": "update", "by": "SK1", "changes": ["time_limit", "fallback_url"]},
        {"what": "redirect", "by": "SK1", "url": "http://u:…@app.example.net/new"},
        {"what": "redirect", "by": "SK1", "inline": True},
    ]
    assert "secret" not in str(world.log.records)


@pytest.mark.parametrize("kind", ["redirect", "hangup", "cancel", "update"])
async def test_nothing_is_done_to_a_call_that_is_gone_or_going(kind: str) -> None:
    world = await in_verb(GATHER)
    world.events(Ended(1, "bye"))
    for sid in (PARENT, CHILD):
        outcome = await ask(world, kind, sid, url="http://app.example.net/new")
        assert outcome.error_code == 21220
    await all_ended(world)
    assert world.log.events("command") == []
    assert (await ask(world, kind)).error_code == 21220


async def test_a_caller_who_gives_up_is_not_redirected() -> None:
    world = await ringing()
    world.events(Cancelled(1, incoming().request))
    assert (await redirect(world)).error_code == 21220
    await all_ended(world)
    assert world.log.closed.cause == "canceled"


async def test_an_unknown_kind_is_rejected() -> None:
    world = await in_verb(GATHER)
    assert (await ask(world, "dance")).error_code == 20500
    world.events(Ended(1, "bye"))
    await all_ended(world)


# --- redirect: Dial -------------------------------------------------------------------------------


async def test_parent_while_the_child_rings() -> None:
    world = await dialling(ACTION)
    world.events(rings(101))
    assert (await redirect(world)).applied
    await all_ended(world)
    assert "CANCEL 101" in world.ladder
    assert child(world).cause == "dial-cancelled"
    assert "fetch done" not in world.ladder
    assert "played speech:new" in world.ladder


async def test_parent_of_a_bridge_the_child_is_hung_up() -> None:
    world = await bridged(ACTION)
    assert (await redirect(world)).applied
    await all_ended(world)
    assert child(world).cause == "released"
    assert "unbridged" in world.ladder
    assert "fetch done" not in world.ladder
    assert "played speech:new" in world.ladder
    assert closed(world, PARENT).cause == "document-ended"


async def test_child_of_a_bridge_runs_alone_and_the_parent_goes_on() -> None:
    world = await bridged(ACTION)
    world.document("<Response><Say>parent</Say></Response>", "done")
    assert (await redirect(world, CHILD)).applied
    await all_ended(world)
    told = parameters(world)
    assert (told["DialCallStatus"], told["DialBridged"]) == ("completed", "true")
    assert {"played speech:new", "played speech:parent"} <= set(world.ladder)
    [of_child] = [p for url, _, p in world.webhooks.requests if url.endswith("new")]
    assert (of_child["CallSid"], of_child["ParentCallSid"]) == (CHILD, PARENT)
    assert closed(world, CHILD).cause == "document-ended"
    assert closed(world, PARENT).cause == "document-ended"


async def test_child_outlives_a_parent_that_hangs_up() -> None:
    world = await bridged(PLAIN)
    await ask(world, "redirect", CHILD, twiml=SILENCE)
    await world.until(lambda: any(e.call_sid == CHILD for e in world.log.events("verb-started")))
    world.events(Ended(1, "bye"))
    await world.until(lambda: world.manager.load().calls == 1)
    assert world.manager.find(CHILD) is not None
    assert (await redirect(world, CHILD)).applied  # and again
    await all_ended(world)
    assert "played speech:new" in world.ladder
    assert closed(world, CHILD).cause == "document-ended"


async def test_child_that_rings_has_no_document_to_replace() -> None:
    world = await dialling(PLAIN)
    world.events(rings(101))
    assert (await redirect(world, CHILD)).error_code == 21220
    world.events(refuses(101, 486))
    await all_ended(world)


async def test_child_in_its_screening_document() -> None:
    screened = '<Sip url="/screen">sip:bob@far.example</Sip>'
    world = await dialling(HANG_ON.format(' action="/done"', screened))
    world.document(SILENCE, "screen")
    world.events(answers(101))
    await world.until(lambda: any(e.call_sid == CHILD for e in world.log.events("verb-started")))
    assert (await redirect(world, CHILD)).applied
    await all_ended(world)
    told = parameters(world)
    assert (told["DialCallStatus"], told["DialBridged"]) == ("completed", "false")
    assert "played speech:new" in world.ladder
    assert "bridged" not in world.ladder
    assert closed(world, CHILD).cause == "document-ended"


async def test_parent_that_waits_for_the_bridge_unanswered() -> None:
    world = await dialling(
        HANG_ON.format(' answerOnBridge="true"', "<Sip>sip:bob@far.example</Sip>"), up=False
    )
    world.events(rings(101))
    assert (await redirect(world)).applied
    await world.ladder_has("200")
    world.events(Acknowledged(1, b""))
    await all_ended(world)
    assert "CANCEL 101" in world.ladder
    assert "played speech:new" in world.ladder


# --- redirect: calls of REST ----------------------------------------------------------------------


async def test_one_that_rings_gets_another_first_document() -> None:
    world = await placed()
    world.events(rings(101))
    await world.until(lambda: leg(world).rings)
    assert (await redirect(world, SID)).applied
    world.events(answers(101))
    await all_ended(world)
    assert [url for url, _, _ in world.webhooks.requests] == ["http://app.example.net/new"]
    assert world.log.closed.cause == "document-ended"


async def test_one_that_is_answered_in_the_same_moment() -> None:
    world = await placed()
    world.events(answers(101))
    assert (await redirect(world, SID)).applied
    await all_ended(world)
    assert "played speech:new" in world.ladder


async def test_one_that_sends_digits() -> None:
    world = World()
    world.media.endless_digits = True
    await placed(world, send_digits="1")
    world.events(answers(101))
    await world.ladder_has("digits 1")
    assert (await redirect(world, SID)).applied
    await all_ended(world)
    assert "played speech:new" in world.ladder
    assert "fetch hello" not in world.ladder
