"""Pages that ask again stop doing so when nothing more can come."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from datetime import timedelta

import pytest
import time_machine
from django.core.cache import cache

from sipdomains.services import testcalls
from tests.sipdomains.web.conftest import NOON

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


@pytest.fixture(autouse=True)
def _empty_cache():
    cache.clear()


def asked_again(answer) -> str:
    """The address that the page asks next, empty when it does not."""
    found = re.search(r'hx-get="([^"]+)" hx-trigger="every', answer.content.decode())
    return found[1].replace("&amp;", "&") if found else ""


def test_the_page_of_a_call_asks_no_more_once_the_call_is_settled(desk, make_call):
    call = make_call()
    with time_machine.travel(call.ended_at + timedelta(seconds=1), tick=False):
        address = asked_again(desk.get(f"/calls/{call.sid}/"))
        assert address
        assert desk.get(address, headers=HTMX).status_code == 204
    with time_machine.travel(call.ended_at + timedelta(minutes=10), tick=False):
        answer = desk.get(address, headers=HTMX)
        assert answer.status_code == 200
        assert not asked_again(answer)


@pytest.fixture
def sent(monkeypatch):
    monkeypatch.setattr("sipdomains.web.testcalls.current_app.send_task", lambda *a, **k: None)
    monkeypatch.setattr("sipdomains.web.bench.current_app.send_task", lambda *a, **k: None)


@pytest.fixture
def test_call(desk, domain, sent):
    with time_machine.travel(NOON, tick=False):
        answer = desk.post(f"/domains/{domain.sid}/test/", {"number": "100", "seconds": 5})
    return answer.url


def test_a_test_call_that_no_worker_takes_says_so(desk, test_call):
    with time_machine.travel(NOON + timedelta(seconds=1), tick=False):
        address = asked_again(desk.get(test_call))
        assert desk.get(address, headers=HTMX).status_code == 204
    with time_machine.travel(NOON + timedelta(seconds=20), tick=False):
        assert "No worker has begun." in desk.get(address, headers=HTMX).content.decode()


def test_a_refused_test_call_asks_no_more_after_the_log_had_its_time(desk, test_call):
    id_ = test_call.rstrip("/").rpartition("/")[2]
    with time_machine.travel(NOON + timedelta(seconds=2), tick=False):
        message = (time.time(), {"dir": "out", "summary": "INVITE", "text": "INVITE"})
        outcome = {"status": 403, "ended_by": "refused", "at": time.time()}
        now = testcalls.progress(id_)
        testcalls.put(id_, replace(now, state=testcalls.OVER, messages=(message,), outcome=outcome))
        address = asked_again(desk.get(test_call))
        assert desk.get(address, headers=HTMX).status_code == 204
    with time_machine.travel(NOON + timedelta(seconds=30), tick=False):
        answer = desk.get(address, headers=HTMX)
        assert answer.status_code == 200
        assert not asked_again(answer)


@pytest.mark.parametrize("state", [testcalls.WAITING, testcalls.CALLING])
def test_a_test_call_whose_worker_is_gone_is_given_up(desk, test_call, state):
    id_ = test_call.rstrip("/").rpartition("/")[2]
    with time_machine.travel(NOON + timedelta(seconds=1), tick=False):
        testcalls.put(id_, replace(testcalls.progress(id_), state=state))
        address = asked_again(desk.get(test_call))
    with time_machine.travel(NOON + timedelta(minutes=10), tick=False):
        answer = desk.get(address, headers=HTMX)
        assert answer.status_code == 200
        assert not asked_again(answer)


def test_a_bench_run_that_no_worker_takes_is_given_up(desk, domain, sent):
    with time_machine.travel(NOON, tick=False):
        run = desk.post(
            "/bench/",
            {"owner": domain.sid, "source": "paste", "document": "<Response/>", "method": "POST",
             "caller": "alice", "called": "100"},
        ).url  # fmt: skip
        address = asked_again(desk.get(run))
        assert desk.get(address, headers=HTMX).status_code == 204
    with time_machine.travel(NOON + timedelta(minutes=10), tick=False):
        answer = desk.get(address, headers=HTMX)
        assert answer.status_code == 200
        assert not asked_again(answer)
        assert "No worker" in answer.content.decode()


def test_what_is_gone_while_it_is_looked_at_reloads_the_page(desk, domain, make_call, sent):
    """Else the page would go on asking for it."""
    call = make_call(status="in-progress", ended_at=None)
    page = f"/calls/{call.sid}/"
    address = asked_again(desk.get(page))
    call.delete()
    answer = desk.get(
        address, headers=HTMX | {"HX-Current-URL": f"http://testserver{page}?rows=all"}
    )
    assert answer["HX-Refresh"] == "true"


def test_a_part_that_is_missing_does_not_reload_the_page(desk, make_call):
    call = make_call()
    answer = desk.get(
        f"/calls/{call.sid}/events/7/",
        headers=HTMX | {"HX-Current-URL": f"http://testserver/calls/{call.sid}/"},
    )
    assert answer.status_code == 404
    assert "HX-Refresh" not in answer


def test_who_may_no_longer_look_reloads_the_page(desk, operator, make_call):
    page = {"HX-Current-URL": "http://testserver/live/"}
    operator.groups.clear()
    assert desk.get("/live/", headers=HTMX | page)["HX-Refresh"] == "true"
    assert desk.get("/live/").status_code == 403
