"""Messages for the tests of transactions and engine, as bytes and as values."""

from __future__ import annotations

from sipserver.sip.events import Flow
from sipserver.sip.message import Request, Response, parse_datagram

SDP = (
    b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
    b"m=audio 4000 RTP/AVP 0\r\n"
)
UDP = Flow("udp", ("192.0.2.9", 5060), ("192.0.2.1", 5060))
TCP = Flow("tcp", ("192.0.2.9", 5060), ("192.0.2.1", 40000), 7)


def request(
    method="INVITE",
    *,
    uri="sip:100@192.0.2.9",
    branch="z9hG4bKone",
    via="192.0.2.1:5060",
    transport="UDP",
    rport=True,
    from_="<sip:alice@192.0.2.1>;tag=from1",
    to="<sip:100@192.0.2.9>",
    call_id="call-1@192.0.2.1",
    cseq=1,
    contact="<sip:alice@192.0.2.1:5060>",
    max_forwards="70",
    extra=(),
    body=b"",
    content_type="application/sdp",
) -> bytes:
    lines = [
        f"{method} {uri} SIP/2.0",
        f"Via: SIP/2.0/{transport} {via};branch={branch}{';rport' if rport else ''}",
        f"Max-Forwards: {max_forwards}",
        f"From: {from_}",
        f"To: {to}",
        f"Call-ID: {call_id}",
        f"CSeq: {cseq} {method}",
    ]
    if contact and method in ("INVITE", "UPDATE", "REFER", "SUBSCRIBE", "REGISTER"):
        lines.append(f"Contact: {contact}")
    lines += [f"{name}: {value}" for name, value in extra]
    if body:
        lines.append(f"Content-Type: {content_type}")
    lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def response(
    data: bytes, status: int, *, tag="to1", contact="<sip:bob@192.0.2.1:5060>", extra=(), body=b""
) -> bytes:
    """A response of a peer to a request of ours."""
    asked = parse(data)
    to = asked.headers.get("To")
    if tag and ";tag=" not in to:
        to = f"{to};tag={tag}"
    lines = [
        f"SIP/2.0 {status} Because",
        *(f"Via: {value}" for value in asked.headers.get_all("Via")),
        f"From: {asked.headers.get('From')}",
        f"To: {to}",
        f"Call-ID: {asked.call_id}",
        f"CSeq: {asked.headers.get('CSeq')}",
    ]
    if contact:
        lines.append(f"Contact: {contact}")
    lines += [f"{name}: {value}" for name, value in extra]
    if body:
        lines.append("Content-Type: application/sdp")
    lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def parse(data: bytes) -> Request | Response:
    return parse_datagram(data)
