"""Callbacks that the record promises by itself: of lost calls and of recordings that begin."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction

from sipdomains.contracts import RecordingStarted
from sipdomains.models import OutboxMessage, Recording
from sipdomains.services import calls, nodes
from tests.sipdomains.records import START, call_sid, closed, event, opened
from tests.sipdomains.test_outbox import promise

pytestmark = pytest.mark.django_db

NOW = datetime.fromtimestamp(START, UTC)
WANTED = {"url": "http://app.example/status", "method": "GET", "events": ["answered", "completed"]}


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def own(position: int, **changes):
    """What the node promises of call a."""
    return promise(call_sid("a"), position, message_id=f"node-{position}", **changes)


@pytest.fixture
def lost(domain):
    """The node of an answered call, gone without a word."""
    nodes.register("boot", "udp:127.0.0.1:5060", NOW)
    account = domain.account_id
    calls.apply(
        [opened("a", account=account, domain=domain.sid, callback=WANTED),
         event("a", 1, "answered", "in-progress"), own(0)]
    )  # fmt: skip
    nodes.heartbeat("boot", later(70))
    return domain


def test_a_lost_call_is_told_to_be_over(lost) -> None:
    assert nodes.sweep(later(200)).callbacks == ["node-0"]
    last = OutboxMessage.objects.get(position=1)
    assert (last.stream, last.method, last.url) == (call_sid("a"), "GET", WANTED["url"])
    told = dict(last.parameters)
    assert told["CallStatus"] == "completed"
    assert told["Timestamp"].endswith("+0000")
    wanted = {
        "SequenceNumber": "1",
        "CallDuration": "69",
        "Duration": "2",
        "SipResponseCode": "200",
        "SipDomain": "pbx.example.net",
        "SipDomainSid": lost.sid,
        "SipUsername": "alice",
        "From": "sip:alice@example.net",
        "Direction": "inbound",
    }
    assert told | wanted == told
    assert not [name for name in told if name.startswith("SipHeader_")]


def test_sweeps_of_several_nodes_promise_it_once(lost) -> None:
    """The second one finds the call closed, and the first one's promise in the stream."""
    calls.close_orphans(later(200))
    calls._close_lost([call_sid("a")])
    assert OutboxMessage.objects.filter(stream=call_sid("a")).count() == 2


def test_a_node_that_was_only_cut_off_has_no_further_say(lost) -> None:
    calls.close_orphans(later(200))
    calls.apply([own(1), own(2), promise("RE1", purpose="recording-callback")])
    promised = OutboxMessage.objects.order_by("stream", "position")
    found = [(one.stream[:2], one.position) for one in promised]
    assert found == [("CA", 0), ("CA", 1), ("RE", 0)]
    assert dict(promised[1].parameters)["CallStatus"] == "completed"


ENDED = [("CallStatus", "completed"), ("CallDuration", "9")]


def ends_told() -> list[str]:
    """Ids of the messages that say how the call ended."""
    rows = OutboxMessage.objects.filter(stream=call_sid("a")).order_by("position")
    return [row.pk for row in rows if dict(row.parameters).get("CallStatus") == "completed"]


def test_what_the_node_told_before_it_was_lost_is_not_told_again(lost) -> None:
    """The database went away between the commits of the callback and of the close: they may be of
    two batches."""
    calls.apply([own(1, parameters=ENDED)])
    assert nodes.sweep(later(200)).callbacks == ["node-0"]
    assert ends_told() == ["node-1"]
    calls.apply([own(1, parameters=ENDED), closed("a")])  # the database is back
    assert ends_told() == ["node-1"]


@pytest.mark.parametrize("sweep_first", [True, False])
def test_an_end_that_waited_for_the_database_is_told_once(lost, sweep_first) -> None:
    waited = [own(1), own(2, parameters=ENDED), closed("a", 20)]
    work = [lambda: nodes.sweep(later(200)), lambda: calls.apply(waited)]
    for step in work if sweep_first else reversed(work):
        step()
    assert len(ends_told()) == 1


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time")
@pytest.mark.django_db(transaction=True)
def test_an_end_that_comes_while_a_sweep_closes_the_call_is_told_once(lost) -> None:
    waited = [own(1), own(2, parameters=ENDED), closed("a", 20)]
    blocked = "SELECT 1 FROM pg_locks WHERE NOT granted"

    def write() -> None:
        try:
            calls.apply(waited)
        finally:
            connection.close()

    node = threading.Thread(target=write)
    with transaction.atomic():
        calls.close_orphans(later(200))
        node.start()
        with connection.cursor() as cursor:
            while node.is_alive() and not cursor.execute(blocked).fetchone():
                node.join(0.01)
    node.join(60)
    assert len(ends_told()) == 1


@pytest.mark.parametrize("callback", [{}, {**WANTED, "events": ["answered"]}])
def test_who_did_not_ask_is_not_told(callback) -> None:
    calls.apply([opened("a", callback=callback)])
    calls.close_orphans(NOW)
    assert not OutboxMessage.objects.exists()


def test_a_call_that_was_not_answered() -> None:
    calls.apply([opened("a", callback=WANTED)])
    calls.close_orphans(later(1))
    told = dict(OutboxMessage.objects.get().parameters)
    assert (told["CallStatus"], told["CallDuration"], told["SequenceNumber"]) == (
        "failed",
        "0",
        "0",
    )
    assert "SipResponseCode" not in told


# --- recordings -----------------------------------------------------------------------------------


def started(*events: str) -> RecordingStarted:
    return RecordingStarted(
        recording_sid="RE" + "1" * 32, call_sid=call_sid("a"), account_sid="", node="boot",
        at=START, source="RecordVerb", channels=1, track="both", trim=True, path="/spool/x.wav",
        callback={"url": "http://app.example/rec", "method": "POST", "events": list(events)},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("events", "promised"), [(["in-progress", "completed"], 1), (["completed"], 0), ([], 0)]
)
def test_a_recording_that_begins(events, promised, settings) -> None:
    settings.PUBLIC_URL = "https://pbx.example.net"
    for _ in range(2):
        owed = calls.apply([started(*events)])
        assert len(owed.callbacks) == promised
    assert Recording.objects.get().published == promised
    rows = OutboxMessage.objects.all()
    assert len(rows) == promised
    for row in rows:
        told = dict(row.parameters)
        assert (row.purpose, row.position) == ("recording-callback", 0)
        assert told["RecordingStatus"] == "in-progress"
        assert told["RecordingUrl"].startswith("https://pbx.example.net/2010-04-01/Accounts/")
        assert "RecordingDuration" not in told


def test_a_url_that_does_not_fit_is_never_called_by_half() -> None:
    calls.apply([promise(url="http://x/" + "a" * 3000)])
    row = OutboxMessage.objects.get()
    assert (row.state, row.error_code) == ("failed", 11100)
