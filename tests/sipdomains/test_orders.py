"""Calls that REST creates: their turns, who takes them, and what becomes of those nobody takes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
import time_machine
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from sipdomains import bus
from sipdomains.bus import BusUnavailable, InProcessBus
from sipdomains.contracts import (
    HANGUP,
    REDIRECT,
    CallDue,
    OriginatePlan,
    RecordingWish,
    from_wire,
)
from sipdomains.models import Account, Call, CallOrder, Notification, OutboxMessage
from sipdomains.services import commands, nodes, orders
from tests.sipdomains.conftest import saved

pytestmark = pytest.mark.django_db

PLAN = OriginatePlan(to="sip:bob:pw@far.example", from_="+4930123", url="http://app.example/voice")
WANTED = {"url": "http://app.example/status", "method": "GET", "events": ["completed"]}


def create(account: Account, **changes) -> Call:
    given = {"callback": {}, "requested_by": account.sid, **changes}
    return orders.create_call(account, given.pop("plan", PLAN), **given)


def due(call: Call) -> datetime:
    return CallOrder.objects.get(call=call).due_at


@pytest.fixture
def node() -> str:
    nodes.register("boot", "udp:127.0.0.1:5060")
    return "boot"


@pytest.fixture
def hints(monkeypatch) -> list[tuple[str, object]]:
    """What was published, and to whom."""
    told: list[tuple[str, object]] = []

    class Told(InProcessBus):
        def publish(self, address, messages) -> None:
            told.extend((address, from_wire(message)) for message in messages)

    monkeypatch.setattr(orders, "default_bus", Told)
    return told


def test_plan_survives_its_json() -> None:
    plan = OriginatePlan("a", "b", twiml="<Response/>", recording=RecordingWish(2, "inbound"))
    assert OriginatePlan.from_json(plan.to_json() | {"newer": 1}) == plan
    assert OriginatePlan.from_json(PLAN.to_json()) == PLAN


def test_a_created_call_is_a_queued_row_with_an_order(alice) -> None:
    call = create(alice, callback=WANTED, sip_username="u", sip_password="secret")
    call.refresh_from_db()
    assert (call.status, call.direction, call.node) == ("queued", "outbound-api", "")
    assert (call.account, call.from_uri, call.callback) == (alice, "+4930123", WANTED)
    assert call.to_uri == "sip:bob:…@far.example"
    order = CallOrder.objects.get()
    assert OriginatePlan.from_json(order.plan) == PLAN
    assert (order.sip_username, order.sip_password) == ("u", "secret")
    with connection.cursor() as cursor:
        cursor.execute("SELECT sip_password FROM sipdomains_callorder")
        assert "secret" not in cursor.fetchone()[0]
    assert call.events.get().data == {"what": "create", "by": alice.sid}


def test_turns_keep_the_rate_of_the_account_and_of_it_alone(alice, bob) -> None:
    alice.calls_per_second = 4
    alice.save()
    with time_machine.travel(timezone.now(), tick=False):
        first, second, third = (create(alice) for _ in range(3))
        other = create(bob)
    assert due(second) - due(first) == due(third) - due(second) == timedelta(seconds=0.25)
    assert due(other) == other.started_at
    assert (first.queue_ms, other.queue_ms) == (0, 0)
    assert second.queue_ms == 250


def test_a_turn_once_given_counts_also_when_its_call_is_gone(alice, node) -> None:
    first = create(alice)
    orders.claim(node)
    Call.objects.all().delete()
    assert due(create(alice)) >= first.started_at + timedelta(seconds=1)


def test_a_full_queue_takes_no_more(alice, bob, monkeypatch) -> None:
    monkeypatch.setattr(orders, "MAX_QUEUED", 2)
    create(alice), create(alice)
    with pytest.raises(orders.QueueFull) as caught:
        create(alice)
    assert caught.value.code == 22005
    assert Call.objects.count() == 2
    create(bob)


@pytest.mark.django_db(transaction=True)
def test_many_web_processes_never_give_the_same_turn(alice) -> None:
    at_once(8, lambda: create(alice))
    turns = list(CallOrder.objects.order_by("due_at").values_list("due_at", flat=True))
    gaps = {later - earlier for earlier, later in pairwise(turns)}
    assert len(turns) == 8
    assert min(gaps) >= timedelta(seconds=1)


@pytest.mark.django_db(transaction=True)
def test_one_living_node_is_told_after_the_commit(alice, hints) -> None:
    for boot_id in ("dead", "drains", "lives"):
        nodes.register(boot_id, boot_id)
    nodes.heartbeat("dead", timezone.now() - timedelta(seconds=20))
    nodes.heartbeat("drains", draining=True)
    call = create(alice)
    assert hints == [("lives", CallDue(call.sid, due(call).timestamp()))]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("nodes_run", [True, False])
def test_a_call_is_created_also_without_broker_or_node(alice, monkeypatch, nodes_run) -> None:
    class Away(InProcessBus):
        def publish(self, address, messages) -> None:
            raise BusUnavailable("no broker")

    monkeypatch.setattr(orders, "default_bus", Away)
    if nodes_run:
        nodes.register("boot", "here")
    create(alice)
    assert CallOrder.objects.count() == 1
    assert bus.default_bus is not Away


# --- taking ---------------------------------------------------------------------------------------


def test_a_node_takes_what_is_due_and_the_order_is_gone(alice, node) -> None:
    call, later = create(alice, sip_username="u", sip_password="p", callback=WANTED), create(alice)
    [order] = orders.claim(node)
    assert (order.call_sid, order.plan, order.callback) == (call.sid, PLAN, WANTED)
    assert (order.username, order.password) == ("u", "p")
    assert "'p'" not in repr(order)
    assert order.policy.account_sid == alice.sid
    call.refresh_from_db()
    assert (call.node, call.status, call.sip_call_id) == (node, "queued", order.sip_call_id)
    assert orders.next_due(node) == due(later)
    assert orders.claim(node) == []
    assert len(orders.claim(node, due(later))) == 1
    assert orders.next_due(node) is None


def test_only_one_node_gets_a_call(alice, node) -> None:
    create(alice)
    nodes.register("other", "elsewhere")
    assert len(orders.claim(node)) == 1
    assert orders.claim("other") == []


@pytest.mark.django_db(transaction=True)
def test_nodes_that_take_at_the_same_time_share(db) -> None:
    for number in range(3):
        nodes.register(f"boot{number}", f"at {number}")
    for number in range(12):
        create(saved(Account(friendly_name=str(number))))
    when = timezone.now() + timedelta(seconds=5)
    taken: list[str] = []

    def take() -> None:
        name = threading.current_thread().name
        taken.extend(order.call_sid for order in orders.claim(f"boot{name}", when, limit=12))

    at_once(3, take)
    while orders.next_due("boot0") is not None:
        taken += [order.call_sid for order in orders.claim("boot0", when)]
    assert len(taken) == len(set(taken)) == 12


def test_a_draining_node_and_one_taken_for_dead_take_nothing(alice, node) -> None:
    create(alice)
    nodes.heartbeat(node, draining=True)
    assert orders.claim(node) == []
    nodes.stop(node)
    assert orders.claim(node) == []
    assert CallOrder.objects.count() == 1


def test_orders_that_were_held_up_do_not_go_out_in_a_burst(alice, bob, node) -> None:
    first, second, third = (create(alice) for _ in range(3))
    other = create(bob)
    when = first.started_at + timedelta(seconds=600)
    taken = orders.claim(node, when)
    assert [order.call_sid for order in taken] == [first.sid]
    assert orders.claim(node, when)[0].call_sid == other.sid
    assert orders.claim(node, when) == []
    assert (due(second), due(third)) == (when + timedelta(seconds=1), when + timedelta(seconds=2))
    assert due(create(alice)) == when + timedelta(seconds=3)
    assert [order.call_sid for order in orders.claim(node, due(second))] == [second.sid]
    assert Call.objects.get(pk=second.pk).queue_ms == pytest.approx(601_000, abs=500)


def test_the_policy_knows_the_only_domain_of_the_account(alice, domain, node) -> None:
    create(alice)
    [order] = orders.claim(node)
    assert order.policy.only_domain == "pbx.example.net"
    assert (order.policy.domain_sid, order.policy.domain_name) == ("", "")


def test_an_order_whose_call_is_over_is_cleared_away(alice, node) -> None:
    call = create(alice)
    Call.objects.filter(pk=call.pk).update(ended_at=timezone.now())
    assert orders.claim(node) == []
    assert not CallOrder.objects.exists()


@pytest.mark.parametrize("broken", ["plan", "key"])
def test_an_order_that_cannot_be_read_does_not_block_the_others(alice, bob, node, broken) -> None:
    call = create(alice, sip_password="p", callback=WANTED)
    other = create(bob)
    with connection.cursor() as cursor:
        if broken == "plan":
            cursor.execute(
                "UPDATE sipdomains_callorder SET plan = '{}' WHERE call_id = %s", [call.sid]
            )
        else:
            cursor.execute(
                "UPDATE sipdomains_callorder SET sip_password = 'x' WHERE call_id = %s", [call.sid]
            )
    assert [order.call_sid for order in orders.claim(node)] == [other.sid]
    call.refresh_from_db()
    assert (call.status, call.cause) == ("failed", "internal-error")
    assert not CallOrder.objects.exists()
    assert OutboxMessage.objects.count() == 1


# --- whose phone it is for ------------------------------------------------------------------------


def registered_at(*boot_ids: str) -> orders.RegisteredAt:
    """The phones that an order is for have registered with these nodes."""
    return lambda order: boot_ids


@pytest.fixture
def other(node) -> str:
    """It is heard of for as long as the test lasts."""
    nodes.register("other", "elsewhere")
    nodes.heartbeat("other", timezone.now() + timedelta(hours=1))
    return "other"


@pytest.mark.parametrize(
    ("phones", "taken"),
    [((), True), (("boot",), True), (("other",), False), (("gone",), True),
     (("boot", "other"), True), (("other", "boot", "other"), False), (("gone", "other"), False)],
)  # fmt: skip
def test_an_order_is_left_to_the_node_that_most_of_the_phones_registered_with(
    alice, node, other, phones, taken
) -> None:
    call = create(alice)
    got = orders.claim(node, registered_at=registered_at(*phones))
    assert [order.call_sid for order in got] == [call.sid] * taken
    call.refresh_from_db()
    assert call.node == (node if taken else "")
    if not taken:
        assert orders.claim(node) == []  # it is not looked at again
        assert orders.next_due(node) is None
        assert orders.next_due(other) == due(call)
        [order] = orders.claim(other, registered_at=registered_at(*phones))
        assert (order.call_sid, order.plan.to) == (call.sid, PLAN.to)


@pytest.mark.parametrize("how", ["stopped", "drains", "silent"])
def test_an_order_comes_back_when_the_node_that_it_was_left_to_takes_no_calls(
    alice, node, other, how
) -> None:
    call = create(alice)
    assert orders.claim(node, registered_at=registered_at(other)) == []
    if how == "stopped":
        nodes.stop(other)
    elif how == "drains":
        nodes.heartbeat(other, draining=True)
    else:
        nodes.heartbeat(other, timezone.now() - timedelta(seconds=20))
    assert orders.next_due(node) == due(call)
    [order] = orders.claim(node, registered_at=registered_at(other))
    assert order.call_sid == call.sid


@pytest.mark.django_db(transaction=True)
def test_the_node_that_an_order_is_left_to_is_told_after_the_commit(
    alice, node, other, hints
) -> None:
    call = create(alice)
    hints.clear()
    orders.claim(node, registered_at=registered_at(other))
    assert hints == [(other, CallDue(call.sid, due(call).timestamp()))]


def test_orders_for_another_node_do_not_hold_up_those_behind_them(alice, bob, node, other) -> None:
    for_other, mine = create(alice), create(bob)
    calls_of = {for_other.sid: (other,), mine.sid: ()}
    got = orders.claim(node, limit=1, registered_at=lambda order: calls_of[order.call_sid])
    assert got == []
    assert [order.call_sid for order in orders.claim(node, limit=1)] == [mine.sid]


def test_an_order_that_was_left_to_another_node_can_be_changed_and_ended(
    alice, node, other
) -> None:
    call = create(alice)
    orders.claim(node, registered_at=registered_at(other))
    assert commands.submit(call, REDIRECT, {"twiml": "<Response/>"}, "SK1").state == "applied"
    assert orders.claim(node) == []  # still the other's
    assert commands.submit(call, HANGUP, {}, "SK1").state == "applied"
    assert orders.claim(other) == []


# --- waiting in vain ------------------------------------------------------------------------------


def test_what_nobody_took_for_an_hour_fails_and_is_told_of(alice) -> None:
    call = create(alice, callback=WANTED)
    assert orders.expire(call.started_at + timedelta(seconds=3599)) == 0
    when = call.started_at + timedelta(seconds=3601)
    nodes.sweep(when)
    call.refresh_from_db()
    assert (call.status, call.cause, call.error_code) == ("failed", "queue-expired", 22001)
    assert call.ended_at == when
    assert not CallOrder.objects.exists()
    assert Notification.objects.get().code == 22001
    promised = OutboxMessage.objects.get()
    assert (promised.url, promised.method, promised.position) == (WANTED["url"], "GET", 0)
    assert dict(promised.parameters)["CallStatus"] == "failed"
    nodes.sweep(when + timedelta(seconds=9))
    assert (Notification.objects.count(), OutboxMessage.objects.count()) == (1, 1)


def test_a_call_whose_node_died_before_the_invite_is_closed_as_any_other(alice, node) -> None:
    call = create(alice, callback=WANTED)
    orders.claim(node)
    nodes.stop(node)
    nodes.sweep(timezone.now() + timedelta(seconds=40))
    call.refresh_from_db()
    assert (call.status, call.cause) == ("failed", "node-lost")
    assert OutboxMessage.objects.count() == 1


@pytest.mark.skipif(connection.vendor != "sqlite", reason="the plan is SQLite's")
def test_looking_for_work_when_there_is_none_costs_one_index_look(alice, node) -> None:
    with CaptureQueriesContext(connection) as queries:
        orders.claim(node)
        orders.next_due(node)
    assert len(queries) == 2
    for one in queries:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {one['sql']}")
            plan = " ".join(str(row[-1]) for row in cursor.fetchall())
        assert "call_order_by_turn" in plan
        assert "TEMP B-TREE" not in plan


def at_once(count: int, work: Callable[[], object]) -> None:
    """Run ``work`` in threads named 0, 1 …; fails when one of them does."""
    ready = threading.Barrier(count)
    errors: list[Exception] = []

    def run() -> None:
        try:
            ready.wait(60)
            work()
        except Exception as error:  # noqa: BLE001 - the test tells it
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, name=str(number)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors
