"""Headers, Via and CSeq."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipserver.sip.errors import LocalProtocolError, RemoteProtocolError
from sipserver.sip.headers import (
    COMPACT_FORMS,
    CSeq,
    Headers,
    Via,
    header_key,
    parse_cseq,
    parse_via,
)
from sipserver.sip.uri import Params


def some_headers():
    return Headers(
        [
            ("v", "SIP/2.0/UDP a;branch=1, SIP/2.0/UDP b"),
            ("X-Thing", "1"),
            ("Via", "SIP/2.0/UDP c"),
            ("x-thing", "2"),
        ]
    )


def test_names_compare_without_case_and_with_compact_forms():
    headers = some_headers()
    assert headers.get("VIA") == headers.get("V") == "SIP/2.0/UDP a;branch=1, SIP/2.0/UDP b"
    assert headers.get_all("X-THING") == ["1", "2"]
    assert headers.get("nothing") is None
    assert headers.get("nothing", "x") == "x"
    assert "v" in headers
    assert "w" not in headers
    assert headers.count("via") == 2
    assert len(headers) == 4


@pytest.mark.parametrize(("short", "long"), COMPACT_FORMS.items())
def test_every_compact_form_equals_its_long_form(short, long):
    assert header_key(short) == header_key(short.upper()) == header_key(long.title()) == long


def test_order_and_spelling_are_kept():
    assert list(some_headers().items())[1] == ("X-Thing", "1")
    assert [name for name, _ in some_headers().items()] == ["v", "X-Thing", "Via", "x-thing"]


def test_values_joins_the_elements_of_all_fields():
    assert some_headers().values("via") == [
        "SIP/2.0/UDP a;branch=1",
        "SIP/2.0/UDP b",
        "SIP/2.0/UDP c",
    ]
    many = Headers([("Route", ",".join(["<sip:a>"] * 100))] * 2)
    with pytest.raises(RemoteProtocolError):
        many.values("Route")


def test_changes():
    headers = some_headers()
    headers.add("To", "x")
    headers.prepend("Via", "SIP/2.0/UDP top")
    headers.set("X-THING", "3")
    headers.set("New", "4")
    assert list(headers.items()) == [
        ("Via", "SIP/2.0/UDP top"),
        ("v", "SIP/2.0/UDP a;branch=1, SIP/2.0/UDP b"),
        ("X-THING", "3"),
        ("Via", "SIP/2.0/UDP c"),
        ("To", "x"),
        ("New", "4"),
    ]
    headers.remove("via")
    assert [name for name, _ in headers.items()] == ["X-THING", "To", "New"]


def test_first_element_is_replaced_in_place():
    headers = some_headers()
    headers.replace_first_element("Via", "NEW")
    assert headers.get("v") == "NEW, SIP/2.0/UDP b"
    with pytest.raises(LocalProtocolError):
        headers.replace_first_element("Nope", "x")


@pytest.mark.parametrize(
    "change",
    [
        lambda h: h.add("To", "x"),
        lambda h: h.prepend("To", "x"),
        lambda h: h.set("To", "x"),
        lambda h: h.remove("Via"),
        lambda h: h.replace_first_element("Via", "x"),
    ],
)
def test_parsed_values_are_forgotten_when_headers_change(change):
    headers = some_headers()
    calls = []

    def build(_):
        calls.append(1)
        return len(calls)

    assert headers.cached("slot", build) == headers.cached("slot", build) == 1
    change(headers)
    assert headers.cached("slot", build) == 2


def test_copies_are_independent():
    headers = some_headers()
    copy = headers.copy()
    assert copy == headers
    copy.add("A", "b")
    assert copy != headers
    assert "A" not in headers


def test_repr_shows_no_values():
    assert "branch" not in repr(some_headers())


VIAS = [
    ("SIP/2.0/UDP 192.0.2.1", "UDP", "192.0.2.1", None, ()),
    ("SIP/2.0/TCP h:5061;branch=z9hG4bK1;rport", "TCP", "h", 5061,
     (("branch", "z9hG4bK1"), ("rport", None))),
    ("SIP/2.0/TLS [2001:db8::9]:5061;received=2001:db8::9", "TLS", "2001:db8::9", 5061,
     (("received", "2001:db8::9"),)),
]  # fmt: skip


@pytest.mark.parametrize(("text", "transport", "host", "port", "params"), VIAS)
def test_via_is_parsed_and_spelled_the_same(text, transport, host, port, params):
    assert parse_via(text) == Via(transport, host, port, Params(params))
    assert str(parse_via(text)) == text


def test_via_with_blanks_everywhere():
    via = parse_via(
        "SIP / 2.0 / UDP  first.example.com : 4000 ; ttl = 16 ;branch=z9hG4bKa7c6a8dlze"
    )
    assert (via.transport, via.host, via.port) == ("UDP", "first.example.com", 4000)
    assert via.params.get("ttl") == "16"
    assert via.protocol == "SIP/2.0"
    assert parse_via("SIP/2.0/UDP\thost").host == "host"


@pytest.mark.parametrize(
    "text",
    ["", "SIP/2.0/UDP", "SIP/2.0/UDP ", "UDP host", "SIP/2.0/ host", "SIP/2.0/UDP host:99999",
     "SIP/2.0/UDP ho st", "SIP/2.0/UDP host;", "SIP/2.0/UDP host;;a", "SIP/2.0/UDP [::1"],
)  # fmt: skip
def test_malformed_via_is_refused(text):
    with pytest.raises(RemoteProtocolError):
        parse_via(text)


SOURCES = [
    # RFC 3261 18.2.1 and RFC 3581 4
    ("SIP/2.0/UDP 192.0.2.1;branch=b", "SIP/2.0/UDP 192.0.2.1;branch=b"),
    ("SIP/2.0/UDP host;branch=b", "SIP/2.0/UDP host;branch=b;received=192.0.2.1"),
    ("SIP/2.0/UDP 192.0.2.1;rport;branch=b",
     "SIP/2.0/UDP 192.0.2.1;rport=9;branch=b;received=192.0.2.1"),
    ("SIP/2.0/UDP x;received=6.6.6.6;rport=1", "SIP/2.0/UDP x;rport=9;received=192.0.2.1"),
    ("SIP/2.0/UDP 192.0.2.1;received=6.6.6.6", "SIP/2.0/UDP 192.0.2.1"),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after"), SOURCES)
def test_via_is_marked_with_the_source(before, after):
    assert str(parse_via(before).with_source("192.0.2.1", 9)) == after


def test_via_readers():
    via = parse_via("SIP/2.0/UDP h;RPORT=5060;received=[::1];branch=")
    assert (via.rport, via.rport_requested, via.received, via.branch) == (5060, True, "::1", None)
    assert parse_via("SIP/2.0/UDP h;rport").rport is None
    assert parse_via("SIP/2.0/UDP h;rport=x").rport is None
    assert not parse_via("SIP/2.0/UDP h").rport_requested
    assert parse_via("SIP/2.0/UDP h").received is None


@pytest.mark.parametrize(
    ("text", "cseq"),
    [
        ("1 INVITE", CSeq(1, "INVITE")),
        ("0009\t  X-y", CSeq(9, "X-y")),
        ("2147483647 A", CSeq(2**31 - 1, "A")),
    ],
)
def test_cseq(text, cseq):
    assert parse_cseq(text) == cseq
    assert parse_cseq(str(cseq)) == cseq


@pytest.mark.parametrize(
    "text", ["", "1", "INVITE", "1INVITE", "2147483648 A", "-1 A", "1 A B", "1 <"]
)
def test_malformed_cseq_is_refused(text):
    with pytest.raises(RemoteProtocolError):
        parse_cseq(text)


@given(st.text(max_size=60))
def test_no_text_breaks_via_and_cseq(text):
    for parse in (parse_via, parse_cseq):
        try:
            value = parse(text)
        except RemoteProtocolError:
            continue
        assert parse(str(value)) == value
