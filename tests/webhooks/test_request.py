"""webhooks.md sections 1 and 3, sip-domain.md section 6."""

import dataclasses

import pytest

from twimlrunner.webhooks.request import (
    MAX_HEADER_BYTES,
    MAX_HEADERS,
    CallFacts,
    build,
    dial_sip_report,
    fallback_report,
    header_parameters,
    standard_parameters,
    transfer_report,
)
from twimlrunner.webhooks.url import InvalidUrl, mask, parse_url, resolve

FACTS = CallFacts(
    call_sid="CA2",
    account_sid="AC1",
    from_="sip:alice@pbx.example.net",
    to="sip:100@pbx.example.net",
    status="ringing",
    sip_domain="pbx.example.net",
    sip_domain_sid="SD3",
    sip_username="alice",
    sip_call_id="a84b@192.0.2.10",
    source_ip="192.0.2.10",
    headers=[("Subject", "hello"), ("X-Customer", "42;a=b")],
)


def test_all_parameters_of_a_sip_call_in_order():
    assert standard_parameters(FACTS) == [
        ("CallSid", "CA2"),
        ("AccountSid", "AC1"),
        ("ApiVersion", "2010-04-01"),
        ("From", "sip:alice@pbx.example.net"),
        ("To", "sip:100@pbx.example.net"),
        ("Caller", "sip:alice@pbx.example.net"),
        ("Called", "sip:100@pbx.example.net"),
        ("CallStatus", "ringing"),
        ("Direction", "inbound"),
        ("SipDomain", "pbx.example.net"),
        ("SipDomainSid", "SD3"),
        ("SipUsername", "alice"),
        ("SipCallId", "a84b@192.0.2.10"),
        ("SipSourceIp", "192.0.2.10"),
        ("SipHeader_X-Customer", "42;a=b"),
    ]


def test_what_is_unknown_is_left_out():
    facts = dataclasses.replace(FACTS, sip_username=None, sip_call_id="", headers=())
    names = {name for name, _ in standard_parameters(facts)}
    assert not names & {"SipUsername", "SipCallId", "ParentCallSid"}


def test_a_child_leg_names_its_parent():
    facts = dataclasses.replace(FACTS, parent_call_sid="CA1")
    assert ("ParentCallSid", "CA1") in standard_parameters(facts)


@pytest.mark.parametrize(
    ("headers", "extra", "expected"),
    [
        ([("x-inin-cnv", "1")], [], [("SipHeader_x-inin-cnv", "1")]),
        ([("X-A", "1"), ("X-B", "2")], [], [("SipHeader_X-A", "1"), ("SipHeader_X-B", "2")]),
        ([("X-A", "2"), ("x-a", "1")], [], [("SipHeader_X-A", "2"), ("SipHeader_x-a", "1")]),
        ([("X-A", "b"), ("X-A", "a")], [], [("SipHeader_X-A", "b"), ("SipHeader_X-A", "a")]),
        ([("user-to-user", "00fa")], [], [("SipHeader_user-to-user", "00fa")]),
        ([("Diversion", "<sip:a@b>")], [], []),
        ([("Diversion", "<sip:a@b>")], ["diversion"], [("SipHeader_Diversion", "<sip:a@b>")]),
        ([("Xavier", "1"), ("P-Asserted-Identity", "x")], [], []),
        ([("X-Empty", "")], [], []),
        ([("X-Raw", "a\udcffb")], [], [("SipHeader_X-Raw", "a?b")]),
        ([("X-Name", "Zoë")], [], [("SipHeader_X-Name", "Zoë")]),
    ],
)
def test_headers_passed_on(headers, extra, expected):
    assert header_parameters(headers, extra) == expected


def test_number_of_headers_is_capped():
    found = header_parameters([(f"X-{n}", "v") for n in range(100)])
    assert [name for name, _ in found] == [f"SipHeader_X-{n}" for n in range(MAX_HEADERS)]


def test_size_of_headers_is_capped():
    found = header_parameters([("X-A", "a" * 5000), ("X-B", "b" * 5000), ("X-C", "c")])
    assert [name for name, _ in found] == ["SipHeader_X-A"]
    assert header_parameters([("X-A", "é" * MAX_HEADER_BYTES)]) == []


def test_fallback_report():
    assert fallback_report(11200, "https://a.example/x") == (
        ("ErrorCode", "11200"),
        ("ErrorUrl", "https://a.example/x"),
    )
    assert fallback_report(12100, "") == (("ErrorCode", "12100"),)


def test_what_dial_tells_of_a_sip_leg():
    headers = [("X-Why", "busy"), ("x-low", "1"), ("User-to-User", "no"), ("Reason", "no")]
    assert dial_sip_report("c1", 486, headers) == (
        ("DialSipCallId", "c1"),
        ("DialSipResponseCode", "486"),
        ("DialSipHeader_X-Why", "busy"),
        ("DialSipHeader_x-low", "1"),
    )
    assert dial_sip_report("", 0, []) == ()


def test_reports_hold_text_that_the_application_can_decode():
    assert transfer_report("sip:\udcff@h") == (("ReferTransferTarget", "sip:?@h"),)


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://h/x", "/x?A=1+2&A=%2B"),
        ("http://h/x?t=7", "/x?t=7&A=1+2&A=%2B"),
        ("http://h/x?", "/x?A=1+2&A=%2B"),
        ("http://h/x?t=7&", "/x?t=7&A=1+2&A=%2B"),
        ("http://h", "/?A=1+2&A=%2B"),
    ],
)
def test_get_appends_to_the_query(url, target):
    request = build(
        "GET", parse_url(url), [("A", "1 2"), ("A", "+")], token="t", idempotency_token="i"
    )
    assert (request.url.target, request.body) == (target, b"")
    assert "Content-Type" not in dict(request.headers)


def test_post_keeps_the_query_and_sends_a_form():
    request = build(
        "POST", parse_url("https://h:8443/x?t=%41"), [("A", "é")], token="t", idempotency_token="i"
    )
    assert request.url.target == "/x?t=%41"
    assert request.body == b"A=%C3%A9"
    headers = dict(request.headers)
    assert headers["Host"] == "h:8443"
    assert headers["User-Agent"] == "TwilioProxy/1.1"
    assert headers["Accept"] == "*/*"
    assert headers["Cache-Control"] == "max-age=259200"
    assert headers["I-Twilio-Idempotency-Token"] == "i"
    assert headers["Content-Type"] == "application/x-www-form-urlencoded; charset=utf-8"
    assert headers["Content-Length"] == "8"


@pytest.mark.parametrize(
    ("text", "sent", "host", "port"),
    [
        ("http://h", "http://h/", "h", 80),
        ("https://H.Example/a?b=c#rc=2", "https://H.Example/a?b=c", "h.example", 443),
        ("https://h:443/", "https://h:443/", "h", 443),
        ("http://u:p%40@h:8080/x", "http://h:8080/x", "h", 8080),
        ("http://h/a b?c=ü", "http://h/a%20b?c=%C3%BC", "h", 80),
        ("http://bücher.example/x", "http://xn--bcher-kva.example/x", "xn--bcher-kva.example", 80),
        ("http://[2001:db8::1]:81/x", "http://[2001:db8::1]:81/x", "2001:db8::1", 81),
        ("http://h/%zz//../x?a[]=1", "http://h/%zz//../x?a[]=1", "h", 80),
        ("http://h/x?", "http://h/x", "h", 80),
        ("  http://h/x  ", "http://h/x", "h", 80),
    ],
)
def test_urls_are_sent_as_configured(text, sent, host, port):
    url = parse_url(text)
    assert (url.sent, url.host, url.port) == (sent, host, port)


def test_credentials_are_decoded():
    url = parse_url("http://us%3Aer:p%40ss@h/x")
    assert (url.username, url.password) == ("us:er", "p@ss")


@pytest.mark.parametrize(
    "text",
    [
        "", "/x", "ftp://h/x", "http://", "http:///x", "http://h:99999/", "http://h:x/",
        "http://a b/", "http://h/\r\nX: y", "http://h/\x00", "file:///etc/passwd", "http://[::1/",
        "http://fe80::1%25eth0/", "http://[fe80::1%25eth0]/", "http://h/" + "x" * 9000,
        "http://[#x", "http:////h/#x", "http://x[::1]/", "http://[::1]x/", "http://[v1.a]/",
        "http://[x]:y@h/", "http://h\t/#x",
    ],
)  # fmt: skip
def test_unusable_urls_are_refused(text):
    with pytest.raises(InvalidUrl):
        parse_url(text)


@pytest.mark.parametrize(
    ("base", "reference", "expected"),
    [
        ("http://h/a/b?x=1#rc=2", "c", "http://h/a/c"),
        ("http://u:p@h/a/b", "/c?d", "http://u:p@h/c?d"),
        ("http://u:p@h/a", "https://other/x", "https://other/x"),
        ("http://h/a", " //k/y ", "http://k/y"),
    ],
)
def test_references_resolve_against_the_document(base, reference, expected):
    assert resolve(base, reference) == expected


@pytest.mark.parametrize("reference", ["//[", "http://]/", "//[x]/"])
def test_references_that_are_none(reference):
    with pytest.raises(InvalidUrl):
        resolve("http://h/a", reference)


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("http://u:p@h/x@y", "http://h/x@y"),
        ("http://h/x", "http://h/x"),
        ("http://a@b:c@h", "http://h"),
        ("nonsense", "nonsense"),
    ],
)
def test_credentials_are_masked(url, masked):
    assert mask(url) == masked
