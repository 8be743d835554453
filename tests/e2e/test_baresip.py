"""baresip as the caller: an ordinary phone hears what the application said."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import numpy as np
import pytest

from tests.e2e.baresip import Baresip
from tests.e2e.server import Answer, Application, Server, call_id_of
from tests.e2e.sound import SILENCE, is_speech, loudest, read_wav, tone

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("domain")]


@pytest.mark.parametrize(
    ("transport", "codec"), [("udp", "pcmu"), ("udp", "pcma"), ("tcp", "pcmu"), ("tcp", "pcma")]
)
def test_a_phone_hears_play_and_say(
    server: Server, app: Application, tmp_path: Path, transport: str, codec: str
) -> None:
    app.document("/voice", "<Play>/tone-800.wav</Play><Say>Hello, dear phone.</Say>")
    app.answers["/tone-800.wav"] = Answer(tone(800.0), "audio/wav")
    with contextlib.closing(Baresip(server, tmp_path, transport=transport, codec=codec)) as phone:
        phone.wait_until_over()
    assert "407 Proxy Authentication Required" in phone.output
    assert "180 Ringing" in phone.output

    rate, samples = read_wav(phone.heard())
    start = int(np.flatnonzero(np.abs(samples) > SILENCE)[0])
    end = start + rate  # of the tone
    assert loudest(samples[start + rate // 10 : end - rate // 10], rate) == pytest.approx(
        800, abs=10
    )
    assert is_speech(samples[end + rate // 20 :], rate)

    row = server.call(call_id_of(phone.output))
    assert (row["status"], row["cause"], row["sip_status"]) == ("completed", "document-ended", 200)
    assert row["transport"] == transport
    assert row["user_agent"].startswith("baresip")
    assert server.notifications(row["sid"]) == []
    media = json.loads(row["media"])
    assert media["packets_received"] > 60
    assert media["packets_sent"] > 60
    assert media["lost"] == 0
    assert media["jitter_ms"] >= 0  # how regularly a busy machine sends is not our matter
    connected = [
        event["data"] for event in server.events(row["sid"])
        if event["kind"] == "media" and event["data"]["what"] == "connected"
    ]  # fmt: skip
    assert [event["codec"].lower() for event in connected] == [codec]
