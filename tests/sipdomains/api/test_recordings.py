"""Recordings of the account and of a call, by the real client."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from sipdomains.contracts import RECORDING_START, RECORDING_UPDATE
from sipdomains.live import Outcome, rejected
from sipdomains.models import Call, CallCommand, CommandState, Recording
from sipdomains.services import commands
from tests.sipdomains.api.conftest import BASE, NOON, client_of, refused

URL = "https://app.example/recording"
DEFAULTS = {"channels": 1, "track": "both", "trim": False, "callback": {}}


@pytest.fixture
def make(alice):
    made = 0

    def make(call: Call | None, seconds: float = 0, **fields) -> Recording:
        nonlocal made
        made += 1
        at = NOON + timedelta(seconds=seconds)
        values = {
            "sid": f"RE{made:032x}",
            "account": alice,
            "call": call,
            "source": "RecordVerb",
            "status": "completed",
            "started_at": at,
            "ended_at": at + timedelta(seconds=9),
            "duration": 9,
            "node": "boot",
        }
        return Recording.objects.create(**values | fields)

    return make


# --- what is shown --------------------------------------------------------------------------------

BOTH = {
    "account_sid", "api_version", "call_sid", "conference_sid", "date_created", "date_updated",
    "start_time", "duration", "sid", "price", "price_unit", "status", "channels", "source",
    "error_code", "uri", "encryption_details",
}  # fmt: skip


def test_a_recording_has_two_forms(make, make_call, alice, raw, settings) -> None:
    settings.PUBLIC_URL = "https://sip.example"
    call = make_call()
    sid = make(call, channels=2, track="inbound").sid
    account = raw("get", f"/Recordings/{sid}.json").json()
    of_call = raw("get", f"/Calls/{call.sid}/Recordings/{sid}.json").json()
    assert set(account) == BOTH | {"subresource_uris", "media_url"}
    assert set(of_call) == BOTH | {"track"}
    here = f"{BASE}/{alice.sid}"
    assert account["uri"] == f"{here}/Recordings/{sid}.json"
    assert of_call["uri"] == f"{here}/Calls/{call.sid}/Recordings/{sid}.json"
    assert account["media_url"] == f"https://sip.example{here}/Recordings/{sid}"
    assert account["subresource_uris"] == {
        "add_on_results": f"{here}/Recordings/{sid}/AddOnResults.json",
        "transcriptions": f"{here}/Recordings/{sid}/Transcriptions.json",
    }
    shown = {name: of_call[name] for name in BOTH | {"track"} if of_call[name] is not None}
    del shown["uri"]
    assert shown == {
        "sid": sid,
        "account_sid": alice.sid,
        "api_version": "2010-04-01",
        "call_sid": call.sid,
        "date_created": "Wed, 04 Mar 2026 12:00:00 +0000",
        "start_time": "Wed, 04 Mar 2026 12:00:00 +0000",
        "date_updated": "Wed, 04 Mar 2026 12:00:09 +0000",
        "duration": "9",
        "price_unit": "USD",
        "status": "completed",
        "channels": 2,
        "source": "RecordVerb",
        "track": "inbound",
    }


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        (
            {"status": "in-progress", "ended_at": None, "duration": None},
            ("in-progress", None, None),
        ),
        ({"status": "paused", "ended_at": None, "duration": None}, ("paused", None, None)),
        ({"status": "absent", "duration": 0}, ("absent", "0", None)),
        ({"status": "failed", "error_code": 12400, "duration": None}, ("absent", None, 12400)),
    ],
)
def test_states_of_a_recording(make, make_call, rest, fields, shown) -> None:
    recording = rest.recordings(make(make_call(), **fields).sid).fetch()
    assert (recording.status, recording.duration, recording.error_code) == shown


# --- lists ----------------------------------------------------------------------------------------


def test_recordings_are_listed_by_account_and_call(make, make_call, rest, bob) -> None:
    one, two = make_call(), make_call(1)
    first, second, third = make(one), make(two, 1), make(one, -86_400)
    gone = make(one, 2, status="deleted")
    make(None, account=bob)
    lists = [
        ({}, [second, first, third]),
        ({"call_sid": one.sid}, [first, third]),
        ({"call_sid": "CA" + "f" * 32}, []),
        ({"conference_sid": "CF" + "0" * 32}, []),
        ({"date_created": date(2026, 3, 4)}, [second, first]),
        ({"date_created_before": date(2026, 3, 4)}, [third]),
        ({"date_created_after": NOON}, [second, first]),
        ({"include_soft_deleted": True}, [gone, second, first, third]),
        ({"include_soft_deleted": True, "call_sid": one.sid}, [gone, first, third]),
    ]
    for wanted, expected in lists:
        found = [row.sid for row in rest.recordings.list(**wanted)]
        assert found == [row.sid for row in expected], wanted
    of_call = rest.calls(one.sid).recordings
    assert [row.sid for row in of_call.list()] == [first.sid, third.sid]
    assert [row.sid for row in of_call.list(date_created=date(2026, 3, 4))] == [first.sid]
    assert refused(rest.recordings(gone.sid).fetch) == (404, 20404)
    assert rest.recordings(gone.sid).fetch(include_soft_deleted=True).status == "deleted"
    assert refused(rest.calls(two.sid).recordings(first.sid).fetch) == (404, 20404)


def test_pages_of_recordings(make, make_call, rest) -> None:
    call = make_call()
    expected = [make(call, number).sid for number in range(9)][::-1]
    assert [row.sid for row in rest.recordings.stream(page_size=2)] == expected
    assert [row.sid for row in rest.calls(call.sid).recordings.stream(page_size=2)] == expected
    assert [row.sid for row in rest.recordings.page(page_number=2, page_size=3)] == expected[6:]


def test_others_recordings_are_not_there(make, make_call, bob) -> None:
    call = make_call()
    sid = make(call).sid
    strange = client_of(bob)
    for work in (
        strange.recordings(sid).fetch,
        strange.recordings(sid).delete,
        strange.calls(call.sid).recordings.list,
        strange.calls(call.sid).recordings(sid).fetch,
        strange.calls(call.sid).recordings(sid).delete,
        lambda: strange.calls(call.sid).recordings(sid).update(status="stopped"),
    ):
        assert refused(work) == (404, 20404)
    assert Recording.objects.get().status == "completed"


# --- deleting -------------------------------------------------------------------------------------


@pytest.mark.parametrize("of_call", [False, True])
def test_a_deleted_recording_is_gone_but_for_those_who_ask_for_deleted_ones(
    make, make_call, rest, of_call
) -> None:
    call = make_call()
    sid = make(call).sid
    resource = rest.calls(call.sid).recordings(sid) if of_call else rest.recordings(sid)
    assert resource.delete() is True
    assert rest.recordings.list() == []
    assert refused(resource.delete) == (404, 20404)
    assert Recording.objects.get().status == "deleted"


@pytest.mark.parametrize("status", ["in-progress", "paused"])
def test_a_recording_under_way_cannot_be_deleted(make, live_call, rest, status) -> None:
    sid = make(live_call, status=status, ended_at=None).sid
    assert refused(rest.recordings(sid).delete) == (400, 20009)


# --- live calls -----------------------------------------------------------------------------------


def started(make, call: Call) -> Outcome:
    row = make(call, source="StartCallRecordingAPI", status="in-progress", ended_at=None)
    return Outcome({"recording_sid": row.sid, "status": "in-progress"})


def test_recording_a_call(make, live_call, rest, node) -> None:
    node.says = started(make, live_call)
    recording = rest.calls(live_call.sid).recordings.create()
    assert (recording.status, recording.source) == ("in-progress", "StartCallRecordingAPI")
    (command,) = node.asked
    assert (command.kind, command.payload) == (RECORDING_START, DEFAULTS)


def test_recording_a_call_with_everything(make, live_call, rest, node) -> None:
    node.says = started(make, live_call)
    rest.calls(live_call.sid).recordings.create(
        recording_status_callback=URL,
        recording_status_callback_method="GET",
        recording_status_callback_event=["in-progress", "absent"],
        trim="trim-silence",
        recording_channels="dual",
        recording_track="outbound",
    )
    assert node.asked[0].payload == {
        "channels": 2,
        "track": "outbound",
        "trim": True,
        "callback": {"url": URL, "method": "GET", "events": ["in-progress", "absent"]},
    }


@pytest.mark.parametrize(
    "given",
    [
        {"RecordingChannels": "2"}, {"RecordingTrack": "x"}, {"Trim": "x"},
        {"RecordingStatusCallback": "x"}, {"RecordingStatusCallbackMethod": "x"},
        {"RecordingStatusCallbackEvent": "x"},
    ],
)  # fmt: skip
def test_a_recording_that_cannot_be_begun(live_call, raw, node, given) -> None:
    answer = raw("post", f"/Calls/{live_call.sid}/Recordings.json", given)
    assert (answer.status_code, answer.json()["code"]) == (400, 20422)
    assert node.asked == []


def test_a_call_that_is_over_or_refuses_is_not_recorded(live_call, make_call, rest, node) -> None:
    assert refused(rest.calls(make_call().sid).recordings.create) == (400, 21220)
    node.says = rejected("Call is not in-progress. Cannot record.")
    assert refused(rest.calls(live_call.sid).recordings.create) == (400, 21220)
    queued = make_call(status="queued", ended_at=None, node="")
    assert refused(rest.calls(queued.sid).recordings.create) == (400, 21220)


def test_a_recording_that_no_node_confirms_is_withdrawn(live_call, rest, node) -> None:
    node.says = None
    assert refused(rest.calls(live_call.sid).recordings.create) == (503, 20503)
    assert CallCommand.objects.get().state == CommandState.REJECTED


def test_a_recording_that_is_confirmed_in_the_last_moment_counts(
    make, live_call, rest, node, monkeypatch
) -> None:
    said, node.says = started(make, live_call), None
    settle = commands.settle

    def late(command_id: int, outcome: Outcome) -> bool:
        settle(command_id, said)
        return settle(command_id, outcome)

    monkeypatch.setattr(commands, "settle", late)
    sid = rest.calls(live_call.sid).recordings.create().sid
    assert sid == said.result["recording_sid"]


@pytest.mark.parametrize("by", ["sid", "Twilio.CURRENT"])
def test_pausing_and_going_on(make, live_call, rest, node, by) -> None:
    row = make(live_call, status="in-progress", ended_at=None)
    name = row.sid if by == "sid" else by
    for status, behavior in (("paused", "skip"), ("in-progress", "silence")):
        Recording.objects.update(status=status)
        node.says = Outcome({"recording_sid": row.sid, "status": status})
        options = {"pause_behavior": behavior} if behavior == "skip" else {}
        recording = rest.calls(live_call.sid).recordings(name).update(status=status, **options)
        assert (recording.sid, recording.status) == (row.sid, status)
        assert node.asked[-1].kind == RECORDING_UPDATE
        assert node.asked[-1].payload == {
            "recording_sid": name, "status": status, "pause_behavior": behavior,
        }  # fmt: skip


def test_a_stopped_recording_is_told_as_stopped_until_its_file_is_stored(
    make, live_call, rest, node
) -> None:
    row = make(live_call, status="in-progress", ended_at=None, duration=None)
    node.says = Outcome({"recording_sid": row.sid, "status": "stopped"})
    assert (
        rest.calls(live_call.sid).recordings(row.sid).update(status="stopped").status == "stopped"
    )
    Recording.objects.update(status="completed", ended_at=NOON)
    node.says = Outcome({"recording_sid": row.sid, "status": "stopped"})
    again = rest.calls(live_call.sid).recordings(row.sid).update(status="stopped")
    assert again.status == "completed"


@pytest.mark.parametrize(
    ("outcome", "answer"),
    [
        (rejected("2 recordings are under way: name one.", 16108), (400, 16108)),
        (rejected("No such recording.", 20404), (404, 20404)),
        (rejected("The recording has ended."), (400, 21220)),
        (None, (503, 20503)),
    ],
)
def test_a_change_of_the_current_recording_that_is_not_done(
    live_call, rest, node, outcome, answer
) -> None:
    node.says = outcome
    work = lambda: rest.calls(live_call.sid).recordings("Twilio.CURRENT").update(status="paused")  # noqa: E731
    assert refused(work) == answer


def test_a_change_that_is_not_confirmed_in_time_stands(make, live_call, rest, node) -> None:
    row = make(live_call, status="in-progress", ended_at=None)
    node.says = None
    assert rest.calls(live_call.sid).recordings(row.sid).update(status="paused").sid == row.sid
    assert CallCommand.objects.get().state == CommandState.PENDING


def test_a_call_that_ends_meanwhile_is_told_by_408(
    make, live_call, rest, node, monkeypatch
) -> None:
    row = make(live_call, status="in-progress", ended_at=None)
    node.says = rejected("The call ended before the request reached it.")
    wait = node.wait

    def ends(command_id: int, seconds: float) -> CallCommand:
        Call.objects.update(ended_at=NOON)
        return wait(command_id, seconds)

    monkeypatch.setattr(commands, "wait", ends)
    work = lambda: rest.calls(live_call.sid).recordings(row.sid).update(status="paused")  # noqa: E731
    assert refused(work) == (408, 21220)
    # And when it was over before, as for every other change.
    assert refused(work) == (400, 21220)


@pytest.mark.parametrize(
    "given", [{}, {"Status": "done"}, {"Status": "paused", "PauseBehavior": "x"}]
)
def test_a_change_that_cannot_be_read(make, live_call, raw, given) -> None:
    row = make(live_call, status="in-progress", ended_at=None)
    answer = raw("post", f"/Calls/{live_call.sid}/Recordings/{row.sid}.json", given)
    assert (answer.status_code, answer.json()["code"]) == (400, 20422)
