"""Searching the call log: every condition, saved filters, exports, and several accounts at once."""

import csv
import io
import json
from datetime import timedelta

import pytest
from django.db import connection
from django.http import QueryDict
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sipdomains import access, selectors
from sipdomains.access import Scope
from sipdomains.models import Account, SavedFilter
from sipdomains.selectors import CallFilter, calls_page
from sipdomains.web import export
from sipdomains.web.forms import CallFilterForm
from tests.sipdomains.web.conftest import NOON

pytestmark = pytest.mark.django_db


@pytest.fixture
def varied(make_call):
    calls = {
        "plain": {},
        "number": {"to_uri": "sip:+4930123456@x.example"},
        "caller": {"from_uri": "sip:+431555@x.example"},
        "user": {"username": "Bob"},
        "header": {"headers": [["X-Account", "42"], ["X-Tier", "gold"]]},
        "umlaut": {"headers": [["X-Name", 'J"örg']]},
        "refused": {"sip_status": 403, "error_code": 32202, "cause": "bad-credentials"},
        "missing": {"sip_status": 404, "error_code": 32009, "cause": "unknown-domain"},
        "short": {"duration": 2},
        "long": {"duration": 600},
    }
    return {
        name: make_call(NOON + timedelta(seconds=number), **fields)
        for number, (name, fields) in enumerate(calls.items())
    }


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("number=%2B49 30-123", {"number"}),
        ("number=1555", {"caller"}),
        ("user=bob", {"user"}),
        ("header=X-Account: 42", {"header"}),
        ("header=x-account:4", {"header"}),
        ("header=X-Account: gold", set()),
        ("header=gold", {"header"}),
        ('header=X-Name: J"örg', {"umlaut"}),
        ("header=100%25", set()),
        ("sip=403", {"refused"}),
        ("sip=4xx", {"refused", "missing"}),
        ("code=32009", {"missing"}),
        ("cause=bad-credentials", {"refused"}),
        ("min_seconds=100", {"long"}),
        ("max_seconds=5", {"short"}),
        ("min_seconds=3&max_seconds=5", set()),
        ("sip=4xx&code=32202&number=100", {"refused"}),
    ],
)
def test_each_condition_finds_its_calls(desk, varied, query, expected):
    page = desk.get(
        "/calls/?" + query.replace("+", "%2B") if "%2B" not in query else "/calls/?" + query
    )
    names = {call.sid: name for name, call in varied.items()}
    assert {names[call.sid] for call in page.context["page"].calls} == expected
    assert page.context["filtered"]


@pytest.mark.parametrize("query", ["sip=9999", "sip=4x", "code=-1", "cause=a b", "min_seconds=x"])
def test_what_cannot_be_meant_is_named(desk, varied, query):
    page = desk.get(f"/calls/?{query}")
    assert 'role="alert"' in page.content.decode()
    assert len(page.context["page"].calls) == len(varied)


def test_a_search_without_a_find_goes_on_by_itself(desk, make_call, monkeypatch):
    monkeypatch.setattr(selectors.calllog, "SCAN_LIMIT", 2)
    for number in range(5):
        make_call(NOON + timedelta(seconds=number))
    monkeypatch.setattr(
        selectors.calllog.calls_page, "__kwdefaults__",
        selectors.calllog.calls_page.__kwdefaults__ | {"scan": 2},
    )  # fmt: skip
    body = desk.get("/calls/?q=nobody").content.decode()
    assert "Searching further back" in body
    assert 'hx-trigger="click, load' in body


# --- several accounts -----------------------------------------------------------------------------


def walk(wanted, scope, **options):
    found, page = [], calls_page(wanted, scope, **options)
    for _ in range(200):
        found += [call.sid for call in page.calls]
        if page.older is None:
            return found, page
        page = calls_page(wanted, scope, before=page.older, **options)
    raise AssertionError("paging does not end")


@settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    owners=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.booleans()), max_size=25),
    size=st.integers(1, 6),
    scan=st.integers(1, 12),
    searching=st.booleans(),
    live=st.booleans(),
    parts=st.sampled_from([1, 20]),
)
def test_pages_of_several_accounts_hold_each_call_once(
    make_call, monkeypatch, owners, size, scan, searching, live, parts
):
    monkeypatch.setattr(selectors.calllog, "MAX_PARTS", parts)
    accounts = [Account.objects.create(friendly_name=str(number)) for number in range(3)]
    calls = [
        make_call(
            NOON + timedelta(seconds=second),
            account=accounts[owner] if owner < 3 else None,
            username="needle" if match else "",
            status=("ringing", "in-progress", "busy")[number % 3],
        )
        for number, (owner, second, match) in enumerate(owners)
    ]
    mine = {accounts[0].sid, accounts[1].sid}
    expected = [
        call.sid
        for call in sorted(calls, key=lambda call: (call.started_at, call.sid), reverse=True)
        if call.account_id in mine
        and (not searching or call.username)
        and (not live or call.status != "busy")
    ]
    wanted = CallFilter(text="needle" if searching else "", status="live" if live else "")
    scope = Scope(frozenset(mine))
    found, page = walk(wanted, scope, size=size, scan=scan)
    assert found == expected
    back = [call.sid for call in page.calls]
    for _ in range(200):
        if page.newer is None:
            break
        page = calls_page(wanted, scope, after=page.newer, size=size, scan=scan)
        back = [call.sid for call in page.calls if call.sid not in back] + back
    assert back == expected
    assert selectors.matching(wanted, scope, [call.sid for call in calls]) == set(expected)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="reads SQLite's query plans")
@pytest.mark.parametrize(
    ("fields", "index"),
    [
        ({}, "call_by_account"),
        ({"status": "busy"}, "call_by_account_status"),
        ({"domain": "pbx.example.net"}, "call_by_domain"),
        ({"text": "needle"}, "call_by_account"),
        ({"status": "live"}, "call_by_account_status"),
        ({"status": "live", "text": "needle"}, "call_by_account_status"),
        ({"status": "live", "domain": "pbx.example.net"}, "call_by_domain"),
    ],
)
def test_accounts_are_served_by_an_index(domain, make_call, fields, index):
    from django.test.utils import CaptureQueriesContext

    scope = Scope(frozenset({domain.account_id}))
    with CaptureQueriesContext(connection) as captured:
        calls_page(CallFilter(**fields), scope, scan=3)
    lists = [query["sql"] for query in captured if '"sipdomains_call"' in query["sql"]]
    assert lists
    for sql in lists:
        with connection.cursor() as database:
            plan = database.execute("EXPLAIN QUERY PLAN " + sql).fetchall()
        steps = " | ".join(row[3] for row in plan)
        assert index in steps
        assert "USE TEMP B-TREE FOR ORDER BY" not in steps


# --- saved filters --------------------------------------------------------------------------------


def save(client, name, query, **more):
    return client.post("/calls/filters/", {"name": name, "query": query} | more)


def test_a_filter_is_kept_without_what_is_no_condition(desk, operator):
    answer = save(desk, "Busy", "status=busy&before=1-~&evil=1&q=&version=3")
    assert answer.url == "/calls/?status=busy"
    page = desk.get("/calls/?status=busy").content.decode()
    assert 'href="?status=busy" aria-current="true">Busy' in page
    save(desk, "Busy", "status=failed")
    assert SavedFilter.objects.get().query == "status=failed"
    assert desk.post(f"/calls/filters/{SavedFilter.objects.get().pk}/delete/").status_code == 302
    assert not SavedFilter.objects.exists()


def test_filters_are_shared_with_whom_one_shares_an_account(client, make_user, domain):
    other = Account.objects.create(friendly_name="Other")
    owner = make_user("owner", access.VIEWER, accounts=[domain.account])
    SavedFilter.objects.create(user=owner, name="Mine", query="q=secret")
    SavedFilter.objects.create(user=owner, name="Ours", query="q=ours", shared=True)
    seen = {
        "member": (make_user("member", access.VIEWER, accounts=[domain.account]), {"Ours"}),
        "stranger": (make_user("stranger", access.VIEWER, accounts=[other]), set()),
        "chief": (make_user("chief", access.VIEWER, access.EVERY_ACCOUNT), {"Ours"}),
        "owner": (owner, {"Mine", "Ours"}),
    }
    for name, (user, expected) in seen.items():
        client.force_login(user)
        page = client.get("/calls/")
        assert {row.name for row in page.context["saved"]} == expected, name
    client.force_login(seen["member"][0])
    shared = SavedFilter.objects.get(name="Ours")
    assert client.post(f"/calls/filters/{shared.pk}/delete/").status_code == 404


@pytest.mark.parametrize(
    ("name", "query"), [("", "q=a"), ("x" * 65, "q=a"), ("a", "q=" + "b" * 3000)]
)
def test_a_filter_that_cannot_be_kept_is_refused_in_words(desk, name, query):
    answer = desk.post("/calls/filters/", {"name": name, "query": query}, follow=True)
    assert "note bad" in answer.content.decode()
    assert not SavedFilter.objects.exists()


def test_a_user_keeps_a_bounded_number_of_filters(desk, operator):
    from sipdomains.services import filters

    for number in range(filters.MAX_FILTERS):
        SavedFilter.objects.create(user=operator, name=str(number), query="q=a")
    save(desk, "one more", "q=a")
    assert SavedFilter.objects.count() == filters.MAX_FILTERS


# --- exports --------------------------------------------------------------------------------------


def text_of(answer):
    return b"".join(answer.streaming_content).decode()


def test_what_is_exported_is_what_is_filtered(desk, make_call, monkeypatch, domain):
    monkeypatch.setattr(export, "CHUNK", 3)
    made = [
        make_call(NOON + timedelta(seconds=number), domain=domain, status="busy").sid
        for number in range(8)
    ]
    make_call(status="failed")
    answer = desk.get("/calls/export.csv?status=busy&progress=0123abcd")
    assert answer["Content-Disposition"].startswith('attachment; filename="calls-')
    rows = list(csv.DictReader(io.StringIO(text_of(answer))))
    assert [row["sid"] for row in rows] == made[::-1]
    assert rows[0]["started_at"] == "2026-03-04T12:00:07+00:00"
    assert desk.get("/calls/export/progress?id=0123abcd").json() == {"rows": 8, "done": True}
    listed = json.loads(text_of(desk.get("/calls/export.json?status=busy")))
    assert [row["sid"] for row in listed] == made[::-1]
    assert listed[0]["duration"] == 12
    assert json.loads(text_of(desk.get("/calls/export.json?status=canceled"))) == []


def test_nobody_exports_what_is_others_or_asks_how_far_others_are(
    client, make_user, make_call, domain
):
    other = Account.objects.create(friendly_name="Other")
    mine = make_call(account=domain.account)
    make_call(account=other)
    client.force_login(make_user("member", access.VIEWER, accounts=[domain.account]))
    rows = list(
        csv.DictReader(io.StringIO(text_of(client.get("/calls/export.csv?progress=abcdef01"))))
    )
    assert [row["sid"] for row in rows] == [mine.sid]
    client.force_login(make_user("spy", access.VIEWER, accounts=[other]))
    assert client.get("/calls/export/progress?id=abcdef01").status_code == 204
    client.force_login(make_user("nobody"))
    assert client.get("/calls/export.csv").status_code == 403


@pytest.mark.parametrize(
    ("value", "cell"),
    [("=1+1", "'=1+1"), ("+49", "'+49"), ("-1", "'-1"), ("@x", "'@x"), ("\tx", "'\tx"),
     ("sip:a@b", "sip:a@b"), (None, ""), (12, "12")],
)  # fmt: skip
def test_no_cell_is_a_formula(value, cell):
    assert export.plain(value) == cell


def test_exports_at_once_are_bounded_and_give_their_place_back(desk, make_call):
    make_call()
    running = [desk.get("/calls/export.csv") for _ in range(export.MAX_AT_ONCE)]
    refused = desk.get("/calls/export.csv")
    assert (refused.status_code, refused["Retry-After"]) == (503, "10")
    text_of(running[0])  # one is read to its end, the readers of the others go away
    for answer in running:
        for close in answer._resource_closers:
            close()
    for _ in range(export.MAX_AT_ONCE):
        assert text_of(desk.get("/calls/export.csv"))


def test_a_filter_survives_its_address():
    given = QueryDict("q=a b&sip=4xx&range=day&tz=Asia/Tokyo")
    form = CallFilterForm(given)
    assert CallFilterForm(QueryDict(form.query())).query() == form.query()
