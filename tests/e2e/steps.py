"""Requests within a SIPp call, for scenarios with ``{{steps}}``."""

from __future__ import annotations

SDP = """\
v=0
o=sipp 1 {version} IN IP[ip] [media_ip]
s=-
c=IN IP[ip] [media_ip]
t=0 0
m=audio [rtp] RTP/AVP 0 8 101
a=rtpmap:101 telephone-event/8000
a={direction}"""

_REQUEST = """\
  <send{retrans}>
    <![CDATA[
      {method} [next_url] SIP/2.0
      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport
      [routes]
      From: <sip:alice@[domain]>;tag=caller[call_number]
      To: <sip:[service]@[domain]>[peer_tag_param]
      Call-ID: [call_id]
      CSeq: {cseq} {method}
      Contact: <sip:alice@[local_ip]:[local_port];transport=[transport]>
      Max-Forwards: 70
{headers}      Content-Length: [len]

{body}    ]]>
  </send>
"""


def sdp(version: int, direction: str = "sendrecv") -> str:
    return SDP.format(version=version, direction=direction)


def request(
    method: str, cseq: int, status: int = 200, *, headers: str = "", kind: str = "", body: str = ""
) -> str:
    """Send it and wait for ``status``; a body without ``kind`` is SDP. INVITE needs :func:`ack`."""
    if body:
        headers += f"Content-Type: {kind or 'application/sdp'}\n"
    return (
        _request(method, cseq, headers, body, ' retrans="500"')
        + '  <recv response="100" optional="true"/>\n'
        + f'  <recv response="{status}"/>\n'
    )


def ack(cseq: int, body: str = "") -> str:
    return _request("ACK", cseq, "Content-Type: application/sdp\n" if body else "", body, "")


def _request(method: str, cseq: int, headers: str, body: str, retrans: str) -> str:
    return _REQUEST.format(
        method=method,
        cseq=cseq,
        headers=_indented(headers),
        body=_indented(body and f"{body}\n"),
        retrans=retrans,
    )


def _indented(text: str) -> str:
    return "".join(f"      {line}\n" for line in text.splitlines())
