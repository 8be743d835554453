"""The life of an incoming call: ringing, answer, ACK, CANCEL, BYE."""

from __future__ import annotations

import pytest

from sipserver.sip.errors import LocalProtocolError
from sipserver.sip.events import (
    Acknowledged,
    Cancelled,
    Ended,
    IncomingInvite,
)
from sipserver.sip.invite_usage import UsageEnded
from tests.fakes.virtual_wire import summary
from tests.sip.messages import SDP, TCP, UDP, parse, request, response
from tests.sip.server_node import CONFIG, Node

# ---- an incoming call ------------------------------------------------------------------------


def test_a_whole_call_and_its_ladder():
    node = Node()
    usage = node.ringing()
    node.engine.answer(usage, SDP, 1.0, headers=[("X-Call", "7")])
    assert node.take() == ["200 INVITE"]
    answer = node.last()
    assert answer.body == SDP
    assert answer.content_type == "application/sdp"
    assert str(answer.contact.uri) == "sip:100@192.0.2.9:5060;transport=udp"
    assert answer.to.tag == node.tag
    assert answer.headers.get("Allow") == CONFIG.allow_value
    assert answer.headers.get("X-Call") == "7"
    node.send("ACK", 1.1)
    assert node.send("BYE", 2.0, cseq=2) == ["200 BYE"]
    acknowledged, ended = (e for e in node.events if isinstance(e, (Acknowledged, Ended)))
    assert acknowledged == Acknowledged(usage, b"")
    assert (ended.usage, ended.cause) == (usage, "bye")
    assert node.send("BYE", 2.5, cseq=2) == ["200 BYE"]  # a copy
    assert node.send("INFO", 2.5, cseq=3) == ["481 INFO"]
    assert node.wait(100.0) == []
    assert node.empty()


def test_the_trace_has_each_message_once_and_begins_after_the_call_is_told():
    node = Node()
    node.engine.receive(request(body=SDP), UDP, 0.0)
    node.engine.receive(request(body=SDP), UDP, 0.4)
    first, *traces = node.engine.take_events()
    assert isinstance(first, IncomingInvite)
    assert [(t.outbound, summary(t.data)) for t in traces] == [
        (False, "INVITE"),
        (True, "100 INVITE"),
    ]
    node.engine.reject(first.usage, 407, None, 1.0)
    node.take()
    tag = node.last().to.tag
    node.events = []
    for now in (1.1, 1.2):
        node.put(request("ACK", to=f"<sip:100@192.0.2.9>;tag={tag}"), now)
    assert [(t.usage, t.outbound, summary(t.data)) for t in node.events] == [
        (first.usage, False, "ACK")
    ]


def test_a_retransmitted_invite_gets_the_last_response_and_no_second_call():
    node = Node()
    usage = node.invite()
    assert node.put(request(body=SDP)) == ["100 INVITE"]
    node.engine.ring(usage, 0.0)
    node.take()
    assert node.put(request(body=SDP)) == ["180 INVITE"]
    node.engine.answer(usage, SDP, 0.0)
    node.take()
    assert node.put(request(body=SDP)) == []  # RFC 6026: the 2xx has its own rhythm
    assert node.told() == []


@pytest.mark.parametrize("flow", [UDP, TCP])
def test_the_2xx_is_repeated_until_64_t1_then_bye(flow):
    node = Node(flow)
    usage = node.answered()
    sent = node.wait(32.0)
    assert [at for at, what in sent if what == "200 INVITE"] == [
        *(0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5)
    ]
    assert sent[-1] == (32.0, "BYE")
    assert node.told() == [Ended(usage, "ack-timeout")]
    node.wait(64.0)
    assert node.empty()
    assert node.told() == []


def test_the_ack_stops_the_repetition():
    node = Node()
    usage = node.answered()
    assert [what for _, what in node.wait(2.0)] == ["200 INVITE", "200 INVITE"]
    node.send("ACK", 2.0)
    node.send("ACK", 2.1)
    assert node.told() == [Acknowledged(usage, b"")]
    assert node.wait(1000.0) == []
    assert node.engine.sizes == {"usages": 1, "dialogs": 1, "transactions": 0, "deadlines": 0}


@pytest.mark.parametrize("wrong", [{"cseq": 2}, {"to": "<sip:100@192.0.2.9>;tag=other"}])
def test_an_ack_of_something_else_does_not_count(wrong):
    node = Node()
    node.answered()
    assert node.send("ACK", branch="z9hG4bKack", **wrong) == []
    assert node.told() == []
    assert [what for _, what in node.wait(0.5)] == ["200 INVITE"]


def test_a_late_offer_gets_its_answer_from_the_ack():
    node = Node()
    usage = node.answered(body=b"")
    assert node.last().body == SDP
    node.send("ACK", body=b"v=0\r\n")
    assert node.told() == [Acknowledged(usage, b"v=0\r\n")]


def test_ringing_is_repeated_every_minute():
    node = Node()
    usage = node.ringing()
    assert node.wait(180.0) == [(60.0 * n, "180 INVITE") for n in (1, 2, 3)]
    node.engine.reject(usage, 480, None, 181.0)
    node.take()
    node.put(request("ACK", to=f"<sip:100@192.0.2.9>;tag={node.tag}"), 181.1)
    node.wait(400.0)
    assert node.empty()


def test_a_rejected_call_is_over_after_its_ack():
    node = Node()
    usage = node.invite()
    node.engine.reject(usage, 486, "Busy", 0.0, headers=[("X-Error", "1")])
    assert node.take() == ["486 INVITE"]
    assert node.last().reason == "Busy"
    assert node.last().headers.get("X-Error") == "1"
    assert [what for _, what in node.wait(1.0)] == ["486 INVITE"]
    node.put(request("ACK"), 1.0)
    assert node.wait(5.9) == []
    assert node.engine.sizes["transactions"] == 1
    node.wait(6.0)
    assert node.empty()
    assert node.told() == []


def test_a_dropped_call_gets_no_final_response_and_starts_no_second_call():
    node = Node()
    usage = node.invite()
    node.engine.drop(usage, 0.0)
    node.engine.drop(usage, 0.0)
    assert node.put(request(body=SDP), 1.0) == []
    assert node.put(request("CANCEL"), 2.0) == ["200 CANCEL"]
    assert node.told() == []
    assert node.wait(31.9) == []
    assert node.engine.sizes["usages"] == 0
    node.wait(34.0)
    assert node.empty()


def test_commands_for_a_call_that_is_over():
    node = Node()
    usage = node.invite()
    node.engine.reject(usage, 486, None, 0.0)
    node.engine.reject(usage, 486, None, 0.0)
    node.engine.bye(usage, 0.0)
    node.engine.cancel(usage, 0.0)
    assert node.take() == ["486 INVITE"]
    for command in (
        lambda: node.engine.ring(usage, 0.0),
        lambda: node.engine.answer(usage, SDP, 0.0),
        lambda: node.engine.answer_offer(usage, SDP, 0.0),
        lambda: node.engine.request(usage, "INFO", 0.0),
    ):
        with pytest.raises(UsageEnded):
            command()


@pytest.mark.parametrize(
    "command",
    [
        lambda engine, usage: engine.bye(usage, 0.0),
        lambda engine, usage: engine.ring(usage, 0.0, status=100),
        lambda engine, usage: engine.ring(usage, 0.0, status=200),
        lambda engine, usage: engine.reject(usage, 200, None, 0.0),
        lambda engine, usage: engine.cancel(usage, 0.0),
        lambda engine, usage: engine.acknowledge(usage, 0.0),
        lambda engine, usage: engine.answer_offer(usage, SDP, 0.0),
        lambda engine, usage: engine.reinvite(usage, SDP, 0.0),
        lambda engine, usage: engine.retry_invite(usage, (), 0.0),
        lambda engine, usage: engine.request(usage, "INFO", 0.0),
    ],
)
def test_commands_that_an_unanswered_call_does_not_allow(command):
    node = Node()
    usage = node.invite()
    with pytest.raises(LocalProtocolError):
        command(node.engine, usage)
    assert node.take() == []
    node.engine.ring(usage, 0.0)  # and it is still alive
    assert node.take() == ["180 INVITE"]


@pytest.mark.parametrize(
    "command",
    [
        lambda engine, usage: engine.answer(usage, SDP, 0.0),
        lambda engine, usage: engine.ring(usage, 0.0),
        lambda engine, usage: engine.reject(usage, 486, None, 0.0),
        lambda engine, usage: engine.drop(usage, 0.0),
        lambda engine, usage: engine.acknowledge(usage, 0.0),
        lambda engine, usage: engine.retry_invite(usage, (), 0.0),
        lambda engine, usage: engine.refuse_offer(usage, 200, 0.0),
        lambda engine, usage: engine.request(usage, "BYE", 0.0),
        lambda engine, usage: engine.request(usage, "INFO", 0.0, [("X", "a\nb")]),
        lambda engine, usage: engine.bye(usage, 0.0, headers=[("X", "a\nb")]),
        lambda engine, usage: engine.reinvite(usage, b"", 0.0) and engine.reinvite(usage, b"", 0),
    ],
)
def test_commands_that_a_call_that_is_up_does_not_allow(command):
    node = Node()
    usage = node.up()
    with pytest.raises(LocalProtocolError):
        command(node.engine, usage)
    node.take()
    node.engine.bye(usage, 1.0)  # and it is still alive
    assert node.take() == ["BYE"]


def test_a_caller_without_contact_is_addressed_by_its_from():
    node = Node()
    usage = node.up(contact=None)
    node.engine.bye(usage, 1.0)
    node.take()
    assert node.last().uri_text == "sip:alice@192.0.2.1"
    assert node.outgoing[0].flow == UDP


# ---- CANCEL ----------------------------------------------------------------------------------


@pytest.mark.parametrize("ring", [False, True])
def test_cancel_before_the_answer(ring):
    node = Node()
    usage = node.ringing() if ring else node.invite()
    assert node.put(request("CANCEL")) == ["200 CANCEL", "487 INVITE"]
    tags = {parse(each.data).to.tag for each in node.outgoing}
    assert len(tags) == 1
    (event,) = node.told()
    assert isinstance(event, Cancelled)
    assert event.usage == usage
    assert node.put(request("CANCEL")) == ["200 CANCEL"]
    node.engine.reject(usage, 486, None, 0.0)
    with pytest.raises(UsageEnded):
        node.engine.answer(usage, SDP, 0.0)
    assert node.put(request("ACK"), 0.1) == []
    node.wait(100.0)
    assert node.empty()


def test_cancel_after_the_answer_changes_nothing():
    node = Node()
    usage = node.answered()
    assert node.put(request("CANCEL")) == ["200 CANCEL"]
    assert node.told() == []
    node.send("ACK")
    assert node.told() == [Acknowledged(usage, b"")]


def test_cancel_after_the_rejection_changes_nothing():
    node = Node()
    node.engine.reject(node.invite(), 486, None, 0.0)
    node.take()
    assert node.put(request("CANCEL")) == ["200 CANCEL"]
    assert node.told() == []


def test_cancel_before_its_invite_is_481_and_the_invite_then_rings():
    node = Node()
    assert node.put(request("CANCEL")) == ["481 CANCEL"]
    node.invite()


# ---- BYE -------------------------------------------------------------------------------------


def test_bye_of_the_caller_in_the_early_dialog_is_a_cancel():
    node = Node()
    usage = node.ringing()
    assert node.send("BYE", cseq=2) == ["200 BYE", "487 INVITE"]
    (event,) = node.told()
    assert isinstance(event, Cancelled)
    assert event.request.method == "BYE"
    node.put(request("ACK"))
    node.wait(100.0)
    assert node.empty()
    assert usage


def test_bye_of_the_caller_before_its_ack():
    node = Node()
    usage = node.answered()
    assert node.send("BYE", cseq=2) == ["200 BYE"]
    (event,) = node.told()
    assert (event.usage, event.cause) == (usage, "bye")
    assert node.wait(100.0) == []
    assert node.empty()


def test_our_bye_waits_for_the_ack():
    node = Node()
    usage = node.answered()
    node.engine.bye(usage, 0.1, headers=[("Reason", "SIP;cause=200")])
    assert node.take() == []
    assert node.send("ACK", 0.2) == ["BYE"]
    bye = node.last()
    assert bye.headers.get("Reason") == "SIP;cause=200"
    assert bye.from_.tag == node.tag
    assert bye.to.tag == "from1"
    assert bye.uri_text == "sip:alice@192.0.2.1:5060"
    assert node.told() == [Acknowledged(usage, b"")]
    assert node.put(response(node.outgoing[-1].data, 200), 0.3) == []
    assert node.told() == [Ended(usage, "local")]
    node.wait(100.0)
    assert node.empty()


def test_our_bye_without_answer_ends_after_64_t1():
    node = Node()
    usage = node.up()
    node.engine.bye(usage, 1.0)
    node.engine.bye(usage, 1.1)
    assert node.take() == ["BYE"]
    assert node.send("INFO", 1.5, cseq=2) == ["481 INFO"]
    node.wait(33.0)
    assert node.told() == [Ended(usage, "local")]
    node.wait(33.5)  # the INFO's transaction
    assert node.empty()


def test_crossing_byes():
    node = Node()
    usage = node.up()
    node.engine.bye(usage, 1.0)
    node.take()
    ours = node.outgoing[-1].data
    assert node.send("BYE", 1.1, cseq=2) == ["200 BYE"]
    (event,) = node.told()
    assert event.cause == "bye"
    node.put(response(ours, 481), 1.2)
    assert node.told() == []
    node.wait(100.0)
    assert node.empty()
    assert usage
