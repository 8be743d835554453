"""The outbox: order, leases, back-off, giving up, promises of dead nodes, cost."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.db import DatabaseError, connection
from django.test.utils import CaptureQueriesContext

from sipdomains.contracts import CallbackPromised, WebhookAttempt
from sipdomains.models import Notification, OutboxMessage, WebhookRequest
from sipdomains.services import calls, outbox
from tests.sipdomains.records import START, call_sid
from twimlrunner.webhooks.callbacks import CallbackMessage, CallbackOutcome
from twimlrunner.webhooks.policy import Verdict

pytestmark = pytest.mark.django_db

NOW = datetime.fromtimestamp(START, UTC)


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def promise(stream: str = "s", position: int = 0, account: str = "", **changes) -> CallbackPromised:
    values = {
        "message_id": f"{stream}-{position}", "stream": stream, "position": position,
        "purpose": "status-callback", "call_sid": call_sid("a"), "account_sid": account,
        "at": START, "method": "POST", "url": "http://app.example/status",
        "parameters": [("CallSid", "CA1"), ("X", "1"), ("X", "2")],
    }  # fmt: skip
    return CallbackPromised(**(values | changes))


def attempt(message: CallbackMessage, number: int, status: int) -> WebhookAttempt:
    return WebhookAttempt(
        message.id, number, message.call_sid, "", message.purpose, START, "POST", message.url, [],
        status=status,
    )  # fmt: skip


def ended(message: CallbackMessage, verdict: Verdict, status: int = 0) -> CallbackOutcome:
    code, error = (0, "") if verdict is Verdict.DELIVERED else (15003, f"HTTP status {status}")
    number = message.attempts + 1
    return CallbackOutcome(message, verdict, (attempt(message, number, status),), code, error)


def take(seconds: float = 0, **options) -> CallbackMessage:
    [message] = outbox.claim(outbox.due(later(seconds)), later(seconds), **options)
    return message


def state(identity: str) -> str:
    return OutboxMessage.objects.get(pk=identity).state


def test_a_promise_is_kept_once_however_often_it_is_written(alice) -> None:
    for _ in range(2):
        calls.apply([promise(account=alice.sid), promise(account=alice.sid)])
    # another message for the same place is none
    calls.apply([promise(account=alice.sid, message_id="other")])
    message = take()
    assert (message.id, message.deliveries, message.attempts) == ("s-0", 1, 0)
    assert message.parameters == [("CallSid", "CA1"), ("X", "1"), ("X", "2")]
    outbox.settle([ended(message, Verdict.DELIVERED, 204)], later(1))
    row = OutboxMessage.objects.get()
    assert (row.state, row.settled_at, row.claimed_until) == ("delivered", later(1), None)
    assert WebhookRequest.objects.get(request_id="s-0").purpose == "status-callback"
    assert outbox.due(later(9999)) == []
    calls.apply([promise(account=alice.sid)])
    assert OutboxMessage.objects.get().state == "delivered"


def test_a_stream_is_delivered_in_order_and_streams_do_not_wait_for_each_other() -> None:
    calls.apply([promise("a", 1), promise("b", 0), promise("a", 0), promise("a", 2)])
    assert set(outbox.due(NOW)) == {"a-0", "b-0"}
    taken = {one.id: one for one in outbox.claim(["a-0", "a-1", "a-2", "b-0"], NOW)}
    first, other = taken["a-0"], taken["b-0"]
    assert len(taken) == 2
    assert outbox.due(NOW) == []
    outbox.settle([ended(other, Verdict.DELIVERED)], NOW)
    assert outbox.due(NOW) == []
    outbox.settle([ended(first, Verdict.DELIVERED)], NOW)
    assert outbox.due(NOW) == ["a-1"]


def test_two_workers_never_have_the_same_message() -> None:
    calls.apply([promise()])
    assert len(outbox.claim(["s-0"], NOW)) == 1
    assert outbox.claim(["s-0"], NOW) == []
    assert outbox.due(later(59)) == []


def test_what_a_dead_worker_had_is_taken_on_by_another() -> None:
    calls.apply([promise()])
    lost = take()
    again = take(61)
    assert (again.id, again.deliveries) == (lost.id, 2)


def test_a_worker_taken_for_dead_cannot_spoil_the_next_delivery() -> None:
    calls.apply([promise()])
    slow = take()
    take(61)
    outbox.settle([ended(slow, Verdict.AGAIN, 500)], later(62))
    outbox.settle([ended(slow, Verdict.REFUSED, 404)], later(62))
    outbox.postpone([slow], later(62))
    assert state("s-0") == "pending"
    assert outbox.due(later(62)) == []
    assert not Notification.objects.exists()
    outbox.settle([ended(slow, Verdict.DELIVERED, 200)], later(63))
    assert state("s-0") == "delivered"


def test_failures_are_retried_with_growing_pauses_then_given_up() -> None:
    calls.apply([promise("s", 0), promise("s", 1)])
    clock, pauses = 0.0, []
    while state("s-0") == "pending":
        message = take(clock)
        assert message.id == "s-0"
        outbox.settle([ended(message, Verdict.AGAIN, 503)], later(clock))
        if state("s-0") == "pending":
            # nothing of the stream is looked at before
            waiting = OutboxMessage.objects.values_list("next_at", flat=True)
            assert len(set(waiting)) == 1
            pauses.append((waiting[0] - later(clock)).total_seconds())
            assert outbox.due(later(clock + pauses[-1] - 1)) == []
            clock += pauses[-1]
    assert pauses == [5, 30, 120, 600, 1800, 1800, 1800]
    row = OutboxMessage.objects.get(pk="s-0")
    assert (row.state, row.error_code, row.error_message) == ("failed", 15002, "HTTP status 503")
    told = Notification.objects.order_by("at").values_list("code", "level", "message")
    assert list(told) == [
        (15003, "warning", "The status callback failed, it is tried again: HTTP status 503."),
        (15002, "error", "The status callback was given up: HTTP status 503."),
    ]
    assert outbox.due(later(clock)) == ["s-1"]
    numbers = WebhookRequest.objects.order_by("attempt").values_list("attempt", flat=True)
    assert list(numbers) == list(range(1, 9))


def test_a_refusal_is_final_and_lets_the_stream_go_on() -> None:
    calls.apply([promise("s", 0), promise("s", 1)])
    outbox.settle([ended(take(), Verdict.REFUSED, 404)], NOW)
    assert (state("s-0"), outbox.due(NOW)) == ("failed", ["s-1"])
    notification = Notification.objects.get()
    assert (notification.code, notification.level) == (15003, "warning")


def test_what_was_postponed_has_lost_no_delivery() -> None:
    calls.apply([promise()])
    outbox.postpone([take()], NOW)
    assert outbox.due(later(1)) == []
    assert take(2).deliveries == 1


def test_what_kills_every_worker_is_given_up() -> None:
    calls.apply([promise()])
    OutboxMessage.objects.update(attempts=30)
    assert outbox.claim(["s-0"], NOW) == []
    assert OutboxMessage.objects.get().error_code == 15002


def test_an_operator_may_have_it_delivered_again() -> None:
    calls.apply([promise()])
    outbox.settle([ended(take(), Verdict.REFUSED, 404)], NOW)
    assert outbox.deliver_again(["s-0", "unknown"], later(5)) == 1
    assert outbox.deliver_again(["s-0"], later(5)) == 0
    message = take(5)
    assert (message.deliveries, message.attempts) == (1, 1)  # attempts go on counting


def test_settling_is_all_or_nothing() -> None:
    calls.apply([promise()])
    good = ended(take(), Verdict.DELIVERED, 200)
    bad = replace(good, attempts=(replace(good.attempts[0], at=float("nan")),))
    with pytest.raises(DatabaseError):
        outbox.settle([bad], NOW)
    assert state("s-0") == "pending"
    assert not WebhookRequest.objects.exists()


def test_the_certificates_switch_of_the_account_holds(alice) -> None:
    alice.verify_tls = False
    alice.save()
    calls.apply([promise(account=alice.sid), promise("unknown")])
    taken = outbox.claim(["s-0", "unknown-0"], NOW)
    assert {one.id: one.verify_tls for one in taken} == {"s-0": False, "unknown-0": True}


# --- cost -----------------------------------------------------------------------------------------


def test_claiming_and_settling_take_few_statements() -> None:
    calls.apply([promise(f"s{number}") for number in range(100)])
    with CaptureQueriesContext(connection) as queries:
        taken = outbox.claim(outbox.due(NOW), NOW)
        outbox.settle([ended(one, Verdict.DELIVERED, 200) for one in taken], NOW)
    assert len(taken) == 100
    statements = [one["sql"] for one in queries if "SAVEPOINT" not in one["sql"]]
    assert len(statements) <= 8


@pytest.mark.skipif(connection.vendor != "sqlite", reason="the plan is SQLite's")
def test_the_search_for_what_is_due_looks_at_pending_rows_only() -> None:
    """However many were delivered before: every node looks every few seconds."""
    calls.apply([promise(f"s{number}", at=START - number) for number in range(10_000)])
    OutboxMessage.objects.filter(pk__gt="s2").update(state="delivered")
    with CaptureQueriesContext(connection) as queries:
        found = outbox.due(NOW, 10)
    assert len(found) == 10
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {queries[0]['sql']}")
        plan = " ".join(str(row[-1]) for row in cursor.fetchall())
    assert "outbox_pending_by_time" in plan
    assert "(stream=? AND position<?)" in plan
    assert "TEMP B-TREE" not in plan
