"""Recordings of live calls that REST asks for, with a real phone; the files are decoded.

The phone speaks 440 Hz all the time and hears what the document plays.
"""

from __future__ import annotations

import contextlib
import io
import json
import time
import wave
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

from tests.e2e.baresip import Baresip
from tests.e2e.server import (
    DOMAIN,
    PASSWORD,
    USER,
    Answer,
    Application,
    Server,
    call_id_of,
    wait_for,
)
from tests.e2e.sound import SILENCE, Samples, loudest, sounding, tone

pytestmark = pytest.mark.e2e

EDGE = 0.15  # seconds about a change that are not looked at
SLACK = 0.3  # of a recording's length between moments that are known to be before and after


def client_of(server: Server, domain: dict[str, Any]) -> Client:
    """The vendor's own, unmodified."""
    client = Client(domain["account_sid"], domain["auth_token"])
    client.api.base_url = f"http://127.0.0.1:{server.web_port}"
    return client


@pytest.fixture
def rest(server: Server, domain: dict[str, Any]) -> Client:
    return client_of(server, domain)


@pytest.fixture
def alice(
    server: Server, app: Application, domain: dict[str, Any], tmp_path: Path
) -> Iterator[Baresip]:
    """In a call that plays 1000 Hz."""
    app.document("/voice", "<Play>/api-1000.wav</Play><Pause length='60'/>")
    app.answers["/api-1000.wav"] = Answer(tone(1000.0, 60), "audio/wav")
    app.document("/told", "")
    phone = Baresip(server, tmp_path / "alice", transport="udp", codec="pcmu")
    with contextlib.closing(phone):
        phone.wait_until("Call established")
        yield phone


def call_of(server: Server, phone: Baresip) -> str:
    """Its call, once its sound is heard."""
    call_id = call_id_of(phone.output)
    server.happened(call_id, "media", "first-packet")
    [row] = server.rows("SELECT sid FROM sipdomains_call WHERE sip_call_id = ?", call_id)
    return str(row["sid"])


def times(server: Server, call_sid: str, sid: str) -> list[tuple[str, float]]:
    """What happened to a recording, and when (seconds)."""
    query = "SELECT data, at FROM sipdomains_callevent WHERE call_id = ? AND kind = 'recording'"
    told = [
        (json.loads(row["data"]), datetime.fromisoformat(row["at"]).replace(tzinfo=UTC))
        for row in server.rows(f"{query} ORDER BY seq", call_sid)
    ]
    return [(data["what"], at.timestamp()) for data, at in told if data["recording_sid"] == sid]


def final(server: Server, sid: str) -> dict[str, Any]:
    query = "SELECT * FROM sipdomains_recording WHERE sid = ? AND status = 'completed'"
    [row] = wait_for("final recording", lambda: server.rows(query, sid))
    return dict(row)


def decoded(data: bytes) -> list[Samples]:
    with wave.open(io.BytesIO(data)) as file:
        assert (file.getframerate(), file.getsampwidth()) == (8000, 2)
        samples = np.frombuffer(file.readframes(1 << 24), "<i2").astype(float)
        return [samples[at :: file.getnchannels()] for at in range(file.getnchannels())]


def stored(server: Server, row: dict[str, Any]) -> list[Samples]:
    return decoded((server.home / "storage" / row["file"]).read_bytes())


def sounds(server: Server, sid: str, pitch: float) -> bool:
    """Whether the newest half of a second of a recording that is going on has it."""
    [row] = server.rows("SELECT spool_path FROM sipdomains_recording WHERE sid = ?", sid)
    newest = Path(row["spool_path"]).read_bytes()[44:][-8000:]
    samples = np.frombuffer(newest[: len(newest) // 2 * 2], "<i2").astype(float)
    return len(samples) == 4000 and loudest(samples) == pytest.approx(pitch, abs=10)


def part(samples: Samples, begin: float, end: float) -> Samples:
    return samples[int((begin + EDGE) * 8000) : int((end - EDGE) * 8000)]


def longest_silence(channels: list[Samples]) -> tuple[float, float]:
    """Of all together: where it begins and ends, seconds."""
    loud = np.flatnonzero(np.abs(np.stack(channels)).max(axis=0))
    loud = np.concatenate(([-1], loud, [len(channels[0])]))
    at = int(np.argmax(np.diff(loud)))
    return (int(loud[at]) + 1) / 8000, int(loud[at + 1]) / 8000


def after(server: Server, call_sid: str, sid: str, what: str, seconds: float) -> None:
    """Let so much time pass after it. Rows of events come a little later than they are made."""
    at = wait_for(what, lambda: dict(times(server, call_sid, sid)).get(what))
    time.sleep(max(0.0, at + seconds - time.time()))


def test_paused_resumed_and_stopped_during_speech(
    server: Server, app: Application, domain: dict[str, Any], rest: Client, alice: Baresip
) -> None:
    call = call_of(server, alice)
    made = rest.calls(call).recordings.create(
        recording_channels="dual",
        recording_status_callback=f"{app.url}/told",
        recording_status_callback_event=["in-progress", "completed"],
    )
    assert (made.status, made.channels, made.source) == (
        "in-progress", 2, "StartCallRecordingAPI",
    )  # fmt: skip
    sid = made.sid
    recording = rest.calls(call).recordings(sid)
    after(server, call, sid, "started", 1.0)
    assert recording.update(status="paused").status == "paused"
    assert rest.recordings(sid).fetch().status == "paused"
    with pytest.raises(TwilioRestException) as refused:
        rest.recordings(sid).delete()
    assert refused.value.code == 20009
    after(server, call, sid, "paused", 1.0)
    assert recording.update(status="in-progress").status == "in-progress"
    after(server, call, sid, "resumed", 1.0)
    rest.calls(call).recordings("Twilio.CURRENT").update(status="stopped")
    row = final(server, sid)
    after(server, call, sid, "ended", 0.0)
    assert (row["source"], row["ended_by"], row["track"], row["channels"]) == (
        "StartCallRecordingAPI", "api", "both", 2,
    )  # fmt: skip
    happened = times(server, call, sid)
    assert [what for what, _ in happened] == ["started", "paused", "resumed", "ended"]
    channels = stored(server, row)
    assert len(channels[0]) == len(channels[1])
    paused, resumed = longest_silence(channels)
    assert resumed - paused > 0.7  # of a second
    for samples, pitch in zip(channels, (440, 1000), strict=True):
        for begin, end in ((0.0, paused), (resumed, len(samples) / 8000)):
            assert loudest(part(samples, begin, end)) == pytest.approx(pitch, abs=5)
        assert np.abs(part(samples, paused, resumed)).max() == 0

    wait_for("callbacks", lambda: len(hits_of(app)) == 2)
    hits = hits_of(app)
    assert [hit["RecordingStatus"] for hit in hits] == ["in-progress", "completed"]
    done = hits[-1]
    assert (done["CallSid"], done["RecordingChannels"], done["RecordingSource"]) == (
        call, "2", "StartCallRecordingAPI",
    )  # fmt: skip
    # What the application is told can be fetched as it is told.
    fetched = decoded(fetch(f"{done['RecordingUrl']}.wav", domain))
    assert [len(samples) for samples in fetched] == [len(samples) for samples in channels]
    assert len(decoded(fetch(f"{done['RecordingUrl']}?RequestedChannels=1", domain))) == 1
    assert rest.recordings(sid).delete()
    assert not (server.home / "storage" / row["file"]).exists()
    with pytest.raises(HTTPError, match="404"):
        fetch(done["RecordingUrl"], domain)


def hits_of(app: Application) -> list[dict[str, str]]:
    return [hit.values for hit in app.hits if hit.path == "/told"]


def fetch(url: str, domain: dict[str, Any]) -> bytes:
    owner = f"{domain['account_sid']}:{domain['auth_token']}".encode()
    request = Request(url, headers={"Authorization": "Basic " + b64encode(owner).decode()})
    with urlopen(request, timeout=60) as response:
        return bytes(response.read())


def test_hang_up_while_paused(server: Server, rest: Client, alice: Baresip) -> None:
    call = call_of(server, alice)
    before = time.time()
    sid = rest.calls(call).recordings.create(recording_track="inbound").sid
    after(server, call, sid, "started", 1.5)
    pausing = time.time()
    rest.calls(call).recordings(sid).update(status="paused", pause_behavior="skip")
    after(server, call, sid, "paused", 1.5)
    alice.close()
    row = final(server, sid)
    assert row["ended_by"] == "hangup"
    after(server, call, sid, "ended", 0.0)
    (_, started), (_, paused), _ = times(server, call, sid)
    [samples] = stored(server, row)
    assert pausing - started - SLACK <= len(samples) / 8000 <= paused - before + SLACK
    assert loudest(part(samples, 0.0, len(samples) / 8000)) == pytest.approx(440, abs=5)
    ended = "SELECT ended_at FROM sipdomains_call WHERE sid = ?"
    wait_for("final call", lambda: server.rows(ended, call)[0]["ended_at"])


def test_two_at_once_go_on_under_a_live_update(
    server: Server, app: Application, rest: Client, alice: Baresip
) -> None:
    app.document("/other", "<Play>/api-700.wav</Play><Pause length='60'/>")
    app.answers["/api-700.wav"] = Answer(tone(700.0, 60), "audio/wav")
    call = call_of(server, alice)
    whole = rest.calls(call).recordings.create(recording_track="outbound").sid
    parts = rest.calls(call).recordings.create(recording_channels="dual").sid
    with pytest.raises(TwilioRestException) as refused:
        rest.calls(call).recordings("Twilio.CURRENT").update(status="paused")
    assert refused.value.code == 16108
    after(server, call, parts, "started", 1.0)
    rest.calls(call).recordings(parts).update(status="paused", pause_behavior="skip")
    rest.calls(call).update(url=f"{app.url}/other")
    wait_for("the other sound", lambda: sounds(server, whole, 700.0))
    after(server, call, parts, "paused", 2.0)
    resuming = time.time()
    rest.calls(call).recordings(parts).update(status="in-progress")
    after(server, call, parts, "resumed", 1.5)
    alice.close()
    row, other = final(server, whole), final(server, parts)
    after(server, call, parts, "ended", 0.0)
    (_, started), (_, paused), _, _ = times(server, call, parts)
    left, right = stored(server, other)
    assert loudest(part(left, 0.0, len(left) / 8000)) == pytest.approx(440, abs=5)
    assert loudest(part(right, 0.0, min(1.0, paused - started))) == pytest.approx(1000, abs=5)
    assert loudest(right[-8000:-1600]) == pytest.approx(700, abs=5)
    [heard] = stored(server, row)
    assert len(heard) - len(right) >= (resuming - paused - SLACK) * 8000
    assert loudest(heard[4000:8000]) == pytest.approx(1000, abs=5)
    assert loudest(heard[-8000:-1600]) == pytest.approx(700, abs=5)
    assert np.abs(heard[-8000:-1600]).max() > SILENCE


def test_node_killed_while_paused_leaves_what_was_before(
    own_server: Server, app: Application, tmp_path: Path
) -> None:
    own_server.start()
    domain = own_server.create_domain(
        DOMAIN, f"{app.url}/voice", "--username", USER, "--password", PASSWORD
    )
    rest = client_of(own_server, domain)
    app.document("/voice", "<Play>/api-1000.wav</Play>")
    app.answers["/api-1000.wav"] = Answer(tone(1000.0, 60), "audio/wav")
    phone = Baresip(own_server, tmp_path / "alice", transport="udp", codec="pcmu")
    with contextlib.closing(phone):
        phone.wait_until("Call established")
        call = call_of(own_server, phone)
        before = time.time()
        sid = rest.calls(call).recordings.create().sid
        after(own_server, call, sid, "started", 1.0)
        pausing = time.time()
        rest.calls(call).recordings(sid).update(status="paused", pause_behavior="skip")
        after(own_server, call, sid, "paused", 1.5)
        (_, started), (_, paused) = times(own_server, call, sid)
        own_server.kill()
    own_server.start()
    row = final(own_server, sid)
    assert row["ended_by"] == "node-lost"
    [samples] = stored(own_server, row)
    assert pausing - started - SLACK <= len(samples) / 8000 <= paused - before + SLACK
    own_server.stop()


def test_a_call_that_rest_creates_is_recorded_from_its_answer(
    server: Server, app: Application, domain: dict[str, Any], rest: Client, tmp_path: Path
) -> None:
    server.manage("createdomain", DOMAIN, "--username", "bob", "--password", PASSWORD, "--register")
    app.document("/outgoing", "<Play>/api-2000.wav</Play>")
    app.answers["/api-2000.wav"] = Answer(tone(2000.0, 3), "audio/wav")
    app.document("/told", "")
    app.document("/ended", "")
    bob = Baresip(
        server, tmp_path / "bob", transport="udp", codec="pcma", user="bob", dial="",
        frequency=700.0, register=True,
    )  # fmt: skip
    with contextlib.closing(bob):
        bob.wait_until("200 OK")
        query = "SELECT 1 FROM sipdomains_registration WHERE username = 'bob'"
        wait_for("bob registered", lambda: server.rows(query))
        call = rest.calls.create(
            to=f"sip:bob@{DOMAIN}", from_=f"sip:100@{DOMAIN}", url=f"{app.url}/outgoing",
            record=True, recording_channels="dual", trim="do-not-trim",
            recording_status_callback=f"{app.url}/told", status_callback=f"{app.url}/ended",
        ).sid  # fmt: skip
        bob.wait_until_over()
    wait_for("end", lambda: "/ended" in app.paths())
    ended = next(hit for hit in app.hits if hit.path == "/ended").values
    assert (ended["CallSid"], ended["CallStatus"]) == (call, "completed")
    [told] = wait_for("recording told", lambda: hits_of(app))
    assert (told["RecordingSource"], told["RecordingStatus"]) == ("OutboundAPI", "completed")
    for name in ("RecordingSid", "RecordingUrl", "RecordingDuration"):
        assert ended[name] == told[name]
    [listed] = rest.calls(call).recordings.list()
    assert (listed.sid, listed.duration) == (told["RecordingSid"], told["RecordingDuration"])
    said, heard = decoded(fetch(told["RecordingUrl"], domain))
    assert len(said) == len(heard)
    assert loudest(sounding(said)) == pytest.approx(700, abs=5)
    assert loudest(sounding(heard)) == pytest.approx(2000, abs=5)
    assert len(sounding(heard)) / 8000 > 2.5  # of three
