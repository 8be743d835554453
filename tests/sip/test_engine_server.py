"""The engine as a server: what it answers by itself, and the life of an incoming call."""

from __future__ import annotations

import dataclasses

import pytest

from sipserver.sip.engine import EngineConfig, SipEngine
from sipserver.sip.errors import LocalProtocolError
from sipserver.sip.events import (
    Acknowledged,
    Cancelled,
    Ended,
    Flow,
    IncomingInvite,
    IncomingRequest,
    InDialogRequest,
    MessageTraced,
    OfferWithdrawn,
    RequestRefused,
    SessionOffer,
)
from sipserver.sip.invite_usage import UsageEnded
from tests.fakes.virtual_wire import SeededIds, summary
from tests.sip.messages import SDP, TCP, UDP, parse, request, response

CONFIG = EngineConfig(
    contact_for=lambda flow, user: f"sip:{user}@192.0.2.9:5060;transport={flow.transport}",
    sent_by=lambda flow: ("192.0.2.9", 5060),
    out_of_dialog_methods=frozenset({"REGISTER"}),
)


class Node:
    """An engine with a peer made of single messages."""

    def __init__(self, flow=UDP, **config) -> None:
        self.engine = SipEngine(dataclasses.replace(CONFIG, **config), SeededIds(1))
        self.flow = flow
        self.transport = flow.transport.upper()
        self.outgoing = []
        self.events = []

    def take(self) -> list[str]:
        self.outgoing = self.engine.take_outgoing()
        self.events += self.engine.take_events()
        return [summary(each.data) for each in self.outgoing]

    def put(self, data: bytes, now: float = 0.0, flow=None) -> list[str]:
        self.engine.receive(data, flow or self.flow, now)
        return self.take()

    def wait(self, until: float) -> list[tuple[float, str]]:
        sent = []
        while (when := self.engine.next_deadline()) is not None and when <= until:
            self.engine.handle_deadline(when)
            sent += [(when, each) for each in self.take()]
        return sent

    def told(self, *but) -> list:
        """The events since last asked, without traces."""
        events = [each for each in self.events if not isinstance(each, (MessageTraced, *but))]
        self.events = []
        return events

    def last(self):
        return parse(self.outgoing[-1].data)

    def send(self, method: str, now: float = 0.0, **parts) -> list[str]:
        """A request of the peer in the dialog of its call."""
        parts.setdefault("branch", f"z9hG4bK{method}{parts.get('cseq', 1)}")
        parts.setdefault("to", f"<sip:100@192.0.2.9>;tag={self.tag}")
        return self.put(request(method, transport=self.transport, **parts), now)

    def invite(self, now: float = 0.0, **parts) -> int:
        parts.setdefault("body", SDP)
        assert self.put(request(transport=self.transport, **parts), now) == ["100 INVITE"]
        (event,) = self.told()
        assert isinstance(event, IncomingInvite)
        return event.usage

    def ringing(self, **parts) -> int:
        usage = self.invite(**parts)
        self.engine.ring(usage, 0.0)
        assert self.take() == ["180 INVITE"]
        self.tag = self.last().to.tag
        return usage

    def answered(self, **parts) -> int:
        usage = self.invite(**parts)
        self.engine.answer(usage, SDP, 0.0)
        assert self.take() == ["200 INVITE"]
        self.tag = self.last().to.tag
        return usage

    def up(self, **parts) -> int:
        usage = self.answered(**parts)
        assert self.send("ACK") == []
        assert self.told() == [Acknowledged(usage, b"")]
        return usage

    def empty(self) -> bool:
        return not any(self.engine.sizes.values())


# ---- refused by the engine itself ----------------------------------------------------------

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
            request(extra=[("Require", "100rel, foo")], body=SDP),
            "420 INVITE",
            {"Unsupported": "100rel, foo"},
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


# ---- where responses go --------------------------------------------------------------------


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


# ---- an incoming call ----------------------------------------------------------------------


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


# ---- CANCEL --------------------------------------------------------------------------------


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


# ---- BYE -----------------------------------------------------------------------------------


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


# ---- in the dialog -------------------------------------------------------------------------


def test_reinvite_is_answered_with_a_2xx_that_is_repeated():
    node = Node()
    usage = node.up()
    parts = {"cseq": 2, "contact": "<sip:alice@192.0.2.1:5999>"}
    assert node.send("INVITE", body=SDP, **parts) == ["100 INVITE"]
    (offer,) = node.told()
    assert isinstance(offer, SessionOffer)
    assert (offer.usage, offer.body) == (usage, SDP)
    node.engine.answer_offer(usage, SDP, 0.0)
    assert node.take() == ["200 INVITE"]
    assert [what for _, what in node.wait(0.5)] == ["200 INVITE"]
    node.send("ACK", cseq=2)
    assert node.told() == [Acknowledged(usage, b"")]
    node.engine.bye(usage, 1.0)
    node.take()
    assert node.last().uri_text == "sip:alice@192.0.2.1:5999"


def test_a_refused_reinvite_changes_nothing():
    node = Node()
    usage = node.up()
    node.send("INVITE", body=SDP, cseq=2, contact="<sip:alice@192.0.2.1:5999>")
    node.engine.refuse_offer(usage, 488, 0.0, headers=[("Warning", '304 x "no"')])
    assert node.take() == ["488 INVITE"]
    node.send("ACK", cseq=2, branch="z9hG4bKINVITE2")
    node.engine.bye(usage, 1.0)
    node.take()
    assert node.last().uri_text == "sip:alice@192.0.2.1:5060"


def test_reinvite_without_ack_ends_the_call():
    node = Node()
    usage = node.up()
    node.send("INVITE", body=SDP, cseq=2)
    node.engine.answer_offer(usage, SDP, 0.0)
    node.told()
    assert node.wait(32.0)[-1] == (32.0, "BYE")
    assert node.told() == [Ended(usage, "ack-timeout")]


def test_reinvite_without_offer_gets_ours_and_the_ack_answers():
    node = Node()
    usage = node.up()
    node.send("INVITE", cseq=2)
    (offer,) = node.told()
    assert offer.body == b""
    node.engine.answer_offer(usage, SDP, 0.0)
    node.send("ACK", cseq=2, body=b"v=0\r\n")
    assert node.told() == [Acknowledged(usage, b"v=0\r\n")]


def test_a_cancelled_reinvite_leaves_the_call_up():
    node = Node()
    usage = node.up()
    node.send("INVITE", body=SDP, cseq=2)
    node.told()
    to = f"<sip:100@192.0.2.9>;tag={node.tag}"
    cancel = request("CANCEL", cseq=2, branch="z9hG4bKINVITE2", to=to)
    assert node.put(cancel) == ["200 CANCEL", "487 INVITE"]
    assert node.told() == [OfferWithdrawn(usage)]
    with pytest.raises(LocalProtocolError):
        node.engine.answer_offer(usage, SDP, 0.0)
    assert node.send("INFO", cseq=3) == []
    assert isinstance(node.told()[0], InDialogRequest)


def test_update_with_and_without_offer():
    node = Node()
    usage = node.up()
    assert node.send("UPDATE", cseq=2, contact="<sip:alice@192.0.2.1:5999>") == ["200 UPDATE"]
    assert node.told() == []
    assert node.send("UPDATE", cseq=3, body=SDP) == []
    (offer,) = node.told()
    assert offer.body == SDP
    node.engine.answer_offer(usage, SDP, 0.0)
    assert node.take() == ["200 UPDATE"]
    assert node.last().body == SDP
    node.wait(100.0)
    node.engine.bye(usage, 100.0)
    node.take()
    assert node.last().uri_text == "sip:alice@192.0.2.1:5060"  # the second UPDATE's Contact


def test_an_update_nobody_answers_does_not_block_the_next_offer():
    node = Node()
    usage = node.up()
    node.send("UPDATE", cseq=2, body=SDP)
    node.wait(32.0)
    node.told()
    node.send("INVITE", 33.0, cseq=3, body=SDP)
    assert isinstance(node.told()[0], SessionOffer)
    node.engine.answer_offer(usage, SDP, 33.0)
    assert node.take() == ["200 INVITE"]


def open_exchange(node, kind, usage):
    if kind == "ours":
        node.engine.reinvite(usage, SDP, 0.0)
    else:
        node.send("INVITE", cseq=2, body=SDP)
        if kind == "unacknowledged":
            node.engine.answer_offer(usage, SDP, 0.0)
    node.take()
    node.told()


@pytest.mark.parametrize(
    ("kind", "status"), [("ours", 491), ("theirs", 500), ("unacknowledged", 491)]
)
@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_glare(kind, status, method):
    node = Node()
    usage = node.up()
    open_exchange(node, kind, usage)
    assert node.send(method, cseq=3, body=SDP) == [f"{status} {method}"]
    assert ("Retry-After" in node.last().headers) is (status == 500)
    assert node.told() == []
    with pytest.raises(LocalProtocolError):
        node.engine.reinvite(usage, SDP, 0.0)


def test_offers_before_the_call_is_answered_are_500():
    node = Node()
    node.ringing()
    assert node.send("UPDATE", cseq=2, body=SDP) == ["500 UPDATE"]
    assert node.send("INVITE", cseq=3, body=SDP) == ["500 INVITE"]
    assert node.send("UPDATE", cseq=4) == ["200 UPDATE"]


@pytest.mark.parametrize("number", [1, 0])
def test_cseq_out_of_order_is_500_with_retry_after(number):
    node = Node()
    node.up()
    assert node.send("INFO", cseq=number) == ["500 INFO"]
    assert node.last().headers.get("Retry-After") is not None
    assert node.told() == []


def test_requests_in_the_dialog_that_the_engine_answers():
    node = Node()
    node.up()
    assert node.send("OPTIONS", cseq=2) == ["200 OPTIONS"]
    assert node.send("SUBSCRIBE", cseq=3) == ["405 SUBSCRIBE"]
    assert node.send("DANCE", cseq=4) == ["501 DANCE"]
    assert node.send("INFO", cseq=5, extra=[("Require", "x")]) == ["420 INFO"]
    assert node.send("INVITE", cseq=6, body=b"x", content_type="a/b") == ["415 INVITE"]
    assert node.told() == []


@pytest.mark.parametrize("method", ["INFO", "REFER", "NOTIFY"])
def test_requests_in_the_dialog_that_the_layer_above_answers(method):
    node = Node()
    usage = node.up()
    assert node.send(method, cseq=2, body=b"Signal=1", content_type="application/dtmf-relay") == []
    (event,) = node.told()
    assert isinstance(event, InDialogRequest)
    assert event.usage == usage
    node.engine.respond(event.transaction, 202, 0.1)
    assert node.take() == [f"202 {method}"]


def test_a_pending_request_is_still_answered_after_bye_and_a_pending_offer_gets_487():
    node = Node()
    node.up()
    node.send("INFO", cseq=2)
    (info,) = node.told()
    node.send("INVITE", cseq=3, body=SDP)
    assert node.send("BYE", cseq=4) == ["200 BYE", "487 INVITE"]
    node.engine.respond(info.transaction, 200, 0.1)
    assert node.take() == ["200 INFO"]
    node.put(request("ACK", cseq=3, branch="z9hG4bKINVITE3"))
    node.wait(100.0)
    assert node.empty()


def test_a_multipart_body_gives_its_sdp():
    body = (
        b"--x\r\nContent-Type: text/plain\r\n\r\nhello\r\n"
        b"--x\r\nContent-Type: application/sdp\r\n\r\n" + SDP + b"\r\n--x--\r\n"
    )
    node = Node()
    node.up()
    kind = 'multipart/mixed;boundary="x"'
    node.send("INVITE", cseq=2, body=body, content_type=kind)
    assert node.told()[0].body == SDP
    for bad in (b"--x--\r\n", b"nothing"):
        refused = Node()
        assert refused.put(request(body=bad, content_type=kind)) == ["415 INVITE"]


def test_an_optional_body_is_passed_over():
    node = Node()
    optional = [("Content-Disposition", "render;handling=optional")]
    assert node.put(request(body=b"x", content_type="a/b", extra=optional)) == ["100 INVITE"]


# ---- requests of ours ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "cause", "sent"),
    [(200, None, []), (404, None, []), (481, "gone", []), (408, "gone", ["BYE"])],
)
def test_outcome_of_a_request_in_the_dialog(status, cause, sent):
    node = Node()
    usage = node.up()
    token = node.engine.request(usage, "INFO", 0.0, [("X-A", "1")], b"b", "text/plain")
    assert node.take() == ["INFO"]
    assert node.last().headers.get("X-A") == "1"
    assert node.put(response(node.outgoing[0].data, status), 0.1) == sent
    final, *ended = node.told()
    assert (final.token, final.status) == (token, status)
    assert [each.cause for each in ended] == ([cause] if cause else [])


def test_a_request_without_answer_ends_the_call_and_says_bye():
    node = Node()
    usage = node.up()
    node.engine.request(usage, "INFO", 0.0)
    node.take()
    assert node.wait(32.0)[-1] == (32.0, "BYE")
    final, ended = node.told()
    assert (final.status, final.response) == (408, None)
    assert ended == Ended(usage, "gone")
    node.wait(64.0)
    assert node.empty()


def test_a_lost_connection_fails_the_request_and_ends_the_call():
    node = Node(TCP)
    usage = node.up()
    node.engine.flow_lost(TCP, 0.0)  # the call itself survives
    assert node.take() == []
    assert node.told() == []
    node.engine.request(usage, "INFO", 1.0)
    node.take()
    assert node.outgoing[0].target == ("tcp", "192.0.2.1", 5060)
    node.engine.flow_lost(TCP, 1.5)
    node.take()
    final, ended = node.told()
    assert final.status == 503
    assert ended == Ended(usage, "flow-lost")


def test_a_new_connection_of_the_peer_is_used_from_then_on():
    node = Node(TCP)
    usage = node.up()
    again = TCP._replace(remote=("192.0.2.1", 40001), connection=8)
    node.put(
        request(
            "OPTIONS",
            transport="TCP",
            branch="z9hG4bKo",
            cseq=2,
            to=f"<sip:100@192.0.2.9>;tag={node.tag}",
        ),
        flow=again,
    )
    node.engine.bye(usage, 1.0)
    node.take()
    assert node.outgoing[0].flow == again


def test_reinvite_of_ours_is_acknowledged_by_the_engine():
    node = Node()
    usage = node.up()
    token = node.engine.reinvite(usage, SDP, 0.0)
    assert node.take() == ["INVITE"]
    sent = node.outgoing[0].data
    ok = response(sent, 200, contact="<sip:alice@192.0.2.1:5998>", body=SDP)
    assert node.put(ok, 0.1) == ["ACK"]
    assert node.last().uri_text == "sip:alice@192.0.2.1:5998"
    assert node.put(ok, 0.6) == ["ACK"]
    (final,) = node.told()
    assert (final.token, final.status) == (token, 200)
    node.engine.bye(usage, 1.0)
    assert node.take() == ["BYE"]


def test_reinvite_of_ours_without_offer_is_acknowledged_with_the_answer():
    node = Node()
    usage = node.up()
    node.engine.reinvite(usage, b"", 0.0)
    node.take()
    ok = response(node.outgoing[0].data, 200, body=SDP)
    assert node.put(ok, 0.1) == []
    node.engine.acknowledge(usage, 0.2, b"v=0\r\n")
    assert node.take() == ["ACK"]
    assert node.last().body == b"v=0\r\n"
    assert node.put(ok, 0.6) == ["ACK"]


def test_a_reinvite_of_ours_that_gets_no_final_response_does_not_outlive_the_call():
    node = Node()
    usage = node.up()
    node.engine.reinvite(usage, SDP, 0.0)
    node.take()
    node.put(response(node.outgoing[0].data, 100), 0.1)
    assert node.send("BYE", 1.0, cseq=2) == ["200 BYE"]
    node.told()
    node.wait(33.0)
    assert [each.status for each in node.told()] == [408]
    assert node.empty()


@pytest.mark.parametrize(("status", "causes"), [(491, []), (488, []), (481, ["gone"])])
def test_a_refused_reinvite_of_ours(status, causes):
    node = Node()
    usage = node.up()
    node.engine.reinvite(usage, SDP, 0.0)
    node.take()
    assert node.put(response(node.outgoing[0].data, status), 0.1) == ["ACK"]
    final, *ended = node.told()
    assert final.status == status
    assert [each.cause for each in ended] == causes
    if not causes:
        node.engine.reinvite(usage, SDP, 1.0)
        assert node.take() == ["INVITE"]
