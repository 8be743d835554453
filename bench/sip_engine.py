"""CPU of the SIP engine for one whole incoming call: INVITE, 407, ACK, INVITE, 180, 200, ACK, BYE.

No sockets and no call layer: bytes in, bytes and events out. Prints JSON. Run from the project's
root: ``python -m bench.sip_engine [calls] [rounds]``.
"""

from __future__ import annotations

import json
import sys
from time import process_time

from sipserver.sip.engine import EngineConfig, SipEngine
from sipserver.sip.events import Flow, IncomingInvite

TARGET_MS = 0.35
FLOW = Flow("udp", ("192.0.2.9", 5060), ("192.0.2.1", 5060))
SDP = (
    b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
    b"m=audio 4000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n"
    b"a=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\na=sendrecv\r\n"
)
CHALLENGE = [("Proxy-Authenticate", 'Digest realm="sip.example.net", nonce="MTIz", qop="auth"')]
CREDENTIALS = (
    'Proxy-Authorization: Digest username="alice", realm="sip.example.net", nonce="MTIz", '
    'uri="sip:100@pbx.example.net", response="6608c34dea926a3b0f3d9321087e9b88", '
    'algorithm=MD5, qop=auth, nc=00000001, cnonce="0a4f113b"\r\n'
)


class CountedIds:
    """Identifiers by counting: their making is not what is measured."""

    def __init__(self) -> None:
        self._count = 0

    def _next(self) -> str:
        self._count += 1
        return f"{self._count:016x}"

    def branch(self) -> str:
        return "z9hG4bK" + self._next()

    tag = call_id = _next


def request(
    call: int, method: str, number: int, branch: str, *, tag: str = "", extra: str = "", body=b""
) -> bytes:
    content_type = "Content-Type: application/sdp\r\n" if body else ""
    return (
        f"{method} sip:100@pbx.example.net SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK{branch}{call};rport\r\n"
        f'Max-Forwards: 70\r\nFrom: "Alice" <sip:alice@pbx.example.net>;tag=f{call}\r\n'
        f"To: <sip:100@pbx.example.net>{tag}\r\nCall-ID: {call}@192.0.2.1\r\n"
        f"CSeq: {number} {method}\r\nContact: <sip:alice@192.0.2.1:5060>\r\n"
        f"User-Agent: Phone 1.0\r\nAllow: INVITE,ACK,BYE,CANCEL,OPTIONS,NOTIFY,INFO\r\n"
        f"{extra}{content_type}Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


class Caller:
    """Plays one call after the other and checks that each was one."""

    def __init__(self) -> None:
        config = EngineConfig(
            contact_for=lambda _flow, user: f"sip:{user}@192.0.2.9:5060",
            sent_by=lambda _flow: ("192.0.2.9", 5060),
        )
        self.engine = SipEngine(config, CountedIds())
        self.messages = 0

    def _put(self, data: bytes, now: float) -> None:
        self.messages += 1
        self.engine.receive(data, FLOW, now)

    def _usage(self) -> int:
        first = self.engine.take_events()[0]
        assert isinstance(first, IncomingInvite)
        return first.usage

    def _sent_tag(self, status: bytes) -> str:
        """The To tag of what was sent last, which must have this status."""
        outgoing = self.engine.take_outgoing()
        self.messages += len(outgoing)
        data = outgoing[-1].data
        assert data[8:11] == status, data
        to = data.index(b"\r\nTo:")
        return data[data.index(b";tag=", to) : data.index(b"\r\n", to + 2)].decode()

    def call(self, call: int, now: float) -> None:
        engine = self.engine
        engine.handle_deadline(now)
        self._put(request(call, "INVITE", 1, "a", body=SDP), now)
        engine.reject(self._usage(), 407, None, now, headers=CHALLENGE)
        tag = self._sent_tag(b"407")
        self._put(request(call, "ACK", 1, "a", tag=tag), now)
        engine.take_events()
        self._put(request(call, "INVITE", 2, "b", extra=CREDENTIALS, body=SDP), now)
        usage = self._usage()
        engine.ring(usage, now)
        engine.answer(usage, SDP, now)
        tag = self._sent_tag(b"200")
        self._put(request(call, "ACK", 2, "c", tag=tag), now)
        self._put(request(call, "BYE", 3, "d", tag=tag), now)
        self._sent_tag(b"200")
        engine.take_events()


def measure(calls: int, rounds: int) -> dict[str, object]:
    """Best of several rounds, at 100 calls per second of the virtual clock, so that as many
    finished transactions are kept as in service."""
    caller = Caller()
    seconds = []
    for number in range(rounds):
        begin = process_time()
        for call in range(number * calls, (number + 1) * calls):
            caller.call(call, call * 0.01)
        seconds.append(process_time() - begin)
    best_ms = min(seconds) / calls * 1000
    return {
        "calls": calls * rounds,
        "messages_per_call": caller.messages / (calls * rounds),
        "cpu_ms_per_call": round(best_ms, 4),
        "cpu_ms_per_call_worst_round": round(max(seconds) / calls * 1000, 4),
        "target_ms": TARGET_MS,
        "within_target": best_ms <= TARGET_MS,
        "kept": caller.engine.sizes,
    }


if __name__ == "__main__":
    arguments = [int(each) for each in sys.argv[1:3]]
    print(json.dumps(measure(*(arguments + [4000, 3][len(arguments) :])), indent=2))
