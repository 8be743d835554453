"""Processes that die, and an orderly stop, each with a call up."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.server import Answer, Application, Server, wait_for
from tests.e2e.sipp import OPEN_DOMAIN, RtpReceiver, Sipp, run
from tests.e2e.sound import is_speech, loudest, sounding, tone

pytestmark = pytest.mark.e2e

MEDIA, PROMPTS = "sipserver.media.worker", "twimlrunner.speech.worker"
SENTENCE = "This sentence is long enough to be spoken while something bad happens to the server. "


@pytest.fixture(scope="module")
def robust_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose children these tests kill. It must survive, and stop in order."""
    running = Server(tmp_path_factory.mktemp("robust"))
    running.start()
    yield running
    running.stop_in_order()


def domain(server: Server, app: Application) -> None:
    server.create_domain(OPEN_DOMAIN, f"{app.url}/voice", "--allow", "127.0.0.0/8")


def in_progress(server: Server, call: Sipp) -> None:
    query = "SELECT 1 FROM sipdomains_call WHERE sip_call_id = ? AND status = 'in-progress'"
    wait_for("answered call", lambda: server.rows(query, f"{call.name}-1"))


def started(server: Server) -> int:
    """How many media workers have come up. (There are processes that are not so far yet.)"""
    return len(re.findall(r"media worker \d+ started", server.output.read_text()))


def gone(*pids: int) -> bool:
    """Ended; who is no more than an entry for its parent has done so."""
    for pid in pids:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state not in "ZX":
            return False
    return True


def test_node_killed(own_server: Server, app: Application, tmp_path: Path) -> None:
    server = own_server
    server.start()
    domain(server, app)
    app.document("/voice", f"<Say loop='0'>{SENTENCE}</Say>")
    with contextlib.closing(Sipp(server, tmp_path, "plain")) as call:
        in_progress(server, call)
        children = [*server.children(MEDIA), *server.children(PROMPTS)]
        assert len(children) == 2
        server.kill()
        wait_for("end of the workers", lambda: gone(*children))
    server.start()  # the same addresses: they are free
    row = server.call(f"{call.name}-1")
    assert (row["status"], row["cause"]) == ("completed", "node-lost")  # it was answered
    assert row["reason"]
    assert len(server.notifications(row["sid"])) == 1
    app.document("/voice", "<Say>Back again.</Say>")
    result = run(server, tmp_path, "plain")
    assert server.call(result.call_id)["cause"] == "document-ended"
    server.stop_in_order()


def test_media_worker_killed(robust_server: Server, app: Application, tmp_path: Path) -> None:
    server = robust_server
    domain(server, app)
    app.document("/voice", f"<Say loop='0'>{SENTENCE}</Say>")
    call = Sipp(server, tmp_path, "plain")
    in_progress(server, call)
    [worker] = server.children(MEDIA)
    before = started(server)
    os.kill(worker, signal.SIGKILL)
    result = call.result()  # the scenario ends with our BYE
    assert result.code == 0, result.errors
    row = server.call(result.call_id)
    assert (row["status"], row["cause"], row["sip_status"]) == ("failed", "media-lost", 200)
    assert server.notifications(row["sid"]) == [59914]
    wait_for("new media worker", lambda: started(server) > before)
    assert server.children(MEDIA) != [worker]
    app.document("/voice", "<Say>The next call.</Say>")
    with RtpReceiver() as receiver:
        after = run(server, tmp_path, "plain", rtp_port=receiver.port)
    assert is_speech(sounding(receiver.samples()))
    assert server.call(after.call_id)["cause"] == "document-ended"


def test_prompt_worker_killed(robust_server: Server, app: Application, tmp_path: Path) -> None:
    server = robust_server
    domain(server, app)
    app.document("/voice", f"<Say>{SENTENCE} And so it goes on.</Say><Play>/tone-900.wav</Play>")
    app.answers["/tone-900.wav"] = Answer(tone(900.0), "audio/wav")
    with RtpReceiver() as receiver:
        call = Sipp(server, tmp_path, "plain", rtp_port=receiver.port)
        in_progress(server, call)
        [worker] = server.children(PROMPTS)
        os.kill(worker, signal.SIGKILL)
        result = call.result()
    assert result.code == 0, result.errors
    heard = sounding(receiver.samples())
    assert is_speech(heard[:8000])
    assert loudest(heard[-6000:-1000]) == pytest.approx(900, abs=10)
    row = server.call(result.call_id)
    assert (row["status"], row["cause"], row["sip_status"]) == ("completed", "document-ended", 200)
    assert wait_for("new prompt worker", lambda: server.children(PROMPTS)) != [worker]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_orderly_stop(
    own_server: Server, app: Application, tmp_path: Path, number: signal.Signals
) -> None:
    server = own_server
    server.start()
    domain(server, app)
    app.document("/voice", f"<Say loop='0'>{SENTENCE}</Say>")
    call = Sipp(server, tmp_path, "plain")
    in_progress(server, call)
    assert server.process is not None
    children = [*server.children(MEDIA), *server.children(PROMPTS)]
    server.process.send_signal(number)
    result = call.result()  # the scenario ends with our BYE
    assert result.code == 0, result.errors
    assert server.process.wait(60) == 0
    assert "Traceback" not in server.output.read_text()
    assert gone(*children)
    assert not (server.home / "sipdomains.sqlite3-wal").exists()  # the last connection was closed
    row = server.call(result.call_id)
    assert (row["status"], row["cause"], row["sip_status"]) == ("completed", "node-stopped", 200)
    assert server.notifications(row["sid"]) == [59910]
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", server.sip_port))
