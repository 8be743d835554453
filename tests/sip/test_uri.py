"""URIs and name-addrs: RFC 3261 19.1 and 20.10."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipserver.sip.errors import RemoteProtocolError
from sipserver.sip.uri import (
    NameAddr,
    OtherUri,
    Params,
    SipUri,
    equivalent,
    parse_name_addr,
    parse_params,
    parse_sip_uri,
    parse_uri,
)

VALID = [
    ("sip:example.com", SipUri("sip", None, None, "example.com")),
    ("sips:alice@Example.COM", SipUri("sips", "alice", None, "Example.COM")),
    ("SIP:alice@example.com", SipUri("SIP", "alice", None, "example.com")),
    ("sip:alice:secret@example.com:5070", SipUri("sip", "alice", "secret", "example.com", 5070)),
    ("sip:alice@[2001:db8::1]:5061", SipUri("sip", "alice", None, "2001:db8::1", 5061)),
    ("sip:[::1]", SipUri("sip", None, None, "::1")),
    ("sip:+1-212-555-1212:1234@gateway.com;user=phone",
     SipUri("sip", "+1-212-555-1212", "1234", "gateway.com", None, Params((("user", "phone"),)))),
    ("sip:alice;day=tuesday@atlanta.com", SipUri("sip", "alice;day=tuesday", None, "atlanta.com")),
    ("sip:a@b;lr;x=", SipUri("sip", "a", None, "b", None, Params((("lr", None), ("x", ""))))),
    ("sip:atlanta.com;method=REGISTER?to=alice%40atlanta.com",
     SipUri("sip", None, None, "atlanta.com", None, Params((("method", "REGISTER"),)),
            "to=alice%40atlanta.com")),
    ("sip:a@b?Replaces=x@1.2.3.4", SipUri("sip", "a", None, "b", headers="Replaces=x@1.2.3.4")),
    ("sip:*98#@pbx", SipUri("sip", "*98#", None, "pbx")),
    ("sip:under_score.example", SipUri("sip", None, None, "under_score.example")),
    ("tel:+3215123456;phone-context=x", OtherUri("tel:+3215123456;phone-context=x")),
    ("urn:service:sos", OtherUri("urn:service:sos")),
]  # fmt: skip

INVALID = [
    "", ":", "sip", "sip:", "sip:@host", "sip::pw@host", "sip:a@", "sip:a@b:99999", "sip:a@b:x",
    "sip:a@b:", "sip:a b@host", "sip:a@ho st", "<sip:a@b>", "sip:a@b;", "sip:a@b;;lr", "sip:a%4@b",
    "sip:a%zz@b", "sip:a@[::1", "sip:a@[::g]", "sip:a@[1]", "sip:a@[::1]x", 'sip:a"b@c',
    "sip:a@b>c", "1tel:5", "tel:", "sip:a@b@c", "sip:a@-b", "sip:a@b;x=\x01",
    "sip:a@b;x=%1", "sip:a@b?x=%zz", "urn:a b",
]  # fmt: skip


@pytest.mark.parametrize(("text", "uri"), VALID)
def test_valid_uri_is_parsed_and_spelled_the_same(text, uri):
    assert parse_uri(text) == uri
    assert str(uri) == text


@pytest.mark.parametrize("text", INVALID)
def test_invalid_uri_is_refused(text):
    with pytest.raises(RemoteProtocolError) as caught:
        parse_uri(text)
    assert caught.value.status_hint == 400


def test_overlong_uri_is_414_and_foreign_scheme_416():
    with pytest.raises(RemoteProtocolError) as caught:
        parse_uri("sip:" + "a" * 3000 + "@b")
    assert caught.value.status_hint == 414
    with pytest.raises(RemoteProtocolError) as caught:
        parse_sip_uri("tel:5")
    assert caught.value.status_hint == 416


def test_readers_of_a_uri():
    uri = parse_sip_uri("sip:al%69ce@PBX.Example.Net.:5060;transport=TCP;x?h=v")
    assert uri.domain == "pbx.example.net"
    assert uri.username == "alice"
    assert uri.transport == "tcp"
    assert parse_uri("TEL:+32151").scheme == "tel"
    assert uri.bare() == "sip:al%69ce@PBX.Example.Net.:5060"


# RFC 3261 19.1.4
EQUIVALENT = [
    ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
    ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
    ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5"),
    ("sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
     "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com"),
    ("sip:alice@atlanta.com?subject=project%20x&priority=urgent",
     "sip:alice@atlanta.com?priority=urgent&subject=project%20x"),
    ("tel:5", "tel:5"),
]  # fmt: skip
DIFFERENT = [
    ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
    ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
    ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
    ("sip:a@b;security=on", "sip:a@b;security=off"),
    ("sip:a@b", "sips:a@b"),
    ("sip:a@b", "tel:5"),
]


@pytest.mark.parametrize(("one", "other"), EQUIVALENT)
def test_equivalent_uris(one, other):
    assert equivalent(parse_uri(one), parse_uri(other))
    assert equivalent(parse_uri(other), parse_uri(one))


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different_uris(one, other):
    assert not equivalent(parse_uri(one), parse_uri(other))
    assert not equivalent(parse_uri(other), parse_uri(one))


NAME_ADDRS = [
    ("sip:a@b;tag=1", "", "sip:a@b", "1", '<sip:a@b>;tag=1'),
    ("<sip:a@b;lr>;tag=1", "", "sip:a@b;lr", "1", "<sip:a@b;lr>;tag=1"),
    ('"A, \\"B\\"" <sip:a@b>', 'A, "B"', "sip:a@b", None, '"A, \\"B\\"" <sip:a@b>'),
    ("Anna Lena<sip:a@b>;x", "Anna Lena", "sip:a@b", None, "Anna Lena <sip:a@b>;x"),
    ("A (Work) @ b/c <sip:a@b>", "A (Work) @ b/c", "sip:a@b", None, '"A (Work) @ b/c" <sip:a@b>'),
    ("<sip:a@b>;k=YWI=;h=[::1]", "", "sip:a@b", None, "<sip:a@b>;k=YWI=;h=[::1]"),
    ("Jürgen <sip:j@b>", "Jürgen", "sip:j@b", None, '"Jürgen" <sip:j@b>'),
    ('<sip:a@b>;x="y;tag=2";TAG=3', "", "sip:a@b", "3", '<sip:a@b>;x="y;tag=2";TAG=3'),
    ("<tel:+32151>", "", "tel:+32151", None, "<tel:+32151>"),
    ("<sip:a@b>;tag=", "", "sip:a@b", None, "<sip:a@b>;tag="),
]  # fmt: skip


@pytest.mark.parametrize(("text", "name", "uri", "tag", "spelled"), NAME_ADDRS)
def test_name_addr_forms(text, name, uri, tag, spelled):
    value = parse_name_addr(text)
    assert (value.display_name, str(value.uri), value.tag) == (name, uri, tag)
    assert str(value) == spelled
    assert parse_name_addr(spelled) == value


@pytest.mark.parametrize(
    "text",
    ["", "<>", "<sip:a@b", '"x <sip:a@b>', '"x" y <sip:a@b>', "a,b <sip:a@b>", "<sip:a@b> x",
     "<sip:a@b>;", "<sip:a@b>;a;;b", "<sip:a@b>;=1", "<sip:a@b>;a=b c", "sip:a@b?x=y",
     '<sip:a@b>;a="x', "\x00 <sip:a@b>", '"\x01" <sip:a@b>'],
)  # fmt: skip
def test_malformed_name_addr_is_refused(text):
    with pytest.raises(RemoteProtocolError):
        parse_name_addr(text)


def test_tag_is_set_and_replaced():
    assert str(parse_name_addr("<sip:a@b>").with_tag("x")) == "<sip:a@b>;tag=x"
    assert str(parse_name_addr("<sip:a@b>;Tag=old;y").with_tag("x")) == "<sip:a@b>;Tag=x;y"


def test_too_many_parameters_are_refused():
    with pytest.raises(RemoteProtocolError):
        parse_params(";".join(["a"] * 65))


hosts = st.one_of(
    st.from_regex(r"[a-z][a-z0-9]{0,8}(\.[a-z][a-z0-9]{0,5}){0,3}", fullmatch=True),
    st.ip_addresses().map(str),
)
escaped = st.from_regex(r"([A-Za-z0-9\-_.!~*'()&=+$,;?/]|%[0-9A-F]{2}){1,12}", fullmatch=True)
names = st.from_regex(r"[A-Za-z0-9\-.!%*_+`'~]{1,8}", fullmatch=True)
uri_params = st.lists(
    st.tuples(
        st.from_regex(r"[A-Za-z0-9\-_.!~*'()/:&+$\[\]]{1,8}", fullmatch=True),
        st.one_of(st.none(), st.from_regex(r"[A-Za-z0-9\-_.!~*'()/:&+$\[\]]{1,8}", fullmatch=True)),
    ),
    max_size=4,
).map(Params)
sip_uris = st.builds(
    SipUri,
    st.sampled_from(["sip", "sips"]),
    st.one_of(st.none(), escaped),
    st.none(),
    hosts,
    st.one_of(st.none(), st.integers(0, 65535)),
    uri_params,
    st.one_of(st.none(), st.from_regex(r"[A-Za-z0-9\-]{1,8}=[A-Za-z0-9%]{0}", fullmatch=True)),
)
header_params = st.lists(
    st.tuples(names, st.one_of(st.none(), names, st.just('"a;b\\",c"'))), max_size=4
).map(Params)


@given(sip_uris)
def test_any_sip_uri_survives_the_round_trip(uri):
    assert parse_uri(str(uri)) == uri
    assert equivalent(uri, parse_uri(str(uri)))


display_names = (
    st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"], exclude_characters="\x7f"))
).map(str.strip)


@given(st.builds(NameAddr, display_names, sip_uris, header_params))
def test_any_name_addr_survives_the_round_trip(value):
    assert parse_name_addr(str(value)) == value


@given(st.text(max_size=60))
def test_no_text_breaks_the_parsers(text):
    for parse in (parse_uri, parse_name_addr, parse_params):
        try:
            str(parse(text))
        except RemoteProtocolError:
            pass
