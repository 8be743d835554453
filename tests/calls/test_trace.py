"""SIP messages as the log keeps them."""

from __future__ import annotations

from sipserver.calls.trace import trace_data
from sipserver.sip.events import Flow, MessageTraced


def test_traces_keep_no_secrets() -> None:
    """Whatever the spelling: header names and parameters are case-insensitive, values may be
    unquoted, and a long message is cut anywhere."""
    for line in (
        'Proxy-Authorization: Digest username="alice", nonce="n0nce", response="5ecret"',
        'proxy-authorization:Digest Response = "5ecret", CNONCE="5ecret"',
        "AUTHORIZATION : digest response=5ecret,uri=x",
        'Authorization: Digest username="alice", response="5ecret',
        "Authorization: Basic 5ecret",
        "Proxy-Authorization: Bearer 5ecret, x=5ecret",
        'Authorization: Digest username="alice",\r\n response="5ecret"',
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:5ecret|2^20;inline:5ecret",
        "a=crypto:1  AES_CM_128_HMAC_SHA1_80  inline:5ecret",
        "A=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:5ecret",
    ):
        message = MessageTraced(1, False, f"INVITE sip:x SIP/2.0\r\n{line}".encode(), None)
        text = trace_data(message)["text"]
        assert "5ecret" not in text, line
        assert "alice" in text or "alice" not in line


def test_ipv6_peers_are_written_with_brackets() -> None:
    flow = Flow("udp", ("::1", 5060), ("2001:db8::1", 5070))
    message = MessageTraced(1, False, b"INVITE sip:x SIP/2.0\r\n\r\n", flow)
    assert trace_data(message)["peer"] == "[2001:db8::1]:5070"


def test_traces_keep_no_keys() -> None:
    head = "INFO sip:x SIP/2.0\r\nContent-Type: application/dtmf-relay\r\n\r\n"
    for before, body in (("", "Signal=7\r\nDuration=160\r\n"), ("", "7"), ("\r\n\r\n", "7\n\n7")):
        text = trace_data(MessageTraced(1, False, f"{before}{head}{body}".encode(), None))["text"]
        assert "7" not in text
        assert text.endswith("\r\n\r\n…")
    without = "INFO sip:x SIP/2.0\r\nContent-Length: 0\r\n\r\n"
    assert trace_data(MessageTraced(1, False, without.encode(), None))["text"] == without
