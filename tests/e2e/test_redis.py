"""Node, pages and Celery worker as processes of their own, joined by Redis, as in production."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest

from tests.e2e.desk import OPERATOR, Desk, signed_in
from tests.e2e.server import ROOT, START_SECONDS, Application, Server, wait_for
from tests.e2e.sipp import OPEN_DOMAIN, Callee, RtpReceiver, Sipp, run
from tests.e2e.sound import is_speech, sounding
from tests.webhooks.brokers import PrivateRedis, private_redis

pytestmark = pytest.mark.e2e

TOTAL_SECONDS = 5.0
BROKER_DOWN = 59901
TEST_CALL = {"number": "100", "seconds": "30", "username": "", "password": "", "digits": ""}


class Stack:
    """Redis, a node and a Celery worker."""

    def __init__(
        self, folder: Path, redis: PrivateRedis, voice_url: str, **environment: str
    ) -> None:
        self.redis = redis
        self.server = Server(
            folder, embedded=False, CELERY_BROKER_URL=redis.url, BUS_URL=redis.url, **environment
        )
        self.domain = self.server.create_domain(OPEN_DOMAIN, voice_url, "--allow", "127.0.0.0/8")
        self._log = folder / "celery.log"
        self._started: list[subprocess.Popen[bytes]] = []

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
            self._started.append(self.worker)
        wait_for(
            "Celery worker", lambda: b" ready." in self._log.read_bytes()[start:], START_SECONDS
        )

    def start_pages(self, output: Path) -> None:
        with output.open("wb") as log:
            pages = subprocess.Popen(
                [sys.executable, "-m", "uvicorn", "sipdomains.asgi:application", "--lifespan",
                 "off", "--host", "127.0.0.1", "--port", str(self.server.web_port)],
                cwd=ROOT, env=self.server.environment, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
            self._started.append(pages)
        wait_for("pages", self._pages_listen, START_SECONDS)

    def _pages_listen(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.server.web_port)) == 0

    def close(self) -> None:
        for process in self._started:
            process.terminate()
            process.wait(30)
        if self.server.process is not None:
            self.server.stop_in_order()


class Pages:
    """An operator at the pages, which run in a process of their own."""

    def __init__(self, stack: Stack, output: Path) -> None:
        self.output = output
        self.domain = str(stack.domain["domain_sid"])
        stack.start_pages(output)
        self.desk = signed_in(stack.server)

    def order_test_call(self) -> str:
        """The path of its page."""
        return self.desk.post(f"/domains/{self.domain}/test/", TEST_CALL).url.path

    def order_bench_run(self, url: str) -> str:
        form = {
            "owner": self.domain, "source": "url", "url": url, "method": "POST",
            "caller": "alice", "called": "100", "username": "",
        }  # fmt: skip
        return self.desk.post("/bench/", form).url.path


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


@pytest.fixture(scope="module")
def pages(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    made = Pages(stack, tmp_path_factory.mktemp("pages") / "web.log")
    yield made
    made.desk.close()


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
    call = Sipp(stack.server, tmp_path, "plain")
    wait_for("fetch under way", lambda: app.hits)
    stack.worker.kill()
    stack.worker.wait()
    result = call.result()
    assert result.code == 0, result.errors
    assert time.monotonic() - began < TOTAL_SECONDS + 40  # with the apology
    row = stack.server.call(result.call_id)
    assert (row["status"], row["cause"]) == ("completed", "application-error")
    assert "no worker answered" in row["reason"]
    assert stack.server.notifications(row["sid"]) == [11200]
    stack.start_worker()
    app.open_gates()
    app.document("/voice", "<Hangup/>")
    after = run(stack.server, tmp_path, "plain")
    assert stack.server.call(after.call_id)["cause"] == "hangup-verb"


def test_what_pages_ask_for_is_done_by_the_worker(pages: Pages, app: Application) -> None:
    app.document("/voice", "<Gather numDigits='1' timeout='1'/>")
    app.document("/bench", "<Gather numDigits='1' action='/typed'><Say>Which?</Say></Gather>")
    app.document("/typed", "<Say>Thank you</Say>")
    call, run_ = pages.order_test_call(), pages.order_bench_run(f"{app.url}/bench")
    assert "Which?" in pages.desk.over(run_)
    pages.desk.post(run_, {"do": "keys", "keys": "2", "step": "0"})
    assert "Thank you" in pages.desk.over(run_)
    shown = pages.desk.over(call)
    for words in ("Answered", "The server hung up.", "INVITE", "200 OK", "BYE", "Open the call"):
        assert words in shown


def test_worker_killed_in_mid_test_call_and_bench_run(
    stack: Stack, pages: Pages, app: Application
) -> None:
    app.document("/voice", "<Gather numDigits='1' timeout='40'/>")
    app.document("/bench", "<Say>never told</Say>", gate=Event())
    call, run_ = pages.order_test_call(), pages.order_bench_run(f"{app.url}/bench")
    wait_for("answer", lambda: "200 OK" in pages.desk.get(call))
    wait_for("request of the bench", lambda: "/bench" in app.paths())
    stack.worker.kill()
    stack.worker.wait()
    lost = "The worker has stopped in the middle of it"
    shown = pages.desk.over(run_)
    assert lost in shown
    assert "Run another" in shown
    # What the server makes of the call is still open; what became of the caller is not.
    shown = wait_for("the end", lambda: lost in (page := pages.desk.get(call)) and page, 60)
    assert "Lost" in shown
    assert "200 OK" in shown
    stack.start_worker()
    app.open_gates()
    app.document("/voice", "<Hangup/>")
    app.document("/bench", "<Say>told</Say>")
    call, run_ = pages.order_test_call(), pages.order_bench_run(f"{app.url}/bench")
    assert "told" in pages.desk.over(run_)
    assert "The server hung up." in pages.desk.over(call)


def test_broker_killed_and_back(
    stack: Stack, pages: Pages, app: Application, tmp_path: Path
) -> None:
    server = stack.server
    app.document("/voice", "<Hangup/>")
    stack.redis.stop()
    result = run(server, tmp_path, "plain")
    row = server.call(result.call_id)
    assert (row["status"], row["cause"]) == ("completed", "application-error")
    assert server.notifications(row["sid"]) == [BROKER_DOWN]
    assert "broker" in row["reason"]
    assert app.hits == []
    _pages_say_that_redis_is_away(pages)
    stack.redis.start()

    def works_again() -> bool:
        after = run(server, tmp_path, "plain")
        return bool(server.call(after.call_id)["cause"] == "hangup-verb")

    wait_for("calls after the broker is back", works_again, 120)
    assert "The server hung up." in pages.desk.over(pages.order_test_call())


def _pages_say_that_redis_is_away(pages: Pages) -> None:
    desk, domain = pages.desk, f"/domains/{pages.domain}/"
    away = "Redis cannot be reached"
    told = desk.post(f"{domain}test/", TEST_CALL)
    assert told.url.path == domain
    assert away in told.text
    told = desk.post("/bench/", {"owner": pages.domain, "source": "paste",
                                 "document": "<Response/>", "method": "POST", "caller": "a",
                                 "called": "b"})  # fmt: skip
    assert (told.status_code, away in told.text) == (503, True)
    for path in ("/", "/calls/", "/live/", domain):  # they need no worker
        desk.get(path)
    wrong = {"username": OPERATOR, "password": "Wrong9Password"}
    with contextlib.closing(Desk(str(desk.http.base_url))) as stranger:
        stranger.get("/login/")
        assert stranger.post("/login/", wrong).status_code == 200
    assert "Traceback" not in pages.output.read_text()


def test_a_promised_callback_outlives_the_broker(
    stack: Stack, app: Application, tmp_path: Path
) -> None:
    server = stack.server
    app.document("/told", "")
    with contextlib.closing(Callee(tmp_path, "callee_answers")) as callee:
        app.document("/voice", f'<Dial><Sip statusCallback="/told">{callee.uri}</Sip></Dial>')
        call = Sipp(server, tmp_path, "hangup")
        server.happened(call.call_ids(1)[0], "bridged")
        stack.redis.stop()
        call.go_on()
        call.followed()
        callee.messages()
    promised = "SELECT id FROM sipdomains_outboxmessage WHERE state = 'pending'"
    [message] = wait_for("promise", lambda: server.rows(promised))
    assert "/told" not in app.paths()
    stack.redis.start()
    hit = wait_for("callback", lambda: [h for h in app.hits if h.path == "/told"], 120)[0]
    assert hit.values["CallStatus"] == "completed"
    assert hit.headers["I-Twilio-Idempotency-Token"] == message["id"]
    settled = "SELECT 1 FROM sipdomains_outboxmessage WHERE state = 'delivered'"
    wait_for("settled", lambda: server.rows(settled))
