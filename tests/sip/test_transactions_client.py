"""Every (state, input) pair of the client transactions: state after, what is sent, what is told."""

from __future__ import annotations

import pytest

from sipserver.sip.timers import Deadlines, Timers
from sipserver.sip.transactions import client_invite, client_other
from sipserver.sip.transactions.client_invite import ClientInvite
from sipserver.sip.transactions.client_other import ClientOther
from sipserver.sip.transactions.layer import Output, TransactionLayer
from tests.fakes.virtual_wire import summary
from tests.sip.messages import TCP, UDP, parse, request, response


class Rig:
    def __init__(self, method: str, flow) -> None:
        self.layer = TransactionLayer(Timers(), Deadlines(), Output())
        self.told: list[int] = []
        self.flow = flow
        self.data = request(method)
        message = parse(self.data)
        target = (flow.transport, "192.0.2.1", 5060)
        if method == "INVITE":
            self.tx = ClientInvite(
                self.layer,
                message,
                flow,
                target,
                lambda r, _flow, _now: self.told.append(r.status),
                lambda status, _now: self.told.append(status),
                0.0,
                usage=0,
            )
        else:
            self.tx = ClientOther(
                self.layer, message, flow, target, lambda s, _r, _now: self.told.append(s), 0.0
            )
        self.layer.add_client(self.tx)

    def take(self) -> tuple[list[str], list[int]]:
        messages, self.layer.output.messages = self.layer.output.messages, []
        told, self.told = self.told, []
        return [summary(message.data) for message in messages], told

    def apply(self, what: str, now: float = 0.0) -> None:
        if what == "failed":
            self.tx.failed(now)
        elif what.startswith("wait"):
            self.layer.deadlines.run(now + float(what.split()[1]))
        else:
            self.tx.receive(parse(response(self.data, int(what))), self.flow, now)


def rig_in(method: str, flow, *inputs: str) -> Rig:
    rig = Rig(method, flow)
    for what in inputs:
        rig.apply(what)
    rig.take()
    return rig


INVITE_STATES = {
    "calling": (),
    "proceeding": ("180",),
    "accepted": ("200",),
    "completed": ("486",),
    "terminated": ("200", "wait 32"),
}
INVITE_TABLE = [
    ("calling", "180", "proceeding", [], [180]),
    ("calling", "200", "accepted", [], [200]),
    ("calling", "486", "completed", ["ACK"], [486]),
    ("calling", "failed", "terminated", [], [503]),
    ("calling", "wait 0.4", "calling", [], []),
    ("calling", "wait 0.5", "calling", ["INVITE"], []),
    ("calling", "wait 32", "terminated", ["INVITE"], [408]),
    ("proceeding", "180", "proceeding", [], [180]),
    ("proceeding", "200", "accepted", [], [200]),
    ("proceeding", "486", "completed", ["ACK"], [486]),
    ("proceeding", "failed", "terminated", [], [503]),
    ("proceeding", "wait 1000", "proceeding", [], []),
    ("accepted", "180", "accepted", [], []),
    ("accepted", "200", "accepted", [], [200]),
    ("accepted", "486", "accepted", [], []),
    ("accepted", "failed", "accepted", [], []),
    ("accepted", "wait 31.9", "accepted", [], []),
    ("accepted", "wait 32", "terminated", [], []),
    ("completed", "180", "completed", [], []),
    ("completed", "200", "completed", [], []),
    ("completed", "486", "completed", ["ACK"], []),
    ("completed", "failed", "completed", [], []),
    ("completed", "wait 31.9", "completed", [], []),
    ("completed", "wait 32", "terminated", [], []),
    ("terminated", "180", "terminated", [], []),
    ("terminated", "200", "terminated", [], []),
    ("terminated", "486", "terminated", [], []),
    ("terminated", "failed", "terminated", [], []),
    ("terminated", "wait 100", "terminated", [], []),
]
OTHER_STATES = {
    "trying": (),
    "proceeding": ("100",),
    "completed": ("200",),
    "terminated": ("200", "wait 5"),
}
OTHER_TABLE = [
    ("trying", "100", "proceeding", [], []),
    ("trying", "200", "completed", [], [200]),
    ("trying", "404", "completed", [], [404]),
    ("trying", "failed", "terminated", [], [503]),
    ("trying", "wait 0.5", "trying", ["OPTIONS"], []),
    ("trying", "wait 32", "terminated", ["OPTIONS"], [408]),
    ("proceeding", "100", "proceeding", [], []),
    ("proceeding", "200", "completed", [], [200]),
    ("proceeding", "404", "completed", [], [404]),
    ("proceeding", "failed", "terminated", [], [503]),
    ("proceeding", "wait 32", "terminated", ["OPTIONS"], [408]),
    ("completed", "100", "completed", [], []),
    ("completed", "200", "completed", [], []),
    ("completed", "404", "completed", [], []),
    ("completed", "failed", "completed", [], []),
    ("completed", "wait 4.9", "completed", [], []),
    ("completed", "wait 5", "terminated", [], []),
    ("terminated", "100", "terminated", [], []),
    ("terminated", "200", "terminated", [], []),
    ("terminated", "404", "terminated", [], []),
    ("terminated", "failed", "terminated", [], []),
    ("terminated", "wait 100", "terminated", [], []),
]


def check(rig: Rig, before: str, what: str, after: str, sent, told) -> None:
    assert rig.tx.state.value == before
    rig.apply(what)
    really_sent, really_told = rig.take()
    assert really_sent[:1] == sent  # a wait may repeat more than once
    assert really_told == told
    assert rig.tx.state.value == after
    if after == "terminated":
        assert len(rig.layer) == 0
        assert len(rig.layer.deadlines) == 0


@pytest.mark.parametrize(("before", "what", "after", "sent", "told"), INVITE_TABLE)
def test_invite_over_udp(before, what, after, sent, told):
    check(rig_in("INVITE", UDP, *INVITE_STATES[before]), before, what, after, sent, told)


@pytest.mark.parametrize(("before", "what", "after", "sent", "told"), OTHER_TABLE)
def test_other_over_udp(before, what, after, sent, told):
    check(rig_in("OPTIONS", UDP, *OTHER_STATES[before]), before, what, after, sent, told)


def test_tables_are_complete():
    for states, machine, table, inputs in (
        (INVITE_STATES, client_invite, INVITE_TABLE, {"180", "200", "486", "failed"}),
        (OTHER_STATES, client_other, OTHER_TABLE, {"100", "200", "404", "failed"}),
    ):
        pairs = {(before, what) for before, what, *_ in table}
        assert {s.value for s in machine.State} == states.keys()
        assert {(s, i) for s in states for i in inputs} <= pairs


@pytest.mark.parametrize(
    ("method", "inputs", "what", "after", "sent", "told"),
    [
        ("INVITE", (), "wait 31.9", "calling", [], []),
        ("INVITE", (), "wait 32", "terminated", [], [408]),
        ("INVITE", (), "486", "terminated", ["ACK"], [486]),
        ("INVITE", ("200",), "wait 31.9", "accepted", [], []),
        ("OPTIONS", (), "wait 31.9", "trying", [], []),
        ("OPTIONS", (), "wait 32", "terminated", [], [408]),
        ("OPTIONS", (), "200", "terminated", [], [200]),
    ],
)
def test_over_tcp_nothing_is_repeated(method, inputs, what, after, sent, told):
    rig = rig_in(method, TCP, *inputs)
    check(rig, rig.tx.state.value, what, after, sent, told)


def repetitions(rig: Rig) -> list[float]:
    at = []
    while (when := rig.layer.deadlines.next()) is not None:
        rig.layer.deadlines.run(when)
        at += [when] * len(rig.take()[0])
    return at


def test_intervals_of_timer_a_double_without_ceiling():
    assert repetitions(rig_in("INVITE", UDP)) == [0.5, 1.5, 3.5, 7.5, 15.5, 31.5]


def test_intervals_of_timer_e_double_up_to_t2():
    expected = [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert repetitions(rig_in("OPTIONS", UDP)) == expected


def test_a_provisional_response_slows_timer_e_to_t2():
    expected = [0.5, 4.5, 8.5, 12.5, 16.5, 20.5, 24.5, 28.5]
    assert repetitions(rig_in("OPTIONS", UDP, "100")) == expected


def test_the_limit_after_a_cancel_outlives_further_provisional_responses():
    rig = rig_in("INVITE", UDP, "180")
    rig.tx.limit_to(32.0)
    rig.apply("183")
    rig.take()
    rig.layer.deadlines.run(32.0)
    assert rig.take() == ([], [408])


def test_the_ack_of_a_failure_keeps_branch_and_takes_the_to_tag():
    rig = Rig("INVITE", UDP)
    rig.apply("486")
    ack = parse(rig.layer.output.messages[-1].data)
    assert ack.method == "ACK"
    assert ack.via.branch == rig.tx.request.via.branch
    assert ack.to.tag == "to1"
    assert (ack.cseq.number, ack.cseq.method) == (1, "ACK")


def test_responses_match_by_branch_and_method_of_cseq():
    rig = Rig("INVITE", UDP)
    assert rig.layer.client(parse(response(rig.data, 200))) is rig.tx
    assert rig.layer.client(parse(response(request("CANCEL"), 200))) is None
    assert rig.layer.client(parse(response(request(branch="z9hG4bKother"), 200))) is None


def test_a_lost_connection_fails_what_waits_on_it():
    rig = rig_in("OPTIONS", TCP)
    rig.layer.flow_lost(TCP._replace(connection=8), 1.0)
    assert rig.take() == ([], [])
    rig.layer.flow_lost(TCP, 1.0)
    assert rig.take() == ([], [503])
