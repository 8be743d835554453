"""Where requests in a dialog go and what they carry (RFC 3261 12.2.1.1)."""

from __future__ import annotations

import pytest

from sipserver.sip.dialog import Dialog
from sipserver.sip.events import Flow
from tests.sip.messages import TCP, UDP, parse, request, response

VIA = "SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKx"


def server_dialog(flow=UDP, routes=(), **parts) -> Dialog:
    message = parse(request(extra=[("Record-Route", route) for route in routes], **parts))
    return Dialog.of_request(message, message.contact.uri, "ours", flow, "sip:us@192.0.2.9")


def client_dialog(flow=UDP, routes=(), **parts) -> Dialog:
    invite = request(from_="<sip:us@192.0.2.9>;tag=ours", contact="<sip:us@192.0.2.9>", **parts)
    answer = parse(response(invite, 200, extra=[("Record-Route", route) for route in routes]))
    return Dialog.of_response(parse(invite), answer, answer.contact.uri, flow, "sip:us@192.0.2.9")


def test_the_server_side():
    dialog = server_dialog()
    assert dialog.id == ("call-1@192.0.2.1", "ours", "from1")
    bye = dialog.request("BYE", VIA)
    assert bye.uri_text == "sip:alice@192.0.2.1:5060"
    assert bye.from_.tag == "ours"
    assert bye.to.tag == "from1"
    assert bye.cseq == (1, "BYE")
    assert dialog.request("INFO", VIA).cseq.number == 2


def test_the_client_side():
    dialog = client_dialog(cseq=7)
    assert dialog.id == ("call-1@192.0.2.1", "ours", "to1")
    assert dialog.request("ACK", VIA, number=7).cseq.number == 7
    bye = dialog.request("BYE", VIA)
    assert bye.cseq.number == 8
    assert bye.uri_text == "sip:bob@192.0.2.1:5060"
    assert (bye.from_.tag, bye.to.tag) == ("ours", "to1")


def test_a_peer_without_tag_can_have_a_dialog():
    dialog = server_dialog(from_="sip:alice@192.0.2.1")
    assert dialog.id[2] == ""
    assert dialog.request("BYE", VIA).to.tag is None


LOOSE1, LOOSE2 = "<sip:p1.example.com;lr>", "<sip:192.0.2.50:5080;lr>"
STRICT = "<sip:strict.example.com>"
TARGET = "sip:alice@192.0.2.1:5060"


@pytest.mark.parametrize(
    ("recorded", "uri", "routes", "target"),
    [
        ([], TARGET, [], ("udp", "192.0.2.1", 5060)),
        ([LOOSE1], TARGET, [LOOSE1], ("udp", "p1.example.com", 5060)),
        ([LOOSE1, LOOSE2], TARGET, [LOOSE1, LOOSE2], ("udp", "p1.example.com", 5060)),
        (
            [STRICT],
            "sip:strict.example.com",
            [f"<{TARGET}>"],
            ("udp", "strict.example.com", 5060),
        ),
        (
            [STRICT, LOOSE2],
            "sip:strict.example.com",
            [LOOSE2, f"<{TARGET}>"],
            ("udp", "strict.example.com", 5060),
        ),
        ([LOOSE1, STRICT], TARGET, [LOOSE1, STRICT], ("udp", "p1.example.com", 5060)),
        (
            ["<sip:p.example.com:5099;transport=tcp;lr>"],
            TARGET,
            ["<sip:p.example.com:5099;transport=tcp;lr>"],
            ("tcp", "p.example.com", 5099),
        ),
        (
            ["<sips:p.example.com;lr>"],
            TARGET,
            ["<sips:p.example.com;lr>"],
            ("tls", "p.example.com", 5061),
        ),
    ],
)
def test_loose_and_strict_routing_of_the_server_side(recorded, uri, routes, target):
    dialog = server_dialog(routes=recorded)
    bye = dialog.request("BYE", VIA)
    assert bye.uri_text == uri
    assert [str(route) for route in bye.routes] == routes
    assert dialog.next_hop()[1] == target


def test_the_client_side_reverses_the_record_route():
    dialog = client_dialog(routes=[LOOSE2, LOOSE1])
    assert [str(route) for route in dialog.request("BYE", VIA).routes] == [LOOSE1, LOOSE2]


def test_a_strict_router_is_addressed_without_method_and_headers():
    dialog = server_dialog(routes=["<sip:strict.example.com;method=INVITE?a=b>"])
    assert dialog.request("BYE", VIA).uri_text == "sip:strict.example.com"


def at(host: str, port: int) -> Flow:
    return Flow("udp", UDP.local, (host, port))


NAT = Flow("udp", ("192.0.2.9", 5060), ("198.51.100.1", 3333))


@pytest.mark.parametrize(
    ("flow", "parts", "expected"),
    [
        (UDP, {}, UDP),
        (NAT, {"contact": "<sip:a@10.0.0.5:5060>"}, NAT),  # behind NAT
        (NAT, {"contact": "<sip:a@10.0.0.5:5060>", "rport": False}, NAT),
        (NAT, {"contact": "<sip:a@198.51.100.1:5070>"}, NAT),  # its port is mapped
        # sends from one port, listens at another, and says so by not asking for rport
        (NAT, {"contact": "<sip:a@198.51.100.1:5070>", "rport": False}, at("198.51.100.1", 5070)),
        (NAT, {"contact": "<sip:a@phone.example.com>"}, NAT),
        # through a proxy that stays out of the way
        (
            NAT,
            {
                "contact": "<sip:a@203.0.113.5:5070>",
                "via": "198.51.100.1;branch=z9hG4bKp,SIP/2.0/UDP 203.0.113.5:5070",
            },
            at("203.0.113.5", 5070),
        ),
        (UDP, {"routes": [LOOSE2]}, at("192.0.2.50", 5080)),
        (UDP, {"routes": [LOOSE1]}, None),  # a name: for the shell to resolve
        (UDP, {"routes": ["<sip:[2001:db8::1];lr>"]}, None),  # not from an IPv4 socket
        (TCP, {}, TCP),
        (TCP, {"routes": ["<sip:192.0.2.1;transport=tcp;lr>"]}, TCP),
        (TCP, {"routes": ["<sip:192.0.2.2;transport=tcp;lr>"]}, None),
        (TCP, {"routes": ["<sip:192.0.2.1;lr>"]}, None),
    ],
)
def test_the_flow_of_requests_of_the_server_side(flow, parts, expected):
    assert server_dialog(flow, **parts).next_hop()[0] == expected


def test_behind_a_dead_connection_the_contact_is_the_target():
    dialog = server_dialog(TCP, contact="<sip:alice@192.0.2.1:5999;transport=tcp>")
    assert dialog.next_hop() == (TCP, ("tcp", "192.0.2.1", 5999))


def test_ipv6_all_the_way():
    flow = Flow("udp", ("2001:db8::9", 5060), ("2001:db8::1", 5060))
    dialog = server_dialog(
        flow, via="[2001:db8::1]", contact="<sip:a@[2001:db8::1]:5061>", rport=False
    )
    hop, target = dialog.next_hop()
    assert target == ("udp", "2001:db8::1", 5061)
    assert hop == Flow("udp", flow.local, ("2001:db8::1", 5061))
    assert dialog.request("BYE", VIA).uri_text == "sip:a@[2001:db8::1]:5061"


@pytest.mark.parametrize(
    ("numbers", "accepted"),
    [([2, 3], [True, True]), ([1], [False]), ([5, 4], [True, False]), ([2, 2], [True, False])],
)
def test_cseq_of_the_peer(numbers, accepted):
    dialog = server_dialog(cseq=1)
    assert [dialog.accepts(number) for number in numbers] == accepted


def test_the_client_side_takes_any_first_cseq():
    assert client_dialog().accepts(0)


def test_target_refresh():
    dialog = server_dialog()
    dialog.refresh_target(parse(request("UPDATE", contact="<sip:new@192.0.2.77>")))
    assert dialog.request("BYE", VIA).uri_text == "sip:new@192.0.2.77"
    dialog.refresh_target(parse(request("UPDATE", contact=None)))
    dialog.refresh_target(parse(request("UPDATE", contact="<tel:+12>")))
    assert dialog.request("BYE", VIA).uri_text == "sip:new@192.0.2.77"
