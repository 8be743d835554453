"""The overview and the live calls: figures, their lists, what an operator may do with a call."""

import re
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.utils import timezone

from sipdomains import access
from sipdomains.access import EVERYTHING, Scope
from sipdomains.bus import CONSUMERS, BusUnavailable, InProcessBus
from sipdomains.models import (
    Account,
    Application,
    CallCommand,
    CommandState,
    OutboxMessage,
    Registration,
    SipNode,
)
from sipdomains.selectors import daysample, machinery, overview
from sipdomains.services import commands
from sipdomains.web import charts
from tests.sipdomains.web.conftest import NOON

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _fresh_cache(monkeypatch):
    cache.clear()
    for module in (overview, daysample):  # time decides nothing
        monkeypatch.setattr(module, "BUDGET_SECONDS", 600)
    yield
    cache.clear()


def text_of(answer):
    return answer.content.decode()


# --- counting -------------------------------------------------------------------------------------


def test_a_day_is_counted_by_hour_domain_and_cause(make_call, domain):
    account = domain.account
    for minutes, fields in (
        (5, {}), (10, {"cause": "bad-credentials", "status": "failed", "answered_at": None}),
        (65, {"domain": None, "account": None}), (24 * 60 + 30, {}),
    ):  # fmt: skip
        make_call(
            NOON - timedelta(minutes=minutes), **{"domain": domain, "account": account} | fields
        )
    hours = overview.last_day(EVERYTHING, NOON)
    assert [(hour.begin.hour, hour.calls, hour.failed) for hour in hours if hour.calls] == [
        (10, 1, 0), (11, 2, 1)
    ]  # fmt: skip
    assert len(hours) == 24
    assert sum(h.calls for h in overview.last_day(Scope(frozenset({account.sid})), NOON)) == 2
    assert sum(h.calls for h in overview.last_day(Scope(frozenset({"AC0"})), NOON)) == 0


def test_past_hours_are_kept_and_the_present_one_not_for_long(make_call, django_assert_num_queries):
    make_call(NOON - timedelta(hours=3))
    make_call(NOON - timedelta(hours=2), cause="", ended_at=None, status="in-progress")
    # One piece of the present hour, twelve of the last one; others are asked how busy they are.
    with django_assert_num_queries(1 + 12 + 2 * 22):
        overview.last_day(EVERYTHING, NOON)
    with django_assert_num_queries(0):
        overview.last_day(EVERYTHING, NOON)
    with django_assert_num_queries(1 + 3):  # calls of the last quarter of an hour have not settled
        overview.last_day(EVERYTHING, NOON + timedelta(seconds=6))
    later = NOON + timedelta(minutes=15, seconds=1)
    # Pieces that have begun since then, those that had not settled, and where a call still went on.
    with django_assert_num_queries(3 + 1 + 12 - 9 + 1):
        overview.last_day(EVERYTHING, later)


def test_an_hour_that_was_busy_is_counted_in_pieces(make_call, monkeypatch, domain):
    monkeypatch.setattr(overview, "_BUSY", 2)
    for minute in (0, 4, 5, 59):
        make_call(NOON - timedelta(hours=3) + timedelta(minutes=minute), domain=domain)
    make_call(NOON - timedelta(hours=5))
    hours = {hour.begin.hour: hour for hour in overview.last_day(EVERYTHING, NOON)}
    assert (hours[9].calls, hours[7].calls, hours[8].calls) == (4, 1, 0)
    assert [(group.domain_sid, group.calls) for group in hours[9].groups] == [(domain.sid, 4)]


def test_who_asks_first_pays_for_a_part_only(make_call, django_assert_num_queries):
    with django_assert_num_queries(1):
        hours = overview.last_day(EVERYTHING, NOON, budget=0)
    assert [hour.groups is None for hour in hours] == [True] * 23 + [False]


def test_delays_and_quality_come_from_some_calls_of_each_hour(
    make_call, add_event, add_attempt, domain
):
    media = {"mos": 4.2, "jitter_ms": 3, "lost": 1, "packets_received": 99, "x": "y"}
    call = make_call(media=media, domain=domain)
    add_event(call, "ringing", after=0.25, status="ringing")
    add_event(call, "answered", after=2, status="in-progress")
    add_attempt(call, duration_ms=40)
    add_attempt(call, duration_ms=9000, error_code=11205)
    make_call(media=[])
    make_call(NOON - timedelta(hours=3), media={"mos": 3, "lost": None, "jitter_ms": "x"})
    hours = daysample.day_sample(EVERYTHING, NOON + timedelta(minutes=1))
    assert [hour.begin.hour for hour in hours if hour.sample.calls] == [9, 12]
    found = hours[-1].sample
    assert (found.calls, found.ringing_ms, found.webhook_ms) == (2, (250.0,), (40.0,))
    assert (found.webhook_errors, found.mos, found.lost, found.received) == (1, (4.2,), 1, 99)
    assert found.webhooks == ((domain.sid, 2, 1),)
    whole = daysample.together(hour.sample for hour in hours)
    assert (whole.calls, whole.mos, whole.jitter_ms) == (3, (3.0, 4.2), (3.0,))
    theirs = daysample.day_sample(Scope(frozenset({"AC0"})), NOON + timedelta(minutes=1))
    assert not any(hour.sample.calls for hour in theirs)


def test_a_busy_minute_does_not_speak_for_its_hour(make_call, monkeypatch):
    monkeypatch.setattr(daysample, "PER_QUARTER", 2)
    for second in range(9):
        make_call(NOON + timedelta(minutes=50, seconds=second), media={"mos": 1})
    make_call(NOON + timedelta(minutes=5), media={"mos": 4})
    found = daysample.day_sample(EVERYTHING, NOON + timedelta(minutes=55))[-1].sample
    assert sorted(found.mos) == [1, 1, 4]


def test_hours_are_looked_at_as_time_allows_and_once_they_have_settled_never_again(
    make_call, django_assert_num_queries
):
    with django_assert_num_queries(4):  # a page of each quarter
        hours = daysample.day_sample(EVERYTHING, NOON, budget=0)
    assert [hour.sample is None for hour in hours] == [True] * 23 + [False]
    with django_assert_num_queries(4 * 23):
        daysample.day_sample(EVERYTHING, NOON)
    with django_assert_num_queries(0):
        daysample.day_sample(EVERYTHING, NOON)
    with django_assert_num_queries(4 * 2):  # the present hour, and the last one
        daysample.day_sample(EVERYTHING, NOON + timedelta(seconds=21))
    with django_assert_num_queries(4 * 2):
        daysample.day_sample(EVERYTHING, NOON + timedelta(minutes=16))
    with django_assert_num_queries(4):
        daysample.day_sample(EVERYTHING, NOON + timedelta(minutes=17))


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([], 0.5, None), ([7], 0.95, 7), ([1, 2, 3, 4], 0.5, 2), (list(range(1, 101)), 0.95, 95)],
)
def test_percentiles(values, share, expected):
    assert charts.percentile(values, share) == expected


def test_bars_stand_on_the_ground_and_fill_the_height():
    first, second = charts.bars([(4, 1), (2, 2)], width=100, height=114)
    assert (first.low_y, first.low_height, first.high_y) == (89, 25, 14)
    assert (second.low_height, second.high_height) == (50, 0)
    assert charts.bars([]) == []
    assert charts.bars([(0, 0)])[0].low_height == 0


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ([], ""),
        ([None, None], ""),
        ([0, 5, 10], "M80.0 68.0L240.0 35.0L400.0 2.0"),
        ([10, None, 99], "M75.0 2.0h10M395.0 2.0h10"),
    ],
)
def test_curves_break_where_nothing_is_known(values, path):
    assert charts.curve(values, 10) == path


def test_page_draws_the_hours_and_says_whose_webhooks_fail(desk, make_call, add_attempt, domain):
    assert "curves" not in text_of(desk.get("/")).partition("</head>")[2]
    cache.clear()
    call = make_call(timezone.now(), domain=domain, account=domain.account, media={"mos": 4.25})
    add_attempt(call, duration_ms=40)
    add_attempt(call, duration_ms=60, error_code=11200)
    page = desk.get("/")
    curves = {curve.name: curve for curve in page.context["curves"]}
    assert set(curves) == {"Webhooks", "Audio quality (MOS)"}
    [(_, count, usual, bad)] = curves["Webhooks"].rows
    assert (count, usual, bad) == (1, "40 ms", "40 ms")
    [line] = page.context["domains"]
    assert line.webhook_errors == "50 %"
    assert "of up to 40 calls of each hour" in text_of(page)


# --- the page -------------------------------------------------------------------------------------


def test_figures_lead_to_their_lists(desk, make_call, domain):
    now = timezone.now()
    make_call(now - timedelta(minutes=2), domain=domain, account=domain.account)
    make_call(now - timedelta(minutes=3), domain=domain, cause="bad-credentials", status="failed",
              answered_at=None, duration=None)  # fmt: skip
    make_call(
        now - timedelta(minutes=1), domain=domain, status="in-progress", ended_at=None, cause=""
    )
    page = desk.get("/")
    figures = {figure.name: figure for figure in page.context["figures"]}
    assert figures["Calls now"].value == "1"
    assert figures["Calls, 24 h"].value == "3"
    assert figures["Answered"].value == "50 %"
    assert figures["Failures, 24 h"].value == "1"
    failures = desk.get(figures["Failures, 24 h"].link).context["page"].calls
    assert [call.cause for call in failures] == ["bad-credentials"]
    [reason] = page.context["reasons"]
    assert [call.cause for call in desk.get(reason["link"]).context["page"].calls] == [
        "bad-credentials"
    ]
    [line] = page.context["domains"]
    assert (line.name, line.live, line.calls, line.failed) == ("pbx.example.net", 1, 3, 1)
    assert len(desk.get(line.link).context["page"].calls) == 3
    for row in page.context["chart"]["rows"]:
        listed = desk.get(row["link"]).context["page"].calls
        assert len(listed) == row["hour"].calls


@pytest.mark.parametrize("staff", [True, False])
def test_registered_phones_lead_to_their_list_where_the_user_may_open_it(
    client, make_user, domain, staff
):
    make_phone(domain, timedelta(hours=1))
    make_phone(domain, -timedelta(seconds=1))
    user = make_user("one", access.VIEWER, is_staff=staff, accounts=[domain.account])
    client.force_login(user)
    page = client.get("/")
    [phones] = [one for one in page.context["figures"] if one.name == "Phones registered"]
    assert (phones.value, bool(phones.link)) == ("1", staff)
    assert 'href=""' not in text_of(page)
    if staff:
        assert client.get(phones.link).status_code == 200


def make_phone(domain, lasts):
    now = timezone.now()
    Registration.objects.create(
        domain=domain, username="alice", contact_uri=f"sip:alice@192.0.2.9;last={lasts.days}",
        sip_call_id="c", cseq=1, transport="udp", received_host="192.0.2.9", received_port=5062,
        local_host="192.0.2.1", local_port=5060, node="boot", registered_at=now,
        refreshed_at=now, expires_at=now + lasts,
    )  # fmt: skip


def test_hours_are_those_of_the_viewer(desk):
    desk.cookies["tz"] = "Asia/Kolkata"
    rows = desk.get("/").context["chart"]["rows"]
    assert all(row["label"].endswith(":30") for row in rows)
    desk.cookies["tz"] = "../../etc/passwd"
    assert desk.get("/").context["chart"]["zone"] == "UTC"


def test_nodes_and_queues_tell_their_state(desk):
    now = timezone.now()
    for name, fields in (
        ("running", {}), ("draining", {"draining": True}),
        ("lost", {"heartbeat_at": now - timedelta(minutes=2)}), ("stopped", {"stopped_at": now}),
        ("long ago", {"stopped_at": now - timedelta(days=2)}),
    ):  # fmt: skip
        SipNode.objects.create(**{"boot_id": name, "contact": name, "started_at": now,
                                  "heartbeat_at": now} | fields)  # fmt: skip
    OutboxMessage.objects.create(id="m", stream="s", position=0, purpose="status-callback", url="http://a/",
        created_at=now, next_at=now - timedelta(minutes=5), method="POST")  # fmt: skip
    page = desk.get("/")
    states = {row["node"].boot_id: row["state"] for row in page.context["nodes"]}
    assert states == {"running": "running", "draining": "draining", "lost": "not heard of",
                      "stopped": "stopped"}  # fmt: skip
    callbacks = page.context["queues"][0]
    assert (callbacks["queue"].waiting, callbacks["late"]) == (1, True)


def test_workers_that_live_are_shown_and_their_absence_is(desk, monkeypatch):
    bus = InProcessBus()
    monkeypatch.setattr(machinery, "default_bus", lambda: bus)
    assert "No worker is heard of" in text_of(desk.get("/"))
    one = bus.subscribe("celery@one/1f", print, group=CONSUMERS)
    bus.subscribe("celery@two/2f", print, group=CONSUMERS)
    bus.subscribe("node", print)
    shown = desk.get("/")
    assert [row.name for row in shown.context["workers"]] == ["celery@one", "celery@two"]
    assert re.search(r"last sign of life \d+ s ago", text_of(shown))
    one.close()
    assert [row.name for row in desk.get("/").context["workers"]] == ["celery@two"]

    def unreachable(group):
        raise BusUnavailable("connection refused")

    monkeypatch.setattr(bus, "members", unreachable)
    assert "The message broker cannot be reached" in text_of(desk.get("/"))


def test_a_member_sees_figures_of_the_own_accounts_and_no_machinery(
    client, make_user, make_call, domain
):
    make_call(timezone.now() - timedelta(minutes=1))
    client.force_login(make_user("member", access.VIEWER, accounts=[domain.account]))
    page = client.get("/")
    assert {figure.name: figure.value for figure in page.context["figures"]}["Calls, 24 h"] == "0"
    assert "nodes" not in page.context
    assert "Workers" not in text_of(page)
    assert "Calls to place" not in text_of(page)


# --- live calls -----------------------------------------------------------------------------------


@pytest.fixture
def live(make_call, add_event, domain):
    call = make_call(
        timezone.now(), domain=domain, account=domain.account, status="in-progress", ended_at=None,
        cause="", reason="", duration=None,
    )  # fmt: skip
    add_event(call, "verb-started", {"verb": "Play", "summary": "<Play>a.wav</Play>"})
    add_event(call, "ringing", {})
    return call


def test_live_calls_tell_what_they_are_doing(desk, live, make_call, django_assert_num_queries):
    make_call()
    page = desk.get("/live/")
    [row] = page.context["rows"]
    assert row.call.sid == live.sid
    assert "a.wav" in row.doing
    assert row.last
    assert f'href="/calls/{live.sid}/control/"' in text_of(page)
    with django_assert_num_queries(7):  # session, user, permissions (2), calls, latest, events
        desk.get("/live/")


def test_who_may_only_look_changes_nothing(client, make_user, live, domain):
    other = Account.objects.create(friendly_name="Other")
    client.force_login(make_user("viewer", access.VIEWER, accounts=[domain.account]))
    assert "Change …" not in text_of(client.get("/live/"))
    assert (
        client.post(f"/calls/{live.sid}/control/", {"do": "hangup", "sure": "on"}).status_code
        == 403
    )
    client.force_login(make_user("stranger", access.OPERATOR, accounts=[other]))
    assert (
        client.post(f"/calls/{live.sid}/control/", {"do": "hangup", "sure": "on"}).status_code
        == 404
    )
    assert not CallCommand.objects.exists()


def answered(monkeypatch, **outcome):
    """The node's answer to whatever is asked next."""

    def wait(pk, seconds):
        row = CallCommand.objects.get(pk=pk)
        for name, value in outcome.items():
            setattr(row, name, value)
        return row

    monkeypatch.setattr(commands, "wait", wait)


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        ({"state": CommandState.APPLIED}, "The call was hung up."),
        ({"state": CommandState.REJECTED, "reason": "It is over."}, "not hung up: It is over."),
        ({}, "has not answered yet"),
    ],
)
def test_a_call_is_hung_up_and_the_answer_is_shown(desk, live, monkeypatch, outcome, words):
    answered(monkeypatch, **outcome)
    assert desk.get(f"/calls/{live.sid}/control/").status_code == 200
    page = desk.post(f"/calls/{live.sid}/control/", {"do": "hangup", "sure": "on"}, follow=True)
    assert words in text_of(page)
    row = CallCommand.objects.get()
    assert (row.kind, row.requested_by, row.call_id) == ("hangup", "operator", live.sid)


def test_without_confirmation_nothing_is_asked(desk, live):
    assert desk.post(f"/calls/{live.sid}/control/", {"do": "hangup"}).status_code == 400
    assert not CallCommand.objects.exists()


def test_a_call_is_sent_to_a_url_or_an_application_of_its_account(desk, live, monkeypatch, domain):
    answered(monkeypatch, state=CommandState.APPLIED)
    menu = Application.objects.create(
        account=domain.account, friendly_name="Menu", voice_url="http://app.example/menu"
    )
    other = Account.objects.create(friendly_name="Other")
    theirs = Application.objects.create(account=other, friendly_name="X", voice_url="http://x/")
    address = f"/calls/{live.sid}/control/"
    sure = {"sure": "on"}
    bad = desk.post(address, {"do": "redirect", "url": "ftp://x", "method": "POST"} | sure)
    assert (bad.status_code, "problem" in text_of(bad)) == (400, True)
    assert (
        desk.post(address, {"do": "application", "application": theirs.pk} | sure).status_code
        == 400
    )
    assert not CallCommand.objects.exists()
    desk.post(address, {"do": "redirect", "url": "http://a.example/", "method": "GET"} | sure)
    desk.post(address, {"do": "application", "application": menu.pk} | sure)
    first, second = CallCommand.objects.order_by("pk")
    assert first.payload == {"url": "http://a.example/", "method": "GET"}
    assert second.payload["url"] == "http://app.example/menu"


def test_a_call_that_has_ended_says_so(desk, make_call, monkeypatch):
    over = make_call()
    assert "nothing to change" in text_of(desk.get(f"/calls/{over.sid}/control/"))
    page = desk.post(f"/calls/{over.sid}/control/", {"do": "hangup", "sure": "1"}, follow=True)
    assert "had ended already" in text_of(page)
