"""SIPp as the caller: what a phone of another make sees, and what the log says of it."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any
from uuid import uuid4

import pytest

from tests.e2e.api import shell
from tests.e2e.rtp import Handset
from tests.e2e.server import DOMAIN, USER, Answer, Application, Server, wait_for
from tests.e2e.sipp import RtpReceiver, Sipp, header, run
from tests.e2e.sound import loudest, sounding, tone

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("domain", "open_domain")]

HEADERS = "X-Account: 42\n      x-two: a;b=c\n      Subject: no\n"
SAVP = "m=audio 4000 RTP/SAVP 0\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + "A" * 40
ANSWERED = "status = 'in-progress'"
OPUS = "m=audio 4000 RTP/AVP 18 96\na=rtpmap:96 opus/48000/2"
SDP = "v=0\no=- 1 1 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\n"


def ending(row: dict[str, Any]) -> tuple[str, str, int]:
    return row["status"], row["cause"], row["sip_status"]


def ladder(server: Server, row: dict[str, Any]) -> list[str]:
    return [
        event["data"]["summary"] for event in server.events(row["sid"]) if event["kind"] == "sip"
    ]


@pytest.fixture(scope="module")
def unacknowledged(
    server: Server, open_domain: object, web_application: Application,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Sipp]:  # fmt: skip
    """A call whose ACK never comes. It takes 64*T1 = 32 s, so it runs beside the other tests."""
    web_application.document("/voice", "<Pause/><Say>Nobody hears this.</Say>")
    call = Sipp(server, tmp_path_factory.mktemp("sipp"), "unacknowledged", seconds=90)
    answered = f"SELECT 1 FROM sipdomains_call WHERE sip_call_id = '{call.name}-1' AND {ANSWERED}"
    try:
        wait_for("200 without ACK", lambda: server.rows(answered))
        yield call
    finally:
        call.close()


@pytest.mark.parametrize("transport", ["u1", "t1"])
def test_authenticated_call_with_headers_and_sound(
    unacknowledged: Sipp, server: Server, app: Application, tmp_path: Path, transport: str
) -> None:
    app.document("/voice", "<Play>/tone-700.wav</Play>")
    app.answers["/tone-700.wav"] = Answer(tone(700.0), "audio/wav")
    with RtpReceiver() as receiver:
        result = run(
            server, tmp_path, "authenticated", domain=DOMAIN, transport=transport,
            rtp_port=receiver.port, headers=HEADERS,
        )  # fmt: skip
    heard = sounding(receiver.samples())
    assert len(heard) / 8000 == pytest.approx(1.0, abs=0.1)
    assert loudest(heard) == pytest.approx(700, abs=5)
    assert [s for s in result.statuses if s != 100] == [407, 180, 200]
    challenges = result.last(407)
    assert "algorithm=MD5" in challenges
    assert "algorithm=SHA-256" in challenges
    row = server.call(result.call_id)
    assert ending(row) == ("completed", "document-ended", 200)
    assert (row["transport"], row["username"]) == ("udp" if transport == "u1" else "tcp", USER)
    assert server.notifications(row["sid"]) == []
    [attempt] = server.webhooks(row["sid"])
    assert attempt["status"] == 200
    values = app.hits[0].values
    assert (values["SipHeader_X-Account"], values["SipHeader_x-two"]) == ("42", "a;b=c")
    assert "SipHeader_Subject" not in values
    steps = ladder(server, row)
    assert [step for step in steps if not step.startswith("100")] == [
        "INVITE", "407 Proxy Authentication Required (INVITE)", "ACK", "INVITE",
        "180 Ringing (INVITE)", "200 OK (INVITE)", "ACK", "BYE", "200 OK (BYE)",
    ]  # fmt: skip


def test_wrong_password(server: Server, app: Application, tmp_path: Path) -> None:
    result = run(server, tmp_path, "refused_credentials", domain=DOMAIN, password="Wrong9HorseXX")
    assert header(result.last(403), "X-Twilio-Error").startswith("32202 ")
    assert header(result.last(403), "Warning").startswith("399 ")
    row = server.call(result.call_id)
    assert ending(row) == ("failed", "bad-credentials", 403)
    assert server.notifications(row["sid"]) == [32202]
    assert app.hits == []


def test_late_offer(server: Server, app: Application, tmp_path: Path) -> None:
    app.document("/voice", "<Play>/tone-500.wav</Play>")
    app.answers["/tone-500.wav"] = Answer(tone(500.0), "audio/wav")
    with RtpReceiver() as receiver:
        result = run(server, tmp_path, "late_offer", rtp_port=receiver.port)
    assert loudest(sounding(receiver.samples())) == pytest.approx(500, abs=5)
    assert ending(server.call(result.call_id)) == ("completed", "document-ended", 200)


def test_hold_stops_the_sound_and_resume_brings_it_back(
    server: Server, app: Application, tmp_path: Path
) -> None:
    app.document("/voice", "<Play>/tone-500-60.wav</Play>")
    app.answers["/tone-500-60.wav"] = Answer(tone(500.0, 60, 8000), "audio/wav")
    with Handset() as phone:
        call = Sipp(server, tmp_path, "hold", rtp_port=phone.port)
        wait_for("sound", lambda: len(phone.loud()) > 10)
        call.go_on()
        wait_for("silence", lambda: not phone.loud(time.time() - 1.0))
        resumed = time.time()
        call.go_on()
        wait_for("sound again", lambda: len(phone.loud(resumed)) > 10)
        call.go_on()
        result = call.followed()
    row = server.call(result.call_id)
    assert ending(row) == ("completed", "caller-hangup", 200)
    media = [e["data"] for e in server.events(row["sid"]) if e["kind"] == "media"]
    assert [m["what"] for m in media if m["what"] in ("hold", "resume")] == ["hold", "resume"]


def test_update_changes_the_direction(server: Server, app: Application, tmp_path: Path) -> None:
    app.document("/voice", "<Pause length='1'/><Say loop='9'>Still here.</Say>")
    result = run(server, tmp_path, "update")
    assert ending(server.call(result.call_id)) == ("completed", "caller-hangup", 200)


def test_retransmissions_are_one_call(server: Server, app: Application) -> None:
    app.document("/voice", "<Reject/>", gate=Event())
    call_id = f"again-{uuid4().hex}"
    headers = (
        f"Via: SIP/2.0/UDP 127.0.0.1;rport;branch=z9hG4bK-{call_id}", "Max-Forwards: 70",
        "From: <sip:a@127.0.0.1>;tag=1", "To: <sip:100@open.example.net>", f"Call-ID: {call_id}",
        "CSeq: 1 INVITE", "Contact: <sip:a@127.0.0.1>", "X-Folded: one", "\t two",
        "Content-Length: 0",
    )  # fmt: skip
    lines = ("INVITE sip:100@open.example.net SIP/2.0", *headers, "", "")
    invite = "\r\n".join(lines).encode()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.settimeout(30)
        answers: list[str] = []

        def send_until(status: str) -> None:
            phone.sendto(invite, ("127.0.0.1", server.sip_port))
            while not (answers and answers[-1].startswith(f"SIP/2.0 {status} ")):
                answers.append(phone.recv(4096).decode())

        send_until("180")
        for _ in range(4):
            phone.sendto(invite, ("127.0.0.1", server.sip_port))
            answers.append(phone.recv(4096).decode())
        app.open_gates()
        send_until("404")
        send_until("404")  # there is no ACK yet: the final response is repeated
    assert {header(text, "To") for text in answers if " 100 " not in text[:12]} == {
        header(answers[-1], "To")
    }
    assert [text[8:11] for text in answers[2:6]] == ["180"] * 4
    row = server.call(call_id)
    assert ending(row) == ("no-answer", "reject", 404)
    rows = server.rows("SELECT sid FROM sipdomains_call WHERE sip_call_id = ?", call_id)
    assert len(rows) == len(app.hits) == 1
    assert app.hits[0].values["SipHeader_X-Folded"] == "one two"


def test_cancel_while_the_application_thinks(
    server: Server, app: Application, tmp_path: Path
) -> None:
    app.document("/voice", "<Say>too late</Say>", gate=Event())
    result = run(server, tmp_path, "canceled")
    assert [s for s in result.statuses if s != 100] == [180, 200, 487]
    row = server.call(result.call_id)
    assert ending(row) == ("canceled", "canceled", 487)
    assert server.notifications(row["sid"]) == []
    [attempt] = wait_for("row of the attempt", lambda: server.webhooks(row["sid"]))
    assert attempt["status"] in (0, None)  # aborted: the application had not answered


def test_cancel_that_crosses_the_answer(server: Server, app: Application, tmp_path: Path) -> None:
    app.document("/voice", "<Say loop='9'>The call stands.</Say>")
    result = run(server, tmp_path, "canceled_too_late")
    assert 487 not in result.statuses
    assert ending(server.call(result.call_id)) == ("completed", "caller-hangup", 200)


def test_caller_hangs_up_in_mid_play(server: Server, app: Application, tmp_path: Path) -> None:
    app.document("/voice", "<Play>/tone-500-60.wav</Play><Redirect>/never</Redirect>")
    app.answers["/tone-500-60.wav"] = Answer(tone(500.0, 60, 8000), "audio/wav")
    with RtpReceiver() as receiver:
        call = Sipp(server, tmp_path, "hangup", rtp_port=receiver.port)
        wait_for("sound", lambda: receiver.count > 10)
        call.go_on()
        result = call.followed()
        assert receiver.count < 2000  # of 3000
    row = server.call(result.call_id)
    assert ending(row) == ("completed", "caller-hangup", 200)
    assert "/never" not in app.paths()


def test_a_call_outlives_its_connection(server: Server, app: Application, tmp_path: Path) -> None:
    """The caller might come back by another one; this one does not, and our BYE reaches nobody."""
    app.document("/voice", "<Say>Are you still there, dear caller?</Say>")
    call = Sipp(server, tmp_path, "plain", transport="t1")
    answered = f"SELECT 1 FROM sipdomains_call WHERE sip_call_id = '{call.name}-1' AND {ANSWERED}"
    wait_for("answered call", lambda: server.rows(answered))
    call.close()
    row = server.call(f"{call.name}-1")
    assert ending(row) == ("completed", "document-ended", 200)
    assert row["duration"] >= 1


@pytest.mark.parametrize(
    ("body", "status", "cause", "code"),
    [
        (SDP + SAVP, 488, "srtp-refused", 32207),
        (SDP + OPUS, 488, "no-common-codec", 32102),
        (SDP + "m=video 4000 RTP/AVP 31", 488, "no-common-codec", 32102),
        ("v=0\nthis is not SDP", 400, "bad-sdp", 32102),
    ],
    ids=["srtp-only", "other-codecs", "no-audio", "garbage"],
)  # fmt: skip
def test_offers_that_cannot_be_taken(
    server: Server, app: Application, tmp_path: Path, body: str, status: int, cause: str, code: int
) -> None:
    result = run(
        server, tmp_path, "refused_invite", body=_body(body), hops="70", status=str(status),
        type="Content-Type: application/sdp\n",
    )  # fmt: skip
    answer = result.last(status)
    assert header(answer, "X-Twilio-Error").startswith(f"{code} ")
    assert 180 not in result.statuses
    row = server.call(result.call_id)
    assert ending(row) == ("failed", cause, status)
    assert server.notifications(row["sid"]) == [code]
    assert app.hits == []


@pytest.mark.parametrize(
    ("values", "status", "expected"),
    [
        ({"headers": "Require: replaces\n", "hops": "70"}, 420, ("Unsupported", "replaces")),
        ({"headers": "", "hops": "0"}, 483, ("To", "tag=")),
        (
            {"headers": "Content-Type: text/plain\n", "hops": "70", "body": "hi"},
            415,
            ("Accept", "application/sdp"),
        ),
    ],
    ids=["replaces", "hops", "body"],
)  # fmt: skip
def test_invites_that_break_the_rules(
    server: Server, app: Application, tmp_path: Path, values: dict[str, str], status: int,
    expected: tuple[str, str],
) -> None:  # fmt: skip
    values = {**values, "body": _body(values.get("body", ""))}
    result = run(server, tmp_path, "refused_invite", status=str(status), **values)
    name, text = expected
    assert text in header(result.last(status), name)
    assert app.hits == []


@pytest.mark.parametrize(
    ("method", "status", "expected"),
    [
        ("OPTIONS", 200, ("Accept", "application/sdp")),
        ("OPTIONS", 200, ("Allow", "INVITE")),
        ("SUBSCRIBE", 405, ("Allow", "INVITE")),
        ("FLY", 501, ("Allow", "INVITE")),
        ("BYE", 481, ("To", "tag=")),
        ("UPDATE", 481, ("To", "tag=")),
    ],
)
def test_requests_outside_of_calls(
    server: Server, tmp_path: Path, method: str, status: int, expected: tuple[str, str]
) -> None:
    result = run(server, tmp_path, "request", method=method, status=str(status), hops="70")
    name, text = expected
    assert text in header(result.last(status), name)


def test_calls_beyond_the_limit_per_second(
    server: Server, app: Application, web_application: Application
) -> None:
    """Ten at once are too many for one per second, however slowly the server gets to them."""
    name = "slow.example.net"
    server.create_domain(name, f"{web_application.url}/voice", "--allow", "127.0.0.0/8")
    limit = f"filter(domain_name={name!r}).update(max_incoming_per_second=1)"
    shell(server, f"from sipdomains.models import SipDomain; SipDomain.objects.{limit}")
    app.document("/voice", "<Reject/>")
    run_id = uuid4().hex
    # An address of its own: refused calls of one source are written down within a budget only.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.bind(("127.0.0.9", 0))
        phone.settimeout(30)
        for number in range(10):
            text = _request("INVITE", name, f"{number}-{run_id}", "")
            phone.sendto(text, ("127.0.0.1", server.sip_port))
        answers: dict[str, str] = {}
        while len(answers) < 10:
            answer = phone.recv(4096).decode()
            if not answer.startswith("SIP/2.0 1"):
                call_id = header(answer, "Call-ID")
                answers[call_id] = answer
                ack = _request("ACK", name, call_id, header(answer, "To").partition(">")[2])
                phone.sendto(ack, ("127.0.0.1", server.sip_port))
    refused = {key: text for key, text in answers.items() if text.startswith("SIP/2.0 503 ")}
    assert 0 < len(refused) < 10
    for call_id, text in refused.items():
        assert header(text, "X-Twilio-Error").startswith("32013 ")
        assert header(text, "Retry-After") == "1"
        row = server.call(call_id)
        assert ending(row) == ("failed", "cps-limit", 503)
        assert "calls per second" in row["reason"]
        assert server.notifications(row["sid"]) == [32013]
    assert len(app.hits) == 10 - len(refused)


def _request(method: str, domain: str, call_id: str, to_tag: str) -> bytes:
    headers = (
        f"Via: SIP/2.0/UDP 127.0.0.9;rport;branch=z9hG4bK-{call_id}", "Max-Forwards: 70",
        "From: <sip:a@127.0.0.9>;tag=1", f"To: <sip:100@{domain}>{to_tag}", f"Call-ID: {call_id}",
        f"CSeq: 1 {method}", "Contact: <sip:a@127.0.0.9>", "Content-Length: 0",
    )  # fmt: skip
    return "\r\n".join((f"{method} sip:100@{domain} SIP/2.0", *headers, "", "")).encode()


def test_ipv6(server: Server, app: Application, tmp_path: Path) -> None:
    app.document("/voice", "<Play>/tone-500.wav</Play>")
    app.answers["/tone-500.wav"] = Answer(tone(500.0), "audio/wav")
    with RtpReceiver("::1") as receiver:
        result = run(server, tmp_path, "plain", host="::1", rtp_port=receiver.port)
    assert loudest(sounding(receiver.samples())) == pytest.approx(500, abs=5)
    assert "c=IN IP6 ::1" in result.last(200)
    row = server.call(result.call_id)
    assert ending(row) == ("completed", "document-ended", 200)
    assert row["source_ip"] == app.hits[0].values["SipSourceIp"] == "::1"


def test_compact_headers(server: Server, app: Application, tmp_path: Path) -> None:
    app.document("/voice", "<Hangup/>")
    result = run(server, tmp_path, "compact")
    assert ending(server.call(result.call_id)) == ("completed", "hangup-verb", 200)


@pytest.mark.parametrize("transport", ["u1", "t1", "tn"])
def test_twenty_calls_at_once(
    server: Server, app: Application, tmp_path: Path, transport: str
) -> None:
    app.document("/voice", "<Play>/tone-500-0.5.wav</Play>")
    app.answers["/tone-500-0.5.wav"] = Answer(tone(500.0, 0.5), "audio/wav")
    calls = Sipp(server, tmp_path, "authenticated", domain=DOMAIN, calls=20, transport=transport)
    result = calls.result()
    assert result.code == 0, result.errors
    for call_id in calls.call_ids(20):
        assert ending(server.call(call_id)) == ("completed", "document-ended", 200)
    assert app.paths().count("/voice") == 20


def test_zz_no_acknowledgement(unacknowledged: Sipp, server: Server) -> None:
    """Last, because it takes 32 s from the first test on."""
    result = unacknowledged.result()
    assert result.code == 0, result.errors
    again = [text for _, text in result.with_repeats if text.startswith("SIP/2.0 200 ")]
    assert len(again) >= 8  # RFC 3261 13.3.1.4: 0.5 s doubled up to 4 s
    row = server.call(result.call_id)
    assert ending(row) == ("failed", "ack-timeout", 200)
    assert server.notifications(row["sid"]) == [32022]


def _body(text: str) -> str:
    return text.replace("\n", "\n      ") + "\n" if text else ""
