"""Lexical rules (RFC 3261 25.1)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipserver.sip import grammar
from sipserver.sip.errors import RemoteProtocolError


@pytest.mark.parametrize(
    ("value", "elements"),
    [
        ("", []),
        ("  ", []),
        ("a", ["a"]),
        ("a, b ,c", ["a", "b", "c"]),
        ('"x,y" <sip:a,b@c>;p="q,r", <sip:d>', ['"x,y" <sip:a,b@c>;p="q,r"', "<sip:d>"]),
        ('"\\",", b', ['"\\","', "b"]),
    ],
)
def test_elements_are_split_outside_quotes_and_brackets(value, elements):
    assert grammar.split_elements(value) == elements


@pytest.mark.parametrize("value", [",", "a,", ",a", "a,,b", '"a",,"b"', ",".join("a" * 129)])
def test_empty_or_too_many_elements_are_refused(value):
    with pytest.raises(RemoteProtocolError):
        grammar.split_elements(value)


@pytest.mark.parametrize(
    ("value", "first", "rest"),
    [("a", "a", ""), (" a , b,c", "a", ", b,c"), ('"x,y" <z>, b', '"x,y" <z>', ", b"), ("", "", ""),
     ('"a,b"', '"a,b"', "")],
)  # fmt: skip
def test_first_element(value, first, rest):
    assert grammar.first_element(value) == (first, rest)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_quoting_is_undone_by_unquoting(text):
    quoted = grammar.quote(text)
    assert grammar.quoted_prefix(quoted) == len(quoted)
    assert grammar.unquote(quoted) == "".join(
        " " if ord(char) < 32 or ord(char) == 127 else char for char in text
    )


@pytest.mark.parametrize("text", ["", "x", '"', '"a', 'a"', '"a\\"', '"a\r\n"', '"\x00"'])
def test_what_is_no_quoted_string_has_no_quoted_prefix(text):
    assert grammar.quoted_prefix(text) == 0


def test_quoted_prefix_ends_at_the_closing_quote():
    assert grammar.quoted_prefix('"a\\"b" <sip:x>') == 6


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("a", "a", None), ("a:5060", "a", 5060), ("[::1]", "::1", None), ("[::1]:0", "::1", 0),
     ("192.0.2.1:65535", "192.0.2.1", 65535), ("a.", "a.", None)],
)  # fmt: skip
def test_host_and_port(text, host, port):
    assert grammar.parse_host_port(text) == (host, port)
    assert grammar.format_host_port(host, port) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":5",
        "a:",
        "a:65536",
        "a:-1",
        "a: 5",
        "[::1",
        "[]",
        "[a]",
        "::1",
        "a b",
        "b:",
        "é",
        "a:٥",
    ],
)
def test_malformed_host_is_refused(text):
    with pytest.raises(RemoteProtocolError):
        grammar.parse_host_port(text)


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("0068", 68), ("255", 255)])
def test_numbers(text, number):
    assert grammar.parse_number(text, "x", 255) == number


@pytest.mark.parametrize("text", ["", "-1", "256", "+1", "1.0", "1 ", "٣", "1" * 5000, "²"])
def test_malformed_or_too_large_numbers_are_refused(text):
    with pytest.raises(RemoteProtocolError):
        grammar.parse_number(text, "x", 255)


def test_canonical_host():
    assert grammar.canonical_host("PBX.Example.NET.") == "pbx.example.net"


@given(st.binary(max_size=50))
def test_printable_text_can_be_stored_anywhere(octets):
    text = grammar.printable(octets.decode("utf-8", "surrogateescape"))
    text.encode("utf-8")
    assert not any(ord(char) < 32 or ord(char) == 127 for char in text)
