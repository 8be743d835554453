"""Record (twiml-voice.md section 2, webhooks.md section 4.1)."""

from dataclasses import replace

import pytest

from tests.fakes.call_control import BASE, RECORDED, SILENCE, World, pressed, twiml
from twimlrunner.engine.ports import CallbackTarget, DocumentRequest, RecordPlan
from twimlrunner.engine.runner import ApplicationError, Completed, HungUp
from twimlrunner.twiml.parser import parse

ACTION = "http://app.example/action"
DEFAULT = RecordPlan(
    max_length=3600,
    silence_timeout=5,
    finish_on="1234567890*#",
    beep=True,
    trim=True,
    callback=None,
)
CALLBACK = CallbackTarget("http://app.example/cb", "POST", ("completed",))
CB = "recordingStatusCallback='/cb'"


def world_of(verb: str, **options) -> World:
    return World({BASE: twiml(f"{verb}<Say>next</Say>"), ACTION: twiml("<Hangup/>")}, **options)


PLANS = [
    ("", DEFAULT),
    ("timeout='10'", replace(DEFAULT, silence_timeout=10)),
    ("timeout='0'", replace(DEFAULT, silence_timeout=0)),
    ("timeout='x'", DEFAULT),
    ("finishOnKey='#'", replace(DEFAULT, finish_on="#")),
    ("finishOnKey=''", replace(DEFAULT, finish_on="")),
    ("finishOnKey='A'", DEFAULT),
    ("maxLength='2'", replace(DEFAULT, max_length=2)),
    ("maxLength='1'", DEFAULT),
    ("transcribe='true'", replace(DEFAULT, max_length=120)),
    ("playBeep='false'", replace(DEFAULT, beep=False)),
    ("trim='do-not-trim'", replace(DEFAULT, trim=False)),
    ("trim='trim-silence'", DEFAULT),
    (CB, replace(DEFAULT, callback=CALLBACK)),
    (f"{CB} recordingStatusCallbackMethod='GET'",
     replace(DEFAULT, callback=replace(CALLBACK, method="GET"))),
    (f"{CB} recordingStatusCallbackEvent='in-progress completed absent'",
     replace(DEFAULT, callback=replace(CALLBACK, events=("in-progress", "completed", "absent")))),
]  # fmt: skip


@pytest.mark.parametrize(("attributes", "plan"), PLANS)
async def test_what_is_asked_of_the_call(attributes, plan):
    world = world_of(f"<Record action='/action' {attributes}/>")
    await world.run()
    assert world.plans == [plan]


REPORTS = [
    ("silence", replace(RECORDED, ended_by="silence"), None),
    ("maxLength", replace(RECORDED, ended_by="max-length"), None),
    ("a finish key", replace(RECORDED, ended_by="key", key="#"), "#"),
    ("another finish key", replace(RECORDED, ended_by="key", key="1"), "1"),
    ("the caller's hang-up", replace(RECORDED, ended_by="hangup"), "hangup"),
]


@pytest.mark.parametrize(
    ("recorded", "digits"), [row[1:] for row in REPORTS], ids=[row[0] for row in REPORTS]
)
async def test_the_action_is_told(recorded, digits):
    world = world_of("<Record action='/action' method='GET'/>", recorded=recorded)
    assert await world.run() == HungUp("hangup")
    request = world.requests[1]
    assert (request.url, request.method, request.why) == (ACTION, "GET", "record-action")
    expected = {"RecordingUrl": RECORDED.url, "RecordingDuration": "3", "RecordingSid": "RE1"}
    assert dict(request.report) == expected | ({"Digits": digits} if digits else {})
    assert "say next" not in world.ladder


async def test_without_action_the_current_document_is_asked():
    def voice(request: DocumentRequest) -> str:
        return twiml("<Hangup/>" if request.report else "<Record/>")

    world = World({BASE: voice})
    assert await world.run() == HungUp("hangup")
    assert [request.url for request in world.requests] == [BASE, BASE]
    assert dict(world.requests[1].report)["RecordingUrl"] == RECORDED.url


async def test_hang_up_is_told_and_the_answer_is_not_run():
    world = world_of("<Record action='/action'/>", hangs_up_at=4.0)
    assert await world.run() == HungUp("peer-gone")
    assert world.now == 4.0
    assert world.requests[1].parting
    assert dict(world.requests[1].report)["Digits"] == "hangup"
    assert world.verbs[-1] == "0 Record: fetch"


async def test_a_hang_up_during_the_request_does_not_break_it_off():
    world = world_of("<Record action='/action'/>", fetch_seconds=2.0, hangs_up_at=13.0)
    assert await world.run() == HungUp("peer-gone")
    assert world.now == 14.0  # voice URL 2 s, recording 10 s, action 2 s
    assert [line for line in world.verbs if line.startswith("document")] == [
        f"document {BASE}: Record Say"
    ]


@pytest.mark.parametrize(
    ("recorded", "code"),
    [(replace(SILENCE, silent=False), 16101), (SILENCE, 16102)],
    ids=["too short", "silent"],
)
async def test_nothing_recorded_goes_on(recorded, code):
    world = world_of("\n<Record action='/action'/>", recorded=recorded)
    assert await world.run() == Completed()
    assert world.ladder[-1] == "say next"
    assert world.notes == [(code, "warning")]
    assert world.messages[0].startswith("line 2: ")
    assert len(world.requests) == 1


async def test_nothing_recorded_before_the_hang_up_asks_for_nothing():
    world = world_of("<Record action='/action'/>", recorded=SILENCE, hangs_up_at=1.0)
    assert await world.run() == HungUp("peer-gone")
    assert len(world.requests) == 1
    assert world.notes == []


async def test_transcription_is_reported_as_unsupported():
    world = world_of("\n<Record action='/action' transcribe='true' transcribeCallback='/t'/>")
    await world.run()
    assert world.notes == [(13617, "warning")]
    assert world.messages[0].startswith("line 2: transcription is not supported")
    assert len(world.requests) == 2


async def test_keys_pressed_before_do_not_end_it():
    world = world_of("<Pause length='2'/><Record action='/action'/>", keys=pressed("1"))
    await world.run()
    assert await world.next_digit(0) is None


async def test_an_inline_document_without_a_url_to_report_to_fails():
    world = World(answered=True)
    end = await world.run(parse(twiml("<Record/>").encode()))
    assert isinstance(end, ApplicationError)
    assert end.code == 15004


async def test_a_callback_that_cannot_be_resolved_costs_the_callback_only():
    world = World({ACTION: twiml("<Hangup/>")}, answered=True)
    end = await world.run(parse(twiml(f"<Record action='{ACTION}' {CB}/>").encode()))
    assert end == HungUp("hangup")
    assert world.plans == [DEFAULT]
    assert world.notes == [(15004, "warning")]


async def test_a_recording_loop_that_takes_no_time_ends():
    world = World({BASE: twiml("<Record/>")}, operation_seconds=0.0)
    end = await world.run()
    assert isinstance(end, ApplicationError)
    assert end.code == 59904
