"""Dial with real phones: registration, bridges whose sound is decoded, hunt groups, trunks."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.e2e.baresip import Baresip
from tests.e2e.server import DOMAIN, PASSWORD, USER, Application, Server, call_id_of, wait_for
from tests.e2e.sipp import Callee, Sipp, header, run
from tests.e2e.sound import SILENCE, loudest, read_wav

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("domain", "open_domain", "phones")]


@pytest.fixture(scope="module")
def phones(server: Server, domain: dict[str, Any]) -> None:
    """bob and carol may call and register at pbx.example.net."""
    for user in ("bob", "carol"):
        server.manage(
            "createdomain", DOMAIN, "--username", user, "--password", PASSWORD, "--register"
        )


@pytest.fixture
def bob(server: Server, tmp_path: Path) -> Iterator[Baresip]:
    phone = Baresip(
        server, tmp_path / "bob", transport="udp", codec="pcma", user="bob", dial="",
        frequency=700.0, register=True,
    )  # fmt: skip
    with contextlib.closing(phone):
        phone.wait_until("200 OK")
        registered(server, "bob")
        yield phone


def registered(server: Server, user: str) -> list[dict[str, Any]]:
    query = "SELECT * FROM sipdomains_registration WHERE username = ?"
    return list(wait_for(f"{user} registered", lambda: server.rows(query, user)))


def heard_tone(phone: Baresip) -> float:
    """The frequency that the phone heard for most of the time."""
    rate, samples = read_wav(phone.heard())
    loud = np.flatnonzero(np.abs(samples) > SILENCE)
    middle = samples[loud[0] : loud[-1]]
    third = len(middle) // 3
    return loudest(middle[third : 2 * third], rate)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_two_phones_hear_each_other(
    server: Server, app: Application, tmp_path: Path, bob: Baresip, transport: str
) -> None:
    """The codecs differ: PCMU on one side, PCMA on the other."""
    app.document("/voice", f'<Dial timeLimit="4" action="/done"><Sip>bob@{DOMAIN}</Sip></Dial>')
    app.document("/done", "<Hangup/>")
    alice = Baresip(server, tmp_path / "alice", transport=transport, codec="pcmu")
    with contextlib.closing(alice):
        alice.wait_until_over()
    bob.wait_until_over()
    bob.close()
    assert heard_tone(alice) == pytest.approx(700, abs=10)
    assert heard_tone(bob) == pytest.approx(440, abs=10)
    told = next(hit for hit in app.hits if hit.path == "/done").values
    assert (told["DialCallStatus"], told["DialBridged"]) == ("completed", "true")
    row = server.call(call_id_of(alice.output))
    [child] = server.children_of(row, 1)
    assert (child["status"], child["cause"]) == ("completed", "time-limit")
    assert json.loads(child["media"])["lost"] == 0


def test_hunt_group_second_phone_answers(
    server: Server, app: Application, tmp_path: Path, bob: Baresip
) -> None:
    with contextlib.closing(Callee(tmp_path, "callee_refuses", status="486 Busy Here")) as busy:
        app.document(
            "/voice",
            f'<Dial sequential="true" timeLimit="2" action="/done"><Sip>{busy.uri}</Sip>'
            f"<Sip>bob@{DOMAIN}</Sip></Dial>",
        )
        app.document("/done", "<Hangup/>")
        result = run(server, tmp_path, "plain")
        busy.messages()
    row = server.call(result.call_id)
    first, second = server.children_of(row, 2)
    assert (first["status"], first["sip_status"]) == ("busy", 486)
    assert (second["status"], second["cause"]) == ("completed", "time-limit")
    told = next(hit for hit in app.hits if hit.path == "/done").values
    assert (told["DialCallSid"], told["DialCallStatus"]) == (second["sid"], "completed")


def test_first_answer_wins_and_the_other_is_cancelled(
    server: Server, app: Application, tmp_path: Path, bob: Baresip
) -> None:
    with contextlib.closing(Callee(tmp_path, "callee_rings")) as slow:
        app.document(
            "/voice",
            f'<Dial timeLimit="2"><Sip>{slow.uri}</Sip><Sip>bob@{DOMAIN}</Sip></Dial>',
        )
        result = run(server, tmp_path, "plain")
        assert any(text.startswith("CANCEL") for _, text in slow.messages())
    legs = {leg["to_uri"]: leg for leg in server.children_of(server.call(result.call_id), 2)}
    assert legs[slow.uri]["cause"] == "dial-cancelled"
    assert legs[f"bob@{DOMAIN}"]["status"] == "completed"


def test_status_callbacks_come_in_order(
    server: Server, app: Application, tmp_path: Path, open_domain: dict[str, Any]
) -> None:
    with contextlib.closing(Callee(tmp_path, "callee_answers")) as callee:
        app.document(
            "/voice",
            f'<Dial timeLimit="1"><Sip statusCallback="/told" '
            f'statusCallbackEvent="initiated ringing answered completed">{callee.uri}</Sip></Dial>',
        )
        app.document("/told", "")
        result = run(server, tmp_path, "plain")
        callee.messages()
    hits = wait_for(
        "four callbacks",
        lambda: len(found := [hit for hit in app.hits if hit.path == "/told"]) == 4 and found,
    )
    assert [hit.values["CallStatus"] for hit in hits] == [
        "initiated", "ringing", "in-progress", "completed",
    ]  # fmt: skip
    assert [hit.values["SequenceNumber"] for hit in hits] == ["0", "1", "2", "3"]
    assert all(hit.is_signed(str(open_domain["auth_token"])) for hit in hits)
    assert hits[3].values["ParentCallSid"] == server.call(result.call_id)["sid"]


def test_number_goes_by_the_trunk_that_allows_it(
    server: Server, app: Application, tmp_path: Path
) -> None:
    with contextlib.closing(Callee(tmp_path, "callee_answers")) as gateway:
        server.manage(
            "createtrunk", "gateway", "127.0.0.1", "--port", str(gateway.port),
            "--allow-prefix", "+49",
        )  # fmt: skip
        app.document(
            "/voice",
            '<Dial timeLimit="1" callerId="+4930555" action="/done"><Number>+49 30 123</Number>'
            "</Dial>",
        )
        app.document("/done", '<Dial action="/denied">+1 900 123</Dial>')
        app.document("/denied", "<Hangup/>")
        result = run(server, tmp_path, "plain")
        invite = gateway.messages()[0][1]
    assert invite.startswith(f"INVITE sip:+4930123@127.0.0.1:{gateway.port} SIP/2.0")
    assert header(invite, "From").startswith("<sip:+4930555@127.0.0.1>")
    denied = next(hit for hit in app.hits if hit.path == "/denied").values
    assert denied["DialCallStatus"] == "failed"
    row = server.call(result.call_id)
    _, refused = server.children_of(row, 2)
    assert "no rule" in refused["reason"]
    assert 13227 in server.notifications(refused["sid"])


def test_voicemail_by_hang_up(server: Server, app: Application, tmp_path: Path) -> None:
    """Recorded until the caller hangs up; the file is the tone that was spoken."""
    app.document(
        "/voice",
        '<Record action="/done" playBeep="false" recordingStatusCallback="/told"/>',
    )
    app.document("/done", "")
    app.document("/told", "")
    alice = Baresip(server, tmp_path / "alice", transport="udp", codec="pcmu")
    with contextlib.closing(alice):
        alice.wait_until("Call established")
        wait_for("two seconds", lambda: _spooled(server) > 2 * 16000 + 44)
    told = wait_for(
        "action", lambda: next((hit for hit in app.hits if hit.path == "/done"), None)
    ).values
    assert (told["Digits"], told["CallStatus"]) == ("hangup", "completed")
    wait_for("callback", lambda: [hit for hit in app.hits if hit.path == "/told"])
    [row] = server.rows("SELECT * FROM sipdomains_recording WHERE sid = ?", told["RecordingSid"])
    assert row["status"] == "completed"
    with wave.open(str(_media(server) / row["file"])) as file:
        assert (file.getframerate(), file.getnchannels()) == (8000, 1)
        sound = np.frombuffer(file.readframes(1 << 20), "<i2").astype(float)
    assert loudest(sound[4000:12000]) == pytest.approx(440, abs=5)
    assert len(sound) / 8000 == pytest.approx(float(told["RecordingDuration"]), abs=0.6)


def test_node_killed_in_mid_recording_leaves_a_file_that_plays(
    own_server: Server, app: Application, tmp_path: Path
) -> None:
    own_server.start()
    own_server.create_domain(DOMAIN, f"{app.url}/voice", "--username", USER, "--password", PASSWORD)
    app.document("/voice", '<Record playBeep="false"/>')
    alice = Baresip(own_server, tmp_path / "alice", transport="udp", codec="pcmu")
    with contextlib.closing(alice):
        wait_for("two seconds", lambda: _spooled(own_server) > 2 * 16000 + 44)
        own_server.kill()
    own_server.start()
    query = "SELECT * FROM sipdomains_recording WHERE status != 'in-progress'"
    [row] = wait_for("recovery", lambda: own_server.rows(query))
    assert (row["status"], row["ended_by"]) == ("completed", "node-lost")
    with wave.open(str(_media(own_server) / row["file"])) as file:
        sound = np.frombuffer(file.readframes(1 << 20), "<i2").astype(float)
    assert len(sound) / 8000 == pytest.approx(row["duration"], abs=0.6)
    assert loudest(sound[4000:12000]) == pytest.approx(440, abs=5)
    assert own_server.call(call_id_of(alice.output))["cause"] == "node-lost"
    own_server.stop()


def _spooled(server: Server) -> int:
    """Size of the file of the one recording that is going on."""
    query = "SELECT spool_path FROM sipdomains_recording WHERE status = 'in-progress'"
    files = [Path(row["spool_path"]) for row in server.rows(query)]
    return sum(file.stat().st_size for file in files if file.exists())


def _media(server: Server) -> Path:
    return server.home / "storage"


def test_media_worker_killed_under_a_bridge(
    own_server: Server, app: Application, tmp_path: Path
) -> None:
    own_server.start()
    own_server.create_domain("open.example.net", f"{app.url}/voice", "--allow", "127.0.0.0/8")
    with contextlib.closing(Callee(tmp_path, "callee_answers")) as callee:
        app.document("/voice", f"<Dial><Sip>{callee.uri}</Sip></Dial>")
        call = Sipp(own_server, tmp_path, "plain")
        own_server.happened(call.call_ids(1)[0], "bridged")
        [worker] = own_server.children("sipserver.media.worker")
        os.kill(worker, signal.SIGKILL)
        result = call.result()
        callee.messages()
    assert result.code == 0, result.errors
    row = own_server.call(result.call_id)
    assert (row["status"], row["cause"]) == ("failed", "media-lost")
    [child] = own_server.children_of(row, 1)
    assert (child["status"], child["cause"]) == ("failed", "media-lost")
    own_server.stop()
