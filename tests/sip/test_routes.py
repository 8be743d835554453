"""Requests of ours in a dialog follow its route set, and large INVITEs go by TCP."""

from __future__ import annotations

import pytest

from sipserver.sip.events import OutgoingFailed, OutgoingProgress
from tests.sip.client_node import Caller
from tests.sip.messages import SDP, TCP, UDP, response
from tests.sip.server_node import Node

PEER = "sip:alice@192.0.2.1:5060"
PROXY = "192.0.2.50"
FRAG = b"SIP/2.0 100 Trying\r\n"


def refer(node, usage):
    node.engine.refer(usage, "sip:b@example.com", 1.0)


def notify(node, usage):
    node.send("REFER", 1.0, cseq=2, extra=[("Refer-To", "<sip:c@h>")])
    node.engine.respond(node.told()[-1].transaction, 202, 1.0)
    node.take()
    node.engine.notify(usage, FRAG, 1.0, state="active;expires=60", event_id=2)


def notify_after_the_call(node, usage):
    notify(node, usage)
    node.send("BYE", 1.0, cseq=3)
    node.engine.notify(usage, FRAG, 1.0, state="terminated", event_id=2)


def bye(node, usage):
    node.engine.bye(usage, 1.0)


def info(node, usage):
    node.engine.request(usage, "INFO", 1.0)


def reinvite(node, usage):
    node.engine.reinvite(usage, SDP, 1.0)


ROUTES = [
    # Record-Route, Request-URI, Route, transport and address of the first hop
    (f"<sip:{PROXY};lr>", PEER, [f"<sip:{PROXY};lr>"], ("udp", PROXY, 5060)),
    (
        f"<sip:{PROXY}:5070;lr>, <sip:192.0.2.51;lr>",
        PEER,
        [f"<sip:{PROXY}:5070;lr>", "<sip:192.0.2.51;lr>"],
        ("udp", PROXY, 5070),
    ),
    (
        f"<sip:{PROXY};transport=tcp;lr>",
        PEER,
        [f"<sip:{PROXY};transport=tcp;lr>"],
        ("tcp", PROXY, 5060),
    ),
    (
        f"<sip:{PROXY};transport=tcp;lr>, <sip:{PROXY};lr>",  # one proxy between two transports
        PEER,
        [f"<sip:{PROXY};transport=tcp;lr>", f"<sip:{PROXY};lr>"],
        ("tcp", PROXY, 5060),
    ),
    (f"<sip:{PROXY}>", f"sip:{PROXY}", [f"<{PEER}>"], ("udp", PROXY, 5060)),
    (
        f"<sip:{PROXY}>, <sip:192.0.2.51;lr>",
        f"sip:{PROXY}",
        ["<sip:192.0.2.51;lr>", f"<{PEER}>"],
        ("udp", PROXY, 5060),
    ),
    (
        "<sip:proxy.example.com;lr>",
        PEER,
        ["<sip:proxy.example.com;lr>"],
        ("udp", "proxy.example.com", 5060),
    ),
]


@pytest.mark.parametrize("send", [refer, notify, notify_after_the_call, bye, info, reinvite])
@pytest.mark.parametrize(("recorded", "uri", "routes", "hop"), ROUTES)
def test_requests_of_a_called_side(send, recorded, uri, routes, hop):
    node = Node()
    usage = node.up(extra=[("Record-Route", recorded)])
    send(node, usage)
    node.take()
    check(node, uri, routes, hop)


def check(node, uri, routes, hop):
    sent = node.last()
    assert sent.uri_text == uri
    assert [str(route) for route in sent.routes] == routes
    outgoing = node.outgoing[-1]
    assert outgoing.target == hop
    assert sent.via.transport == hop[0].upper()
    if hop[1] == PROXY and hop[0] == "udp":
        assert outgoing.flow is not None
        assert outgoing.flow.remote == hop[1:]
    else:
        assert outgoing.flow is None


@pytest.mark.parametrize("send", [refer, bye, info, reinvite])
@pytest.mark.parametrize(("recorded", "uri", "routes", "hop"), ROUTES)
def test_requests_of_a_calling_side(send, recorded, uri, routes, hop):
    caller = Caller()
    usage = caller.call()
    backwards = ", ".join(reversed(recorded.split(", ")))
    caller.reply(200, body=SDP, contact=f"<{PEER}>", extra=[("Record-Route", backwards)])
    caller.engine.acknowledge(usage, 0.0)
    caller.take()
    check(caller, uri, routes, hop)  # the ACK too
    send(caller, usage)
    caller.take()
    check(caller, uri, routes, hop)


@pytest.mark.parametrize(("recorded", "uri", "routes", "hop"), ROUTES)
def test_a_prack_goes_the_way_of_its_early_dialog(recorded, uri, routes, hop):
    caller = Caller()
    caller.call()
    backwards = ", ".join(reversed(recorded.split(", ")))
    extra = [("Record-Route", backwards), ("Require", "100rel"), ("RSeq", "1")]
    assert caller.reply(183, contact=f"<{PEER}>", extra=extra) == ["PRACK"]
    check(caller, uri, routes, hop)


@pytest.mark.parametrize("flow", [UDP, TCP])
def test_our_contact_names_host_port_and_transport(flow):
    node = Node(flow)
    usage = node.up()
    contact = f"sip:100@192.0.2.9:5060;transport={flow.transport}"
    refer(node, usage)
    node.take()
    assert str(node.last().contact.uri) == contact


# ---- large INVITEs ---------------------------------------------------------------------------

LARGE = SDP + b"a=x:" + b"x" * 1300 + b"\r\n"
THERE = ("udp", "192.0.2.1", 5060)


def transport_of(caller) -> tuple:
    """Of the INVITE that went out last."""
    outgoing = [each for each in caller.outgoing if each.data.startswith(b"INVITE")][-1]
    via = caller.last().via.transport
    assert via == (outgoing.target[0].upper())
    return outgoing.target


@pytest.mark.parametrize(
    ("body", "parts", "config", "target"),
    [
        (SDP, {}, {}, THERE),
        (LARGE, {}, {}, ("tcp", "192.0.2.1", 5060)),
        (LARGE, {"destination": ("udp", "192.0.2.7", 5070)}, {}, ("tcp", "192.0.2.7", 5070)),
        (LARGE, {"destination": ("tls", "192.0.2.7", 5061)}, {}, ("tls", "192.0.2.7", 5061)),
        (LARGE, {}, {"tcp_for_large": False}, THERE),
        (LARGE, {"flow": UDP}, {}, THERE),  # where a phone registered from is the only way to it
    ],
)
def test_what_goes_by_tcp(body, parts, config, target):
    caller = Caller(**config)
    caller.call(body, **({"flow": None} | parts))
    assert transport_of(caller) == target


def test_what_tcp_does_not_take_goes_by_udp_after_all():
    caller = Caller()
    usage = caller.call(LARGE, flow=None)
    first = caller.last()
    caller.engine.target_failed(("tcp", "192.0.2.1", 5060), 0.1)
    assert caller.take() == ["INVITE"]
    assert transport_of(caller) == THERE
    second = caller.last()
    assert second.via.branch != first.via.branch
    assert second.cseq == first.cseq
    assert caller.told() == []
    caller.invite = caller.outgoing[-1].data
    caller.reply(180)
    (told,) = caller.told()
    assert isinstance(told, OutgoingProgress)
    caller.engine.cancel(usage, 0.2)
    assert caller.take() == ["CANCEL"]
    assert caller.outgoing[0].target == THERE


def test_an_unreachable_target_fails_once():
    caller = Caller()
    caller.call(LARGE, flow=None)
    caller.engine.target_failed(("tcp", "192.0.2.1", 5060), 0.1)
    caller.engine.target_failed(THERE, 0.2)
    caller.take()
    (told,) = caller.told()
    assert isinstance(told, OutgoingFailed)
    assert told.status == 503


def test_a_call_given_up_is_not_tried_by_udp():
    caller = Caller()
    usage = caller.call(LARGE, flow=None)
    caller.engine.cancel(usage, 0.0)
    caller.engine.target_failed(("tcp", "192.0.2.1", 5060), 0.1)
    assert caller.take() == []
    assert isinstance(caller.told()[0], OutgoingFailed)


def test_an_invite_that_credentials_make_large_goes_by_tcp():
    caller = Caller()
    usage = caller.call(SDP + b"a=x:" + b"x" * 500 + b"\r\n", flow=None)
    assert transport_of(caller) == THERE
    caller.reply(407)
    caller.engine.retry_invite(usage, [("Proxy-Authorization", "Digest " + "x" * 300)], 0.1)
    assert caller.take() == ["INVITE"]
    assert transport_of(caller) == ("tcp", "192.0.2.1", 5060)


# ---- no transaction lives for ever -----------------------------------------------------------


@pytest.mark.parametrize("flow", [UDP, TCP])
@pytest.mark.parametrize("provisional", [None, 100, 180])
def test_a_cancelled_invite_ends_without_any_final_response(flow, provisional):
    caller = Caller(flow)
    usage = caller.call()
    if provisional is not None:
        caller.reply(provisional, 1.0)
    caller.engine.cancel(usage, 2.0)
    caller.take()
    if provisional is not None:
        for second in range(3, 34):  # a peer that rings on delays nothing
            caller.reply(180, float(second))
            caller.wait(float(second))
    caller.wait(34.0)
    assert [each.status for each in caller.told() if isinstance(each, OutgoingFailed)] == [408]
    caller.wait(200.0)
    assert caller.empty()


@pytest.mark.parametrize("final", [200, None])
def test_a_reinvite_that_is_never_answered_ends_with_its_call(final):
    caller = Caller()
    usage = caller.up()
    caller.engine.reinvite(usage, SDP, 1.0)
    caller.take()
    caller.put(response(caller.outgoing[0].data, 180), 1.0)
    caller.engine.bye(usage, 2.0)
    assert caller.take() == ["BYE"]
    if final is not None:
        caller.put(response(caller.outgoing[0].data, final), 2.0)
    caller.wait(200.0)
    assert caller.empty()
