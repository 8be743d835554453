"""Every (state, input) pair of the server transactions: state after, what is sent, what lives."""

from __future__ import annotations

import pytest

from sipserver.sip.errors import LocalProtocolError
from sipserver.sip.timers import Deadlines, Timers
from sipserver.sip.transactions import server_invite, server_other
from sipserver.sip.transactions.layer import Output, TransactionLayer, merge_key, server_key
from sipserver.sip.transactions.server_invite import ServerInvite
from sipserver.sip.transactions.server_other import ServerOther
from tests.sip.messages import TCP, UDP, parse, request

TIMERS = Timers()
RINGING, OK, BUSY = b"ringing", b"ok", b"busy"


class Rig:
    """One transaction in a layer of its own."""

    def __init__(self, method: str, flow) -> None:
        self.layer = TransactionLayer(TIMERS, Deadlines(), Output())
        message = parse(request(method))
        target = (flow.transport, "192.0.2.1", 5060)
        if method == "INVITE":
            self.tx = ServerInvite(self.layer, message, flow, target, "tag")
        else:
            self.tx = ServerOther(self.layer, message, flow, target, 0.0)
        self.layer.add_server(self.tx, server_key(message, method), merge_key(message))

    def sent(self) -> list[bytes]:
        messages, self.layer.output.messages = self.layer.output.messages, []
        return [message.data for message in messages]

    def apply(self, what: str, now: float) -> str | None:
        try:
            if what == "repeated":
                self.tx.repeated(now)
            elif what == "ack":
                self.tx.acknowledged(now)
            elif what == "abandon":
                self.tx.abandon(now)
            elif what == "repeat answer":
                self.tx.repeat_answer(OK)
            elif what.startswith("wait"):
                self.layer.deadlines.run(now + float(what.split()[1]))
            else:
                data = {"1": RINGING, "2": OK}.get(what[0], BUSY)
                self.tx.respond(int(what), data, now)
        except LocalProtocolError:
            return "refused"
        return None


def rig_in(method: str, flow, *inputs: str) -> Rig:
    rig = Rig(method, flow)
    for what in inputs:
        rig.apply(what, 0.0)
    rig.sent()
    return rig


INVITE_STATES = {
    "proceeding": ("180",),
    "accepted": ("180", "200"),
    "completed": ("486",),
    "confirmed": ("486", "ack"),
    "terminated": ("486", "wait 32"),
}
# state, input → state after, sent (UDP). "wait" is from the moment the state was entered.
INVITE_TABLE = [
    ("proceeding", "repeated", "proceeding", [RINGING]),
    ("proceeding", "180", "proceeding", [RINGING]),
    ("proceeding", "200", "accepted", [OK]),
    ("proceeding", "486", "completed", [BUSY]),
    ("proceeding", "ack", "proceeding", []),
    ("proceeding", "repeat answer", "proceeding", []),
    ("proceeding", "wait 1000", "proceeding", []),
    ("proceeding", "abandon", "confirmed", []),
    ("accepted", "abandon", "refused", []),
    ("completed", "abandon", "refused", []),
    ("confirmed", "abandon", "refused", []),
    ("terminated", "abandon", "refused", []),
    ("accepted", "repeated", "accepted", []),
    ("accepted", "180", "refused", []),
    ("accepted", "200", "refused", []),
    ("accepted", "486", "refused", []),
    ("accepted", "ack", "accepted", []),
    ("accepted", "repeat answer", "accepted", [OK]),
    ("accepted", "wait 31.9", "accepted", []),
    ("accepted", "wait 32", "terminated", []),
    ("completed", "repeated", "completed", [BUSY]),
    ("completed", "180", "refused", []),
    ("completed", "200", "refused", []),
    ("completed", "486", "refused", []),
    ("completed", "ack", "confirmed", []),
    ("completed", "repeat answer", "completed", []),
    ("completed", "wait 0.4", "completed", []),
    ("completed", "wait 0.5", "completed", [BUSY]),
    ("completed", "wait 32", "terminated", [BUSY]),
    ("confirmed", "repeated", "confirmed", []),
    ("confirmed", "180", "refused", []),
    ("confirmed", "200", "refused", []),
    ("confirmed", "486", "refused", []),
    ("confirmed", "ack", "confirmed", []),
    ("confirmed", "repeat answer", "confirmed", []),
    ("confirmed", "wait 4.9", "confirmed", []),
    ("confirmed", "wait 5", "terminated", []),
    ("terminated", "repeated", "terminated", []),
    ("terminated", "180", "refused", []),
    ("terminated", "200", "refused", []),
    ("terminated", "486", "refused", []),
    ("terminated", "ack", "terminated", []),
    ("terminated", "repeat answer", "terminated", []),
    ("terminated", "wait 100", "terminated", []),
]


def check(rig: Rig, before: str, what: str, after: str, sent: list[bytes]) -> None:
    assert rig.tx.state.value == before
    refused = rig.apply(what, 0.0)
    assert rig.sent()[:1] == sent  # a wait may repeat more than once
    if after == "refused":
        assert refused
        assert rig.tx.state.value == before
    else:
        assert not refused
        assert rig.tx.state.value == after
    if rig.tx.state.value == "terminated":
        assert len(rig.layer) == 0
        assert len(rig.layer.deadlines) == 0


@pytest.mark.parametrize(("before", "what", "after", "sent"), INVITE_TABLE)
def test_invite_over_udp(before, what, after, sent):
    check(rig_in("INVITE", UDP, *INVITE_STATES[before]), before, what, after, sent)


def test_invite_table_is_complete():
    inputs = {"repeated", "180", "200", "486", "ack", "repeat answer", "abandon"}
    pairs = {(before, what) for before, what, _, _ in INVITE_TABLE}
    assert {s.value for s in server_invite.State} == INVITE_STATES.keys()
    assert {(s, i) for s in INVITE_STATES for i in inputs} <= pairs


@pytest.mark.parametrize(
    ("inputs", "what", "after", "sent"),
    [
        (("486",), "wait 31.9", "completed", []),  # no timer G
        (("486",), "wait 32", "terminated", []),  # timer H all the same
        (("486",), "repeated", "completed", [BUSY]),
        (("486",), "ack", "terminated", []),  # timer I is zero
        (("200",), "wait 31.9", "accepted", []),
        (("200",), "wait 32", "terminated", []),
    ],
)
def test_invite_over_tcp(inputs, what, after, sent):
    rig = rig_in("INVITE", TCP, *inputs)
    check(rig, rig.tx.state.value, what, after, sent)


def test_a_failure_is_repeated_at_doubling_intervals_until_64_t1():
    rig, at = rig_in("INVITE", UDP, "486"), []
    while (when := rig.layer.deadlines.next()) is not None:
        rig.layer.deadlines.run(when)
        at += [when] * len(rig.sent())
    assert at == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert rig.tx.state.value == "terminated"


OTHER_STATES = {
    "trying": (),
    "proceeding": ("100",),
    "completed": ("200",),
    "terminated": ("200", "wait 32"),
}
OTHER_TABLE = [
    ("trying", "repeated", "trying", []),
    ("trying", "100", "proceeding", [RINGING]),
    ("trying", "200", "completed", [OK]),
    ("trying", "486", "completed", [BUSY]),
    ("trying", "180", "refused", []),  # RFC 4320 4.1
    ("trying", "408", "refused", []),  # RFC 4320 4.2
    ("trying", "wait 31.9", "trying", []),
    ("trying", "wait 32", "terminated", []),
    ("proceeding", "repeated", "proceeding", [RINGING]),
    ("proceeding", "100", "proceeding", [RINGING]),
    ("proceeding", "200", "completed", [OK]),
    ("proceeding", "486", "completed", [BUSY]),
    ("proceeding", "180", "refused", []),
    ("proceeding", "408", "refused", []),
    ("proceeding", "wait 32", "terminated", []),
    ("completed", "repeated", "completed", [OK]),
    ("completed", "100", "refused", []),
    ("completed", "200", "refused", []),
    ("completed", "486", "refused", []),
    ("completed", "180", "refused", []),
    ("completed", "408", "refused", []),
    ("completed", "wait 31.9", "completed", []),
    ("completed", "wait 32", "terminated", []),
    ("terminated", "100", "refused", []),
    ("terminated", "200", "refused", []),
    ("terminated", "486", "refused", []),
    ("terminated", "180", "refused", []),
    ("terminated", "408", "refused", []),
    ("terminated", "wait 100", "terminated", []),
]


@pytest.mark.parametrize(("before", "what", "after", "sent"), OTHER_TABLE)
def test_other_over_udp(before, what, after, sent):
    check(rig_in("OPTIONS", UDP, *OTHER_STATES[before]), before, what, after, sent)


def test_other_table_is_complete():
    pairs = {(before, what) for before, what, _, _ in OTHER_TABLE}
    inputs = {"100", "200", "486", "180", "408"}
    assert {s.value for s in server_other.State} == OTHER_STATES.keys()
    assert {(s, i) for s in OTHER_STATES for i in inputs} <= pairs


def test_other_over_tcp_is_gone_with_its_final_response():
    rig = rig_in("OPTIONS", TCP)
    check(rig, "trying", "200", "terminated", [OK])


def test_a_pending_request_loses_its_handle_when_it_expires():
    rig = rig_in("INFO", UDP)
    number = rig.layer.number(rig.tx)
    assert rig.layer.numbered(number) is rig.tx
    rig.layer.deadlines.run(32.0)
    assert rig.layer.numbered(number) is None


# ---- matching, RFC 3261 17.2.3 -------------------------------------------------------------

BASE = {"method": "INVITE"}


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"cseq": 9, "call_id": "other"}, True),  # the branch alone identifies
        ({"branch": "z9hG4bKtwo"}, False),
        ({"via": "192.0.2.1:5062"}, False),
        ({"via": "192.0.2.2:5060"}, False),
        ({"method": "OPTIONS"}, False),
        ({"method": "CANCEL"}, False),
    ],
)
def test_matching_by_branch_sent_by_and_method(change, same):
    one = parse(request(**BASE))
    other = parse(request(**{**BASE, **change}))
    assert (server_key(one, one.method) == server_key(other, other.method)) is same


def test_ack_and_cancel_find_the_invite():
    invite = parse(request())
    for method in ("ACK", "CANCEL"):
        assert server_key(parse(request(method)), "INVITE") == server_key(invite, "INVITE")


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"to": "<sip:100@192.0.2.9>;tag=x"}, True),  # the ACK has one
        ({"cseq": 2}, False),
        ({"call_id": "other"}, False),
        ({"from_": "<sip:alice@192.0.2.1>;tag=2"}, False),
        ({"uri": "sip:101@192.0.2.9"}, False),
        ({"via": "192.0.2.3"}, False),
    ],
)
def test_matching_of_rfc_2543_clients(change, same):
    one = parse(request(branch="old"))
    other = parse(request(**{"branch": "old", **change}))
    assert (server_key(one, "INVITE") == server_key(other, "INVITE")) is same


def test_merged_requests_are_those_with_the_same_identity_and_another_branch():
    rig = Rig("INVITE", UDP)
    assert rig.layer.is_merged(merge_key(parse(request(branch="z9hG4bKother"))))
    assert not rig.layer.is_merged(merge_key(parse(request(branch="z9hG4bKother", cseq=2))))
    rig.apply("486", 0.0)
    rig.layer.deadlines.run(32.0)
    assert not rig.layer.is_merged(merge_key(parse(request(branch="z9hG4bKother"))))
