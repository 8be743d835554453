"""The engine as a client: calls that go out, against a peer made of single messages."""

from __future__ import annotations

import pytest

from sipserver.sip.errors import LocalProtocolError
from sipserver.sip.events import (
    Ended,
    MessageTraced,
    OutgoingAnswered,
    OutgoingFailed,
    OutgoingProgress,
    OutgoingTrying,
    RequestFinal,
)
from sipserver.sip.invite_usage import UsageEnded
from tests.fakes.virtual_wire import summary
from tests.sip.client_node import Caller
from tests.sip.messages import SDP, TCP, UDP, parse, request, response

HERE = ("udp", "192.0.2.1", 5060)


def test_the_invite_that_goes_out():
    caller = Caller(supported=("timer",))
    caller.call(headers=[("X-A", "1")])
    invite = caller.last()
    assert invite.uri_text == "sip:bob@192.0.2.1"
    assert invite.via.rport_requested
    assert (invite.via.host, invite.via.port) == ("192.0.2.9", 5060)
    assert invite.from_.display_name == "Me"
    assert invite.from_.tag
    assert invite.to.tag is None
    assert invite.max_forwards == 70
    assert str(invite.contact.uri) == "sip:me@192.0.2.9:5060"
    assert invite.headers.get("Supported") == "timer"
    assert invite.headers.get("X-A") == "1"
    assert invite.content_type == "application/sdp"
    assert caller.outgoing[0].flow == UDP


@pytest.mark.parametrize(
    ("uri", "parts", "target", "via"),
    [
        ("sip:b@192.0.2.1", {}, ("udp", "192.0.2.1", 5060), "UDP"),
        ("sip:b@example.com:5070;transport=tcp", {}, ("tcp", "example.com", 5070), "TCP"),
        ("sips:b@example.com", {}, ("tls", "example.com", 5061), "TLS"),
        ("sip:b@[2001:db8::1]", {}, ("udp", "2001:db8::1", 5060), "UDP"),
        ("sip:b@x.example;maddr=192.0.2.7", {}, ("udp", "192.0.2.7", 5060), "UDP"),
        (
            "sip:b@example.com",
            {"route": ["<sip:proxy.example.com;lr;transport=tcp>"]},
            ("tcp", "proxy.example.com", 5060),
            "TCP",
        ),
        (
            "sip:b@example.com",
            {"destination": ("tcp", "192.0.2.3", 5)},
            ("tcp", "192.0.2.3", 5),
            "TCP",
        ),
    ],
)
def test_where_an_invite_goes_without_a_flow(uri, parts, target, via):
    caller = Caller()
    caller.engine.invite(uri, "<sip:me@here>", f"<{uri}>", SDP, 0.0, **parts)
    caller.take()
    assert caller.outgoing[0][1:] == (None, target)
    assert caller.last().via.transport == via
    assert [str(route) for route in caller.last().routes] == parts.get("route", [])


def test_a_callee_cannot_offer_before_our_offer_is_answered():
    caller = Caller()
    caller.call()
    caller.reply(180)
    invite = parse(caller.invite)
    parts = {
        "from_": "<sip:bob@192.0.2.1>;tag=to1",
        "to": invite.headers.get("From"),
        "call_id": invite.call_id,
    }
    update = request("UPDATE", branch="z9hG4bKu", body=SDP, **parts)
    assert caller.put(update) == ["491 UPDATE"]
    assert caller.put(request("BYE", branch="z9hG4bKb", cseq=2, **parts)) == ["200 BYE"]
    caller.reply(200)  # the call goes on all the same
    assert [type(each) for each in caller.told()][-1] is OutgoingAnswered


def test_the_first_route_has_to_be_a_sip_uri():
    caller = Caller()
    with pytest.raises(LocalProtocolError):
        caller.call(flow=None, route=["<tel:+12>"])


@pytest.mark.parametrize("uri", ["tel:+12", "nonsense", "sip:"])
def test_only_sip_uris_can_be_called(uri):
    caller = Caller()
    with pytest.raises(LocalProtocolError):
        caller.engine.invite(uri, "<sip:me@here>", "<sip:x@y>", SDP, 0.0)
    assert caller.take() == []
    assert caller.empty()


def test_line_ends_cannot_be_smuggled_into_a_message():
    caller = Caller()
    with pytest.raises(LocalProtocolError):
        caller.call(headers=[("X-A", "1\r\nX-B: 2")])
    assert caller.engine.sizes["transactions"] == 0
    assert caller.empty()


def test_a_call_from_ringing_to_bye():
    caller = Caller()
    usage = caller.call()
    assert caller.reply(100, tag=None, contact=None) == []
    assert caller.told() == [OutgoingTrying(usage)]
    caller.reply(180)
    assert [type(each) for each in caller.told()] == [OutgoingProgress]
    assert caller.reply(200, body=SDP) == []
    (answered,) = caller.told()
    assert isinstance(answered, OutgoingAnswered)
    assert answered.response.body == SDP
    caller.reply(200, 0.5, body=SDP)  # a copy before we could acknowledge
    assert caller.told() == []
    caller.engine.acknowledge(usage, 0.6)
    assert caller.take() == ["ACK"]
    assert caller.last().cseq.number == 1
    assert caller.last().via.branch != parse(caller.invite).via.branch
    assert caller.reply(200, 1.0, body=SDP) == ["ACK"]
    with pytest.raises(LocalProtocolError):
        caller.engine.acknowledge(usage, 1.0)
    caller.engine.bye(usage, 2.0)
    assert caller.take() == ["BYE"]
    assert caller.last().cseq.number == 2
    assert caller.put(response(caller.outgoing[0].data, 200), 2.1) == []
    assert caller.told() == [Ended(usage, "local")]
    caller.wait(100.0)
    assert caller.empty()


def test_a_late_offer_is_answered_in_the_ack():
    caller = Caller()
    usage = caller.call(body=b"")
    caller.reply(200, body=SDP)
    caller.engine.acknowledge(usage, 0.0, b"v=0\r\n")
    caller.take()
    assert caller.last().body == b"v=0\r\n"
    assert caller.last().content_type == "application/sdp"


def test_bye_of_the_callee():
    caller = Caller()
    usage = caller.up()
    invite = parse(caller.invite)
    bye = request(
        "BYE",
        branch="z9hG4bKbye",
        from_="<sip:bob@192.0.2.1>;tag=to1",
        to=invite.headers.get("From"),
        call_id=invite.call_id,
        cseq=77,
    )
    assert caller.put(bye, 1.0) == ["200 BYE"]
    (ended,) = caller.told()
    assert (ended.usage, ended.cause) == (usage, "bye")
    caller.wait(100.0)
    assert caller.empty()


def test_bye_before_acknowledge_sends_both():
    caller = Caller()
    usage = caller.call()
    caller.reply(200)
    caller.engine.bye(usage, 0.1)
    assert caller.take() == ["ACK", "BYE"]


# ---- refusals and retries ------------------------------------------------------------------


def test_a_challenge_is_answered_in_the_same_call():
    caller = Caller()
    usage = caller.call(headers=[("X-A", "1")])
    first = parse(caller.invite)
    assert caller.reply(407, extra=[("Proxy-Authenticate", "Digest x")]) == ["ACK"]
    (failed,) = caller.told()
    assert (failed.usage, failed.status, failed.reason) == (usage, 407, "Because")
    caller.engine.retry_invite(usage, [("Proxy-Authorization", "Digest a")], 1.0)
    assert caller.take() == ["INVITE"]
    second = caller.last()
    assert second.call_id == first.call_id
    assert second.from_.tag == first.from_.tag
    assert (first.cseq.number, second.cseq.number) == (1, 2)
    assert second.via.branch != first.via.branch
    assert second.headers.get("X-A") == "1"
    assert second.body == SDP
    caller.invite = caller.outgoing[0].data
    caller.reply(407, 1.1, tag="to2")
    caller.engine.retry_invite(usage, [("Proxy-Authorization", "Digest b")], 1.2)
    caller.take()
    assert caller.last().headers.get_all("Proxy-Authorization") == ["Digest b"]
    caller.invite = caller.outgoing[0].data
    caller.reply(200, 1.3)
    caller.engine.acknowledge(usage, 1.4)
    caller.take()
    assert caller.last().cseq.number == 3
    assert caller.last().headers.get("Proxy-Authorization") == "Digest b"


def test_a_refused_call_is_forgotten_after_64_t1():
    caller = Caller()
    usage = caller.call()
    caller.reply(486)
    assert caller.reply(486, 0.5) == ["ACK"]
    assert len(caller.told()) == 1
    caller.wait(32.5)
    assert caller.empty()
    with pytest.raises(UsageEnded):
        caller.engine.retry_invite(usage, [], 33.0)


@pytest.mark.parametrize("flow", [UDP, TCP])
def test_no_response_at_all_is_408(flow):
    caller = Caller(flow)
    usage = caller.call()
    sent = caller.wait(32.0)
    assert len(sent) == (6 if flow is UDP else 0)
    assert caller.told() == [OutgoingFailed(usage, 408, "Request Timeout", None)]
    caller.wait(64.0)
    assert caller.empty()


def test_a_lost_connection_or_unreachable_target_is_503():
    for lose in (
        lambda engine: engine.flow_lost(TCP, 1.0),
        lambda engine: engine.target_failed(("tcp", "192.0.2.1", 40000), 1.0),
    ):
        caller = Caller(TCP)
        by_flow = {"flow": TCP}
        by_target = {"flow": None, "destination": ("tcp", "192.0.2.1", 40000)}
        usages = [caller.call(**by_flow), caller.call(**by_target)]
        lose(caller.engine)
        caller.take()
        (failed,) = caller.told()
        assert failed.usage in usages
        assert (failed.status, failed.response) == (503, None)


# ---- forks ---------------------------------------------------------------------------------


def test_a_second_fork_that_answers_gets_ack_and_bye():
    caller = Caller()
    usage = caller.call()
    caller.reply(180, tag="a")
    caller.reply(180, tag="b")
    assert caller.engine.sizes["dialogs"] == 2
    caller.reply(200, tag="b", contact="<sip:b@192.0.2.1:1>")
    caller.engine.acknowledge(usage, 0.0)
    caller.take()
    assert caller.reply(200, 0.2, tag="a", contact="<sip:a@192.0.2.1:2>") == ["ACK", "BYE"]
    assert {parse(each.data).uri_text for each in caller.outgoing} == {"sip:a@192.0.2.1:2"}
    assert {parse(each.data).to.tag for each in caller.outgoing} == {"a"}
    assert caller.reply(200, 0.3, tag="a", contact="<sip:a@192.0.2.1:2>") == ["ACK"]
    assert [type(each) for each in caller.told()][2:] == [OutgoingAnswered]
    caller.engine.bye(usage, 1.0)
    caller.take()
    assert caller.last().to.tag == "b"
    assert caller.last().uri_text == "sip:b@192.0.2.1:1"
    caller.wait(100.0)
    assert caller.empty()


def test_a_2xx_after_the_call_has_ended_still_gets_its_ack():
    caller = Caller()
    usage = caller.up()
    caller.engine.bye(usage, 0.1)
    caller.take()
    caller.put(response(caller.outgoing[0].data, 200), 0.2)
    assert caller.reply(200, 0.5) == ["ACK"]
    assert caller.reply(200, 0.6, tag="fork") == ["ACK", "BYE"]


# ---- CANCEL --------------------------------------------------------------------------------


def test_cancel_waits_for_a_provisional_response():
    caller = Caller()
    usage = caller.call()
    caller.engine.cancel(usage, 0.1)
    caller.engine.cancel(usage, 0.2)
    assert caller.take() == []
    assert caller.reply(100, 0.3, tag=None) == ["CANCEL"]
    assert caller.last().via.branch == parse(caller.invite).via.branch
    cancel = caller.outgoing[0].data
    assert caller.reply(180, 0.3) == []
    caller.told()
    caller.put(response(cancel, 200), 0.4)
    assert caller.reply(487, 0.5) == ["ACK"]
    (failed,) = caller.told()
    assert (failed.usage, failed.status) == (usage, 487)
    caller.wait(100.0)
    assert caller.empty()


def test_an_answer_that_crosses_cancel_gets_ack_and_bye():
    caller = Caller()
    usage = caller.call()
    caller.reply(180)
    caller.engine.cancel(usage, 0.1)
    assert caller.take() == ["CANCEL"]
    assert caller.reply(200, 0.2) == ["ACK", "BYE"]
    _, failed = caller.told()
    assert (failed.usage, failed.status, failed.response.status) == (usage, 487, 200)
    assert caller.reply(200, 0.7) == ["ACK"]
    caller.wait(100.0)
    assert caller.empty()
    assert caller.told() == []


def test_an_answer_instead_of_a_provisional_response_after_cancel():
    caller = Caller()
    caller.call()
    caller.engine.cancel(1, 0.1)
    assert caller.reply(200, 0.2) == ["ACK", "BYE"]


def test_cancel_after_the_answer_is_bye():
    caller = Caller()
    usage = caller.call()
    caller.reply(200)
    caller.engine.cancel(usage, 0.2)
    assert caller.take() == ["ACK", "BYE"]
    caller.put(response(caller.outgoing[1].data, 200), 0.3)
    assert caller.told()[-1] == Ended(usage, "local")


def test_a_callee_that_ignores_cancel_is_given_up_after_64_t1():
    caller = Caller()
    usage = caller.call()
    caller.reply(180)
    caller.told()
    caller.engine.cancel(usage, 1.0)
    caller.wait(33.0)
    assert caller.told() == [OutgoingFailed(usage, 408, "Request Timeout", None)]
    caller.wait(100.0)
    assert caller.empty()


# ---- outside dialogs -----------------------------------------------------------------------


def test_requests_outside_dialogs():
    caller = Caller()
    token = caller.engine.request_outside(
        "OPTIONS", "sip:192.0.2.1", "<sip:me@h>", "<sip:192.0.2.1>", 0.0, destination=HERE
    )
    assert caller.take() == ["OPTIONS"]
    ok = response(caller.outgoing[0].data, 200)
    caller.put(ok, 0.1)
    caller.put(ok, 0.2)
    (final,) = caller.told()
    assert isinstance(final, RequestFinal)
    assert (final.token, final.status) == (token, 200)
    caller.wait(100.0)
    assert caller.empty()


@pytest.mark.parametrize(
    "bad",
    [
        lambda data: data.replace(b"To: ", b"To: <broken"),
        lambda data: data.replace(b"To: ", b"X-To: "),
        lambda data: data.replace(b"Contact: <", b"Contact: <<"),
        lambda data: data.replace(b"From: ", b"Via: SIP/2.0/UDP other;branch=z9hG4bKx\r\nFrom: "),
        lambda data: data.replace(b"z9hG4bK", b"z9hG4bKnot"),
    ],
)
@pytest.mark.parametrize("status", [200, 486])
def test_responses_that_cannot_be_used_are_dropped(bad, status):
    caller = Caller()
    caller.call()
    assert caller.put(bad(response(caller.invite, status))) == []
    assert caller.told() == []
    caller.reply(200)
    assert [type(each) for each in caller.told()] == [OutgoingAnswered]


def test_retransmitted_responses_are_traced_once():
    caller = Caller()
    caller.call()
    for status in (100, 180, 180, 200, 200):
        caller.reply(status)
    lines = [
        f"{'>' if each.outbound else '<'} {summary(each.data)}"
        for each in caller.events
        if isinstance(each, MessageTraced)
    ]
    assert lines == ["> INVITE", "< 100 INVITE", "< 180 INVITE", "< 200 INVITE"]
