"""Transfers: what their facts come to, in any order, and the follow-up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipdomains.contracts import TransferChanged
from sipdomains.models import Notification, Transfer
from sipdomains.services import calls, nodes, projection, transfers
from sipdomains.services.projection import TransferFacts
from tests.sipdomains.records import START, call_sid, opened
from twimlrunner.tasks import follow_up_transfer

SID = call_sid("a")
NOW = datetime.fromtimestamp(START, UTC)


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def told(at: float = 0, *, direction: str = "sent", **facts) -> TransferChanged:
    return TransferChanged(SID, 1, START + at, direction, "sip:bob@pbx.example.net", **facts)


ACCEPTED = {"refer_status": 202}
STATES = [
    ({}, "requested", ""),
    (ACCEPTED, "accepted", ""),
    (ACCEPTED | {"notify_status": 100}, "accepted", ""),
    (ACCEPTED | {"notify_status": 180}, "ringing", ""),
    (ACCEPTED | {"notify_status": 200, "ended_by": "final"}, "succeeded",
     "The transfer succeeded: 200."),
    (ACCEPTED | {"notify_status": 486, "ended_by": "final"}, "busy",
     "The target of the transfer is busy: 486."),
    (ACCEPTED | {"notify_status": 600, "ended_by": "final"}, "busy",
     "The target of the transfer is busy: 600."),
    (ACCEPTED | {"notify_status": 404, "ended_by": "final"}, "failed",
     "The PBX could not transfer: 404."),
    ({"refer_status": 405, "ended_by": "refused"}, "refused", "The PBX refused to transfer: 405."),
    ({"ended_by": "refused"}, "refused", "The transfer could not be asked for."),
    (ACCEPTED | {"notify_status": 180, "ended_by": "hangup"}, "canceled",
     "The call ended before the outcome of the transfer was told (last: 180)."),
    (ACCEPTED | {"ended_by": "canceled"}, "canceled",
     "The call ended before the outcome of the transfer was told."),
    (ACCEPTED | {"ended_by": "terminated"}, "unknown",
     "The PBX accepted the transfer and never told what came of it."),
    (ACCEPTED | {"notify_status": 180, "ended_by": "timeout"}, "unknown",
     "The PBX accepted the transfer and never told what came of it (last: 180)."),
    ({"ended_by": "timeout"}, "unknown", "The PBX never answered the REFER."),
    # told after the call had ended, or in spite of what was thought before
    (ACCEPTED | {"notify_status": 200, "ended_by": "hangup"}, "succeeded",
     "The transfer succeeded: 200."),
]  # fmt: skip


@pytest.mark.parametrize(("facts", "state", "reason"), STATES)
def test_states(facts, state: str, reason: str) -> None:
    known = TransferFacts(**facts)
    assert (known.state, known.reason("sent")) == (state, reason)


FACTS = st.builds(
    TransferFacts,
    refer_status=st.sampled_from([0, 202, 405, 603]),
    notify_status=st.sampled_from([0, 100, 180, 183, 200, 404, 486, 603]),
    ended_by=st.sampled_from(
        ["", "lost", "timeout", "canceled", "hangup", "terminated", "refused", "final"]
    ),
)


@given(st.lists(FACTS, min_size=1, max_size=4))
def test_facts_come_to_the_same_in_any_order_and_however_often(facts: list[TransferFacts]) -> None:
    def all_of(order) -> TransferFacts:
        known = TransferFacts()
        for one in order:
            known = projection.merged(known, one)
        return known

    results = {all_of(order) for order in permutations(facts)}
    assert results == {all_of([*facts, *facts])}


def test_an_ending_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="x"):
        projection.merged(TransferFacts(), TransferFacts(ended_by="x"))


# --- rows -----------------------------------------------------------------------------------------


@pytest.fixture
def call(db, domain):
    calls.apply([opened("a", account=domain.account_id, domain=domain.sid)])


def row() -> Transfer:
    return Transfer.objects.get()


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_records_in_any_order_make_one_row(call, order) -> None:
    records = [told(0), told(1, refer_status=202),
               told(2, refer_status=202, notify_status=200, ended_by="final")]  # fmt: skip
    for index in order:
        calls.apply([records[index], records[index]])
    one = row()
    assert (one.state, one.refer_status, one.notify_status) == ("succeeded", 202, 200)
    assert (one.requested_at, one.changed_at) == (later(0), later(2))
    assert one.settled_at is None


def test_only_what_has_ended_is_followed_up(call) -> None:
    assert calls.apply([told()]).transfers == []
    assert calls.apply([told(1, ended_by="timeout")]).transfers == [(SID, 1)]


@pytest.mark.parametrize(
    ("facts", "code", "level"),
    [
        ({"refer_status": 405, "ended_by": "refused"}, 32218, "error"),
        ({"refer_status": 603, "ended_by": "refused"}, 32218, "error"),
        ({"refer_status": 481, "ended_by": "refused"}, 32011, "warning"),
        (ACCEPTED | {"notify_status": 404, "ended_by": "final"}, 32011, "warning"),
        (ACCEPTED | {"ended_by": "timeout"}, 32011, "warning"),
        (ACCEPTED | {"notify_status": 486, "ended_by": "final"}, None, None),
        (ACCEPTED | {"notify_status": 200, "ended_by": "final"}, None, None),
        (ACCEPTED | {"ended_by": "hangup"}, None, None),
    ],
)
def test_the_follow_up_settles_once_and_says_what_went_wrong(call, facts, code, level) -> None:
    calls.apply([told(), told(1, **facts)])
    for seconds in (2, 3):
        assert transfers.settle(SID, 1, later(seconds))
    assert row().settled_at == later(2)
    found = [(one.code, one.level, one.message) for one in Notification.objects.all()]
    assert found == ([(code, level, row().reason)] if code else [])


def test_the_task_is_harmless_for_what_is_not_there_or_not_over(call) -> None:
    follow_up_transfer(SID, 1)
    calls.apply([told(1_000_000)])
    assert not transfers.settle(SID, 1, later(1_000_001))
    assert row().settled_at is None


def test_what_an_endpoint_asked_of_us_is_not_complained_about(call) -> None:
    facts = ACCEPTED | {"notify_status": 404, "ended_by": "final"}
    calls.apply([told(direction="received", **facts)])
    assert transfers.settle(SID, 1, later(1))
    assert row().reason == "This server could not transfer: 404."
    assert not Notification.objects.exists()


def test_a_sweep_finds_what_nobody_settled(call) -> None:
    nodes.register("boot", "udp:127.0.0.1:5060", NOW)
    calls.apply([told(0, refer_status=202)])
    assert transfers.hanging(later(599)) == []
    assert transfers.hanging(later(601)) == [(SID, 1)]
    assert transfers.settle(SID, 1, later(601))
    assert (row().state, row().ended_by) == ("unknown", "lost")
    assert transfers.hanging(later(9999)) == []
    # late, and still true
    calls.apply([told(700, refer_status=202, notify_status=200, ended_by="final")])
    assert (row().state, row().reason) == ("succeeded", "The transfer succeeded: 200.")


def test_a_task_that_was_lost_is_sent_again_soon(call) -> None:
    calls.apply([told(0, ended_by="timeout")])
    assert transfers.hanging(later(59)) == []
    assert transfers.hanging(later(61)) == [(SID, 1)]


def test_a_transfer_of_a_lost_node_is_settled_at_once(call) -> None:
    nodes.register("boot", "udp:127.0.0.1:5060", NOW)
    calls.apply([told(60, refer_status=202)])
    swept = nodes.sweep(later(61))
    assert swept.transfers == [(SID, 1)]
    assert transfers.settle(SID, 1, later(61))
    assert row().state == "unknown"
