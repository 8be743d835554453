"""Node and webhook worker as processes of their own, joined by Redis, as in production."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest

from tests.e2e.server import ROOT, START_SECONDS, Application, Server, wait_for
from tests.e2e.sipp import OPEN_DOMAIN, Callee, RtpReceiver, Sipp, run
from tests.e2e.sound import is_speech, sounding
from tests.webhooks.brokers import PrivateRedis, private_redis

pytestmark = pytest.mark.e2e

TOTAL_SECONDS = 5.0
BROKER_DOWN = 59901


class Stack:
    """Redis, a node and a Celery worker."""

    def __init__(
        self, folder: Path, redis: PrivateRedis, voice_url: str, **environment: str
    ) -> None:
        self.redis = redis
        self.server = Server(
            folder, embedded=False, CELERY_BROKER_URL=redis.url, BUS_URL=redis.url, **environment
        )
        self.server.create_domain(OPEN_DOMAIN, voice_url, "--allow", "127.0.0.0/8")
        self._log = folder / "celery.log"

    def start(self) -> None:
        self.start_worker()
        self.server.start()

    def start_worker(self) -> None:
        with self._log.open("ab") as log:
            start = log.tell()
            self.worker = subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", "sipdomains.celery", "worker",
                 "-P", "threads", "-c", "4", "-Q", "twiml,callbacks,housekeeping", "-l", "INFO"],
                cwd=ROOT, env=self.server.environment, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        wait_for(
            "Celery worker", lambda: b" ready." in self._log.read_bytes()[start:], START_SECONDS
        )

    def close(self) -> None:
        self.worker.terminate()
        self.worker.wait(30)
        if self.server.process is not None:
            self.server.stop_in_order()


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory, web_application: Application
) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    with private_redis(folder) as redis:
        running = Stack(
            folder / "home", redis, f"{web_application.url}/voice",
            WEBHOOK_TOTAL_TIMEOUT=f"{TOTAL_SECONDS}s",
        )  # fmt: skip
        try:
            running.start()
            yield running
        finally:
            running.close()


def test_a_call_works(stack: Stack, app: Application, tmp_path: Path) -> None:
    app.document("/voice", "<Redirect>/say</Redirect>")
    app.document("/say", "<Say>Hello over Redis.</Say>")
    with RtpReceiver() as receiver:
        result = run(stack.server, tmp_path, "plain", rtp_port=receiver.port)
    assert is_speech(sounding(receiver.samples()))
    row = stack.server.call(result.call_id)
    assert (row["status"], row["cause"], row["sip_status"]) == ("completed", "document-ended", 200)
    assert [hit["status"] for hit in stack.server.webhooks(row["sid"])] == [200, 200]


def test_worker_killed_in_mid_fetch(stack: Stack, app: Application, tmp_path: Path) -> None:
    app.document("/voice", "<Say>never heard</Say>", gate=Event())
    began = time.monotonic()
    call = Sipp(stack.server, tmp_path, "plain", seconds=30)
    wait_for("fetch under way", lambda: app.hits)
    stack.worker.kill()
    stack.worker.wait()
    result = call.result()
    assert result.code == 0, result.errors
    assert time.monotonic() - began < TOTAL_SECONDS + 20  # with the apology
    row = stack.server.call(result.call_id)
    assert (row["status"], row["cause"]) == ("completed", "application-error")
    assert "no worker answered" in row["reason"]
    assert stack.server.notifications(row["sid"]) == [11200]
    stack.start_worker()
    app.open_gates()
    app.document("/voice", "<Hangup/>")
    after = run(stack.server, tmp_path, "plain")
    assert stack.server.call(after.call_id)["cause"] == "hangup-verb"


def test_broker_killed_and_back(stack: Stack, app: Application, tmp_path: Path) -> None:
    server = stack.server
    app.document("/voice", "<Hangup/>")
    stack.redis.stop()
    result = run(server, tmp_path, "plain", seconds=30)
    row = server.call(result.call_id)
    assert (row["status"], row["cause"]) == ("completed", "application-error")
    assert server.notifications(row["sid"]) == [BROKER_DOWN]
    assert "broker" in row["reason"]
    assert app.hits == []
    stack.redis.start()

    def works_again() -> bool:
        after = run(server, tmp_path, "plain", seconds=30)
        return bool(server.call(after.call_id)["cause"] == "hangup-verb")

    wait_for("calls after the broker is back", works_again, 30)


def test_a_promised_callback_outlives_the_broker(
    stack: Stack, app: Application, tmp_path: Path
) -> None:
    server = stack.server
    app.document("/told", "")
    with contextlib.closing(Callee(tmp_path, "callee_answers")) as callee:
        app.document(
            "/voice", f'<Dial timeLimit="3"><Sip statusCallback="/told">{callee.uri}</Sip></Dial>'
        )
        call = Sipp(server, tmp_path, "plain", seconds=30)
        bridged = "SELECT 1 FROM sipdomains_callevent WHERE kind = 'bridged'"
        wait_for("bridge", lambda: server.rows(bridged))
        stack.redis.stop()
        result = call.result()
        callee.messages()
    assert result.code == 0, result.errors
    promised = "SELECT id FROM sipdomains_outboxmessage WHERE state = 'pending'"
    [message] = wait_for("promise", lambda: server.rows(promised))
    assert "/told" not in app.paths()
    stack.redis.start()
    hit = wait_for("callback", lambda: [h for h in app.hits if h.path == "/told"], 60)[0]
    assert hit.values["CallStatus"] == "completed"
    assert hit.headers["I-Twilio-Idempotency-Token"] == message["id"]
    settled = "SELECT 1 FROM sipdomains_outboxmessage WHERE state = 'delivered'"
    wait_for("settled", lambda: server.rows(settled))
