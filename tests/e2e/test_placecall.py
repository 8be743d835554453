"""The first call, placed by our own caller against a whole running server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twilio.request_validator import RequestValidator

from tests.e2e.server import (
    DOMAIN,
    PASSWORD,
    USER,
    Answer,
    Application,
    Server,
    call_id_of,
)
from tests.e2e.sound import is_speech, loudest, read_wav, sounding, tone

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("domain")]


def place(server: Server, *options: str, user: str = USER, password: str = PASSWORD,
          domain: str = DOMAIN, transport: str = "udp") -> Any:  # fmt: skip
    return server.manage(
        "placecall", f"sip:100@{domain}", "--full", "--proxy",
        f"{transport}:127.0.0.1:{server.sip_port}", "--username", user, "--password", password,
        *options, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_say_and_play_are_heard_and_logged(
    server: Server, app: Application, domain: dict[str, Any], tmp_path: Path, transport: str
) -> None:
    app.document("/voice", "<Play>/tone-1000.wav</Play><Say>Hello from the other side.</Say>")
    app.answers["/tone-1000.wav"] = Answer(tone(1000.0), "audio/wav")
    wav = tmp_path / "heard.wav"
    result = place(server, "--wav", str(wav), "--header", "X-Account: 42", transport=transport)
    assert result.returncode == 0, result.stdout
    rate, heard = read_wav(wav)
    heard = sounding(heard)
    assert loudest(heard[int(0.2 * rate) : int(0.8 * rate)], rate) == pytest.approx(1000, abs=10)
    assert is_speech(heard[int(1.2 * rate) :], rate)

    row = server.call(call_id_of(result.stdout))
    assert (row["status"], row["cause"], row["sip_status"]) == ("completed", "document-ended", 200)
    assert row["transport"] == transport
    assert row["username"] == USER
    first = app.hits[0]
    assert first.method == "POST"
    assert first.values["CallSid"] == row["sid"]
    assert first.values["SipHeader_X-Account"] == "42"
    assert first.values["SipUsername"] == USER
    assert first.values["SipDomain"] == DOMAIN
    assert first.values["SipDomainSid"] == domain["domain_sid"]
    assert first.values["AccountSid"] == domain["account_sid"]
    assert first.values["SipSourceIp"] == "127.0.0.1"
    assert first.values["SipCallId"] == row["sip_call_id"]
    assert first.values["CallStatus"] == "ringing"
    validator = RequestValidator(str(domain["auth_token"]))
    assert validator.validate(first.url, first.values, first.headers["X-Twilio-Signature"])

    kinds = [event["kind"] for event in server.events(row["sid"])]
    assert kinds.index("ringing") < kinds.index("webhook") < kinds.index("answered")
    arrows = [e["data"]["summary"] for e in server.events(row["sid"]) if e["kind"] == "sip"]
    assert arrows[:7] == [
        "INVITE", "100 Trying (INVITE)", "407 Proxy Authentication Required (INVITE)", "ACK",
        "INVITE", "100 Trying (INVITE)", "180 Ringing (INVITE)",
    ]  # fmt: skip
    assert arrows[7:] == ["200 OK (INVITE)", "ACK", "BYE", "200 OK (BYE)"]
    [attempt] = server.webhooks(row["sid"])
    assert attempt["status"] == 200


@pytest.mark.parametrize(
    ("verbs", "status", "cause", "sip"),
    [
        ("<Reject reason='busy'/>", "busy", "reject-busy", 486),
        ("<Reject/>", "no-answer", "reject", 404),
        ("<Redirect>/reject</Redirect><Say>never</Say>", "busy", "reject-busy", 486),
        ("", "completed", "document-ended", 200),
        ("<Hangup/>", "completed", "hangup-verb", 200),
    ],
)
def test_endings(
    server: Server, app: Application, verbs: str, status: str, cause: str, sip: int
) -> None:
    app.document("/voice", verbs)
    app.document("/reject", "<Reject reason='busy'/>")
    result = place(server)
    assert result.returncode == (0 if sip == 200 else 1)
    assert "180 Ringing" in result.stdout
    assert ("200 OK" in result.stdout) == (sip == 200)
    row = server.call(call_id_of(result.stdout))
    assert (row["status"], row["cause"], row["sip_status"]) == (status, cause, sip)


@pytest.mark.parametrize(
    ("options", "sip", "cause", "code"),
    [
        ({"password": "Wrong9HorseXX"}, 403, "bad-credentials", 32202),
        ({"user": "mallory"}, 403, "bad-credentials", 32202),
        ({"domain": "nowhere.example.net"}, 404, "unknown-domain", 32200),
        ({"domain": "unmapped.example.net"}, 403, "no-auth-mapped", 32200),
        ({"domain": "office.example.net"}, 403, "source-not-allowed", 32201),
    ],
)
def test_refusals_say_why(
    server: Server, app: Application, options: dict[str, str], sip: int, cause: str, code: int
) -> None:
    server.create_domain("unmapped.example.net", f"{app.url}/voice")
    server.create_domain("office.example.net", f"{app.url}/voice", "--allow", "192.0.2.0/24")
    result = place(server, **options)  # type: ignore[arg-type]
    assert result.returncode == 1
    assert f"refused: {sip}" in result.stdout
    assert f"X-Twilio-Error: {code}" in result.stdout
    row = server.call(call_id_of(result.stdout))
    assert (row["status"], row["cause"], row["sip_status"]) == ("failed", cause, sip)
    assert row["reason"]
    assert server.notifications(row["sid"]) == [code]
    assert app.hits == []


def test_caller_hangs_up_in_mid_sentence(server: Server, app: Application) -> None:
    app.document("/voice", "<Say loop='5'>This is a rather long sentence to hang up in.</Say>")
    result = place(server, "--hangup", "0.5")
    assert result.returncode == 0
    row = server.call(call_id_of(result.stdout))
    assert (row["status"], row["cause"]) == ("completed", "caller-hangup")


def test_caller_gives_up_while_the_application_thinks(server: Server, app: Application) -> None:
    import threading

    app.document("/voice", "<Say>too late</Say>", gate=threading.Event())
    result = place(server, "--cancel", "0.5")
    assert "487 Request Terminated" in result.stdout
    row = server.call(call_id_of(result.stdout))
    assert (row["status"], row["cause"], row["sip_status"]) == ("canceled", "canceled", 487)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Answer("boom", status=500), 11200),
        (Answer("<Response><Say>", "text/xml"), 12100),
        (Answer("<Other/>", "text/xml"), 12102),
        (Answer("{}", "application/json"), 12300),
        (Answer("x" * 70_000), 11750),
    ],
)
def test_garbage_from_the_application(
    server: Server, app: Application, answer: Answer, code: int
) -> None:
    app.answers["/voice"] = answer
    result = place(server)
    assert result.returncode == 0  # answered, the apology is heard
    row = server.call(call_id_of(result.stdout))
    assert (row["status"], row["cause"]) == ("completed", "application-error")
    assert str(code) in row["reason"]
    assert code in server.notifications(row["sid"])


def test_application_that_is_not_there_with_fallback(server: Server, app: Application) -> None:
    server.create_domain(
        "fallback.example.net", "http://127.0.0.1:9/voice", "--fallback-url",
        f"{app.url}/fallback", "--username", USER, "--password", PASSWORD,
    )  # fmt: skip
    app.document("/fallback", "<Say>We are sorry.</Say>")
    result = place(server, domain="fallback.example.net")
    assert result.returncode == 0
    row = server.call(call_id_of(result.stdout))
    assert row["cause"] == "document-ended"
    assert app.hits[0].values["ErrorCode"] == "11202"
    assert app.hits[0].values["ErrorUrl"] == "http://127.0.0.1:9/voice"
    assert [attempt["error_code"] for attempt in server.webhooks(row["sid"])] == [11202, 11202, 0]


def test_an_edit_takes_effect_on_the_next_call(server: Server, app: Application) -> None:
    options = ("--username", USER, "--password", PASSWORD)
    app.document("/one", "<Reject/>")
    app.document("/two", "<Reject reason='busy'/>")
    server.create_domain("edit.example.net", f"{app.url}/one", *options)
    place(server, domain="edit.example.net")
    server.create_domain("edit.example.net", f"{app.url}/two", *options)
    place(server, domain="edit.example.net")
    assert app.paths() == ["/one", "/two"]


def test_digits_are_played_as_telephone_events(server: Server, app: Application) -> None:
    app.document("/voice", "<Play digits='12w#'/><Pause length='1'/>")
    result = place(server)
    assert "digits received: 12#" in result.stdout
