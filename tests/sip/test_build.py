"""Responses, ACK, CANCEL and header values."""

import pytest

from sipserver.sip import build
from sipserver.sip.errors import LocalProtocolError
from sipserver.sip.headers import Headers
from sipserver.sip.message import Request, Response, parse_datagram, validate_request

FIELDS = [
    ("v", "SIP/2.0/UDP p;branch=z9hG4bK2, SIP/2.0/UDP q"),
    ("Via", "SIP/2.0/UDP r"),
    ("Record-Route", "<sip:p;lr>"),
    ("Max-Forwards", "70"),
    ("f", "<sip:a@b>;tag=f"),
    ("t", "<sip:c@d>"),
    ("Call-ID", "id"),
    ("CSeq", "5 INVITE"),
    ("Timestamp", "54"),
    ("Route", "<sip:one;lr>, <sip:two;lr>"),
    ("Subject", "x"),
]


def request(method="INVITE", to="<sip:c@d>"):
    fields = [(name, to if name == "t" else value) for name, value in FIELDS]
    fields = [(n, v.replace("INVITE", method) if n == "CSeq" else v) for n, v in fields]
    return Request(method, "sip:c@d", Headers(fields))


def names(message):
    return [name for name, _ in message.headers.items()]


def test_response_repeats_what_rfc3261_wants():
    response = build.response_to(
        request(),
        200,
        to_tag="t",
        headers=[("Contact", "<sip:c@e>")],
        body=b"v=0\r\n",
        content_type="application/sdp",
    )
    assert response.start_line == "SIP/2.0 200 OK"
    assert list(response.headers.items()) == [
        ("v", "SIP/2.0/UDP p;branch=z9hG4bK2, SIP/2.0/UDP q"),
        ("Via", "SIP/2.0/UDP r"),
        ("Record-Route", "<sip:p;lr>"),
        ("f", "<sip:a@b>;tag=f"),
        ("t", "<sip:c@d>;tag=t"),
        ("Call-ID", "id"),
        ("CSeq", "5 INVITE"),
        ("Contact", "<sip:c@e>"),
        ("Content-Type", "application/sdp"),
    ]
    assert response.body == b"v=0\r\n"
    assert response.to.tag == "t"


@pytest.mark.parametrize(
    ("method", "status", "record_route", "timestamp", "tagged"),
    [
        ("INVITE", 100, False, True, False),
        ("INVITE", 180, True, False, True),
        ("INVITE", 200, True, False, True),
        ("INVITE", 486, False, False, True),
        ("SUBSCRIBE", 200, True, False, True),
        ("BYE", 200, False, False, True),
        ("OPTIONS", 200, False, False, True),
    ],
)
def test_response_headers_by_method_and_status(method, status, record_route, timestamp, tagged):
    response = build.response_to(request(method), status, to_tag="t")
    assert ("Record-Route" in response.headers) == record_route
    assert ("Timestamp" in response.headers) == timestamp
    assert (response.to.tag == "t") == tagged


@pytest.mark.parametrize(
    ("to", "answered"),
    [
        ("<sip:c@d>;tag=old", "<sip:c@d>;tag=old"),
        ("sip:c@d", "sip:c@d;tag=new"),
        ("<sip:c@d", "<sip:c@d;tag=new"),
        ("<sip:c@d> x ;tag=old", "<sip:c@d> x ;tag=old"),
    ],
)
def test_to_gets_a_tag_only_if_it_has_none(to, answered):
    assert build.response_to(request(to=to), 400, to_tag="new").headers.get("To") == answered


def test_response_does_not_share_headers_with_its_request():
    asked = request()
    build.response_to(asked, 200, to_tag="t").headers.add("X", "y")
    assert names(asked) == [name for name, _ in FIELDS]


def test_reason_phrases():
    assert build.response_to(request(), 488).reason == "Not Acceptable Here"
    assert build.response_to(request(), 486, "Try Later").reason == "Try Later"
    assert build.reason_phrase(299) == "OK"
    assert build.reason_phrase(699) == "Decline"


@pytest.mark.parametrize("status", [0, 99, 700])
def test_impossible_status_is_our_bug(status):
    with pytest.raises(LocalProtocolError):
        build.response_to(request(), status)


def test_ack_for_a_failure_belongs_to_the_transaction():
    invite = request()
    response = build.response_to(invite, 486, to_tag="t")
    ack = build.ack_for(invite, response)
    assert ack.start_line == "ACK sip:c@d SIP/2.0"
    assert list(ack.headers.items()) == [
        ("Via", "SIP/2.0/UDP p;branch=z9hG4bK2"),
        ("Route", "<sip:one;lr>, <sip:two;lr>"),
        ("From", "<sip:a@b>;tag=f"),
        ("To", "<sip:c@d>;tag=t"),
        ("Call-ID", "id"),
        ("CSeq", "5 ACK"),
        ("Max-Forwards", "70"),
    ]
    validate_request(parse_datagram(ack.to_bytes()))


def test_cancel_copies_the_to_of_the_invite():
    cancel = build.cancel_for(request())
    assert cancel.start_line == "CANCEL sip:c@d SIP/2.0"
    assert cancel.headers.get("To") == "<sip:c@d>"
    assert cancel.cseq == (5, "CANCEL")
    assert cancel.via.branch == "z9hG4bK2"


def test_wrong_use_is_our_bug():
    ok = Response(200, "OK", Headers([("To", "<sip:c@d>;tag=t")]))
    with pytest.raises(LocalProtocolError):
        build.ack_for(request(), ok)
    with pytest.raises(LocalProtocolError):
        build.ack_for(request(), Response(486, "Busy", Headers()))
    with pytest.raises(LocalProtocolError):
        build.cancel_for(request("ACK"))
    with pytest.raises(LocalProtocolError):
        build.warning_value(200, "h", "x")
    with pytest.raises(LocalProtocolError):
        build.reason_value("a b", 1)


def test_header_values_with_free_text_are_quoted():
    assert build.warning_value(399, "pbx", 'say "hi"\r\nX: y') == '399 pbx "say \\"hi\\"  X: y"'
    assert build.reason_value("Q.850", 16) == "Q.850;cause=16"
    assert build.reason_value("SIP", 486, "a;b") == 'SIP;cause=486;text="a;b"'
