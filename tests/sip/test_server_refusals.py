"""What the engine answers by itself."""

from __future__ import annotations

import pytest

from sipserver.sip.events import (
    Flow,
    IncomingRequest,
    RequestRefused,
)
from tests.sip.messages import SDP, TCP, UDP, request, response
from tests.sip.server_node import CONFIG, Node

# ---- refused by the engine itself ------------------------------------------------------------


DIALOG_TO = "<sip:100@192.0.2.9>;tag=unknown"


@pytest.mark.parametrize(
    ("message", "answer", "headers"),
    [
        (request(max_forwards="0", body=SDP), "483 INVITE", {}),
        (request("REGISTER", max_forwards="0"), "483 REGISTER", {}),
        (request("OPTIONS", max_forwards="0"), "200 OPTIONS", {}),  # RFC 4475 zeromf
        (request(uri="tel:+123"), "416 INVITE", {}),
        (request(uri="unknown:thing"), "416 INVITE", {}),
        (
            request(extra=[("Require", "100rel, foo, replaces")], body=SDP),
            "420 INVITE",
            {"Unsupported": "foo, replaces"},
        ),
        (request(extra=[("Proxy-Require", "bar")]), "420 INVITE", {"Unsupported": "bar"}),
        (request("OPTIONS", extra=[("Require", "x")]), "420 OPTIONS", {"Unsupported": "x"}),
        (
            request(body=b"hello", content_type="text/plain"),
            "415 INVITE",
            {"Accept": "application/sdp"},
        ),
        (
            request(body=b"x", extra=[("Content-Encoding", "gzip")]),
            "415 INVITE",
            {"Accept-Encoding": "identity"},
        ),
        (request(extra=[("Accept", "text/plain")]), "406 INVITE", {"Accept": "application/sdp"}),
        (request(contact="*"), "400 INVITE", {}),
        (request(contact=None, from_="<tel:+12>;tag=1"), "400 INVITE", {}),
        (request(contact="<tel:+1234>"), "400 INVITE", {}),
        (request(to=DIALOG_TO), "481 INVITE", {}),
        (request("BYE", to=DIALOG_TO), "481 BYE", {}),
        (request("BYE"), "481 BYE", {}),
        (request("INFO"), "481 INFO", {}),
        (request("CANCEL"), "481 CANCEL", {}),
        (request("REFER"), "405 REFER", {"Allow": "INVITE, ACK, CANCEL, OPTIONS, REGISTER"}),
        (request("SUBSCRIBE"), "405 SUBSCRIBE", {"Allow": CONFIG.allow_value}),
        (request("PUBLISH"), "405 PUBLISH", {"Allow": CONFIG.allow_value}),
        (request("DANCE"), "501 DANCE", {"Allow": CONFIG.allow_value}),
        (request().replace(b"SIP/2.0\r\nVia", b"SIP/3.0\r\nVia"), "505 INVITE", {}),
        (request().replace(b"CSeq: 1 INVITE", b"CSeq: 1 BYE"), "400 BYE", {}),
        (request().replace(b"Max-Forwards: 70", b"Max-Forwards: x"), "400 INVITE", {}),
        (request(from_="<sip:a@"), "400 INVITE", {}),
        (request(extra=[("Accept", "a,,b")]), "400 INVITE", {}),
        (request(branch='z9hG4bK"'), "400 INVITE", {}),
    ],
)
def test_refusals(message, answer, headers):
    node = Node()
    assert node.put(message) == [answer]
    final = node.last()
    assert final.to.tag
    assert final.headers.get("Server")
    for name, value in headers.items():
        assert final.headers.get(name) == value
    refused = [each for each in node.told() if isinstance(each, RequestRefused)]
    is_invite = message.startswith(b"INVITE") and not answer.startswith("2")
    assert [each.status for each in refused] == ([int(answer[:3])] if is_invite else [])


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\r\n\r\n",
        b"\x00" * 40,
        b"GET / HTTP/1.1\r\n\r\n",
        request("ACK", to=DIALOG_TO),
        request("ACK"),
        request().replace(b"Via", b"X-Via"),
        response(request(), 200),
    ],
)
def test_unanswerable_input_is_dropped(message):
    node = Node()
    assert node.put(message) == []
    assert node.told() == []
    assert node.empty()


def test_a_refused_invite_is_a_transaction_until_its_ack():
    node = Node()
    node.put(request(max_forwards="0"))
    tag = node.last().to.tag
    assert node.put(request(max_forwards="0")) == ["483 INVITE"]
    assert len(node.told()) == 1
    assert node.put(request("ACK", to=f"<sip:100@192.0.2.9>;tag={tag}")) == []
    assert node.wait(100.0) == []
    assert node.empty()


def test_malformed_requests_leave_nothing_behind_and_get_the_same_tag_each_time():
    node, tags = Node(), set()
    for _ in range(2):
        node.put(request(max_forwards="many"))
        tags.add(node.last().to.tag)
    assert len(tags) == 1
    assert node.empty()


def test_above_the_limit_of_transactions_new_requests_get_503():
    node = Node(max_transactions=1)
    node.invite()
    assert node.put(request(branch="z9hG4bKb", call_id="b", body=SDP)) == ["503 INVITE"]
    assert node.last().headers.get("Retry-After") == "5"
    assert [each.status for each in node.told()] == [503]
    assert node.put(request("CANCEL", branch="z9hG4bKc", call_id="c")) == ["481 CANCEL"]
    assert node.engine.sizes["usages"] == 1
    assert node.engine.sizes["transactions"] == 1


def test_above_the_limit_a_call_can_still_be_hung_up():
    node = Node(max_transactions=1)
    node.up()
    assert node.send("INFO", cseq=2) == ["503 INFO"]
    unknown = request("BYE", branch="z9hG4bKu", to=DIALOG_TO)
    assert node.put(unknown) == ["503 BYE"]
    assert node.send("BYE", cseq=3) == ["200 BYE"]


def test_a_merged_request_is_482_and_starts_no_call():
    node = Node()
    node.invite()
    assert node.put(request(branch="z9hG4bKotherway", body=SDP)) == ["482 INVITE"]
    assert [type(each) for each in node.told()] == [RequestRefused]


def test_a_caller_that_answers_a_challenge_with_the_same_cseq_is_no_merged_request():
    node = Node()
    node.engine.reject(node.invite(), 407, None, 0.0)
    node.take()
    node.put(request("ACK"), 0.1)
    node.invite(branch="z9hG4bKsecond")


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (request(max_forwards="0", body=SDP), "Max-Forwards reached 0"),
        (request(body=SDP, extra=[("Require", "replaces")]), "extensions that are not supported"),
    ],
)
def test_a_refused_call_says_why(message, why):
    node = Node()
    node.put(message)
    assert why in node.last().headers.get("Warning")


@pytest.mark.parametrize("flag", ["draining", "overloaded"])
def test_options_says_what_we_can_and_503_while_draining(flag):
    node = Node(supported=("timer",))
    assert node.put(request("OPTIONS")) == ["200 OPTIONS"]
    headers = node.last().headers
    assert headers.get("Allow") == CONFIG.allow_value
    assert headers.get("Accept") == "application/sdp"
    assert headers.get("Supported") == "timer"
    setattr(node.engine, flag, True)
    assert node.put(request("OPTIONS", branch="z9hG4bKb", cseq=2)) == ["503 OPTIONS"]
    assert node.last().headers.get("Retry-After") == "5"
    setattr(node.engine, flag, False)
    assert node.put(request("OPTIONS", branch="z9hG4bKc", cseq=3)) == ["200 OPTIONS"]


def test_methods_outside_dialogs_are_delivered_and_answered():
    node = Node()
    assert node.put(request("REGISTER")) == []
    (event,) = node.told()
    assert isinstance(event, IncomingRequest)
    assert event.flow == UDP
    assert node.put(request("REGISTER")) == []  # nothing to repeat yet
    node.engine.respond(event.transaction, 200, 1.0, headers=[("Expires", "60")])
    assert node.take() == ["200 REGISTER"]
    assert node.last().headers.get("Expires") == "60"
    assert node.put(request("REGISTER"), 2.0) == ["200 REGISTER"]
    node.engine.respond(event.transaction, 200, 3.0)  # answered already: nothing
    assert node.take() == []
    assert node.wait(100.0) == []
    assert node.empty()


def test_an_answer_after_64_t1_is_too_late():
    node = Node()
    node.put(request("REGISTER"))
    (event,) = node.told()
    assert node.wait(32.0) == []
    node.engine.respond(event.transaction, 200, 33.0)
    assert node.take() == []
    assert node.empty()


# ---- where responses go ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("via", "rport", "source", "remote", "expected"),
    [
        ("192.0.2.1:5060", True, 5060, ("192.0.2.1", 5060), ";rport=5060;received=192.0.2.1"),
        ("10.0.0.1:5060", True, 3333, ("192.0.2.1", 3333), ";rport=3333;received=192.0.2.1"),
        ("10.0.0.1:5070", False, 3333, ("192.0.2.1", 5070), ";received=192.0.2.1"),
        ("phone.example.com", False, 3333, ("192.0.2.1", 5060), ";received=192.0.2.1"),
        ("192.0.2.1:5070", False, 3333, ("192.0.2.1", 5070), ""),
    ],
)
def test_udp_responses_follow_rport_or_sent_by(via, rport, source, remote, expected):
    node = Node(Flow("udp", ("192.0.2.9", 5060), ("192.0.2.1", source)))
    node.put(request("OPTIONS", via=via, rport=rport))
    assert node.outgoing[0].flow == Flow("udp", ("192.0.2.9", 5060), remote)
    assert f"{via};branch=z9hG4bKone{expected}" in node.last().headers.get("Via")


def test_udp_over_ipv6():
    node = Node(Flow("udp", ("2001:db8::9", 5060), ("2001:db8::1", 3333)))
    node.put(request("OPTIONS", via="[2001:db8::2]:5060"))
    assert node.outgoing[0].flow.remote == ("2001:db8::1", 3333)
    assert node.last().via.received == "2001:db8::1"
    node.put(request("OPTIONS", via="[2001:db8::1]:5099", rport=False))
    assert node.outgoing[0].flow.remote == ("2001:db8::1", 5099)
    assert node.last().via.received is None


def test_tcp_responses_go_over_the_connection_or_else_to_sent_by():
    node = Node(TCP)
    node.put(request("OPTIONS", transport="TCP", via="192.0.2.1:5070"))
    assert node.outgoing[0].flow == TCP
    assert node.outgoing[0].target == ("tcp", "192.0.2.1", 5070)
    node.put(request("OPTIONS", transport="TCP", via="10.1.1.1", branch="z9hG4bKb", cseq=2))
    assert node.outgoing[0].target == ("tcp", "192.0.2.1", 5060)


def test_all_vias_and_compact_headers_are_understood():
    data = (
        b"INVITE sip:100@192.0.2.9 SIP/2.0\r\n"
        b"v: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKp;rport, SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKu"
        b"\r\nf: Alice <sip:alice@192.0.2.1>;tag=1\r\nt: sip:100@192.0.2.9\r\ni: c1\r\n"
        b"CSeq: 1 INVITE\r\nm: <sip:alice@10.0.0.1>\r\nc: application/sdp\r\nl: %d\r\n\r\n%s"
    ) % (len(SDP), SDP)
    node = Node()
    assert node.put(data) == ["100 INVITE"]
    assert [via.branch for via in node.last().vias] == ["z9hG4bKp", "z9hG4bKu"]
    (event,) = node.told()
    node.engine.ring(event.usage, 0.0)
    node.take()
    assert node.last().headers.get("t").startswith("sip:100@192.0.2.9;tag=")
