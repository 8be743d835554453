"""POST Calls/{sid}: what the node is asked, and what is answered when it does it, refuses, or says
nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from twilio.base.exceptions import TwilioRestException

from sipdomains.contracts import OriginatePlan
from sipdomains.live import Outcome, rejected
from sipdomains.models import (
    Call,
    CallCommand,
    CallOrder,
    CommandState,
    IdempotentRequest,
    Recording,
)
from sipdomains.services import commands
from tests.sipdomains.api.conftest import refused

URL = "https://app.example/voice"
DOCUMENT = "<Response><Say>Hello</Say></Response>"

CHANGES = [
    ({"url": URL}, "redirect", {"url": URL, "method": "POST"}),
    ({"url": URL, "method": "GET"}, "redirect", {"url": URL, "method": "GET"}),
    ({"twiml": DOCUMENT}, "redirect", {"twiml": DOCUMENT}),
    ({"url": URL, "twiml": DOCUMENT}, "redirect", {"url": URL, "method": "POST"}),
    ({"status": "completed"}, "hangup", {}),
    ({"status": "canceled"}, "cancel", {}),
    ({"time_limit": 60}, "update", {"time_limit": 60}),
    (
        {"fallback_url": URL, "fallback_method": "GET"},
        "update",
        {"fallback_url": URL, "fallback_method": "GET"},
    ),
    (
        {"status_callback": URL, "status_callback_method": "GET"},
        "update",
        {"callback": {"url": URL, "method": "GET"}},
    ),
    (
        {"twiml": DOCUMENT, "status_callback": URL, "time_limit": 5},
        "redirect",
        {"twiml": DOCUMENT, "callback": {"url": URL, "method": "POST"}, "time_limit": 5},
    ),
]


@pytest.mark.parametrize(("given", "kind", "payload"), CHANGES)
def test_the_node_is_asked_for_what_was_asked(
    rest, alice, live_call, node, given, kind, payload
) -> None:
    call = rest.calls(live_call.sid).update(**given)
    assert call.sid == live_call.sid
    (command,) = node.asked
    assert (command.kind, command.payload, command.requested_by) == (kind, payload, alice.sid)
    assert CallCommand.objects.get().state == CommandState.APPLIED


def test_url_wins_over_twiml_and_that_is_noted(rest, live_call, node) -> None:
    rest.calls(live_call.sid).update(url=URL, twiml=DOCUMENT)
    notes = rest.calls(live_call.sid).notifications.list()
    assert [note.error_code for note in notes] == ["32019"]


def test_unknown_parameters_of_an_update_are_noted_at_the_call(raw, rest, live_call, node) -> None:
    raw("post", f"/Calls/{live_call.sid}.json", {"Status": "completed", "twiml": DOCUMENT})
    (note,) = rest.calls(live_call.sid).notifications.list()
    assert (note.error_code, note.log) == ("20001", "1")
    assert note.message_text.endswith(": twiml")
    (command,) = node.asked
    assert command.kind == "hangup"


def test_nothing_asked_is_nothing_done(rest, live_call, make_call, node) -> None:
    assert rest.calls(live_call.sid).update().status == "in-progress"
    assert rest.calls(make_call().sid).update().status == "completed"
    assert node.asked == []


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"Url": "nonsense"}, 21205),
        ({"Url": URL, "Method": "PUT"}, 21209),
        ({"Twiml": "x" * 4001}, 32018),
        ({"Status": "busy"}, 20422),
        ({"FallbackUrl": "nonsense"}, 21205),
        ({"StatusCallback": "nonsense"}, 20422),
        ({"TimeLimit": "0"}, 20422),
    ],
)
def test_each_mistake_has_its_code(raw, live_call, node, given, code) -> None:
    answer = raw("post", f"/Calls/{live_call.sid}.json", given)
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert node.asked == []


@pytest.mark.parametrize("given", [{"url": URL}, {"twiml": DOCUMENT}, {"status": "completed"}])
@pytest.mark.parametrize("status", ["completed", "busy", "failed", "no-answer", "canceled"])
def test_a_call_that_is_over_cannot_be_changed(rest, make_call, node, given, status) -> None:
    call = make_call(status=status)
    with pytest.raises(TwilioRestException) as caught:
        rest.calls(call.sid).update(**given)
    assert (caught.value.status, caught.value.code) == (400, 21220)
    assert "Call is not in-progress. Cannot redirect." in caught.value.msg
    assert not CallCommand.objects.exists()


def test_what_the_node_refuses_is_refused(rest, live_call, node) -> None:
    node.says = rejected("The call has been answered: it can be completed, not canceled.")
    with pytest.raises(TwilioRestException) as caught:
        rest.calls(live_call.sid).update(status="canceled")
    assert (caught.value.status, caught.value.code) == (400, 21220)
    assert "it can be completed, not canceled" in caught.value.msg
    node.says = rejected("The call is ending.")
    with pytest.raises(TwilioRestException) as caught:
        rest.calls(live_call.sid).update(url=URL)
    assert "Call is not in-progress. Cannot redirect." in caught.value.msg
    node.says = rejected("It failed.", 20500)
    assert refused(lambda: rest.calls(live_call.sid).update(url=URL)) == (500, 20500)


def test_a_command_that_is_not_confirmed_in_time_stands(rest, live_call, node) -> None:
    node.says = None
    assert rest.calls(live_call.sid).update(url=URL).status == "in-progress"
    assert CallCommand.objects.get().state == CommandState.PENDING


def test_the_answer_shows_what_became_of_the_call(rest, live_call, node, monkeypatch) -> None:
    def wait(command_id, seconds):
        Call.objects.update(status="completed", ended_at=live_call.started_at, duration=3)
        return settled(command_id, seconds)

    settled = node.wait
    monkeypatch.setattr("sipdomains.services.commands.wait", wait)
    call = rest.calls(live_call.sid).update(status="completed")
    assert (call.status, call.duration) == ("completed", "3")


# --- in the queue ---------------------------------------------------------------------------------


def test_a_call_in_the_queue_is_changed_and_canceled_right_there(rest, trunk) -> None:
    call = rest.calls.create(to="+1", from_="+1", url=URL)
    rest.calls(call.sid).update(twiml=DOCUMENT)
    plan = OriginatePlan.from_json(CallOrder.objects.get().plan)
    assert (plan.url, plan.twiml) == ("", DOCUMENT)
    assert rest.calls(call.sid).update(status="canceled").status == "canceled"
    assert not CallOrder.objects.exists()
    assert refused(lambda: rest.calls(call.sid).update(status="canceled")) == (400, 21220)
    assert {command.state for command in CallCommand.objects.all()} == {"applied"}


def test_a_document_is_not_kept_when_it_was_run(rest, live_call, node) -> None:
    rest.calls(live_call.sid).update(twiml=DOCUMENT)
    assert CallCommand.objects.get().payload == {}


class Death(BaseException):
    """Of the web process."""


def dies(*_: object) -> None:
    raise Death


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("what", ["redirect", "recording", "pause"])
def test_a_node_is_asked_once_though_the_process_that_asked_dies(
    rest, live_call, node, monkeypatch, what
) -> None:
    """The next attempt waits for what the first one has asked for."""
    recording = Recording.objects.create(
        account=live_call.account, call=live_call, source="StartCallRecordingAPI",
        status="in-progress", started_at=live_call.started_at,
    )  # fmt: skip
    node.says = Outcome({"recording_sid": recording.sid, "status": "in-progress"})
    call = rest.calls(live_call.sid)
    ask = {
        "redirect": lambda: call.update(twiml=DOCUMENT),
        "recording": lambda: call.recordings.create(),
        "pause": lambda: call.recordings("Twilio.CURRENT").update(status="paused"),
    }[what]
    rest.http_client.headers = {"Idempotency-Key": "once"}
    with monkeypatch.context() as patch:
        patch.setattr(commands, "wait", dies)
        with pytest.raises(Death):
            ask()
    assert refused(ask) == (409, 20409)
    assert node.asked == []
    IdempotentRequest.objects.update(created_at=timezone.now() - timedelta(seconds=61))
    first = ask()
    assert ask().sid == first.sid
    [command] = CallCommand.objects.all()
    assert command.state == CommandState.APPLIED


def test_what_a_node_refused_may_be_asked_again_under_its_key(rest, live_call, node) -> None:
    rest.http_client.headers = {"Idempotency-Key": "once"}
    node.says = rejected("The call is ending.")
    assert refused(lambda: rest.calls(live_call.sid).update(status="completed")) == (400, 21220)
    node.says = Outcome()
    rest.calls(live_call.sid).update(status="completed")
    assert CallCommand.objects.count() == 2
