"""Refer (twiml-voice.md section 4; results: webhooks.md section 4.1)."""

import pytest

from tests.fakes.call_control import BASE, World, twiml
from twimlrunner.engine.ports import Referred
from twimlrunner.engine.runner import Completed, HungUp

ACTION = "http://app.example/action"
TO = "<Sip>sip:bob@pbx.example?Replaces=a%3Bto-tag%3Db</Sip>"

# name, how it ended, ReferCallStatus, ReferSipResponseCode, NotifySipResponseCode
RESULTS = [
    ("transferred", Referred(202, 200, "final"), "in-progress", "202", "200"),
    ("accepted with 200", Referred(200, 200, "final"), "in-progress", "200", "200"),
    ("another 2xx", Referred(202, 204, "final"), "in-progress", "202", "204"),
    ("target busy", Referred(202, 486, "final"), "busy", "202", "486"),
    ("target busy everywhere", Referred(202, 600, "final"), "busy", "202", "600"),
    ("target not found", Referred(202, 404, "final"), "failed", "202", "404"),
    ("target declines", Referred(202, 603, "final"), "failed", "202", "603"),
    ("target redirects", Referred(202, 302, "final"), "failed", "202", "302"),
    ("target does not answer", Referred(202, 487, "final"), "failed", "202", "487"),
    ("REFER refused", Referred(405, 0, "refused"), "failed", "405", None),
    ("REFER declined", Referred(603, 0, "refused"), "failed", "603", None),
    ("hang-up, last seen 180", Referred(202, 180, "hangup"), "canceled", "202", "180"),
    ("hang-up before any NOTIFY", Referred(202, 0, "hangup"), "canceled", "202", None),
    ("hang-up before the response", Referred(0, 0, "hangup"), "canceled", None, None),
    ("BYE of a peer that has told", Referred(202, 200, "hangup"), "in-progress", "202", "200"),
    ("no NOTIFY", Referred(202, 0, "timeout"), None, "202", None),
    ("no final NOTIFY", Referred(202, 100, "timeout"), None, "202", None),
    ("no response", Referred(0, 0, "timeout"), None, None, None),
    ("subscription terminated early", Referred(202, 180, "terminated"), None, "202", None),
    ("terminated with the result", Referred(202, 486, "terminated"), "busy", "202", "486"),
]


def world_of(verb: str, **options) -> World:
    return World(
        {BASE: twiml(f"{verb}<Say>next</Say>"), ACTION: twiml("<Say>done</Say>")}, **options
    )


@pytest.mark.parametrize(
    ("referred", "status", "refer", "notify"),
    [row[1:] for row in RESULTS],
    ids=[row[0] for row in RESULTS],
)
async def test_the_action_is_told(referred, status, refer, notify):
    world = world_of(f"<Refer action='/action' method='GET'>{TO}</Refer>", referred=referred)
    assert await world.run() == Completed()
    request = world.requests[1]
    assert (request.url, request.method, request.why) == (ACTION, "GET", "refer-action")
    expected = {
        "ReferCallStatus": status,
        "ReferSipResponseCode": refer,
        "NotifySipResponseCode": notify,
    }
    assert dict(request.report) == {name: value for name, value in expected.items() if value}
    assert world.ladder[-1] == "say done"


@pytest.mark.parametrize(
    "referred", [row[1] for row in RESULTS if row[1].ended_by != "hangup"], ids=str
)
async def test_without_action_the_next_verb_follows(referred):
    world = world_of(f"<Refer>{TO}</Refer>", referred=referred)
    assert await world.run() == Completed()
    assert world.ladder[-1] == "say next"
    assert len(world.requests) == 1


@pytest.mark.parametrize("notified", [200, 486])
async def test_the_last_verb_without_action_ends_the_leg(notified):
    world = World({BASE: twiml(f"<Refer>{TO}</Refer>")}, referred=Referred(202, notified, "final"))
    assert await world.run() == Completed()
    assert len(world.requests) == 1


async def test_the_target_goes_out_as_written_and_the_call_is_answered_first():
    world = world_of(f"<Refer>{TO}</Refer>")
    await world.run()
    assert world.ladder[1:3] == ["answer", "refer sip:bob@pbx.example?Replaces=a%3Bto-tag%3Db"]


async def test_hang_up_meanwhile_is_told():
    world = world_of(f"<Refer action='/action'>{TO}</Refer>", hangs_up_at=4.0)
    assert await world.run() == HungUp("peer-gone")
    assert dict(world.requests[1].report)["ReferCallStatus"] == "canceled"
    assert "say done" not in world.ladder


async def test_hang_up_without_action_ends_quietly():
    world = world_of(f"<Refer>{TO}</Refer>", hangs_up_at=4.0)
    assert await world.run() == HungUp("peer-gone")
    assert len(world.requests) == 1
    assert world.verbs[-1] == "0 Refer: call-ended"


async def test_the_bye_after_a_transfer_does_not_break_off_the_request():
    world = world_of(f"<Refer action='/action'>{TO}</Refer>", fetch_seconds=2.0, hangs_up_at=12.1)
    assert await world.run() == HungUp("peer-gone")
    assert dict(world.requests[1].report)["ReferCallStatus"] == "in-progress"
    assert world.now == 14.0
    assert "say done" not in world.ladder


@pytest.mark.parametrize(
    "inner", ["", "<Sip/>", "<Sip>sip: a@b</Sip>", "<Number>+1</Number>"]
)  # fmt: skip
async def test_without_a_target_the_next_verb_follows(inner):
    world = world_of(f"<Refer action='/action'>{inner}</Refer>")
    assert await world.run() == Completed()
    assert world.ladder[-1] == "say next"
    assert {code for code, _ in world.notes} == {12200}


async def test_the_log_shows_no_password():
    world = world_of("<Refer><Sip>sip:bob:secret@pbx.example</Sip></Refer>")
    await world.run()
    assert world.verbs[1] == "0 Refer sip:bob:…@pbx.example"
