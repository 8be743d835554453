"""The text of a Sip noun: each row of sip-domain.md section 8 that is about the URI."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipserver.sip.target import (
    InvalidTarget,
    SipTarget,
    aor,
    is_caller_id,
    parse_target,
    wanted_headers,
)
from sipserver.sip.uri import parse_sip_uri


def read(text):
    """(URI, secure, headers, codes of the issues), or the code of the error."""
    target = parse_target(text)
    if isinstance(target, InvalidTarget):
        return target.code
    return str(target.uri), target.secure, target.headers, [code for code, _ in target.issues]


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("sip:bob@pbx.example.net", "sip:bob@pbx.example.net"),
        ("SIP:bob@pbx.example.net", "sip:bob@pbx.example.net"),
        ("bob@pbx.example.net", "sip:bob@pbx.example.net"),
        ("bob@pbx.example.net:5080;x=1", "sip:bob@pbx.example.net:5080;x=1"),
        ("  sip:bob@pbx.example.net\n", "sip:bob@pbx.example.net"),
        ("pbx.example.net", "sip:pbx.example.net"),
        ("pbx.example.net:5070", "sip:pbx.example.net:5070"),
        ("sip:[2001:db8::1]:5070", "sip:[2001:db8::1]:5070"),
        ("+15550100@192.0.2.1", "sip:+15550100@192.0.2.1"),
        ("sip:bob:secret@pbx.example.net", "sip:bob:secret@pbx.example.net"),
        ("sip:bob;phone-context=x@pbx.example.net", "sip:bob;phone-context=x@pbx.example.net"),
    ],
)
def test_uris(text, uri):
    assert read(text) == (uri, False, (), [])


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", 13243),
        ("   ", 13243),
        ("?X-a=1", 13243),
        ("mailto:bob@example.net", 13243),
        ("https://bob@example.net/", 13243),
        ("sip:" + "a" * 245 + "@h.net", 13243),
        ("tel:+15550100", 32110),
        ("http://example.net/", 32110),
        ("sip:", 32110),
        ("sip:bob@", 32110),
        ("sip:@host", 32110),
        ("sip:bob@host:99999", 32110),
        ("sip:b ob@host", 32110),
        ("sip:bob@host;;x", 32110),
        ("sip:bob@ho\r\nst", 32110),
        ("sip:b%zzob@host", 32110),
        ('"Bob" <sip:bob@host>', 13243),
        ("<sip:bob@host>", 13243),
        ("sips:", 32110),
    ],
)
def test_what_is_no_target(text, code):
    assert read(text) == code


def test_the_length_limit_leaves_headers_out():
    longest = "sip:" + "a" * (254 - len("sip:@h.net")) + "@h.net"
    assert len(longest) == 254
    assert read(longest + "?X-a=" + "1" * 500)[0] == longest


@pytest.mark.parametrize(
    ("parameters", "uri", "secure", "codes"),
    [
        (";transport=udp", "sip:b@h;transport=udp", False, []),
        (";transport=tcp", "sip:b@h;transport=tcp", False, []),
        (";Transport=TLS", "sip:b@h;transport=tls", False, []),
        (";transport=sctp", "sip:b@h", False, [32114]),
        (";transport=", "sip:b@h", False, [32114]),
        (";transport", "sip:b@h", False, [32114]),
        (";secure=false", "sip:b@h", False, []),
        (";secure=maybe", "sip:b@h", False, [32114]),
        (";secure", "sip:b@h", False, [32114]),
        (";secure=true", "sip:b@h;transport=tls", True, []),
        (";secure=TRUE;transport=tls", "sip:b@h;transport=tls", True, []),
        (";secure=true;transport=udp", "sip:b@h;transport=tls", True, [32114]),
        (";edge=ashburn;region=us1;x=1", "sip:b@h;x=1", False, []),
        (";transport=tcp;x=1;transport=udp", "sip:b@h;x=1;transport=tcp", False, []),
    ],
)
def test_parameters(parameters, uri, secure, codes):
    assert read(f"sip:b@h{parameters}") == (uri, secure, (), codes)


@pytest.mark.parametrize("text", ["sips:b@h", "SIPS:b@h;transport=tcp"])
def test_sips_is_sip_over_tls(text):
    assert read(text) == ("sip:b@h;transport=tls", False, (), [])


@pytest.mark.parametrize(
    ("text", "headers", "codes"),
    [
        ("X-a=1&x-b=2", (("X-a", "1"), ("x-b", "2")), []),
        ("X-a=one%20two%2Cthree", (("X-a", "one two,three"),), []),
        ("X-a=%2541", (("X-a", "%41"),), []),
        ("X-a=a+b", (("X-a", "a+b"),), []),
        ("X-a=b=c", (("X-a", "b=c"),), []),
        ("X%2Da=1", (("X-a", "1"),), []),
        ("X-a=", (("X-a", ""),), []),
        ("X-a=f%C3%BCr", (("X-a", "für"),), []),
        ("X-a=1&X-a=2", (("X-a", "1"), ("X-a", "2")), []),
        ("&X-a=1&", (("X-a", "1"),), []),
        ("User-to-User=ab%3Bencoding=hex", (("User-to-User", "ab;encoding=hex"),), []),
        (
            "Remote-Party-ID=%3Csip:a@h%3E&p-preferred-identity=x&P-Called-Party-ID=y",
            (
                ("Remote-Party-ID", "<sip:a@h>"),
                ("p-preferred-identity", "x"),
                ("P-Called-Party-ID", "y"),
            ),
            [],
        ),
        ("Route=%3Csip:evil%3E&X-a=1", (("X-a", "1"),), [32113]),
        ("X-Twilio-CallSid=CA1&x-twiliofoo=1", (), [32113, 32113]),
        ("Subject=hi", (), [32113]),
        ("X a=1", (), [32111]),
        ("X-a%3A=1", (), [32111]),
        ("X-a%0D%0AVia=1", (), [32111]),
        ("=1", (), [32111]),
        ("X-%zz=1", (), [32111]),
        ("X-a", (), [32112]),
        ("X-a=1%0D%0AVia:%20x", (), [32112]),
        ("X-a=%00", (), [32112]),
        ("X-a=%7f&X-b=%09", (), [32112, 32112]),
        ("X-a=%zz", (), [32112]),
        ("X-a=%ff", (), [32112]),
        ("X-a=\ud800", (), [32112]),
        ("X-a=%C2%85", (), [32112]),
    ],
)
def test_headers(text, headers, codes):
    assert read(f"sip:b@h?{text}") == ("sip:b@h", False, headers, codes)


def test_the_header_part_has_a_limit():
    fits = "X-a=" + "1" * 1019
    assert len(fits) == 1023
    assert read(f"b@h?{fits}")[3] == []
    uri, _, headers, codes = read(f"b@h?{fits}1")
    assert (uri, headers, codes) == ("sip:b@h", (), [13253])


def test_headers_of_the_nested_form_obey_the_same_rules():
    headers, issues = wanted_headers(
        [("X-a", " 100% "), ("Via", "x"), ("X b", "x"), ("X-c", "1\n2"), ("User-to-User", "ok")]
    )
    assert headers == (("X-a", "100%"), ("User-to-User", "ok"))
    assert [issue.code for issue in issues] == [32113, 32111, 32112]


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("+15550100", True),
        ("alice.b-c_d", True),
        ("", False),
        ("a b", False),
        ("a@b", False),
        ("ü", False),
        ("٣", False),
        ("a\n", False),
    ],
)
def test_caller_ids(text, good):
    assert is_caller_id(text) is good


@pytest.mark.parametrize(
    ("user", "domain", "uri"),
    [
        ("alice", "pbx.example.net", "sip:alice@pbx.example.net"),
        ("+1 (555)", "h", "sip:+1%20(555)@h"),
        ("a@b:c%", "h", "sip:a%40b%3Ac%25@h"),
        ("für", "::1", "sip:f%C3%BCr@[::1]"),
    ],
)
def test_addresses_of_record_can_be_read_back(user, domain, uri):
    assert aor(user, domain) == uri
    assert parse_sip_uri(uri).username == user


@given(st.text(max_size=60) | st.builds("sip:b@h{}".format, st.text(max_size=60)))
def test_nothing_that_ends_a_line_gets_through(text):
    target = parse_target(text)
    if isinstance(target, SipTarget):
        written = "".join([str(target.uri), *(name + value for name, value in target.headers)])
        assert not set("\r\n\0") & set(written)
        assert target.uri.headers is None
