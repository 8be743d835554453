"""Changes of the call log as they reach a browser: by one poller, to whom may see them."""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from datetime import timedelta
from io import BytesIO
from types import SimpleNamespace

import django.core.handlers.asgi
import httpx
import pytest
import uvicorn
from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import InterfaceError, connection
from django.test import Client
from django.utils import timezone

from sipdomains import access
from sipdomains.access import EVERYTHING, Scope
from sipdomains.models import Account, Call
from sipdomains.selectors import CallFilter
from sipdomains.selectors.changes import Watch, changed_calls
from sipdomains.web import feed, stream


def going_on(make_call, at=None, **fields):
    at = at or timezone.now()
    live = {"status": "in-progress", "ended_at": None, "cause": "", "reason": "", "duration": None}
    return make_call(at, **live, updated_at=at, **fields)


def sids(calls):
    return {call.sid for call in calls[0]}


@pytest.mark.django_db
def test_what_changes_is_found_once(make_call, django_assert_max_num_queries):
    old = make_call(timezone.now() - timedelta(hours=3))
    long_one = going_on(make_call, timezone.now() - timedelta(hours=2))
    watch = Watch()
    assert changed_calls(watch) == ([], True)  # the first look is what the page shows already
    assert changed_calls(watch) == ([], True)
    fresh = going_on(make_call)
    short = make_call(timezone.now())  # began and ended between two looks
    assert sids(changed_calls(watch)) == {fresh.sid, short.sid}
    later = timezone.now()
    Call.objects.filter(sid=long_one.sid).update(
        status="completed", ended_at=later, updated_at=later
    )
    Call.objects.filter(sid=fresh.sid).update(status="ringing", updated_at=later)
    with django_assert_max_num_queries(4):
        assert sids(changed_calls(watch)) == {long_one.sid, fresh.sid}
    assert changed_calls(watch) == ([], True)
    assert old.sid not in watch.seen


@pytest.mark.django_db
def test_more_than_can_be_told_says_so(make_call):
    watch = Watch()
    changed_calls(watch)
    for _ in range(4):
        going_on(make_call)
    found, complete = changed_calls(watch, limit=3)
    assert (len(found), complete) == (3, False)


# --- who is told what -----------------------------------------------------------------------------


class FakeFeed:
    """Tells what it is given."""

    def __init__(self, *batches):
        self.batches = batches

    @contextlib.asynccontextmanager
    async def watch(self):
        queue = asyncio.Queue()
        for batch in self.batches:
            queue.put_nowait(batch)
        yield queue


async def told(monkeypatch, scope, wanted, *batches):
    monkeypatch.setattr(feed, "current", lambda: FakeFeed(*batches))
    events = stream._events(scope, wanted, lambda: scope)
    assert await anext(events) == "retry: 2000\nevent: ready\ndata: \n\n"
    found = [await anext(events) for _ in batches]
    await events.aclose()
    return [event.removesuffix("\n\n").partition("data: ") for event in found]


async def test_each_is_told_of_the_own_accounts_only(monkeypatch):
    rows = (feed.Row("CA1", "AC1", "<tr>1"), feed.Row("CA2", "AC2", "<tr>2"),
            feed.Row("CA3", None, "<tr>3"))  # fmt: skip
    batch = feed.Batch(rows)
    [(kind, _, data)] = await told(monkeypatch, EVERYTHING, None, batch)
    assert kind == "event: rows\n"
    assert [one["sid"] for one in json.loads(data)] == ["CA1", "CA2", "CA3"]
    [(_, _, data)] = await told(monkeypatch, Scope(frozenset({"AC2"})), None, batch)
    assert json.loads(data) == [{"sid": "CA2", "html": "<tr>2"}]
    [(kind, *_)] = await told(monkeypatch, EVERYTHING, None, feed.Batch((), complete=False))
    assert kind == "event: stale\n"


@pytest.mark.django_db(transaction=True)
async def test_whether_one_may_still_watch_is_asked_again_and_again(monkeypatch):
    monkeypatch.setattr(stream, "HEARTBEAT_SECONDS", 0.0)
    rows = (feed.Row("CA1", "AC1", "<tr>1"), feed.Row("CA2", "AC2", "<tr>2"))
    monkeypatch.setattr(feed, "current", lambda: FakeFeed(feed.Batch(rows)))
    answers = iter([Scope(frozenset({"AC2"})), None])
    events = stream._events(EVERYTHING, None, lambda: next(answers))
    async with asyncio.timeout(20):
        told = [event async for event in events]
    assert told[0].endswith("event: ready\ndata: \n\n")
    assert set(told[1:]) == {": still here\n\n"}
    assert next(answers, "none is left") == "none is left"


@pytest.mark.django_db(transaction=True)
async def test_who_may_see_less_by_now_is_told_less(monkeypatch):
    monkeypatch.setattr(stream, "HEARTBEAT_SECONDS", 0.0)
    told_late = asyncio.Queue()

    class Late(FakeFeed):
        @contextlib.asynccontextmanager
        async def watch(self):
            yield told_late

    monkeypatch.setattr(feed, "current", lambda: Late())
    events = stream._events(EVERYTHING, None, lambda: Scope(frozenset({"AC2"})))
    async with asyncio.timeout(20):
        await anext(events)
        assert await anext(events) == ": still here\n\n"
        monkeypatch.setattr(stream, "HEARTBEAT_SECONDS", 60.0)
        told_late.put_nowait(
            feed.Batch((feed.Row("CA1", "AC1", "<tr>1"), feed.Row("CA2", "AC2", "<tr>2")))
        )
        _, _, data = (await anext(events)).partition("data: ")
    await events.aclose()
    assert [row["sid"] for row in json.loads(data)] == ["CA2"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "how", ["log-out", "expired", "inactive", "deleted", "new password", "no permission"]
)
def test_a_session_that_may_not_watch_any_more(make_user, domain, how):
    user = make_user("member", access.VIEWER, accounts=[domain.account])
    browser = Client()
    browser.force_login(user)
    key = browser.session.session_key
    assert stream._scope_now(key) == Scope(frozenset({domain.account.sid}))
    match how:
        case "log-out":
            browser.logout()
        case "expired":
            Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))
        case "inactive":
            type(user).objects.update(is_active=False)
        case "deleted":
            user.delete()
        case "new password":
            user.set_password("Another9Password")
            user.save()
        case "no permission":
            user.groups.clear()
    assert stream._scope_now(key) is None


@pytest.mark.django_db
def test_asking_costs_few_queries(make_user, domain, django_assert_max_num_queries):
    browser = Client()
    browser.force_login(make_user("member", access.VIEWER, accounts=[domain.account]))
    key = browser.session.session_key
    with django_assert_max_num_queries(5):
        stream._scope_now(key)


@pytest.mark.django_db
def test_a_database_that_is_away_ends_the_stream(monkeypatch):
    def away(_):
        raise InterfaceError("connection already closed")

    monkeypatch.setattr(stream, "get_user", away)
    assert stream._scope_now("key") is None


@pytest.mark.django_db(transaction=True)
async def test_a_call_that_leaves_the_filter_leaves_the_list(monkeypatch, make_call):
    live = await sync_to_async(going_on)(make_call)
    over = await sync_to_async(make_call)(timezone.now())
    batch = feed.Batch((feed.Row(live.sid, None, "<tr>"), feed.Row(over.sid, None, "<tr>")))
    wanted = CallFilter(status="live")
    [(_, _, data)] = await told(monkeypatch, EVERYTHING, wanted, batch)
    assert json.loads(data) == [
        {"sid": live.sid, "html": "<tr>"}, {"sid": over.sid, "html": ""}
    ]  # fmt: skip


async def test_watchers_are_bounded_and_the_poller_ends_with_the_last(monkeypatch):
    monkeypatch.setattr(feed, "MAX_WATCHERS", 2)
    monkeypatch.setattr(feed, "_look", lambda watch: None)
    one = feed.Feed()
    async with one.watch(), one.watch():
        assert one._poller is not None
        with pytest.raises(feed.TooManyWatchers):
            async with one.watch():
                pass
        poller = one._poller
    assert one._poller is None
    with pytest.raises(asyncio.CancelledError):
        await poller


async def test_who_is_too_slow_loads_the_list_anew(monkeypatch):
    monkeypatch.setattr(feed, "_look", lambda watch: None)
    one = feed.Feed()
    async with one.watch() as queue:
        for number in range(100):
            one._tell(feed.Batch((feed.Row(str(number), None, ""),)))
        assert not queue.get_nowait().complete


async def test_a_failure_of_one_look_does_not_end_the_watch(monkeypatch):
    looks = iter([InterfaceError("connection already closed"), RuntimeError("a bug")])
    batch = feed.Batch((feed.Row("CA1", None, "<tr>"),))

    def look(watch):
        for failure in looks:
            raise failure
        return batch

    monkeypatch.setattr(feed, "_look", look)
    monkeypatch.setattr(feed, "POLL_SECONDS", 0)
    async with asyncio.timeout(60), feed.Feed().watch() as queue:
        assert await queue.get() is batch


async def test_the_last_watcher_leaves_without_waiting_for_the_database(monkeypatch):
    begun, answer = threading.Event(), threading.Event()
    looks = iter([lambda: None])

    def look(watch):
        if next(looks, None) is None:
            begun.set()
            answer.wait()

    monkeypatch.setattr(feed, "_look", look)
    monkeypatch.setattr(feed, "POLL_SECONDS", 0)
    rescue = threading.Timer(60, answer.set)
    rescue.start()
    one = feed.Feed()
    async with one.watch():
        await asyncio.to_thread(begun.wait, 60)
        poller = one._poller
    await asyncio.wait({poller})
    assert not answer.is_set()
    answer.set()
    rescue.cancel()


@pytest.mark.django_db(transaction=True)
async def test_who_watches_holds_no_connection_to_the_database(async_client, operator):
    await async_client.aforce_login(operator)
    assert (await async_client.get("/calls/stream")).status_code == 200
    assert await sync_to_async(lambda: connection.connection)() is None


def test_the_web_server_keeps_no_connection_after_a_request():
    code = "import sipdomains.asgi as a; print(a.settings.DATABASES['default']['CONN_MAX_AGE'])"
    environment = os.environ | {
        "DATABASE_URL": "postgres://user@127.0.0.1/nowhere",
        "DJANGO_SETTINGS_MODULE": "sipdomains.settings.base",
    }
    told = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert told.stdout.split()[-1] == "0"


@pytest.mark.django_db
def test_without_an_event_loop_the_page_is_told_to_poll(desk):
    assert desk.get("/calls/stream").status_code == 404
    assert "data-stream" not in desk.get("/calls/").content.decode()


# --- over HTTP ------------------------------------------------------------------------------------


@pytest.fixture
def asgi_server(transactional_db, monkeypatch):
    """The application under uvicorn, as in production: its address."""
    # Where the peer has gone, Django leaves the file of a request's body to the collector, which
    # would warn of it in some later test, or at the end of all.
    memory = SimpleNamespace(SpooledTemporaryFile=lambda **_: BytesIO())
    monkeypatch.setattr(django.core.handlers.asgi, "tempfile", memory)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config("sipdomains.asgi:application", lifespan="off", log_config=None)
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = server.force_exit = True
    thread.join(60)
    listener.close()
    assert not thread.is_alive()


@pytest.mark.integration
def test_a_member_hears_of_the_own_calls_over_http(
    asgi_server, make_user, make_call, domain, monkeypatch
):
    monkeypatch.setattr(feed, "POLL_SECONDS", 0.02)
    other = Account.objects.create(friendly_name="Other")
    browser = Client()
    browser.force_login(make_user("member", access.VIEWER, accounts=[domain.account]))
    name = settings.SESSION_COOKIE_NAME
    cookies = {name: browser.cookies[name].value}
    assert httpx.get(asgi_server + "/calls/stream").status_code == 302
    with httpx.stream("GET", asgi_server + "/calls/stream", cookies=cookies, timeout=60) as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        lines = answer.iter_lines()
        assert next(lines) == "retry: 2000"
        assert next(lines) == "event: ready"
        going_on(make_call, account=other)
        mine = going_on(make_call, account=domain.account, domain=domain)
        data = next(line for line in lines if line.startswith("data: ["))
    [row] = json.loads(data.removeprefix("data: "))
    assert row["sid"] == mine.sid
    assert f'id="call-{mine.sid}"' in row["html"]


@pytest.mark.integration
def test_a_stream_ends_soon_after_the_log_out(asgi_server, make_user, domain, monkeypatch):
    monkeypatch.setattr(stream, "HEARTBEAT_SECONDS", 0.02)
    browser = Client()
    browser.force_login(make_user("member", access.VIEWER, accounts=[domain.account]))
    name = settings.SESSION_COOKIE_NAME
    cookies = {name: browser.cookies[name].value}
    with httpx.stream("GET", asgi_server + "/calls/stream", cookies=cookies, timeout=20) as answer:
        lines = answer.iter_lines()
        assert ": still here" in lines
        assert ": still here" in lines  # said again and again
        browser.logout()
        assert set(lines) <= {": still here", ""}
