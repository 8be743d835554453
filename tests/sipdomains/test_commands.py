"""Changes of live calls: stored, pushed, settled once; and those of calls in the queue."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from sipdomains.bus import BusUnavailable, InProcessBus
from sipdomains.contracts import (
    CANCEL,
    HANGUP,
    RECORDING_START,
    REDIRECT,
    UPDATE,
    CommandSubmitted,
    OriginatePlan,
    from_wire,
)
from sipdomains.live import Outcome, rejected
from sipdomains.models import Call, CallCommand, CallOrder, OutboxMessage
from sipdomains.services import calls, commands, nodes, orders
from tests.sipdomains.records import call_sid, closed, opened
from tests.sipdomains.test_orders import WANTED, at_once, create

pytestmark = pytest.mark.django_db

ELSEWHERE = {"url": "http://app.example/other", "method": "GET"}


@pytest.fixture
def live(alice) -> Call:
    """A ringing call of node ``boot``."""
    nodes.register("boot", "here")
    now = timezone.now().timestamp()
    calls.apply([opened("a", at=now, account=alice.sid, callback=WANTED)])
    return Call.objects.get(sid=call_sid("a"))


def submit(call: Call, kind: str = HANGUP, payload: dict | None = None) -> CallCommand:
    return commands.submit(call, kind, payload or {}, "SK1")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("broker", [True, False])
def test_a_command_is_stored_then_pushed_to_the_node_of_the_call(live, monkeypatch, broker) -> None:
    told = []

    class Told(InProcessBus):
        def publish(self, address, messages) -> None:
            if not broker:
                raise BusUnavailable("away")
            told.extend((address, from_wire(message)) for message in messages)

    monkeypatch.setattr(commands, "default_bus", Told)
    command = submit(live, REDIRECT, ELSEWHERE)
    assert command.state == "pending"
    assert told == ([("boot", CommandSubmitted(live.sid, command.pk))] if broker else [])
    [found] = commands.pending("boot")
    assert (found.id, found.call_sid, found.kind) == (command.pk, live.sid, REDIRECT)
    assert (found.payload, found.requested_by) == (ELSEWHERE, "SK1")
    assert commands.pending("another") == []


def test_nothing_can_be_asked_of_a_call_that_is_over(live) -> None:
    calls.apply([closed("a")])
    with pytest.raises(commands.CallNotActive) as caught:
        submit(live)
    assert caught.value.code == 21220
    assert not CallCommand.objects.exists()


def test_an_unknown_kind_is_a_fault_of_ours(live) -> None:
    with pytest.raises(ValueError, match="kind"):
        submit(live, "dance")


def test_commands_come_in_the_order_in_which_they_were_asked_for(live) -> None:
    asked = [submit(live, kind).pk for kind in (UPDATE, REDIRECT, HANGUP)]
    assert [found.id for found in commands.pending("boot")] == asked


def test_a_command_is_settled_once(live) -> None:
    command = submit(live)
    assert commands.settle(command.pk, Outcome({"recording_sid": "RE1"}))
    assert not commands.settle(command.pk, rejected("too late"))
    command.refresh_from_db()
    assert (command.state, command.result) == ("applied", {"recording_sid": "RE1"})
    assert (command.error_code, command.reason) == (0, "")
    assert commands.pending("boot") == []


def test_documents_are_not_kept_and_the_callback_of_the_row_follows(live) -> None:
    payload = {"twiml": '<Dial><Sip password="p">sip:x@y</Sip></Dial>', "time_limit": 60}
    command = submit(live, REDIRECT, payload)
    other = {"url": "http://app.example/b", "method": "POST", "events": ["completed"]}
    commands.settle(command.pk, Outcome(callback=other))
    command.refresh_from_db()
    live.refresh_from_db()
    assert command.payload == {"time_limit": 60}
    assert live.callback == other


def test_waiting_ends_when_it_is_settled_or_the_time_has_passed(live) -> None:
    command = submit(live)
    assert commands.wait(command.pk, 0).state == "pending"
    commands.settle(command.pk, rejected("no", 16108))
    settled = commands.wait(command.pk, 30)
    assert (settled.state, settled.error_code, settled.reason) == ("rejected", 16108, "no")


def test_what_was_asked_of_a_call_that_has_ended_is_rejected_by_the_sweep(live) -> None:
    command = submit(live)
    calls.apply([closed("a")])
    ended = Call.objects.get(pk=live.pk).ended_at
    assert commands.reject_left_over(ended + timedelta(seconds=4)) == 0
    nodes.sweep(ended + timedelta(seconds=6))
    command.refresh_from_db()
    assert (command.state, command.error_code) == ("rejected", 21220)
    assert command.reason.startswith("The call ended before")
    assert commands.reject_left_over(ended + timedelta(seconds=60)) == 0


def test_what_was_asked_of_a_call_whose_node_died_is_rejected(live) -> None:
    command, when = submit(live), timezone.now() + timedelta(seconds=40)
    nodes.sweep(when)
    nodes.sweep(when + timedelta(seconds=5))
    command.refresh_from_db()
    live.refresh_from_db()
    assert (live.cause, command.state, command.error_code) == ("node-lost", "rejected", 21220)


# --- in the queue ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [CANCEL, HANGUP])
def test_a_call_in_the_queue_is_ended_at_once_and_nobody_is_told(alice, kind) -> None:
    """webhooks.md section 4.2: a call cancelled while still queued sends no callback."""
    call = create(alice, callback=WANTED)
    command = submit(call, kind)
    assert command.state == "applied"
    call.refresh_from_db()
    assert (call.status, call.cause, call.duration) == ("canceled", "api-cancel", None)
    assert call.ended_at is not None
    assert not CallOrder.objects.exists()
    assert not OutboxMessage.objects.exists()
    told = list(call.events.filter(kind="command").values_list("data", flat=True))
    assert told == [{"what": "create", "by": alice.sid}, {"what": kind, "by": "SK1"}]
    with pytest.raises(commands.CallNotActive):
        submit(call, kind)


def test_a_redirect_in_the_queue_changes_the_first_document(alice) -> None:
    call = create(alice, callback=WANTED)
    assert submit(call, REDIRECT, ELSEWHERE | {"time_limit": 9}).state == "applied"
    plan = OriginatePlan.from_json(CallOrder.objects.get().plan)
    assert (plan.url, plan.method, plan.time_limit) == (*ELSEWHERE.values(), 9)
    submit(call, REDIRECT, {"twiml": "<Response/>"})
    plan = OriginatePlan.from_json(CallOrder.objects.get().plan)
    assert (plan.url, plan.twiml, plan.time_limit) == ("", "<Response/>", 9)


def test_an_update_in_the_queue_changes_whom_to_tell(alice) -> None:
    call = create(alice, callback=WANTED)
    submit(call, UPDATE, {"callback": {"url": "http://b/", "method": "POST"}, "fallback_url": "f"})
    call.refresh_from_db()
    assert call.callback == {"url": "http://b/", "method": "POST", "events": ["completed"]}
    assert CallOrder.objects.get().plan["fallback_url"] == "f"
    submit(call, UPDATE, {"callback": {"url": ""}})
    call.refresh_from_db()
    assert call.callback == {}


def test_a_call_in_the_queue_cannot_be_recorded(alice) -> None:
    command = submit(create(alice), RECORDING_START)
    assert (command.state, command.error_code) == ("rejected", 21220)


@pytest.mark.django_db(transaction=True)
def test_a_cancel_and_a_node_that_takes_the_call_never_both_win(alice) -> None:
    nodes.register("boot", "here")
    for _ in range(5):
        call = create(alice)
        taken, states = [], []

        def race(call=call, taken=taken, states=states) -> None:
            if threading.current_thread().name == "0":
                taken.extend(orders.claim("boot", timezone.now() + timedelta(seconds=60)))
            else:
                states.append(submit(call, CANCEL).state)

        at_once(2, race)
        call.refresh_from_db()
        if taken:
            assert (states, call.node, call.ended_at) == (["pending"], "boot", None)
        else:
            assert (states, call.status) == (["applied"], "canceled")


@pytest.mark.skipif(connection.vendor != "sqlite", reason="the plan is SQLite's")
def test_looking_for_commands_looks_at_pending_ones_only(live) -> None:
    with CaptureQueriesContext(connection) as queries:
        commands.pending("boot")
        commands.reject_left_over()
    assert len(queries) == 2
    for one in queries:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {one['sql']}")
            plan = " ".join(str(row[-1]) for row in cursor.fetchall())
        assert "call_command_pending" in plan, plan


def test_a_command_that_was_deleted_with_its_call_is_nobodys_trouble(live) -> None:
    command = submit(live)
    CallCommand.objects.all().delete()
    assert not commands.settle(command.pk, Outcome())
    assert not commands.is_rejected(command.pk)
    with pytest.raises(commands.CallNotActive):
        commands.wait(command.pk, 10)
