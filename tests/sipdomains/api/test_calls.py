"""Calls by the real client: what is shown, lists with each filter, deleting, permissions."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from sipdomains.models import (
    ApiKey,
    Call,
    CallCommand,
    CallEvent,
    Notification,
    OutboxMessage,
    Recording,
    Transfer,
    WebhookRequest,
)
from tests.sipdomains.api.conftest import BASE, NOON, client_of, refused
from tests.sipdomains.conftest import saved

FIELDS = {
    "sid", "date_created", "date_updated", "parent_call_sid", "account_sid", "to", "to_formatted",
    "from", "from_formatted", "phone_number_sid", "status", "start_time", "end_time", "duration",
    "price", "price_unit", "direction", "answered_by", "api_version", "forwarded_from", "group_sid",
    "caller_name", "queue_time", "trunk_sid", "uri", "subresource_uris",
}  # fmt: skip


# --- one call -------------------------------------------------------------------------------------


def test_a_call_is_shown_with_every_documented_key(make_call, alice, raw) -> None:
    parent = make_call()
    call = make_call(30, parent=parent, direction="outbound-dial")
    body = raw("get", f"/Calls/{call.sid}.json").json()
    assert set(body) == FIELDS
    here = f"{BASE}/{alice.sid}/Calls/{call.sid}"
    assert body["subresource_uris"].pop("user_defined_message_subscriptions")
    assert (
        body["subresource_uris"].pop("user_defined_messages") == f"{here}/UserDefinedMessages.json"
    )
    assert body.pop("subresource_uris") == {
        name: f"{here}/{name.capitalize()}.json"
        for name in (
            "notifications", "recordings", "payments", "events", "siprec", "streams",
            "transcriptions",
        )
    }  # fmt: skip
    nothing = {name for name, value in body.items() if value is None}
    assert nothing == {
        "phone_number_sid", "price", "answered_by", "forwarded_from", "group_sid", "caller_name",
        "trunk_sid",
    }  # fmt: skip
    assert {name: value for name, value in body.items() if name not in nothing} == {
        "sid": call.sid,
        "date_created": "Wed, 04 Mar 2026 12:00:30 +0000",
        "date_updated": "Wed, 04 Mar 2026 12:00:43 +0000",
        "parent_call_sid": parent.sid,
        "account_sid": alice.sid,
        "to": "sip:100@pbx.example.net",
        "to_formatted": "sip:100@pbx.example.net",
        "from": "sip:alice@pbx.example.net",
        "from_formatted": "sip:alice@pbx.example.net",
        "status": "completed",
        "start_time": "Wed, 04 Mar 2026 12:00:30 +0000",
        "end_time": "Wed, 04 Mar 2026 12:00:43 +0000",
        "duration": "12",
        "price_unit": "USD",
        "direction": "outbound-dial",
        "api_version": "2010-04-01",
        "queue_time": "0",
        "uri": f"{here}.json",
    }


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"status": "queued", "queue_ms": 3000}, {"status": "queued", "start_time": None}),
        ({"status": "initiated"}, {"status": "ringing"}),
        (
            {"status": "in-progress", "queue_ms": 61_000},
            {"start_time": "Wed, 04 Mar 2026 12:01:01 +0000", "queue_time": "61000"},
        ),
        ({"status": "in-progress"}, {"end_time": None, "duration": None}),
    ],
)
def test_a_call_that_goes_on(make_call, raw, fields, shown) -> None:
    call = make_call(**{"ended_at": None, "duration": None} | fields)
    body = raw("get", f"/Calls/{call.sid}.json").json()
    assert {name: body[name] for name in shown} == shown


def test_the_client_reads_a_call(make_call, rest) -> None:
    call = rest.calls(make_call().sid).fetch()
    assert call.start_time == NOON
    assert (call.duration, call._from, call.status) == (
        "12",
        "sip:alice@pbx.example.net",
        "completed",
    )


@pytest.mark.parametrize("sid", ["CA" + "f" * 32, "CA1", "x", "RE" + "0" * 32])
def test_a_call_that_is_not_there(rest, sid) -> None:
    for work in (
        rest.calls(sid).fetch,
        rest.calls(sid).delete,
        lambda: rest.calls(sid).update(status="completed"),
        lambda: rest.calls(sid).recordings.list(),
        lambda: rest.calls(sid).notifications.list(),
        lambda: rest.calls(sid).events.list(),
        lambda: rest.calls(sid).recordings.create(),
    ):
        assert refused(work) == (404, 20404)


# --- lists ----------------------------------------------------------------------------------------


@pytest.fixture
def varied(make_call):
    """Calls by what is special about them."""
    day = 86_400
    live = {"ended_at": None, "duration": None}
    calls = {
        "plain": make_call(0),
        "to": make_call(1, to_uri="+4930123456"),
        "from": make_call(2, from_uri="+491511234"),
        "both": make_call(3, to_uri="+4930123456", from_uri="+491511234"),
        "busy": make_call(4, status="busy"),
        "ringing": make_call(5, status="ringing", **live),
        "initiated": make_call(6, status="initiated", **live),
        "talking": make_call(7, status="in-progress", **live),
        "yesterday": make_call(-day, to_uri="+4930123456"),
        "midnight": make_call(-day / 2, ended_at=NOON + timedelta(seconds=2)),
    }
    calls["child"] = make_call(8, parent=calls["plain"])
    return calls


TODAY, YESTERDAY = date(2026, 3, 4), date(2026, 3, 3)
ALL = {
    "plain", "to", "from", "both", "busy", "ringing", "initiated", "talking", "yesterday",
    "midnight", "child",
}  # fmt: skip
LIVE = {"ringing", "initiated", "talking"}
FILTERS = [
    ({}, ALL),
    ({"to": "+4930123456"}, {"to", "both", "yesterday"}),
    ({"to": "sip:100@pbx"}, set()),
    ({"from_": "+491511234"}, {"from", "both"}),
    ({"to": "+4930123456", "from_": "+491511234"}, {"both"}),
    ({"parent_call_sid": "sid of plain"}, {"child"}),
    ({"parent_call_sid": "CA" + "0" * 32}, set()),
    ({"parent_call_sid": "sid of plain", "status": "busy"}, set()),
    ({"status": "busy"}, {"busy"}),
    ({"status": "ringing"}, {"ringing", "initiated"}),
    ({"status": "in-progress"}, {"talking"}),
    ({"status": "queued"}, set()),
    ({"to": "+4930123456", "status": "ringing"}, set()),
    ({"to": "+4930123456", "status": "completed"}, {"to", "both", "yesterday"}),
    ({"start_time": TODAY}, ALL - {"yesterday"}),
    ({"start_time": YESTERDAY}, {"yesterday"}),
    ({"start_time": NOON + timedelta(seconds=3)}, ALL - {"yesterday"}),
    ({"start_time_after": NOON + timedelta(seconds=7)}, {"talking", "child"}),
    ({"start_time_before": NOON}, {"plain", "yesterday", "midnight"}),
    ({"start_time_before": YESTERDAY}, set()),
    ({"start_time_before": TODAY}, {"yesterday", "midnight"}),
    ({"start_time_after": TODAY, "start_time_before": NOON}, {"plain", "midnight"}),
    (
        {
            "end_time_after": NOON + timedelta(seconds=14),
            "end_time_before": NOON + timedelta(seconds=14),
        },
        {"to"},
    ),
    ({"end_time": TODAY}, ALL - LIVE - {"yesterday"}),
    ({"end_time_before": NOON + timedelta(seconds=2)}, {"yesterday", "midnight"}),
    ({"end_time_after": NOON + timedelta(seconds=20)}, {"child"}),
    ({"end_time_after": TODAY, "status": "busy"}, {"busy"}),
    ({"end_time_before": NOON, "to": "+4930123456"}, {"yesterday"}),
]


@pytest.mark.parametrize(("wanted", "expected"), FILTERS)
def test_each_filter_finds_exactly(varied, rest, wanted, expected) -> None:
    wanted = {
        name: varied[value[7:]].sid if str(value).startswith("sid of ") else value
        for name, value in wanted.items()
    }
    names = {call.sid: name for name, call in varied.items()}
    found = [names[call.sid] for call in rest.calls.list(**wanted)]
    assert set(found) == expected
    times = [varied[name].started_at for name in found]
    assert times == sorted(times, reverse=True)


@pytest.mark.parametrize(
    "query",
    [
        "StartTime=2026-13-01",
        "StartTime=2026-02-30",
        "StartTime%3E=yesterday",
        "StartTime=2026-03-04T25:00:00Z",
        "StartTime=0001-01-01T00:00:00%2B10:00",
        "StartTime=9999-12-31T23:59:59-10:00",
        "EndTime%3C=" + "2026-03-04T00:00:00" + "0" * 100,
        "EndTime=9999-12-31",
        "Status=done",
        "Status=initiated",
        "To=a%00b",
        "From=" + "x" * 2000,
        "PageToken=PA1",
        "PageToken=PAEV" + "0" * 32 + "1",
    ],
)
def test_what_cannot_be_read_is_refused(raw, query) -> None:
    answer = raw("get", f"/Calls.json?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, 20422)


@pytest.mark.parametrize(
    "query",
    [
        "StartTime=0001-01-01",
        "EndTime=0001-01-01T00:00:00Z",
        "EndTime%3E=0001-01-01",
        "StartTime%3E=2026-03-05&StartTime%3C=2026-03-01",
        "StartTime=2026-03-04T12:00:00",
        "StartTime=2026-03-04T13:00:00%2B01:00",
        "ParentCallSid=%25",
        "Page=999999999&PageSize=1000",
        "Page=5&Status=completed&To=x",
        "PageToken=PBXX" + "0" * 32 + "0&Status=busy",
    ],
)
def test_odd_lists_are_answered(make_call, raw, query) -> None:
    make_call()
    assert raw("get", f"/Calls.json?{query}").status_code == 200


def test_the_time_zone_of_a_moment_counts(varied, raw) -> None:
    for text in ("2026-03-04T12:00:03Z", "2026-03-04T13:00:03%2B01:00", "2026-03-04T12:00:03"):
        body = raw("get", f"/Calls.json?StartTime%3E={text}&StartTime%3C={text}").json()
        assert [call["sid"] for call in body["calls"]] == [varied["both"].sid]


def test_following_next_page_uri_visits_every_call_once(make_call, rest) -> None:
    made = [make_call(number // 3).sid for number in range(25)]
    seen = []
    for number, call in enumerate(rest.calls.stream(page_size=4)):
        seen.append(call.sid)
        if number % 5 == 0:
            make_call(1000)
    expected = [sid for sid in seen if sid in made]
    assert sorted(expected) == sorted(made)
    assert len(seen) == len(set(seen))


def test_pages_by_number_and_back(make_call, rest) -> None:
    for number in range(11):
        make_call(number)
    everything = [call.sid for call in rest.calls.list()]
    page = rest.calls.page(page_number=2, page_size=4)
    assert [call.sid for call in page] == everything[8:]
    before = page.previous_page()
    assert [call.sid for call in before] == everything[4:8]
    first = before.previous_page()
    assert [call.sid for call in first] == everything[:4]
    assert first.previous_page_url is None
    assert list(rest.calls.page(page_number=3, page_size=4)) == []


@pytest.mark.parametrize(
    ("path", "most"),
    [
        ("/Calls.json?PageSize=1000", 2),
        ("/Calls.json?PageSize=1000&Status=completed&To=sip:100@pbx.example.net", 3),
        ("/Calls.json?PageSize=50&Page=3", 3),
    ],
)
def test_a_list_costs_the_same_number_of_queries_for_any_number_of_calls(
    make_call, raw, django_assert_num_queries, path, most
) -> None:
    make_call()
    with django_assert_num_queries(2 if "Page=3" in path else most):
        raw("get", path)
    for number in range(200):
        make_call(number)
    with django_assert_num_queries(most):
        assert raw("get", path).json()["calls"]


# --- whose they are -------------------------------------------------------------------------------


def test_calls_are_seen_by_their_account_its_parent_and_its_keys_alone(
    make_call, alice, bob
) -> None:
    call = make_call()
    parent = saved(type(alice)(friendly_name="Parent"))
    alice.parent = parent
    alice.save()
    key = ApiKey(account=alice, friendly_name="k")
    secret = key.renew_secret()
    key.save()
    keyed = client_of(alice, key.sid, secret)
    above = client_of(parent).api.v2010.accounts(alice.sid)
    for seen in (client_of(alice), keyed, above):
        assert seen.calls(call.sid).fetch().sid == call.sid
        assert [found.sid for found in seen.calls.list()] == [call.sid]
    strange = client_of(bob)
    assert strange.calls.list() == []
    assert strange.calls.list(parent_call_sid=call.sid) == []
    elsewhere = strange.api.v2010.accounts(alice.sid)
    for work in (
        strange.calls(call.sid).fetch,
        strange.calls(call.sid).delete,
        lambda: strange.calls(call.sid).update(twiml="<Response/>"),
        lambda: strange.calls(call.sid).recordings.create(),
        lambda: strange.calls(call.sid).recordings.list(),
        lambda: strange.calls(call.sid).events.list(),
        lambda: strange.calls(call.sid).notifications.list(),
        elsewhere.calls(call.sid).fetch,
        elsewhere.calls.list,
        lambda: elsewhere.calls.create(to="+1", from_="+1", url="http://app.example/"),
    ):
        assert refused(work) == (404, 20404)
    assert Call.objects.filter(sid=call.sid).exists()
    assert not CallCommand.objects.exists()


# --- deleting -------------------------------------------------------------------------------------


def _with_everything(call: Call) -> None:
    def message(pk: str, state: str) -> None:
        OutboxMessage.objects.create(
            id=pk, stream=pk, position=0, purpose="status-callback", call=call, created_at=NOON,
            method="POST", url="http://app.example/", state=state, next_at=NOON,
        )  # fmt: skip
        WebhookRequest.objects.create(
            request_id=pk, attempt=1, call=call, account_id=call.account_id, purpose="x", at=NOON,
            method="POST", url="http://app.example/",
        )  # fmt: skip

    message("delivered", "delivered")
    message("pending", "pending")
    CallEvent.objects.create(call=call, seq=1, at=NOON, kind="answered")
    Notification.objects.create(sid="NO" + "1" * 32, call=call, at=NOON, code=1, level="error")
    Transfer.objects.create(
        call=call, number=1, direction="sent", target="x", requested_at=NOON, changed_at=NOON
    )
    CallCommand.objects.create(call=call, kind="update", requested_by="x", requested_at=NOON)
    Recording.objects.create(
        sid="RE" + "1" * 32, account_id=call.account_id, call=call, source="RecordVerb",
        status="completed", started_at=NOON, node="boot",
    )  # fmt: skip


def test_deleting_a_call_leaves_its_recordings_and_what_an_application_waits_for(
    make_call, rest, raw
) -> None:
    call, other = make_call(), make_call(1)
    child = make_call(2, parent=call)
    _with_everything(call)
    CallEvent.objects.create(call=other, seq=1, at=NOON, kind="answered")
    assert rest.calls(call.sid).delete() is True
    assert set(Call.objects.values_list("sid", flat=True)) == {other.sid, child.sid}
    assert list(CallEvent.objects.values_list("call_id", flat=True)) == [other.sid]
    for model in (Notification, Transfer, CallCommand):
        assert not model.objects.exists()
    assert [one.pk for one in OutboxMessage.objects.all()] == ["pending"]
    assert [one.request_id for one in WebhookRequest.objects.all()] == ["pending"]
    assert refused(rest.calls(call.sid).fetch) == (404, 20404)
    recording = rest.recordings("RE" + "1" * 32).fetch()
    assert recording.call_sid == call.sid
    assert [one.sid for one in rest.calls(call.sid).recordings.list()] == [recording.sid]
    assert rest.calls(child.sid).fetch().parent_call_sid == call.sid
    assert refused(rest.calls(call.sid).delete) == (404, 20404)


@pytest.mark.parametrize("status", ["queued", "ringing", "in-progress"])
def test_a_live_call_cannot_be_deleted(make_call, rest, status) -> None:
    call = make_call(status=status, ended_at=None)
    assert refused(rest.calls(call.sid).delete) == (400, 20009)
    assert Call.objects.filter(sid=call.sid).exists()


@pytest.mark.parametrize("status", ["in-progress", "paused"])
def test_a_call_whose_recording_is_being_finished_cannot_be_deleted_yet(
    make_call, rest, status
) -> None:
    call = make_call()
    _with_everything(call)
    Recording.objects.update(status=status)
    assert refused(rest.calls(call.sid).delete) == (400, 20009)
    Recording.objects.update(status="absent")
    assert rest.calls(call.sid).delete() is True


def test_pages_of_the_operators_cope_with_a_recording_whose_call_was_deleted(
    make_call, rest, client, django_user_model, settings
) -> None:
    settings.WHITENOISE_AUTOREFRESH = True
    call = make_call()
    _with_everything(call)
    rest.calls(call.sid).delete()
    client.force_login(django_user_model.objects.create_superuser("operator"))
    page = client.get("/recordings/")
    assert page.status_code == 200
    assert b"no longer in the log" in page.content


@pytest.mark.parametrize(
    "path",
    [
        "Streams", "Siprec", "Payments", "Transcriptions", "UserDefinedMessages",
        "UserDefinedMessageSubscriptions", "Feedback", "FeedbackSummary",
    ],
)  # fmt: skip
def test_what_calls_do_not_have_here_is_not_found(make_call, raw, path) -> None:
    for method in ("get", "post"):
        answer = raw(method, f"/Calls/{make_call().sid}/{path}.json")
        assert (answer.status_code, answer.json()["code"]) == (404, 20404)


@pytest.mark.parametrize("path", ["Conferences", "Queues", "Messages", "Transcriptions"])
def test_resources_that_are_not_served_are_not_found(raw, path) -> None:
    answer = raw("get", f"/{path}.json")
    assert (answer.status_code, answer.json()["code"]) == (404, 20404)
