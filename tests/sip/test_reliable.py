"""100rel and PRACK (RFC 3262), as the one who answers and as the one who calls."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sipserver.sip.errors import LocalProtocolError
from sipserver.sip.events import (
    Cancelled,
    Ended,
    IncomingInvite,
    OutgoingAnswered,
    OutgoingProgress,
    SessionOffer,
)
from tests.fakes.virtual_wire import Faults, Wire
from tests.sip.client_node import Caller
from tests.sip.messages import SDP, parse, request
from tests.sip.server_node import Node

REQUIRED = {"extra": [("Require", "100rel")]}


class ReliableNode(Node):
    """A server whose caller requires 100rel."""

    def ring(self, status=180, body=b"", now=0.0) -> list[str]:
        self.engine.ring(self.usage, now, status=status, body=body)
        return self.sent()

    def sent(self) -> list[str]:
        sent = self.take()
        if sent and sent[-1][0] == "1":
            self.tag = self.last().to.tag
            self.rseq = int(self.last().headers.get("RSeq"))
        return sent

    def prack(self, rack=None, *, cseq=2, now=0.0, body=b"") -> list[str]:
        rack = rack or f"{self.rseq} 1 INVITE"
        return self.send("PRACK", now, cseq=cseq, extra=[("RAck", rack)], body=body)

    @classmethod
    def called(cls, **parts):
        node = cls()
        node.usage = node.invite(**(REQUIRED | parts))
        return node


@pytest.mark.parametrize("header", ["Supported", "Allow"])
def test_without_require_a_180_is_plain(header):
    node = Node()
    usage = node.invite(extra=[(header, "100rel")])
    node.engine.ring(usage, 0.0, status=183, body=SDP)
    assert node.take() == ["183 INVITE"]
    assert "RSeq" not in node.last().headers
    assert "Require" not in node.last().headers


def test_a_required_180_is_repeated_until_its_prack():
    node = ReliableNode.called()
    assert node.ring() == ["180 INVITE"]
    ringing = node.last()
    assert ringing.require == ("100rel",)
    assert 1 <= node.rseq < 2**31
    assert ringing.contact is not None
    assert node.wait(4.0) == [(0.5, "180 INVITE"), (1.5, "180 INVITE"), (3.5, "180 INVITE")]
    assert node.prack(now=4.0) == ["200 PRACK"]
    assert node.wait(30.0) == []
    assert node.told() == []
    node.engine.answer(node.usage, SDP, 30.0)
    assert node.take() == ["200 INVITE"]


@pytest.mark.parametrize(
    "rack", ["{other} 1 INVITE", "{rseq} 2 INVITE", "{rseq} 1 UPDATE", "x", "", "{rseq} 1"]
)
def test_a_stray_prack_is_481_and_stops_nothing(rack):
    node = ReliableNode.called()
    node.ring()
    assert node.prack(rack.format(rseq=node.rseq, other=node.rseq + 1) or " ") == ["481 PRACK"]
    assert node.wait(0.5) == [(0.5, "180 INVITE")]


def test_a_second_prack_is_481_and_its_copy_gets_the_200_again():
    node = ReliableNode.called()
    node.ring()
    assert node.prack() == ["200 PRACK"]
    assert node.prack() == ["200 PRACK"]  # the same transaction
    assert node.prack(cseq=3) == ["481 PRACK"]


def test_prack_without_any_reliable_response_is_481():
    node = Node()
    node.ringing()
    assert node.send("PRACK", cseq=2, extra=[("RAck", "1 1 INVITE")]) == ["481 PRACK"]


def test_one_at_a_time():
    node = ReliableNode.called()
    assert node.ring() == ["180 INVITE"]
    first = node.rseq
    assert node.ring(183, SDP) == []
    assert node.ring(182) == []
    assert node.prack() == ["200 PRACK", "183 INVITE"]
    assert int(node.last().headers.get("RSeq")) == first + 1
    assert node.last().body == SDP
    assert node.prack(f"{first} 1 INVITE", cseq=3) == ["481 PRACK"]
    assert node.prack(f"{first + 1} 1 INVITE", cseq=4) == ["200 PRACK", "182 INVITE"]


def test_no_prack_in_64_t1_ends_the_call():
    node = ReliableNode.called()
    node.ring()
    assert node.wait(32.0)[-1] == (32.0, "504 INVITE")
    assert node.told() == [Ended(node.usage, "prack-timeout")]
    node.wait(200.0)
    assert node.empty()


def test_the_answer_waits_for_the_prack_of_early_sdp():
    node = ReliableNode.called()
    node.ring(183, SDP)
    node.engine.answer(node.usage, SDP, 0.1)
    assert node.take() == []
    with pytest.raises(LocalProtocolError):
        node.engine.answer(node.usage, SDP, 0.1)
    assert node.prack(now=0.2) == ["200 PRACK", "200 INVITE"]
    node.send("ACK", 0.3)
    assert [type(each).__name__ for each in node.told()] == ["Acknowledged"]


def test_the_answer_does_not_wait_for_a_180_without_sdp():
    node = ReliableNode.called()
    node.ring()
    node.ring(183, SDP)  # in the queue, and outrun by the answer
    node.engine.answer(node.usage, SDP, 0.1)
    assert node.take() == ["200 INVITE"]
    assert node.prack(now=0.2) == ["200 PRACK"]  # RFC 3262 3: still answered, after the 2xx
    assert {what for _, what in node.wait(10.0)} == {"200 INVITE"}


def test_hanging_up_while_the_answer_waits():
    node = ReliableNode.called()
    node.ring(183, SDP)
    node.engine.answer(node.usage, SDP, 0.1)
    node.engine.bye(node.usage, 0.1)
    assert node.take() == []
    assert node.prack(now=0.2) == ["200 PRACK", "200 INVITE"]
    assert node.send("ACK", 0.3) == ["BYE"]


def test_cancel_while_the_answer_waits():
    node = ReliableNode.called()
    node.ring(183, SDP)
    node.engine.answer(node.usage, SDP, 0.1)
    assert node.put(request("CANCEL"), 0.2) == ["200 CANCEL", "487 INVITE"]
    (told,) = node.told()
    assert isinstance(told, Cancelled)
    node.send("ACK", 0.3, branch="z9hG4bKone")
    assert node.wait(100.0) == []
    assert node.empty()


@pytest.mark.parametrize("body", [b"", SDP])
def test_a_refusal_waits_for_nothing(body):
    node = ReliableNode.called()
    node.ring(183, body)
    node.engine.reject(node.usage, 486, None, 0.1)
    assert node.take() == ["486 INVITE"]
    assert {what for _, what in node.wait(100.0)} == {"486 INVITE"}
    assert node.empty()


def test_without_offer_there_is_nothing_before_the_200():
    node = ReliableNode.called(body=b"")
    assert node.ring() == []
    node.engine.answer(node.usage, SDP, 1.0)
    assert node.take() == ["200 INVITE"]


def test_an_offer_in_the_prack_is_answered_in_its_200():
    node = ReliableNode.called()
    node.ring(183, SDP)
    assert node.prack(body=SDP) == []
    (offer,) = node.told()
    assert isinstance(offer, SessionOffer)
    node.engine.answer_offer(node.usage, SDP, 0.1)
    assert node.take() == ["200 PRACK"]
    assert node.last().body == SDP


def test_a_prack_with_a_body_that_cannot_be_read_is_refused():
    node = ReliableNode.called()
    node.ring(183, SDP)
    parts = {"cseq": 2, "extra": [("RAck", f"{node.rseq} 1 INVITE")], "body": b"x"}
    assert node.send("PRACK", content_type="text/plain", **parts) == ["415 PRACK"]


# ---- as a client ---------------------------------------------------------------------------


def reliable(number: int) -> dict:
    return {"extra": [("Require", "100rel"), ("RSeq", str(number))]}


def test_our_invite_supports_100rel():
    caller = Caller()
    caller.call()
    assert "100rel" in caller.last().supported
    assert "PRACK" in caller.last().headers.get("Allow")


def test_a_reliable_provisional_is_acknowledged_and_told_once():
    caller = Caller()
    caller.call()
    assert caller.reply(180, **reliable(7)) == ["PRACK"]
    prack = caller.last()
    assert prack.headers.get("RAck") == "7 1 INVITE"
    assert prack.uri_text == "sip:bob@192.0.2.1:5060"
    assert prack.to.tag == "to1"
    assert prack.cseq.number == 2
    assert prack.body == b""
    assert caller.reply(180, **reliable(7)) == []
    assert caller.reply(183, **reliable(9)) == []  # 8 is still on its way
    assert caller.reply(183, **reliable(8), body=SDP) == ["PRACK"]
    assert [each.response.status for each in caller.told()] == [180, 183]


def test_forks_count_for_themselves():
    caller = Caller()
    caller.call()
    assert caller.reply(180, tag="a", **reliable(7)) == ["PRACK"]
    assert caller.reply(180, tag="b", **reliable(3)) == ["PRACK"]
    assert caller.reply(183, tag="a", **reliable(8)) == ["PRACK"]


@pytest.mark.parametrize(
    "extra",
    [[("RSeq", "7")], [("Require", "100rel")], [("Require", "100rel"), ("RSeq", "x")]],
)
def test_what_is_not_reliable_gets_no_prack(extra):
    caller = Caller()
    caller.call()
    assert caller.reply(180, extra=extra) == []
    assert len(caller.told()) == 1


def test_the_numbers_of_the_dialog_go_on_after_the_prack():
    caller = Caller()
    usage = caller.call()
    caller.reply(180, **reliable(1))
    caller.reply(200, body=SDP)
    caller.engine.acknowledge(usage, 0.0)
    assert caller.take() == ["ACK"]
    assert caller.last().cseq.number == 1
    caller.engine.bye(usage, 0.0)
    caller.take()
    assert caller.last().cseq.number == 3


def test_a_failing_prack_does_not_end_the_call():
    caller = Caller()
    caller.call()
    caller.reply(180, **reliable(1))
    caller.wait(31.0)
    caller.reply(180, 31.0, **reliable(2))
    caller.wait(40.0)
    assert [type(each) for each in caller.told()] == [OutgoingProgress, OutgoingProgress]
    caller.reply(200, 41.0, body=SDP)
    assert isinstance(caller.told()[0], OutgoingAnswered)


# ---- both, with losses ---------------------------------------------------------------------


def call_over(seed: int, faults: Faults):
    """A call that requires 100rel, with four provisional responses; returns the two sides."""
    wire = Wire(seed, faults)
    alice, bob = wire.add("alice", "192.0.2.1"), wire.add("bob", "192.0.2.2")

    def bobs(peer, event, now):
        if isinstance(event, IncomingInvite):
            for status in (180, 181, 182):
                peer.engine.ring(event.usage, now, status=status)
            peer.engine.ring(event.usage, now, status=183, body=SDP)
            wire.at(40.0, lambda: answer(event.usage))

    def answer(usage):
        if not bob.of(Ended):
            bob.engine.answer(usage, SDP, wire.now)

    def alices(peer, event, now):
        if isinstance(event, OutgoingAnswered):
            peer.engine.acknowledge(event.usage, now)
            wire.at(now + 20.0, lambda: peer.engine.bye(event.usage, wire.now))

    alice.react, bob.react = alices, bobs
    alice.engine.invite(
        "sip:bob@192.0.2.2",
        "<sip:alice@192.0.2.1>",
        "<sip:bob@192.0.2.2>",
        SDP,
        0.0,
        flow=wire.flow(alice, bob),
        headers=[("Require", "100rel")],
    )
    wire.run(300.0)
    return alice, bob


def provisionals(alice) -> list[int]:
    return [each.response.status for each in alice.of(OutgoingProgress)]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**32),
    faults=st.builds(
        Faults,
        loss=st.floats(0, 0.4),
        duplication=st.floats(0, 0.3),
        delay=st.tuples(st.floats(0, 0.2), st.floats(0.2, 1.0)),
    ),
)
def test_reliable_responses_arrive_in_order_and_leave_nothing(seed, faults):
    sides = call_over(seed, faults)
    told = provisionals(sides[0])
    assert told == [180, 181, 182, 183][: len(told)]
    for peer in sides:
        assert not any(peer.engine.sizes.values()), (peer.name, peer.engine.sizes)


@pytest.mark.parametrize("seed", range(5))
def test_losses_are_made_good(seed):
    alice, bob = call_over(seed, Faults(loss=0.2, duplication=0.1, delay=(0.01, 0.2)))
    assert provisionals(alice) == [180, 181, 182, 183]
    assert [each.cause for each in bob.of(Ended)] == ["bye"]


def test_the_prack_follows_the_route_set():
    caller = Caller()
    caller.call()
    routes = [("Record-Route", "<sip:192.0.2.50;lr>, <sip:192.0.2.51;lr>")]
    caller.reply(180, extra=[*reliable(1)["extra"], *routes])
    prack = parse(caller.outgoing[-1].data)
    assert [str(route) for route in prack.routes] == ["<sip:192.0.2.51;lr>", "<sip:192.0.2.50;lr>"]
    assert caller.outgoing[-1].target == ("udp", "192.0.2.51", 5060)
