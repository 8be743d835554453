"""The writer of the call log: whole calls, repetition, disorder, poison."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from django.db import DatabaseError, connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sipdomains.contracts import (
    CallbackPromised,
    CallEventRecord,
    LogRecord,
    MediaMeasured,
    NotificationRecord,
    RecordingStarted,
    TransferChanged,
)
from sipdomains.models import (
    Call,
    CallEvent,
    Notification,
    OutboxMessage,
    Recording,
    Transfer,
    WebhookRequest,
)
from sipdomains.services import calls
from sipdomains.sids import is_sid
from tests.sipdomains.records import START, call_records, call_sid, closed, event, opened

pytestmark = pytest.mark.django_db


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(START + seconds, UTC)


def everything() -> dict[str, list[dict]]:
    """All rows but for surrogate keys and times of writing."""
    return {
        model.__name__: [
            {name: value for name, value in row.items() if name not in ("id", "updated_at")}
            for row in model.objects.order_by(*order).values()
        ]
        for model, order in (
            (Call, ["sid"]),
            (CallEvent, ["call_id", "seq"]),
            (WebhookRequest, ["request_id", "attempt"]),
            (Notification, ["sid"]),
            (OutboxMessage, ["stream", "position"]),
            (Recording, ["sid"]),
            (Transfer, ["call_id", "number"]),
        )
    }


def test_a_whole_call(domain) -> None:
    calls.apply(call_records("a", account=domain.account_id, domain=domain.sid))
    call = Call.objects.get()
    assert (call.sid, call.account, call.domain) == (call_sid("a"), domain.account, domain)
    assert (call.from_uri, call.to_uri) == ("sip:alice@example.net", "sip:100@pbx.example.net")
    assert (call.status, call.cause, call.sip_status) == ("completed", "caller-hangup", 200)
    assert (call.started_at, call.answered_at, call.ended_at) == (at(0), at(3), at(60))
    assert call.duration == 57
    assert call.headers == [["X-Account", "42"]]
    assert call.media == {"packets_sent": 2850}
    assert (call.source_ip, call.source_port, call.transport) == ("192.0.2.9", 5060, "udp")
    assert [one.kind for one in call.events.all()] == [
        "sip", "webhook", "answered", "verb-started", "closed",
    ]  # fmt: skip
    attempt = call.webhook_requests.get()
    assert (attempt.status, attempt.duration_ms) == (200, 12.5)
    assert attempt.parameters == [["CallSid", call.sid], ["X", "1"], ["X", "2"]]
    notification = call.notifications.get()
    assert is_sid(notification.sid, "NO")
    assert (notification.code, notification.at) == (13510, at(4))


def test_a_call_step_by_step() -> None:
    for record, expected in (
        (opened("a", status="queued"), ("queued", None, None)),
        (event("a", 1, "ringing", "ringing"), ("ringing", None, None)),
        (event("a", 2, "answered", "in-progress"), ("in-progress", at(2), None)),
        (event("a", 3, "ringing", "ringing"), ("in-progress", at(2), None)),
        (event("a", 4, "sip"), ("in-progress", at(2), None)),
        (closed("a", answered_at=START + 2), ("completed", at(2), at(60))),
        (closed("a", 10, status="failed", cause="media-lost"), ("completed", at(2), at(60))),
        (event("a", 11, "answered", "in-progress"), ("completed", at(2), at(60))),
    ):
        calls.apply([record])
        call = Call.objects.get()
        assert (call.status, call.answered_at, call.ended_at) == expected, record
    assert call.cause == "caller-hangup"
    assert call.events.count() == 7


def test_an_event_cannot_end_a_call() -> None:
    calls.apply([opened("a"), event("a", 1, "sip", "completed")])
    calls.apply([event("a", 2, "sip", "failed")])
    assert Call.objects.get().ended_at is None
    assert Call.objects.get().status == "ringing"


def test_a_call_to_nobody() -> None:
    """An unknown name has neither account nor domain, and each attempt is a call of its own."""
    for name in ("a", "b"):
        one = opened(name)
        calls.apply([replace(one, sip=one.sip | {"call_id": "same"}), closed(name, cause="x")])
    assert Call.objects.filter(account=None, domain=None).count() == 2


def test_a_domain_deleted_meanwhile(domain) -> None:
    records = call_records("a", account=domain.account_id, domain=domain.sid)
    domain.delete()
    calls.apply(records)
    call = Call.objects.get()
    assert call.domain is None
    assert call.domain_name == "pbx.example.net"


def test_deleting_a_domain_keeps_its_calls(domain) -> None:
    calls.apply(call_records("a", account=domain.account_id, domain=domain.sid))
    domain.delete()
    assert Call.objects.get().domain is None


# --- one INVITE is one call -----------------------------------------------------------------------


def same_invite(name: str, domain):
    one = opened(name, account=domain.account_id, domain=domain.sid)
    return replace(one, sip=one.sip | {"call_id": "same@phone"})


def test_an_open_call_is_not_opened_twice(domain) -> None:
    calls.apply([same_invite("a", domain)])
    with pytest.raises(calls.DuplicateCall, match=call_sid("b")):
        calls.apply([same_invite("b", domain), opened("c")])
    assert [call.sid for call in Call.objects.all()] == [call_sid("a")]
    failed = calls.apply_each([same_invite("b", domain), opened("c")])
    assert [record.call_sid for record, _ in failed] == [call_sid("b")]
    assert Call.objects.filter(sid=call_sid("c")).exists()


def test_after_a_refusal_the_same_dialog_may_try_again(domain) -> None:
    refused = {"status": "failed", "cause": "bad-credentials", "sip_status": 403,
               "answered_at": None}  # fmt: skip
    calls.apply(
        [
            same_invite("a", domain), closed("a", **refused),
            same_invite("b", domain), closed("b", **refused),
        ]
    )  # fmt: skip
    calls.apply([same_invite("c", domain)])
    assert Call.objects.filter(status="failed", duration=None).count() == 2


# --- repetition and disorder ----------------------------------------------------------------------


def test_repeating_a_batch_changes_nothing(domain) -> None:
    records = call_records("a", account=domain.account_id, domain=domain.sid)
    calls.apply(records)
    first = everything()
    calls.apply(records)
    calls.apply_each(records)
    assert everything() == first


@pytest.fixture
def told_in_order(domain) -> tuple[list[LogRecord], dict[str, list[dict]]]:
    """Records, and the rows that they give one after the other, of which nothing is left."""
    records = [
        *call_records("a", account=domain.account_id, domain=domain.sid),
        *call_records("b", account=domain.account_id)[:-1],  # still running
        opened("c"),
        closed("c", 1, status="failed", cause="unknown-domain", sip_status=404, answered_at=None),
        opened("d", status="queued"),
        event("d", 1, "ringing", "ringing"),
        *promises_and_transfers("a"),
    ]
    calls.apply(records)
    rows = everything()
    clear()
    return records, rows


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_shuffled_and_repeated_records_give_the_same_rows(data, told_in_order) -> None:
    records, expected = told_in_order
    clear()
    shuffled = data.draw(st.permutations(records))
    repeated = data.draw(st.lists(st.sampled_from(records), max_size=8))
    mixture = [*shuffled, *repeated]
    while mixture:
        size = data.draw(st.integers(1, len(mixture)))
        calls.apply(mixture[:size])
        mixture = mixture[size:]
    assert everything() == expected


def promises_and_transfers(name: str) -> list[LogRecord]:
    sid = call_sid(name)
    target = {"url": "http://app.example/", "method": "POST", "events": ["in-progress"]}
    return [
        *(
            CallbackPromised(
                f"m{n}", sid, n, "status-callback", sid, "", START + n, "POST", "http://app/", []
            )
            for n in range(3)
        ),
        RecordingStarted(
            "RE" + "0" * 32, sid, "", "boot", START, "RecordVerb", 1, "both", True, "/x", target
        ),
        *(
            TransferChanged(sid, 1, START + n, "sent", "sip:bob@x", *facts)
            for n, facts in enumerate([(), (202,), (202, 180), (202, 200, "final")])
        ),
    ]


def clear() -> None:
    for model in (
        OutboxMessage, Recording, Transfer, CallEvent, WebhookRequest, Notification, Call
    ):  # fmt: skip
        model.objects.all().delete()


# --- poison and hostile input ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "poison",
    [
        event("a", 1, "sip", "answered"),
        replace(event("a", 1), at=float("nan")),
        replace(event("a", 1), at=1e20),
        replace(event("a", 1), seq=None),
        closed("a", status="in-progress"),
        replace(opened("x"), sip=None),
    ],
    ids=["status", "nan", "far future", "no seq", "close", "no sip"],
)
def test_a_poison_record_costs_itself_only(poison) -> None:
    batch = [opened("a"), poison, event("a", 2)]
    with pytest.raises(DatabaseError):
        calls.apply(batch)
    assert not Call.objects.exists()
    failed = calls.apply_each(batch)
    assert [record for record, _ in failed] == [poison]
    assert Call.objects.get().events.count() == 1


def test_hostile_text_is_clipped_and_cleaned() -> None:
    hostile = opened(
        "a",
        from_="sip:" + "é" * 1000,
        to="sip:\x00\udc80@x",
        sip={"user_agent": "u" * 5000, "headers": [["X-A", "\x00\ud800😀"]], "call_id": "c" * 999},
    )
    data = {"text": "\x00 \udcff", "value": float("inf"), "list": [float("nan")], "\x00": 1}
    calls.apply([hostile, CallEventRecord(hostile.call_sid, 1, START, "sip", data)])
    call = Call.objects.get()
    assert len(call.from_uri) == 512
    assert call.to_uri == "sip:\ufffd\ufffd@x"
    assert len(call.user_agent) == 255
    assert call.headers == [["X-A", "\ufffd\ufffd😀"]]
    assert call.events.get().data == {
        "text": "\ufffd \ufffd", "value": None, "list": [None], "\ufffd": 1,
    }  # fmt: skip


def test_what_a_search_looks_into_holds_no_password() -> None:
    """What pages mask could be guessed by searching for it."""
    party = "sip:alice:hunter2@pbx.example.net"
    url = "http://u:hunter2@app.example/?Digits=4711"
    headers = [["X-Api-Key", "hunter2"], ["X-To", party], ["X-Order", "7"]]
    calls.apply(
        [
            opened("a", from_=party, to=f"{party};x=y", sip={"headers": headers}),
            NotificationRecord(START, 11200, "error", f"{url} failed", call_sid=call_sid("a")),
            TransferChanged(call_sid("a"), 1, START, "received", party, refer_status=202),
        ]
    )
    call = Call.objects.get()
    assert (call.from_uri, call.to_uri) == (
        "sip:alice:…@pbx.example.net", "sip:alice:…@pbx.example.net;x=y",
    )  # fmt: skip
    assert call.headers == [["X-Api-Key", "…"], ["X-To", call.from_uri], ["X-Order", "7"]]
    assert Notification.objects.get().message == "http://u:…@app.example/?Digits=… failed"
    assert call.transfers.get().target == call.from_uri


def test_what_json_does_not_know_is_stored_as_text() -> None:
    record = NotificationRecord(START, 1, "error", "m", data={"when": datetime(2026, 1, 1)})  # noqa: DTZ001
    calls.apply([record])
    assert "2026" in json.dumps(Notification.objects.get().data)


# --- cost -----------------------------------------------------------------------------------------


def test_a_batch_takes_few_statements_however_many_calls(domain) -> None:
    def statements(names: list[str]) -> int:
        records = [
            record
            for name in names
            for record in call_records(name, account=domain.account_id, domain=domain.sid)
        ]
        with CaptureQueriesContext(connection) as queries:
            calls.apply(records)
        # Django reports each row of an executemany as part of one entry
        return len(queries)

    assert statements(["a"]) == statements([f"b{number}" for number in range(20)]) <= 9


# --- media while a call goes on -------------------------------------------------------------------


def test_figures_of_a_call_that_goes_on_are_the_newest_and_its_row_is_no_newer() -> None:
    calls.apply([opened("a"), event("a", 1, "answered", "in-progress")])
    before = Call.objects.get(pk=call_sid("a")).updated_at
    calls.apply(
        [MediaMeasured(call_sid("a"), {"mos": 4.1}), MediaMeasured(call_sid("a"), {"mos": 4.2})]
    )
    call = Call.objects.get(pk=call_sid("a"))
    assert (call.media, call.updated_at) == ({"mos": 4.2}, before)


def test_figures_that_come_after_the_end_change_nothing() -> None:
    late = MediaMeasured(call_sid("a"), {"mos": 1.0})
    calls.apply([opened("a"), event("a", 1, "answered", "in-progress")])
    calls.apply([late, closed("a")])
    assert Call.objects.get(pk=call_sid("a")).media == closed("a").media
    calls.apply([late])
    assert Call.objects.get(pk=call_sid("a")).media == closed("a").media


def test_call_of_a_lost_node_keeps_its_last_figures() -> None:
    calls.apply([opened("a"), MediaMeasured(call_sid("a"), {"mos": 4.2})])
    assert calls.close_orphans() == 1
    assert Call.objects.get(pk=call_sid("a")).media == {"mos": 4.2}
