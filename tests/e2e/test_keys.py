"""Gather: a menu driven by every way in which phones tell keys, how fast a key ends the prompt, and
that what was typed is nowhere to be read afterwards."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.baresip import Baresip
from tests.e2e.rtp import Handset, dialled
from tests.e2e.server import Answer, Application, Server, wait_for
from tests.e2e.sipp import OPEN_DOMAIN, Callee, Sipp, run
from tests.e2e.sound import tone
from tests.e2e.steps import request

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("domain", "open_domain", "menu")]

TONES_DOMAIN = "tones.example.net"
# For phones that press at once: with type-ahead it does not matter whether Gather has begun.
AHEAD_DOMAIN = "ahead.example.net"
PACKET_SECONDS = 0.02
# Of a prompt of 20 s. The promise is 0.06, but a busy machine shall not fail the test.
BARGE_IN_SECONDS = 5.0


@pytest.fixture(scope="module", autouse=True)
def domains_of_this_module(server: Server, web_application: Application) -> None:
    server.create_domain(
        TONES_DOMAIN, f"{web_application.url}/voice", "--allow", "127.0.0.0/8", "--inband-dtmf",
        "--type-ahead",
    )  # fmt: skip
    server.create_domain(
        AHEAD_DOMAIN, f"{web_application.url}/voice", "--allow", "127.0.0.0/8", "--type-ahead"
    )


@pytest.fixture
def menu(app: Application) -> None:
    """Twelve keys, asked for in a prompt of 20 s."""
    app.document(
        "/voice",
        '<Gather action="/done" numDigits="12" finishOnKey="">'
        "<Play>/tone-500-20.wav</Play></Gather>",
    )
    app.document("/done", "<Hangup/>")
    app.answers["/tone-500-20.wav"] = Answer(tone(500.0, 20), "audio/wav")


def typed(app: Application) -> dict[str, str]:
    """The parameters of Gather's action."""
    hits = wait_for("Gather's action", lambda: [hit for hit in app.hits if hit.path == "/done"])
    return dict(hits[0].values)


def assert_unwritten(server: Server, secret: str) -> None:
    """Neither in the database, its journal and the log, nor in any other file of the server."""
    for file in server.home.rglob("*"):
        try:
            content = file.read_bytes()
        except (FileNotFoundError, IsADirectoryError):
            continue  # the server goes on, and removes files
        assert secret.encode() not in content, file


def finished(server: Server, app: Application, row: dict[str, Any], keys: str) -> None:
    told = typed(app)
    assert told["Digits"] == keys
    assert row["cause"] == "hangup-verb"
    assert_unwritten(server, keys)


def test_telephone_events_of_our_own_caller(server: Server, app: Application) -> None:
    keys = "93*48#261705"
    result = server.manage(
        "placecall", f"sip:100@{AHEAD_DOMAIN}", "--proxy", f"udp:127.0.0.1:{server.sip_port}",
        "--digits", keys, "--after", "0.3", check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout
    assert typed(app)["Digits"] == keys
    assert_unwritten(server, keys)


def test_telephone_events_of_baresip(server: Server, app: Application, tmp_path: Path) -> None:
    keys = "82*37#150946"
    phone = Baresip(
        server, tmp_path / "phone", transport="udp", codec="pcma", dial=f"sip:100@{AHEAD_DOMAIN}"
    )
    with contextlib.closing(phone):
        phone.wait_until("Call established")
        for key in keys:
            phone.press(key)
        phone.wait_until_over()
    assert typed(app)["Digits"] == keys
    assert_unwritten(server, keys)


@pytest.mark.parametrize(
    ("kind", "body"),
    [("application/dtmf-relay", "Signal={}\nDuration=160"), ("application/dtmf", "{}")],
    ids=["dtmf-relay", "dtmf"],
)
def test_info(server: Server, app: Application, tmp_path: Path, kind: str, body: str) -> None:
    keys = "71*92#630485" if "=" in body else "60*81#529374"
    steps = "".join(
        request("INFO", number, kind=kind, body=body.format(key))
        for number, key in enumerate(keys, 2)
    )
    result = run(server, tmp_path, "menu", domain=AHEAD_DOMAIN, steps=steps)
    finished(server, app, server.call(result.call_id), keys)
    assert_unwritten(server, "Signal=")


def test_tones_in_the_sound(server: Server, app: Application, tmp_path: Path) -> None:
    """The phone offers no telephone-events; the prompt plays to it meanwhile."""
    keys = "5D*70#418A39"
    (tmp_path / "keys.ulaw").write_bytes(dialled(keys))
    result = run(server, tmp_path, "tones", domain=TONES_DOMAIN, file=str(tmp_path / "keys.ulaw"))
    finished(server, app, server.call(result.call_id), keys)


def test_tones_are_not_listened_to_elsewhere(
    server: Server, app: Application, tmp_path: Path
) -> None:
    app.document("/voice", '<Gather action="/done" numDigits="1" timeout="3"/>')
    (tmp_path / "keys.ulaw").write_bytes(dialled("4"))
    run(server, tmp_path, "tones", domain=OPEN_DOMAIN, file=str(tmp_path / "keys.ulaw"))
    assert "/done" not in app.paths()


def test_digits_in_the_url_of_an_action_are_unwritten(
    server: Server, app: Application, tmp_path: Path
) -> None:
    keys = "402*97#61853"
    app.document("/voice", '<Gather action="/done" method="GET" numDigits="12" finishOnKey=""/>')
    steps = "".join(
        request("INFO", number, kind="application/dtmf", body=key)
        for number, key in enumerate(keys, 2)
    )
    result = run(server, tmp_path, "menu", domain=AHEAD_DOMAIN, steps=steps)
    assert typed(app)["Digits"] == keys
    assert [row["url"] for row in server.webhooks(server.call(result.call_id)["sid"])]
    assert_unwritten(server, keys)
    assert_unwritten(server, keys.replace("*", "%2A").replace("#", "%23"))


def test_keys_pass_through_a_bridge_both_ways(
    server: Server, app: Application, tmp_path: Path
) -> None:
    with Handset() as here, Handset() as there:
        peer = Callee(tmp_path, "callee_answers", rtp_port=there.port)
        with contextlib.closing(peer):
            app.document("/voice", f"<Dial><Sip>{peer.uri}</Sip></Dial>")
            call = Sipp(server, tmp_path, "hangup", rtp_port=here.port)
            server.happened(call.call_ids(1)[0], "bridged")
            for key in "5#5":
                here.press(call.media_port(), key)
            for key in "*81":
                there.press(peer.media_port(), key)
            wait_for("keys", lambda: len(there.keys) == len(here.keys) == 3)
            call.go_on()
            call.followed()
            peer.messages()
        assert there.keys == "5#5"
        assert here.keys == "*81"


def test_a_key_ends_the_prompt_at_once(
    server: Server, app: Application, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the first packet of the key to the end of the prompt, as the caller hears it."""
    app.document(
        "/voice",
        '<Gather action="/done" numDigits="2"><Play>/tone-500-20.wav</Play></Gather>',
    )
    with Handset() as phone:
        call = Sipp(server, tmp_path, "plain", rtp_port=phone.port)
        port = call.media_port()
        wait_for("prompt", lambda: len(phone.heard) > 50)
        pressed = phone.press(port, "7")
        wait_for("silence", lambda: not phone.loud(time.time() - 0.5))
        phone.press(port, "3")
        call.followed()
        delay = phone.loud()[-1] + PACKET_SECONDS - pressed
    assert typed(app)["Digits"] == "73"
    with capsys.disabled():
        print(f"\nbarge-in: the prompt ended {delay * 1000:.0f} ms after the key")
    assert delay < BARGE_IN_SECONDS
