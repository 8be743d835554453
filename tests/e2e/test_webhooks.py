"""The application's side of calls: what it is asked, and what its answers and failures lead to."""

from __future__ import annotations

import base64
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.e2e.server import Answer, Application, Server
from tests.e2e.sipp import RtpReceiver, run
from tests.e2e.sound import is_speech, loudest, sounding, tone

pytestmark = pytest.mark.e2e

ENDED = ("completed", "document-ended", 200)
HUNG_UP = ("completed", "hangup-verb", 200)
FAILED = ("completed", "application-error", 200)
HANGUP = "<Response><Hangup/></Response>"


def place(server: Server, folder: Path, **options: Any) -> dict[str, Any]:
    """The row of one ordinary call to the end."""
    return server.call(run(server, folder, "plain", **options).call_id)


def ending(row: dict[str, Any]) -> tuple[str, str, int]:
    return row["status"], row["cause"], row["sip_status"]


def redirect(app: Application, target: str, method: str = "POST") -> None:
    app.document("/voice", f"<Redirect method='{method}'>{target}</Redirect>")


@pytest.mark.parametrize(
    ("target", "codes", "attempts"),
    [
        ("/slow#rt=300&amp;tt=14000", [11200], [200, 0]),
        ("/slow#rt=300&amp;rp=rt&amp;rc=2", [11200], [200, 0, 0, 0]),
        ("/slow#tt=400", [11203], [200, 0]),
        ("http://127.0.0.1:9/nobody", [11202], [200, 0, 0]),
        ("http://nowhere.invalid/voice", [11210], [200, 0, 0]),
        ("/broken#rc=2&amp;rp=5xx", [11200], [200, 500, 500, 500]),
        ("/broken", [11200], [200, 500]),
        ("/missing", [11200], [200, 404]),
        ("/round", [11215], [200]),
    ],
    ids=[
        "read", "read-retried", "total", "refused", "no-host", "500-retried", "500", "404", "loop",
    ],
)  # fmt: skip
def test_failures_end_in_the_apology(
    server: Server, app: Application, open_domain: object, tmp_path: Path, target: str,
    codes: list[int], attempts: list[int],
) -> None:  # fmt: skip
    redirect(app, target)
    app.answers["/slow"] = Answer(HANGUP, gate=Event())
    app.answers["/broken"] = Answer("boom", status=500)
    app.answers["/round"] = Answer(status=302, headers={"Location": "/round"})
    with RtpReceiver() as receiver:
        row = place(server, tmp_path, rtp_port=receiver.port)
    assert is_speech(sounding(receiver.samples()))  # the apology
    assert ending(row) == FAILED
    assert str(codes[0]) in row["reason"]
    assert server.notifications(row["sid"]) == codes
    seen = [attempt["status"] or 0 for attempt in server.webhooks(row["sid"])]
    assert seen[: len(attempts)] == attempts
    if "/round" in target:
        assert app.paths().count("/round") == 11  # 10 redirects are followed
    else:
        assert len(seen) == len(attempts)


def test_retries_carry_one_idempotency_token(
    server: Server, app: Application, open_domain: object, tmp_path: Path
) -> None:
    redirect(app, "/flaky#rc=3&amp;rp=5xx")
    app.answers["/flaky"] = [Answer(status=503), Answer(status=503), Answer(HANGUP)]
    row = place(server, tmp_path)
    assert ending(row) == HUNG_UP
    tokens = [hit.headers["I-Twilio-Idempotency-Token"] for hit in app.hits]
    assert app.paths() == ["/voice", "/flaky", "/flaky", "/flaky"]
    assert len(set(tokens[1:])) == 1
    assert tokens[0] != tokens[1]
    assert "#" not in "".join(hit.url for hit in app.hits)


@pytest.mark.parametrize(("status", "method"), [(301, "GET"), (302, "GET"), (307, "POST")])
def test_http_redirects(
    server: Server, app: Application, open_domain: dict[str, Any], tmp_path: Path, status: int,
    method: str,
) -> None:  # fmt: skip
    redirect(app, "/sub/old")
    app.answers["/sub/old"] = Answer(status=status, headers={"Location": "new/doc?a=b"})
    app.document("/sub/new/doc", f"<Play>{status}.wav</Play>")
    app.answers[f"/sub/new/{status}.wav"] = Answer(tone(600.0, 0.5), "audio/wav")
    row = place(server, tmp_path)
    assert ending(row) == ENDED
    assert app.paths() == ["/voice", "/sub/old", "/sub/new/doc", f"/sub/new/{status}.wav"]
    document, sound = app.hits[2:]
    assert document.method == method
    assert ("CallSid" in document.values) == (method == "POST")
    assert parse_qs(urlsplit(document.url).query) == {"a": ["b"]}
    assert sound.method == "GET"
    assert "CallSid" not in sound.url
    assert all(hit.is_signed(open_domain["auth_token"]) for hit in app.hits[:3])


def test_get_puts_the_parameters_into_the_signed_url(
    server: Server, app: Application, open_domain: dict[str, Any], tmp_path: Path
) -> None:
    redirect(app, "/get?mine=1&amp;x=a%20b", "GET")
    app.document("/get", "<Hangup/>")
    row = place(server, tmp_path, headers="X-Odd: ü &amp; = ? #1\n")
    hit = app.hits[1]
    assert hit.method == "GET"
    assert hit.url.split("?", 1)[1].startswith("mine=1&x=a%20b&")
    assert hit.values["CallSid"] == row["sid"]
    assert hit.values["SipHeader_X-Odd"] == "ü &amp; = ? #1"
    assert all(each.is_signed(open_domain["auth_token"]) for each in app.hits)


def test_basic_authentication_after_401_and_cookies_for_the_call(
    server: Server, app: Application, open_domain: object, tmp_path: Path
) -> None:
    host = app.url.removeprefix("http://")
    redirect(app, f"http://user:p%40ss@{host}/secret")
    app.answers["/secret"] = [
        Answer("who?", status=401, headers={"WWW-Authenticate": 'Basic realm="x"'}),
        Answer(
            "<Response><Redirect>/next</Redirect></Response>",
            headers={"Set-Cookie": "session=42; Path=/"},
        ),
    ]
    app.document("/next", "<Hangup/>")
    row = place(server, tmp_path)
    assert ending(row) == HUNG_UP
    assert app.paths() == ["/voice", "/secret", "/secret", "/next"]
    assert "Authorization" not in app.hits[1].headers
    expected = "Basic " + base64.b64encode(b"user:p@ss").decode()
    assert app.hits[2].headers["Authorization"] == expected
    assert "Cookie" not in app.hits[2].headers
    assert app.hits[3].headers["Cookie"] == "session=42"
    record = str(server.webhooks(row["sid"])) + str(server.events(row["sid"]))
    assert "p%40ss" not in record
    assert "p@ss" not in record
    # The jar is the call's: the next call starts without.
    app.document("/voice", "<Hangup/>")
    place(server, tmp_path)
    assert "Cookie" not in app.hits[-1].headers


@pytest.mark.parametrize(
    ("answer", "what", "end"),
    [
        (Answer(tone(650.0), "audio/wav"), "tone", HUNG_UP),
        (Answer("Hello, this is plain text.", "text/plain; charset=utf-8"), "speech", HUNG_UP),
        (Answer("<Response><Say>Hello, markup.</Say></Response>", "text/plain"), "speech", ENDED),
        (Answer("<Response><Say>Hello, web.</Say></Response>", "text/html"), "speech", ENDED),
        (Answer("", "", status=204), "silence", ENDED),
    ],
    ids=["audio", "text", "twiml-as-text", "html", "no-content"],
)
def test_content_types(
    server: Server, app: Application, open_domain: object, tmp_path: Path, answer: Answer,
    what: str, end: tuple[str, str, int],
) -> None:  # fmt: skip
    app.answers["/voice"] = answer
    with RtpReceiver() as receiver:
        row = place(server, tmp_path, rtp_port=receiver.port)
    heard = sounding(receiver.samples())
    if what == "tone":
        assert loudest(heard) == pytest.approx(650, abs=5)
    else:
        assert is_speech(heard) == (what == "speech")
    assert ending(row) == end
    assert server.notifications(row["sid"]) == []


def test_fallback_is_told_why_and_its_own_failure_ends_in_the_apology(
    server: Server, app: Application, tmp_path: Path
) -> None:
    name = "backup.example.net"
    server.create_domain(
        name, f"{app.url}/primary", "--fallback-url", f"{app.url}/fallback?f=1",
        "--allow", "127.0.0.0/8",
    )  # fmt: skip
    app.answers["/primary"] = Answer("<Response><Say>", "text/xml")
    app.document("/fallback", "<Hangup/>")
    row = place(server, tmp_path, domain=name)
    assert ending(row) == HUNG_UP
    assert server.notifications(row["sid"]) == [12100]
    told = app.hits[1].values
    assert (told["ErrorCode"], told["ErrorUrl"]) == ("12100", f"{app.url}/primary")
    assert told["CallSid"] == row["sid"]

    app.answers["/fallback"] = Answer("boom", status=500)
    row = place(server, tmp_path, domain=name)
    assert ending(row) == FAILED
    assert server.notifications(row["sid"]) == [12100, 11200]
    assert app.paths() == ["/primary", "/fallback"] * 2
