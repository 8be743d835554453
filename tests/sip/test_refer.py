"""Transfers: Refer-To both ways, Replaces, sipfrag and Subscription-State (sip-domain.md section
12)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipserver.sip.errors import LocalProtocolError, RemoteProtocolError
from sipserver.sip.refer import (
    Fragment,
    Replaces,
    SubscriptionState,
    format_sipfrag,
    parse_refer_to,
    parse_replaces,
    parse_sipfrag,
    refer_to_value,
    referred_by_value,
    subscription_state,
)
from sipserver.sip.uri import parse_sip_uri
from tests.sip.messages import parse, request


def refer(*values):
    return parse(request("REFER", extra=[("Refer-To", value) for value in values]))


@pytest.mark.parametrize(
    ("value", "uri"),
    [
        ("<sip:bob@pbx.example.net>", "sip:bob@pbx.example.net"),
        ("sip:bob@pbx.example.net", "sip:bob@pbx.example.net"),
        ('"Bob" <sip:bob@h;transport=tcp?X-a=1>;x=y', "sip:bob@h;transport=tcp"),
        ("<tel:+15550100>", "tel:+15550100"),
        ("tel:+15550100", "tel:+15550100"),
        ("<sips:bob@h;method=INVITE>", "sips:bob@h"),
    ],
)
def test_refer_to_is_kept_whole_and_read(value, uri):
    read = parse_refer_to(refer(value))
    assert (read.verbatim, str(read.uri), read.replaces) == (value, uri, None)


def test_an_attended_transfer_names_the_dialog_it_replaces():
    value = "<sip:bob@h?Replaces=a%40h%3Bto-tag%3D1%3Bfrom-tag%3D2%3Bearly-only&X-a=1>"
    read = parse_refer_to(refer(value))
    assert read.verbatim == value
    assert str(read.uri) == "sip:bob@h"
    assert read.replaces == Replaces("a@h", "1", "2", early_only=True)


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ((), 400),
        (("<sip:a@h>", "<sip:b@h>"), 400),
        (("<sip:" + "a" * 250 + "@h>",), 400),
        (("<sip:a@h>, <sip:b@h>",), 400),
        (("nonsense",), 400),
        (("<sip:a@h",), 400),
        (("<sip:a@h;method=SUBSCRIBE>",), 603),
        (("<sip:a@h?Replaces=x>",), 400),
        (("<sip:a@h?Replaces=x%3Bto-tag%3D1%3Bfrom-tag%3D2&replaces=y>",), 400),
    ],
)
def test_a_refer_to_we_cannot_follow(values, status):
    with pytest.raises(RemoteProtocolError) as caught:
        parse_refer_to(refer(*values))
    assert caught.value.status_hint == status


def test_the_longest_refer_to():
    value = "<sip:" + "a" * (256 - len("<sip:@h>")) + "@h>"
    assert parse_refer_to(refer(value)).verbatim == value


@pytest.mark.parametrize(
    "value",
    ["98732@h;to-tag=a;from-tag=b", "98732@h ; from-tag=b ; To-Tag=a;other=1"],
)
def test_replaces(value):
    assert parse_replaces(value) == Replaces("98732@h", "a", "b")


def test_replaces_is_written_as_it_is_read():
    for replaces in (Replaces("c@h", "a", "b"), Replaces("c@h", "a", "b", early_only=True)):
        assert parse_replaces(str(replaces)) == replaces


@pytest.mark.parametrize(
    "value",
    [
        "",
        ";to-tag=a;from-tag=b",
        "c;to-tag=a",
        "c;from-tag=b",
        "c;to-tag=a;to-tag=a;from-tag=b",
        "c;to-tag=;from-tag=b",
        "c;to-tag=a b;from-tag=b",
        "c d;to-tag=a;from-tag=b",
        "c\nd;to-tag=a;from-tag=b",
    ],
)
def test_malformed_replaces(value):
    with pytest.raises(RemoteProtocolError):
        parse_replaces(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("sip:bob@h", "<sip:bob@h>"),
        (" sip:bob@h;transport=tcp?X-a=1&Y=%20 ", "<sip:bob@h;transport=tcp?X-a=1&Y=%20>"),
        ("sips:bob@h", "<sips:bob@h>"),
        ("tel:+15550100;ext=1", "<tel:+15550100;ext=1>"),
        ("bob@h", "<sip:bob@h>"),
        ("h.example.net", "<sip:h.example.net>"),
        ("<sip:bob@h>", "<sip:bob@h>"),
        ('"Bob" <sip:bob@h?a=b>;x=y', '"Bob" <sip:bob@h?a=b>;x=y'),
        (
            "sip:bob@h?Replaces=c%3Bto-tag%3D1%3Bfrom-tag%3D2",
            "<sip:bob@h?Replaces=c%3Bto-tag%3D1%3Bfrom-tag%3D2>",
        ),
    ],
)
def test_refer_to_goes_out_as_it_was_written(text, value):
    assert refer_to_value(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sip:",
        "sip:bob@h\r\nVia: x",
        "sip:bob@h\nx",
        "sip:bob@h\0",
        "sip:b ob@h",
        "sip:bob@h?X=a b",
        "sip:bob@h>;x=<y",
        "https://example.net",
        "mailto:bob@h",
        "<https://example.net>",
        "tel:",
        "call Bob",
        "\ud800@h",
    ],
)
def test_what_cannot_go_into_a_refer_to(text):
    with pytest.raises(LocalProtocolError):
        refer_to_value(text)


@given(st.text(max_size=40))
def test_refer_to_has_no_line_ends(text):
    try:
        value = refer_to_value(f"sip:{text}@h")
    except LocalProtocolError:
        return
    assert value.isprintable() or not set("\r\n\0") & set(value)


def test_referred_by_is_the_bare_identity():
    assert referred_by_value(parse_sip_uri("sip:a@[::1]:5070;x=1?y=2")) == "<sip:a@[::1]:5070>"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"SIP/2.0 180 Ringing\r\n", (180, "Ringing")),
        (b"SIP/2.0 200 OK", (200, "OK")),
        (b"SIP/2.0 486 Busy Here\nVia: x\r\n\r\n", (486, "Busy Here")),
        (b"\r\nsip/2.0  100 \r\n", (100, "")),
        (b"SIP/2.0 603", (603, "")),
        (b"SIP/2.0 200 \xff\x00\r\n", (200, "\ufffd\ufffd")),
        (b"SIP/2.0 200 " + b"x" * 5000, (200, "x" * 200)),
        (b"", None),
        (b"200 OK", None),
        (b"SIP/3.0 200 OK", None),
        (b"SIP/2.0 99 Low", None),
        (b"SIP/2.0 700 High", None),
        (b"SIP/2.0 20x OK", None),
        (b"SIP/2.0 2000 OK", None),
        ("SIP/2.0 ٢٠٠ OK".encode(), None),
        (b"INVITE sip:a@h SIP/2.0\r\n", None),
        (b"SIP/2.0 200 OK" + b" " * 9000, None),
    ],
)
def test_sipfrag(body, expected):
    assert parse_sipfrag("message/sipfrag", body) == (expected and Fragment(*expected))
    assert parse_sipfrag(None, body) == (expected and Fragment(*expected))


def test_other_bodies_are_no_sipfrag():
    assert parse_sipfrag("text/plain", b"SIP/2.0 200 OK\r\n") is None


def test_sipfrag_is_written_as_it_is_read():
    assert format_sipfrag(180, "Ringing") == b"SIP/2.0 180 Ringing\r\n"
    assert parse_sipfrag(None, format_sipfrag(200, "OK")) == Fragment(200, "OK")
    for status, reason in ((99, "x"), (700, "x"), (200, "O\r\nK")):
        with pytest.raises(LocalProtocolError):
            format_sipfrag(status, reason)


@given(st.binary(max_size=200))
def test_any_body_is_read_or_not(body):
    found = parse_sipfrag(None, body)
    assert found is None or 100 <= found.status <= 699


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("active;expires=60", SubscriptionState("active", "", 60)),
        ("Pending", SubscriptionState("pending")),
        ("terminated;reason=NoResource", SubscriptionState("terminated", "noresource")),
        (" terminated ; Reason = timeout;expires=0", SubscriptionState("terminated", "timeout", 0)),
        ("terminated;reason=;expires=x", SubscriptionState("terminated")),
        ("terminated;retry-after=5", SubscriptionState("terminated")),
        ("", SubscriptionState("active")),
        (None, SubscriptionState("active")),
        ("a b;c", SubscriptionState("active")),
    ],
)  # fmt: skip
def test_subscription_states(value, expected):
    state = subscription_state(value)
    assert state == expected
    assert state.terminated is (expected.state == "terminated")
