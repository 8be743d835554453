"""Filters, paging by key, and that the database answers from an index."""

from datetime import timedelta

import pytest
from django.db import connection

from sipdomains import selectors
from sipdomains.access import EVERYTHING
from sipdomains.models import DomainAlias
from sipdomains.selectors import CallFilter, Cursor, calllog, calls_page
from sipserver.calls.termination import CAUSES
from tests.sipdomains.web.conftest import NOON

pytestmark = pytest.mark.django_db
ANYTHING = CallFilter()


def sids(page):
    return [call.sid for call in page.calls]


def walk_older(wanted=ANYTHING, size=4, scan=selectors.SCAN_LIMIT, between=lambda: None):
    """All SIDs from the newest page on, page by page."""
    found, page = [], calls_page(wanted, EVERYTHING, size=size, scan=scan)
    for _ in range(100):
        found.append(sids(page))
        if page.older is None:
            return found, page
        between()
        page = calls_page(wanted, EVERYTHING, before=page.older, size=size, scan=scan)
    raise AssertionError("paging does not end")


@pytest.fixture
def varied(make_call, domain):
    """One call for each filter to find, named by what makes it special."""
    DomainAlias.objects.create(domain=domain, name="alias.example.net")
    other = {"domain_name": "elsewhere.example.org"}
    calls = {
        "ours": {"domain": domain, **other},
        "unknown": {"domain_name": "sip:x@nowhere.example", "from_uri": "sip:x@nowhere.example"},
        "ringing": {"status": "ringing", "cause": "", "ended_at": None, **other},
        "talking": {"status": "in-progress", "cause": "", "ended_at": None, **other},
        "busy": {"status": "busy", "cause": "reject-busy", **other},
        "refused": {
            "status": "failed",
            "cause": "bad-credentials",
            "error_code": 32202,
            "domain": domain,
            **other,
        },
        "apology": {"cause": "application-error", **other},
        "user": {"username": "Bob_100%", **other},
        "number": {"to_uri": "sip:+4930123@x.example", **other},
        "callid": {"sip_call_id": "A84B4C76E66710", **other},
        "source": {"source_ip": "2001:db8::7", **other},
        "early": {"at": NOON - timedelta(days=1), **other},
    }
    made = {}
    for number, (name, fields) in enumerate(calls.items()):
        at = fields.pop("at", NOON + timedelta(seconds=number))
        made[name] = make_call(at, **fields)
    return made


ALL = None
FILTERS = [
    ({}, ALL),
    ({"domain": "pbx.example.net"}, {"ours", "refused"}),
    ({"domain": "PBX.example.net"}, {"ours", "refused"}),
    ({"domain": "alias.example.net"}, {"ours", "refused"}),
    ({"domain": "nowhere"}, {"unknown"}),
    ({"domain": "100%"}, set()),
    ({"status": "busy"}, {"busy"}),
    ({"status": "live"}, {"ringing", "talking"}),
    ({"status": "ringing"}, {"ringing"}),
    ({"errors": True}, {"refused", "apology"}),
    ({"text": "bob_100%"}, {"user"}),
    ({"text": "b_b"}, set()),
    ({"text": "+4930"}, {"number"}),
    ({"text": "a84b4c76e66710"}, {"callid"}),
    ({"text": "2001:db8::7"}, {"source"}),
    ({"until": NOON}, {"early"}),
    ({"since": NOON, "until": NOON + timedelta(seconds=1)}, {"ours"}),
    ({"domain": "pbx.example.net", "status": "failed"}, {"refused"}),
    ({"domain": "pbx.example.net", "errors": True, "text": "alice"}, {"refused"}),
    ({"text": "sid of talking"}, {"talking"}),
    ({"text": "sid of talking", "status": "busy"}, set()),
    ({"text": "sid of ours", "domain": "pbx.example.net", "status": "completed"}, {"ours"}),
    ({"text": "CA" + "f" * 32}, set()),
]


@pytest.mark.parametrize(("fields", "expected"), FILTERS)
def test_filter_finds_exactly(varied, fields, expected):
    if fields.get("text", "").startswith("sid of "):
        fields = fields | {"text": varied[fields["text"][7:]].sid}
    names = {call.sid: name for name, call in varied.items()}
    page = calls_page(CallFilter(**fields), EVERYTHING)
    assert {names[sid] for sid in sids(page)} == (set(varied) if expected is ALL else expected)


def test_every_cause_is_ordinary_or_an_error():
    """Ordinary are the endings that log no code, unless others have told what failed."""
    told_by_others = {
        "application-error", "application-error-503", "undialable", "outgoing-limit",
    }  # fmt: skip
    unremarkable = {slug for slug, cause in CAUSES.items() if not cause.level} - told_by_others
    assert set(selectors.ORDINARY_CAUSES) == unremarkable


@pytest.mark.parametrize("same_moment", [False, True])
def test_older_pages_hold_every_call_once_in_order_while_new_ones_arrive(make_call, same_moment):
    step = timedelta(0) if same_moment else timedelta(milliseconds=7)
    made = [make_call(NOON + number * step).sid for number in range(14)]
    arrive = lambda: make_call(NOON + timedelta(hours=1))  # noqa: E731
    pages, last = walk_older(between=arrive)
    assert [sid for page in pages for sid in page] == made[::-1]
    assert [len(page) for page in pages] == [4, 4, 4, 2]
    assert last.older is None
    assert not last.newest


def test_newer_pages_lead_back_without_gaps(make_call):
    made = [make_call(NOON + timedelta(seconds=number)).sid for number in range(12)]
    _, page = walk_older()
    found = sids(page)
    late = [make_call(NOON + timedelta(hours=1, seconds=number)).sid for number in range(4)]
    while page.newer is not None:
        page = calls_page(CallFilter(), EVERYTHING, after=page.newer, size=4)
        found = sids(page) + found
    assert page.newest
    assert found == (made + late)[::-1]


def test_newest_page_is_full_when_few_calls_are_newer(make_call):
    made = [make_call(NOON + timedelta(seconds=number)).sid for number in range(6)]
    page = calls_page(
        CallFilter(), EVERYTHING, after=Cursor(NOON + timedelta(seconds=4), made[4]), size=4
    )
    assert page.newest
    assert sids(page) == made[:1:-1]


def test_search_looks_at_a_bounded_number_of_calls_and_says_how_far_it_came(make_call):
    for number in range(30):
        make_call(NOON + timedelta(seconds=number))
    wanted = CallFilter(text="nobody")
    first = calls_page(wanted, EVERYTHING, scan=10)
    assert first.calls == []
    assert first.scanned_to == NOON + timedelta(seconds=19)
    pages, last = walk_older(wanted, scan=10)
    assert [sid for page in pages for sid in page] == []
    assert last.scanned_to is None


def test_bounded_search_finds_every_match_once_whatever_the_bound(make_call):
    wanted = CallFilter(text="needle")
    matches = [
        call.sid
        for number in range(40)
        for call in [
            make_call(
                NOON + timedelta(seconds=number // 3),
                username="needle" if number % 7 == 0 else "",
            )
        ]
        if call.username
    ]
    for scan in (1, 2, 3, 5, 8, 40):
        pages, last = walk_older(wanted, size=2, scan=scan)
        assert [sid for page in pages for sid in page] == matches[::-1], scan
        back, page = sids(last), last
        for _ in range(100):
            if page.newer is None:
                break
            page = calls_page(wanted, EVERYTHING, after=page.newer, size=2, scan=scan)
            back = [sid for sid in sids(page) if sid not in back] + back
        assert back == matches[::-1], scan


PLANS = [
    ({}, "call_by_time"),
    ({"since": NOON}, "call_by_time"),
    ({"domain": "pbx.example.net"}, "call_by_domain"),
    ({"domain": "pbx.example.net", "since": NOON, "until": NOON}, "call_by_domain"),
    ({"status": "busy"}, "call_by_status"),
    ({"text": "needle"}, "call_by_time"),
    ({"errors": True, "domain": "pbx.example.net"}, "call_by_domain"),
    ({"text": "CA" + "0" * 32}, "sqlite_autoindex_sipdomains_call_1"),
]


@pytest.mark.skipif(connection.vendor != "sqlite", reason="reads SQLite's query plans")
@pytest.mark.parametrize(("fields", "index"), PLANS)
@pytest.mark.parametrize("cursor", [None, "before", "after"])
def test_list_query_is_served_by_an_index(
    domain, make_call, django_assert_max_num_queries, fields, index, cursor
):
    at = {cursor: Cursor(NOON, "CA" + "5" * 32)} if cursor else {}
    with django_assert_max_num_queries(5) as captured:
        calls_page(CallFilter(**fields), EVERYTHING, scan=3, **at)
    lists = [query["sql"] for query in captured if "sipdomains_call" in query["sql"]]
    assert lists
    for sql in lists:
        with connection.cursor() as database:
            plan = database.execute("EXPLAIN QUERY PLAN " + sql).fetchall()
        steps = " | ".join(row[3] for row in plan)
        assert index in steps
        assert "USE TEMP B-TREE FOR ORDER BY" not in steps


@pytest.mark.parametrize("text", ["", "x", "-", "1-CA", "1-ca" + "0" * 32, "9" * 18 + "-", "١-"])
def test_cursor_of_strangers_is_refused(text):
    with pytest.raises(ValueError, match="cursor"):
        Cursor.parse(text)


@pytest.mark.parametrize("sid", ["", "~", "CA" + "0" * 32])
def test_cursor_survives_its_text(sid):
    cursor = Cursor(NOON + timedelta(microseconds=123457), sid)
    assert Cursor.parse(str(cursor)) == cursor


def test_story_is_bounded_and_costs_the_same_for_any_call(
    make_call, add_event, add_attempt, add_note, django_assert_num_queries, monkeypatch
):
    monkeypatch.setattr(calllog, "MAX_EVENTS", 3)
    call = make_call()
    make_call(parent=call)
    for number in range(4):
        add_event(call, "ringing", after=number)
        add_attempt(call)
        add_note(call, 11200)
    with django_assert_num_queries(9):
        story = selectors.call_story(call.sid, EVERYTHING)
    assert len(story.events) == 3
    assert not story.complete
    assert (len(story.webhook_requests), len(story.notifications), len(story.legs)) == (4, 4, 2)
    assert selectors.call_story("CA" + "f" * 32, EVERYTHING) is None
