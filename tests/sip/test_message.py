"""Messages: parsing, typed properties, validation, serialisation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipserver.sip import limits
from sipserver.sip.errors import LocalProtocolError, RemoteProtocolError
from sipserver.sip.headers import CSeq, Headers
from sipserver.sip.message import (
    Request,
    Response,
    parse_datagram,
    read_best_effort,
    validate_request,
)
from sipserver.sip.uri import parse_uri

LINES = {
    "Via": "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1;rport",
    "Max-Forwards": "70",
    "From": '"Alice" <sip:alice@example.net>;tag=f',
    "To": "<sip:100@pbx.example.net>",
    "Call-ID": "c@192.0.2.1",
    "CSeq": "7 INVITE",
    "Contact": "<sip:alice@192.0.2.1>",
}


def text_of(first="INVITE sip:100@pbx.example.net SIP/2.0", body=b"", **changes):
    """A request with headers replaced, or dropped by None; ``extra`` lines come last."""
    extra = changes.pop("extra", "")
    values = LINES | {name.replace("_", "-"): value for name, value in changes.items()}
    rows = [f"{name}: {value}\r\n" for name, value in values.items() if value is not None]
    return (first + "\r\n" + "".join(rows) + extra + "\r\n").encode() + body


def refusal(data):
    """(status, whether somebody can be answered) of what parsing or validation raises."""
    with pytest.raises(RemoteProtocolError) as caught:
        validate_request(parse_datagram(data))
    return caught.value.status_hint, caught.value.request is not None


def test_request_has_typed_properties():
    request = parse_datagram(
        text_of(
            extra="k: timer, 100rel\r\nRequire: Foo, , bar,\r\nRoute: <sip:p1;lr>, <sip:p2;lr>\r\n"
            "Record-Route: <sip:r;lr>\r\nc: Application/SDP ; charset=utf-8\r\nExpires: 30\r\n"
            "m: <sip:b@c>\r\n"
        )
    )
    validate_request(request)
    assert (request.method, request.uri_text) == ("INVITE", "sip:100@pbx.example.net")
    assert request.uri == parse_uri("sip:100@pbx.example.net")
    assert request.call_id == "c@192.0.2.1"
    assert request.cseq == CSeq(7, "INVITE")
    assert request.via.branch == "z9hG4bK1"
    assert len(request.vias) == 1
    assert (request.from_.display_name, request.from_.tag) == ("Alice", "f")
    assert request.to.tag is None
    assert str(request.contact.uri) == "sip:alice@192.0.2.1"
    assert [str(contact.uri) for contact in request.contacts] == [
        "sip:alice@192.0.2.1",
        "sip:b@c",
    ]
    assert request.max_forwards == 70
    assert request.expires == 30
    assert [route.uri.host for route in request.routes] == ["p1", "p2"]
    assert [route.uri.host for route in request.record_routes] == ["r"]
    assert request.content_type == "application/sdp"
    assert request.require == ("foo", "bar")
    assert request.supported == ("timer", "100rel")
    assert not request.contact_is_wildcard


def test_absent_optional_headers():
    request = parse_datagram(text_of(Contact=None, Max_Forwards=None))
    validate_request(request)
    assert request.contact is None
    assert request.max_forwards is None
    assert request.expires is None
    assert request.content_type is None
    assert request.routes == request.record_routes == []
    assert request.require == request.supported == ()


@pytest.mark.parametrize("value", ["sdp", "a b/c", "/sdp", "application/", "a/b/c"])
def test_malformed_content_type_is_refused_when_it_is_read(value):
    with pytest.raises(RemoteProtocolError):
        _ = parse_datagram(text_of(Content_Type=value)).content_type


def test_wildcard_contact():
    request = parse_datagram(text_of("REGISTER sip:a SIP/2.0", CSeq="1 REGISTER", Contact="*"))
    validate_request(request)
    assert request.contact_is_wildcard
    assert request.contacts == []


def test_parsed_values_are_kept_until_the_headers_change():
    request = parse_datagram(text_of())
    assert request.via is request.via
    before = request.via
    request.headers.replace_first_element("Via", str(before.with_source("192.0.2.1", 9)))
    assert request.via.rport == 9


def test_response_is_parsed():
    response = parse_datagram(b"sip/2.0 486 Busy Here\r\nCSeq: 1 INVITE\r\n\r\n")
    assert isinstance(response, Response)
    assert (response.status, response.reason) == (486, "Busy Here")
    assert parse_datagram(b"SIP/2.0 200\r\n\r\n").reason == ""
    assert response.start_line == "SIP/2.0 486 Busy Here"


@pytest.mark.parametrize(
    "line",
    ["SIP/2.0", "SIP/2.0 ", "SIP/2.0 99 x", "SIP/2.0 700 x", "SIP/2.0 2000 x", "SIP/2.0  200 OK",
     "SIP/2.0 abc x", "SIP/3.0 200 OK", "SIP/2.0 ²00 x"],
)  # fmt: skip
def test_malformed_status_line_is_dropped(line):
    with pytest.raises(RemoteProtocolError) as caught:
        parse_datagram(f"{line}\r\nCSeq: 1 INVITE\r\nVia: {LINES['Via']}\r\n\r\n".encode())
    assert caught.value.request is None


REFUSED = [
    # what, request, status
    ("no version", text_of("INVITE sip:a@b"), 400),
    ("two blanks", text_of("INVITE  sip:a@b SIP/2.0"), 400),
    ("a tab", text_of("INVITE\tsip:a@b SIP/2.0"), 400),
    ("foreign protocol", text_of("GET / HTTP/1.1"), 400),
    ("other version", text_of("INVITE sip:a@b SIP/3.1"), 505),
    ("method is no token", text_of("INV(ITE sip:a@b SIP/2.0"), 400),
    ("bad Request-URI", text_of("INVITE sip:@ SIP/2.0"), 400),
    ("Request-URI with headers", text_of("INVITE sip:a@b?x=y SIP/2.0"), 400),
    ("long Request-URI", text_of(f"INVITE sip:{'a' * 2100}@b SIP/2.0"), 414),
    ("tel Request-URI", text_of("INVITE tel:+3215 SIP/2.0"), 416),
    ("no From", text_of(From=None), 400),
    ("no To", text_of(To=None), 400),
    ("no Call-ID", text_of(Call_ID=None), 400),
    ("empty Call-ID", text_of(Call_ID=""), 400),
    ("two words of Call-ID", text_of(Call_ID="a b"), 400),
    ("bad From", text_of(From="<sip:a@b"), 400),
    ("bad To", text_of(To="<sip:a@b> x"), 400),
    ("bad CSeq", text_of(CSeq="x INVITE"), 400),
    ("CSeq too large", text_of(CSeq="2147483648 INVITE"), 400),
    ("CSeq of another method", text_of(CSeq="1 BYE"), 400),
    ("Max-Forwards too large", text_of(Max_Forwards="256"), 400),
    ("Max-Forwards no number", text_of(Max_Forwards="seventy"), 400),
    ("bad Contact", text_of(Contact="<sip:a@b"), 400),
    ("Contact * with another", text_of(Contact="*, <sip:a@b>"), 400),
    ("Contact expires too large", text_of(Contact="<sip:a@b>;expires=4294967296"), 400),
    ("Expires too large", text_of(Expires="4294967296"), 400),
    ("bad Route", text_of(Route="<sip:a"), 400),
    ("bad Record-Route", text_of(Record_Route="<sip:a>,,<sip:b>"), 400),
    ("two To", text_of(extra="t: <sip:x@y>\r\n"), 400),
    ("two Content-Type", text_of(extra="c: a/b\r\nContent-Type: a/c\r\n"), 400),
    ("Via of another protocol", text_of(Via="SIP/3.0/UDP h;branch=z9hG4bK1"), 400),
    ("header without colon", text_of(extra="nonsense\r\n"), 400),
    ("header with a bad name", text_of(extra="a b: c\r\n"), 400),
    ("header without a name", text_of(extra=": c\r\n"), 400),
    ("known header name alone", text_of(extra="Subject\r\n"), 400),
    ("a lone CR", text_of(extra="Subject: a\rX: b\r\n"), 400),
    ("no end of headers", text_of()[:-2], 400),
    ("short body", text_of(Content_Length="5", body=b"four"), 400),
    ("Content-Length no number", text_of(Content_Length="0x1"), 400),
    ("contradicting Content-Length", text_of(extra="l: 1\r\nl: 2\r\n", body=b"abc"), 400),
    ("huge Content-Length", text_of(Content_Length="9" * 30), 400),
    ("too many headers", text_of(extra="A: b\r\n" * 300), 513),
    ("header too large", text_of(extra=f"A: {'b' * 9000}\r\n"), 400),
    ("head too large", text_of(extra=f"A: {'b' * 7000}\r\n" * 5), 513),
    ("message too large", text_of(body=b"x" * 65536), 513),
]  # fmt: skip


@pytest.mark.parametrize(("what", "data", "status"), REFUSED, ids=[row[0] for row in REFUSED])
def test_malformed_request_is_refused_with_the_right_status(what, data, status):
    assert refusal(data) == (status, True)


UNANSWERABLE = [
    ("no Via", text_of("INVITE sip:a@b SIP/9.9", Via=None)),
    ("unreadable Via", text_of("INVITE sip:a@b SIP/9.9", Via="x")),
    ("no CSeq", text_of("INVITE sip:a@b SIP/9.9", CSeq=None)),
    ("an ACK", text_of("ACK sip:a@b SIP/9.9", CSeq="1 ACK")),
    ("a bad ACK", text_of("ACK sip:a@b SIP/2.0", CSeq="1 ACK", To=None)),
    ("nothing", b""),
    ("line ends only", b"\r\n\r\n"),
    ("garbage", b"\x00\xff\x80"),
]


@pytest.mark.parametrize(("what", "data"), UNANSWERABLE, ids=[row[0] for row in UNANSWERABLE])
def test_unanswerable_garbage_is_dropped(what, data):
    assert refusal(data)[1] is False


def test_best_effort_reading_gives_what_can_be_answered():
    head = text_of(Content_Length="77")
    assert read_best_effort(head).call_id == "c@192.0.2.1"
    assert read_best_effort(b"garbage\r\n\r\n") is None


def test_body_is_cut_at_content_length():
    assert parse_datagram(text_of(Content_Length="3", body=b"abcdef")).body == b"abc"
    assert parse_datagram(text_of(body=b"abcdef")).body == b"abcdef"
    assert parse_datagram(text_of(extra="l: 3\r\nL: 3\r\n", body=b"abcdef")).body == b"abc"


def test_leading_line_ends_and_lf_only_messages_are_accepted():
    assert parse_datagram(b"\r\n\r\n" + text_of()).method == "INVITE"
    request = parse_datagram(text_of(extra="Subject: a\r\n b\r\n").replace(b"\r\n", b"\n"))
    validate_request(request)
    assert request.headers.get("Subject") == "a b"


def test_folding_becomes_one_blank():
    request = parse_datagram(text_of(extra="Subject: a \r\n\t  b\r\n c\r\nX:\r\n y\r\n"))
    assert request.headers.get("Subject") == "a b c"
    assert request.headers.get("X") == "y"


def test_any_octet_survives_in_an_unknown_header():
    raw = bytes(octet for octet in range(1, 256) if octet not in b"\r\n")
    data = text_of(extra="l: 0\r\n").replace(b"l: 0", b"X-Raw: a" + raw + b"z\r\nl: 0")
    assert parse_datagram(data).to_bytes() == data


def test_content_length_is_always_right():
    request = parse_datagram(text_of(extra="l: 3\r\nl: 3\r\nX: y\r\n", body=b"abc"))
    request.body = b"longer body"
    assert request.to_bytes().endswith(b"\r\nl: 11\r\nX: y\r\n\r\nlonger body")
    assert bytes(Response(200, "OK", Headers())) == b"SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize("value", ["a\r\nX: injected", "a\nb", "a\rb"])
def test_line_ends_never_get_into_what_we_send(value):
    for message in (
        Request("INFO", "sip:a@b", Headers([("X", value)])),
        Response(200, value, Headers()),
        Request("INFO", f"sip:{value}", Headers()),
    ):
        with pytest.raises(LocalProtocolError):
            message.to_bytes()


def test_request_can_be_built_from_a_uri_value():
    request = Request("BYE", parse_uri("sip:a@[::1]:5070;lr"), Headers())
    assert request.uri_text == "sip:a@[::1]:5070;lr"
    assert request.start_line == "BYE sip:a@[::1]:5070;lr SIP/2.0"


def test_repr_shows_no_header_values():
    request = parse_datagram(text_of())
    assert repr(request) == "<Request INVITE>"
    assert repr(Response(200, "OK", Headers())) == "<Response 200>"


def test_too_many_vias_are_refused_when_they_are_read():
    request = parse_datagram(text_of(extra=f"Via: {LINES['Via']}\r\n" * limits.MAX_VIAS))
    with pytest.raises(RemoteProtocolError):
        _ = request.vias


PROPERTIES = [
    "call_id",
    "cseq",
    "via",
    "vias",
    "from_",
    "to",
    "contact",
    "contacts",
    "contact_is_wildcard",
    "max_forwards",
    "expires",
    "routes",
    "record_routes",
    "content_type",
    "require",
    "supported",
]


def read_everything(data):
    try:
        message = parse_datagram(data)
    except RemoteProtocolError as error:
        if error.request is None:
            return
        message = error.request
    for name in PROPERTIES:
        try:
            getattr(message, name)
        except RemoteProtocolError:
            pass
    if isinstance(message, Request):
        try:
            _ = message.uri
            validate_request(message)
        except RemoteProtocolError:
            pass
    again = message.to_bytes()
    assert again.startswith(message.start_line.encode("utf-8", "surrogateescape"))


@given(st.binary(max_size=400))
def test_no_octets_break_the_parser(data):
    read_everything(data)


@given(st.data())
def test_no_mutation_of_a_valid_message_breaks_the_parser(data):
    octets = bytearray(text_of(extra="Route: <sip:p;lr>\r\nl: 0\r\n"))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(octets) - 1))
        octets[at : at + data.draw(st.integers(0, 3))] = data.draw(
            st.one_of(st.binary(max_size=3), st.sampled_from([b'"', b"<", b",", b";", b"\r\n "]))
        )
    read_everything(bytes(octets))


tokens = st.from_regex(r"[A-Za-z0-9\-.!%*_+`'~]{1,10}", fullmatch=True)
values = st.text(
    st.characters(min_codepoint=33, exclude_categories=["Cs"], exclude_characters="\x7f"),
    max_size=20,
)


@given(
    tokens.filter(lambda method: not method.upper().startswith("SIP/")),
    st.lists(st.tuples(tokens, values), max_size=8),
    st.binary(max_size=50),
)
def test_any_valid_message_survives_the_round_trip(method, fields, body):
    fields = [pair for pair in fields if pair[0].lower() not in ("l", "content-length")]
    data = Request(method, "sip:a@b", Headers(fields), body).to_bytes()
    again = parse_datagram(data)
    assert (again.method, again.uri_text, again.body) == (method, "sip:a@b", body)
    assert list(again.headers.items())[:-1] == fields
    assert again.to_bytes() == data
