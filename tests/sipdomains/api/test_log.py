"""Notifications and events, by the real client."""

from __future__ import annotations

from datetime import date, timedelta
from urllib.parse import parse_qsl

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sipdomains.models import Call, Notification, WebhookRequest
from tests.sipdomains.api.conftest import BASE, NOON, client_of, refused

APP = "https://user:geheim@app.example/voice"


@pytest.fixture
def note(alice):
    made = 0

    def note(call: Call | None, seconds: float = 0, **fields) -> Notification:
        nonlocal made
        made += 1
        values = {
            "sid": f"NO{made:032x}",
            "account": alice,
            "call": call,
            "at": NOON + timedelta(seconds=seconds),
            "code": 11200,
            "level": "error",
            "message": "The application answered 500.",
        }
        return Notification.objects.create(**values | fields)

    return note


def attempt(call: Call, seconds: float = 0, **fields) -> WebhookRequest:
    values = {
        "request_id": f"r{WebhookRequest.objects.count()}",
        "attempt": 1,
        "call": call,
        "account": call.account,
        "purpose": "document",
        "at": NOON + timedelta(seconds=seconds),
        "method": "POST",
        "url": APP,
        "parameters": [["CallSid", call.sid], ["X", "1"], ["X", "2"]],
        "status": 500,
        "response_headers": [["Content-Type", "text/xml"], ["Set-Cookie", "session=geheim"]],
        "response_body": '<Response><Dial><Sip password="geheim">sip:a@b</Sip></Dial></Response>',
        "duration_ms": 12.6,
    }
    return WebhookRequest.objects.create(**values | fields)


LISTED = {
    "account_sid", "api_version", "call_sid", "date_created", "date_updated", "error_code", "log",
    "message_date", "message_text", "more_info", "request_method", "request_url", "sid", "uri",
}  # fmt: skip
FETCHED = LISTED | {"request_variables", "response_body", "response_headers"}


def test_a_notification_is_shown_with_the_request_that_it_is_about(
    note, make_call, alice, raw
) -> None:
    call = make_call()
    attempt(call, -50, status=200, response_body="another")
    attempt(call, -1)
    attempt(call, -0.5, url="https://elsewhere.example/", response_body="another")
    row = note(call, request_method="POST", request_url=APP)
    (listed,) = raw("get", "/Notifications.json").json()["notifications"]
    assert set(listed) == LISTED
    fetched = raw("get", f"/Notifications/{row.sid}.json").json()
    assert set(fetched) == FETCHED
    assert (
        {name: fetched[name] for name in LISTED}
        == listed
        == {
            "sid": row.sid,
            "account_sid": alice.sid,
            "api_version": "2010-04-01",
            "call_sid": call.sid,
            "date_created": "Wed, 04 Mar 2026 12:00:00 +0000",
            "date_updated": "Wed, 04 Mar 2026 12:00:00 +0000",
            "message_date": "Wed, 04 Mar 2026 12:00:00 +0000",
            "error_code": "11200",
            "log": "0",
            "message_text": "The application answered 500.",
            "more_info": "https://www.twilio.com/docs/errors/11200",
            "request_method": "POST",
            "request_url": "https://user:…@app.example/voice",
            "uri": f"{BASE}/{alice.sid}/Notifications/{row.sid}.json",
        }
    )
    variables = parse_qsl(fetched["request_variables"])
    assert variables == [("CallSid", call.sid), ("X", "1"), ("X", "2")]
    assert ("Content-Type", "text/xml") in parse_qsl(fetched["response_headers"])
    assert "<Response>" in fetched["response_body"]
    assert "geheim" not in str(fetched)


def test_a_notification_about_a_callback_knows_its_message(note, make_call, raw) -> None:
    call = make_call()
    attempt(call, -2, request_id="m", attempt=1, response_body="first")
    attempt(call, -1, request_id="m", attempt=2, response_body="second")
    row = note(call, request_url=APP, data={"message": "m"})
    fetched = raw("get", f"/Calls/{call.sid}/Notifications/{row.sid}.json").json()
    assert fetched["response_body"] == "second"
    assert fetched["uri"].endswith(f"/Calls/{call.sid}/Notifications/{row.sid}.json")


def test_a_notification_about_no_request(note, rest, make_call) -> None:
    for row in (note(None), note(make_call()), note(make_call(), request_url=APP)):
        found = rest.notifications(row.sid).fetch()
        assert (found.request_variables, found.response_headers, found.response_body) == (
            None, None, None,
        )  # fmt: skip


def test_notifications_are_listed_by_account_and_call(note, make_call, rest, bob) -> None:
    call = make_call()
    error, warning = note(call), note(call, 1, level="warning", code=13510)
    alone, old = note(None, 2), note(call, -86_400)
    note(None, account=bob)
    lists = [
        ({}, [alone, warning, error, old]),
        ({"log": 0}, [alone, error, old]),
        ({"log": 1}, [warning]),
        ({"message_date": date(2026, 3, 4)}, [alone, warning, error]),
        ({"message_date_before": date(2026, 3, 4)}, [old]),
        ({"message_date_after": date(2026, 3, 4), "log": 1}, [warning]),
    ]
    for wanted, expected in lists:
        found = [row.sid for row in rest.notifications.list(**wanted)]
        assert found == [row.sid for row in expected], wanted
    of_call = rest.calls(call.sid).notifications
    assert [row.sid for row in of_call.list()] == [warning.sid, error.sid, old.sid]
    assert [row.sid for row in of_call.list(log=1)] == [warning.sid]
    assert of_call(error.sid).fetch().error_code == "11200"
    assert refused(of_call(alone.sid).fetch) == (404, 20404)
    strange = client_of(bob)
    assert refused(strange.notifications(error.sid).fetch) == (404, 20404)
    assert refused(strange.calls(call.sid).notifications.list) == (404, 20404)


@pytest.mark.parametrize("query", ["Log=2", "Log=error", "MessageDate=x"])
def test_filters_that_cannot_be_read(raw, query) -> None:
    answer = raw("get", f"/Notifications.json?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, 20422)


# --- events ---------------------------------------------------------------------------------------


def test_events_are_the_requests_of_the_call(make_call, rest, raw) -> None:
    call = make_call()
    attempt(call)
    attempt(make_call(1))
    body = raw("get", f"/Calls/{call.sid}/Events.json").json()
    assert body["events"] == [
        {
            "request": {
                "method": "POST",
                "url": "https://user:…@app.example/voice",
                "parameters": {"CallSid": call.sid, "X": "2"},
            },
            "response": {
                "response_code": 500,
                "request_duration": 13,
                "content_type": "text/xml",
                "response_body": (
                    '<Response><Dial><Sip password="…">sip:a@b</Sip></Dial></Response>'
                ),
                "date_created": "Wed, 04 Mar 2026 12:00:00 +0000",
            },
        }
    ]
    (event,) = rest.calls(call.sid).events.list()
    assert event.request["method"] == "POST"


def test_pages_of_events(make_call, rest) -> None:
    call = make_call()
    for number in range(9):
        attempt(call, number // 4, status=number + 1)
    events = rest.calls(call.sid).events
    expected = list(range(9, 0, -1))
    assert [one.response["response_code"] for one in events.stream(page_size=2)] == expected
    page = events.page(page_size=4, page_number=1)
    assert [one.response["response_code"] for one in page] == expected[4:8]
    back = page.previous_page()
    assert [one.response["response_code"] for one in back] == expected[:4]


@pytest.mark.parametrize("sid", ["CA" + "5" * 32, "EV" + "f" * 32, "XX" + "0" * 32])
def test_tokens_of_other_lists_are_refused_or_harmless(make_call, raw, sid) -> None:
    call = make_call()
    attempt(call)
    path = f"/Calls/{call.sid}/Events.json?PageToken=PA{sid}1790000000000000"
    assert raw("get", path).status_code == (400 if sid.startswith("CA") else 200)


def test_an_attempt_that_got_no_answer(make_call, rest) -> None:
    call = make_call()
    attempt(call, status=0, response_headers=[], response_body="")
    (event,) = rest.calls(call.sid).events.list()
    assert (event.response["response_code"], event.response["content_type"]) == (None, None)


LISTS = [
    ("/Recordings.json", "recording_kept_by_account"),
    ("/Recordings.json?DateCreated=2026-03-04", "recording_kept_by_account"),
    ("/Recordings.json?IncludeSoftDeleted=true", "recording_by_account"),
    ("/Notifications.json", "notification_by_account"),
    ("/Notifications.json?MessageDate=2026-03-04", "notification_by_account"),
    ("/Notifications.json?Log=1", "notification_by_account"),
]


@pytest.mark.skipif(connection.vendor != "sqlite", reason="reads SQLite's query plans")
@pytest.mark.parametrize(("path", "index"), LISTS)
def test_lists_are_served_by_an_index_in_their_order(note, raw, path, index) -> None:
    note(None)
    with CaptureQueriesContext(connection) as captured:
        raw("get", path)
        queries = [query["sql"] for query in captured.captured_queries]
    table = path[1:].partition(".")[0].lower()[:-1]
    lists = [sql for sql in queries if f'FROM "sipdomains_{table}"' in sql]
    assert lists
    for sql in lists:
        with connection.cursor() as database:
            plan = database.execute("EXPLAIN QUERY PLAN " + sql).fetchall()
        steps = " | ".join(row[3] for row in plan)
        assert f"{index} " in steps
        assert "USE TEMP B-TREE FOR ORDER BY" not in steps


@pytest.mark.skipif(connection.vendor != "sqlite", reason="reads SQLite's query plans")
@pytest.mark.parametrize("path", ["/Recordings.json", "/Notifications.json", "/Events.json"])
@pytest.mark.parametrize("page", [0, 1])
def test_lists_of_a_call_look_at_the_rows_of_that_call_only(make_call, raw, path, page) -> None:
    call = make_call()
    with CaptureQueriesContext(connection) as captured:
        assert raw("get", f"/Calls/{call.sid}{path}?Page={page}").status_code == 200
        if path == "/Recordings.json":
            raw("get", f"{path}?CallSid={call.sid}&Page={page}")
        queries = [query["sql"] for query in captured.captured_queries]
    lists = [sql for sql in queries if '."call_id" = ' in sql]
    assert lists
    for sql in lists:
        with connection.cursor() as database:
            plan = database.execute("EXPLAIN QUERY PLAN " + sql).fetchall()
        assert all("(call_id=?" in row[3] for row in plan if "SEARCH" in row[3]), plan
        assert not any("SCAN" in row[3] for row in plan), plan
