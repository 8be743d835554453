from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sipdomains.models import Call, Notification, SipNode
from sipdomains.services import calls, nodes
from sipdomains.tasks import reap_dead_nodes
from tests.sipdomains.records import START, call_sid, closed, event, opened

pytestmark = pytest.mark.django_db

NOW = datetime.fromtimestamp(START, UTC)
CONTACT = "udp:127.0.0.1:5060"


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@pytest.fixture
def running() -> None:
    """Node ``boot`` with a ringing call, an answered one and a finished one."""
    nodes.register("boot", CONTACT, NOW)
    calls.apply(
        [
            opened("ringing"),
            opened("answered"), event("answered", 1, "answered", "in-progress"),
            opened("finished"), closed("finished"),
        ]
    )  # fmt: skip


def test_while_a_node_lives_its_calls_are_left_alone(running) -> None:
    assert nodes.heartbeat("boot", later(29), draining=True)
    assert calls.close_orphans(later(58)) == 0
    assert SipNode.objects.get().draining


def test_calls_of_a_lost_node_are_closed_and_explained(running) -> None:
    nodes.heartbeat("boot", later(20))
    assert calls.close_orphans(later(51)) == 2
    ringing, answered = (Call.objects.get(sid=call_sid(name)) for name in ("ringing", "answered"))
    assert (ringing.status, ringing.cause, ringing.duration) == ("failed", "node-lost", None)
    assert (answered.status, answered.cause, answered.duration) == ("completed", "node-lost", 19)
    assert ringing.ended_at == answered.ended_at == later(20)
    assert Call.objects.get(sid=call_sid("finished")).cause == "caller-hangup"
    assert {one.call_id for one in Notification.objects.all()} == {ringing.sid, answered.sid}
    assert calls.close_orphans(later(60)) == 0
    assert Notification.objects.count() == 2


def test_a_node_that_was_cut_off_learns_of_it_and_adds_its_facts(running) -> None:
    calls.close_orphans(later(31))
    assert not nodes.heartbeat("boot", later(32))
    calls.apply([event("ringing", 1, "answered", "in-progress"), closed("ringing", 2)])
    call = Call.objects.get(sid=call_sid("ringing"))
    assert (call.status, call.cause) == ("failed", "node-lost")
    assert call.events.count() == 3


def test_a_restart_at_the_same_address_closes_what_its_predecessor_left(running) -> None:
    nodes.register("other", "udp:127.0.0.2:5060", later(1))
    calls.apply([opened("elsewhere", node="other")])
    assert nodes.register("boot-2", CONTACT, later(2)) == 2
    assert Call.objects.get(sid=call_sid("elsewhere")).ended_at is None
    assert SipNode.objects.get(boot_id="boot").stopped_at == later(2)


def test_an_orderly_stop(running) -> None:
    nodes.stop("boot", later(3))
    assert calls.close_orphans(later(4)) == 2
    assert SipNode.objects.get().stopped_at == later(3)


def test_a_call_of_an_unknown_node_ends_when_it_began() -> None:
    calls.apply([opened("a", node="never-registered")])
    assert calls.close_orphans(later(1)) == 1
    assert Call.objects.get().ended_at == NOW


def test_many_orphans_are_closed_in_chunks(monkeypatch) -> None:
    monkeypatch.setattr(calls, "_SWEEP_CHUNK", 2)
    calls.apply([opened(str(number)) for number in range(5)])
    assert calls.close_orphans(later(1)) == 5
    assert not Call.objects.filter(ended_at=None).exists()


def test_old_nodes_are_forgotten(running) -> None:
    nodes.stop("boot", NOW)
    assert nodes.forget_stopped(later(3600)) == 0
    assert nodes.forget_stopped(NOW + timedelta(days=8)) == 1


def test_the_task_sweeps(running) -> None:
    nodes.stop("boot")
    reap_dead_nodes()
    assert not Call.objects.filter(ended_at=None).exists()


@pytest.mark.skipif(connection.vendor != "sqlite", reason="the plan is SQLite's")
def test_the_sweep_looks_at_open_calls_only() -> None:
    """However long the log is: each node sweeps every few seconds."""
    with CaptureQueriesContext(connection) as queries:
        calls.close_orphans(NOW)
    search = next(one["sql"] for one in queries if "EXISTS" in one["sql"])
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {search}")
        plan = " ".join(str(row[-1]) for row in cursor.fetchall())
    assert "call_open_by_node" in plan
