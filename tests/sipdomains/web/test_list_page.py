"""The list: login, headers, refresh, what it shows and how little it asks of the database."""

from datetime import timedelta

import pytest
from django.utils import timezone

from sipdomains.security import CONTENT_SECURITY_POLICY
from sipdomains.web.forms import CallFilterForm
from tests.sipdomains.web.conftest import NOON

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


def text_of(response):
    return response.content.decode()


@pytest.mark.parametrize("path", ["/calls/", "/calls/?status=busy", f"/calls/CA{'0' * 32}/"])
def test_strangers_are_led_to_the_login_and_back(client, path):
    response = client.get(path)
    assert response.status_code == 302
    assert response.url.startswith("/login/?next=")
    assert response["Content-Security-Policy"] == CONTENT_SECURITY_POLICY


def test_refresh_after_the_session_ended_reloads_the_page(client):
    response = client.get("/calls/", headers=HTMX)
    assert response["HX-Refresh"] == "true"
    assert response.content == b""


def test_login_leads_to_the_overview(client, operator):
    page = client.get("/login/")
    assert page["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
    assert 'autocomplete="current-password"' in text_of(page)
    wrong = client.post("/login/", {"username": "operator", "password": "wrong"})
    assert 'role="alert"' in text_of(wrong)
    right = client.post("/login/", {"username": "operator", "password": "correct horse"})
    assert (right.status_code, right.url) == (302, "/")
    assert client.post("/logout/").url == "/login/"
    assert client.get("/calls/").status_code == 302


def test_login_does_not_lead_to_other_sites(client, operator):
    form = {"username": "operator", "password": "correct horse", "next": "https://evil.example/"}
    assert client.post("/login/", form).url == "/"


@pytest.mark.parametrize("path", ["/calls/", "/login/", "/calls/nonsense/"])
def test_pages_are_protected_and_hold_nothing_inline(client, operator, path):
    if path != "/login/":
        client.force_login(operator)
    response = client.get(path)
    assert response["Content-Security-Policy"].startswith("default-src 'self';")
    assert "unsafe" not in response["Content-Security-Policy"]
    assert response["X-Robots-Tag"] == "noindex, nofollow"
    assert "no-store" in response["Cache-Control"]
    body = text_of(response)
    assert " style=" not in body
    assert "<style" not in body
    assert " onclick=" not in body
    assert "http://" not in body
    assert "https://" not in body
    assert body.count("<script") == body.count("<script src=")


def test_empty_log_says_so(desk):
    assert "No calls yet." in text_of(desk.get("/calls/"))


def test_empty_search_offers_the_way_back(desk, make_call):
    make_call()
    assert "No call matches" in text_of(desk.get("/calls/?status=busy"))


def test_row_tells_the_call(desk, make_call, domain):
    call = make_call(
        domain=domain,
        status="failed",
        cause="bad-credentials",
        reason="Wrong user name or password.",
        sip_status=403,
        answered_at=None,
        duration=None,
    )
    body = text_of(desk.get("/calls/"))
    assert f'href="/calls/{call.sid}/"' in body
    assert "alice@pbx.example.net" in body
    assert ">Failed</span>" in body
    assert '<span class="sip">403</span>' in body
    assert "Wrong user name or password." in body
    assert '<time datetime="2026-03-04T12:00:00.000Z" title="2026-03-04 12:00:00 UTC">' in body


def test_list_escapes_what_callers_send(desk, make_call):
    hostile = '"><script>alert(1)</script><img src=x onerror=alert(1)>'
    make_call(
        from_uri=f"sip:{hostile}@x",
        to_uri=f"sip:{hostile}",
        domain_name=hostile,
        reason=hostile,
        status="failed",
    )
    body = text_of(desk.get("/calls/", {"q": "script"}))
    assert "<script>alert" not in body
    assert "<img src=x" not in body
    assert "&lt;script&gt;alert(1)" in body
    echoed = text_of(desk.get("/calls/", {"q": hostile, "domain": hostile, "x": hostile}))
    assert "<script>alert" not in echoed


def test_list_costs_the_same_for_one_call_and_fifty(
    desk, make_call, django_assert_num_queries, domain
):
    make_call(domain=domain)
    with django_assert_num_queries(
        7
    ):  # session, user, permissions (2), calls, filters, domain names
        desk.get("/calls/")
    for number in range(60):
        make_call(NOON + timedelta(seconds=number), domain=domain)
    with django_assert_num_queries(7):
        desk.get("/calls/")
    with django_assert_num_queries(5):  # a refresh needs no names
        desk.get("/calls/", headers=HTMX)


def version_in(body):
    return body.partition("version=")[2].partition('"')[0]


def test_refresh_answers_only_when_something_changed(desk, make_call):
    call = make_call(status="ringing", ended_at=None, cause="", reason="")
    version = version_in(text_of(desk.get("/calls/")))
    same = desk.get("/calls/", {"version": version}, headers=HTMX)
    assert (same.status_code, same.content) == (204, b"")
    call.status, call.updated_at = "in-progress", call.updated_at + timedelta(seconds=1)
    call.save()
    changed = text_of(desk.get("/calls/", {"version": version}, headers=HTMX))
    assert changed.startswith('<section id="results"')
    assert "In progress" in changed
    assert version_in(changed) != version


def test_only_the_newest_page_refreshes_itself(desk, make_call):
    for number in range(60):
        make_call(NOON + timedelta(seconds=number))
    first = text_of(desk.get("/calls/", {"domain": "pbx", "errors_only": ""}))
    assert 'hx-trigger="every' in first
    older = first.partition('rel="next" href="?')[2].partition('"')[0].replace("&amp;", "&")
    assert "domain=pbx" in older
    second = text_of(desk.get("/calls/?" + older))
    assert 'hx-trigger="every' not in second
    assert second.count('class="row-link"') == 10
    assert 'rel="prev"' in second


@pytest.mark.parametrize("cursor", ["x", "1-CA", "9" * 18 + "-~"])
def test_page_that_cannot_exist_is_a_404(desk, cursor):
    response = desk.get(f"/calls/?before={cursor}")
    assert response.status_code == 404
    assert "Go to the newest calls" in text_of(response)


def test_unreadable_filters_are_named_and_do_not_filter(desk, make_call):
    make_call()
    body = text_of(desk.get("/calls/?status=nonsense&range=exact&since=yesterday"))
    assert 'role="alert"' in body
    assert "Status: Select a valid choice" in body
    assert "From: Enter a valid date" in body
    assert 'class="row-link"' in body


SPANS = [
    ("range=hour", timedelta(hours=1), None),
    ("range=day", timedelta(days=1), None),
    ("range=week", timedelta(days=7), None),
]


@pytest.mark.parametrize(("query", "span", "until"), SPANS)
def test_presets_reach_back(rf, query, span, until):
    wanted = CallFilterForm(rf.get("/?" + query).GET).wanted(NOON)
    assert (wanted.since, wanted.until) == (NOON - span, until)


EXACT = "range=exact&since=2026-03-04T10:30&until=2026-03-04T11:00:30"


@pytest.mark.parametrize(
    ("query", "since", "until"),
    [
        ("range=today", "2026-03-04T00:00:00+00:00", None),
        ("range=today&tz=Asia/Tokyo", "2026-03-04T00:00:00+09:00", None),
        (EXACT, "2026-03-04T10:30:00+00:00", "2026-03-04T11:00:30+00:00"),
        (EXACT + "&tz=Europe/Berlin", "2026-03-04T10:30:00+01:00", "2026-03-04T11:00:30+01:00"),
        (EXACT + "&tz=../etc/passwd", "2026-03-04T10:30:00+00:00", "2026-03-04T11:00:30+00:00"),
        ("since=2026-03-04T10:30", None, None),
    ],
)
def test_times_are_meant_in_the_viewers_zone(rf, query, since, until):
    wanted = CallFilterForm(rf.get("/?" + query).GET).wanted(NOON)
    assert wanted.since == (since and timezone.datetime.fromisoformat(since))
    assert wanted.until == (until and timezone.datetime.fromisoformat(until))


def test_end_before_the_beginning_is_refused(rf):
    query = "/?range=exact&since=2026-03-04T11:00&until=2026-03-04T10:00"
    form = CallFilterForm(rf.get(query).GET)
    assert form.wanted(NOON).until is None
    assert "until" in form.errors


def test_first_load_is_small(desk, make_call):
    for number in range(60):
        make_call(NOON + timedelta(seconds=number))
    page = desk.get("/calls/").content
    from django.contrib.staticfiles import finders

    names = ("desk.css", "desk.js", "live.js", "icon.svg")
    files = (*(f"web/{name}" for name in names), "django_htmx/htmx-2.min.js")
    size = len(page)
    for name in files:
        with open(finders.find(name), "rb") as file:
            size += len(file.read())
    assert size < 150_000
