"""Node -> Celery -> HTTP -> reply, once over Redis with real processes, once within one process."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
from twilio.request_validator import RequestValidator
from werkzeug import Response

from sipdomains.bus import default_bus
from sipdomains.celery import publish_fetches, start_embedded_worker
from sipserver.adapters.nodebus import NodeBus
from sipserver.adapters.webhook_gateway import CeleryWebhookGateway
from tests.webhooks.brokers import eventually, private_redis
from twimlrunner import tasks

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parent.parent.parent
PREPARE = """
import django; django.setup()
from django.core.management import call_command
from sipdomains.models import Account
call_command("migrate", verbosity=0)
account = Account.objects.create(friendly_name="chain")
print(account.sid, account.auth_token)
"""


class Stack:
    """A broker, a database, and workers and nodes as processes."""

    def __init__(self, folder, redis):
        self.redis = redis
        self.database = folder / "db.sqlite3"
        self.environment = {
            **os.environ,
            "SIPDOMAINS_ENV_FILE": os.devnull,
            "SIPDOMAINS_HOME": str(folder),
            "DATABASE_URL": f"sqlite:///{self.database}",
            "CELERY_BROKER_URL": redis.url,
            "BUS_URL": redis.url,
            "DJANGO_SETTINGS_MODULE": "sipdomains.settings",
            "PYTHONPATH": str(ROOT),
        }
        prepared = subprocess.run(
            [sys.executable, "-c", PREPARE],
            env=self.environment,
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        )
        self.account_sid, self.auth_token = prepared.stdout.split()

    @contextlib.contextmanager
    def worker(self):
        options = ["-P", "threads", "-c", "2", "-Q", "twiml", "-l", "INFO"]
        process = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "sipdomains.celery", "worker", *options],
            env=self.environment,
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        lines = []
        for line in process.stderr:
            lines.append(line)
            if "ready" in line:
                break
        else:
            raise AssertionError("the worker did not start:\n" + "".join(lines))
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)

    @contextlib.contextmanager
    def node(self, seconds=15.0):
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.fetch_node", self.account_sid, str(seconds)],
            env=self.environment,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        node = Node(process)
        assert node.read() == {"ready": True}
        try:
            yield node
        finally:
            process.stdin.close()
            process.wait(60)
            process.stdout.close()

    def attempts(self):
        with contextlib.closing(sqlite3.connect(self.database)) as database:
            return database.execute("select * from sipdomains_webhookrequest").fetchall()


class Node:
    def __init__(self, process):
        self.process = process

    def send(self, **order):
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()

    def read(self):
        return json.loads(self.process.stdout.readline())


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chain")
    with private_redis(folder) as redis:
        yield Stack(folder, redis)


@pytest.fixture
def silent_server():
    """Accepts connections and never answers; yields (port, accept)."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)

        def accept():
            connection, _ = server.accept()
            connection.settimeout(60)
            connection.recv(10_000)
            return connection

        yield server.getsockname()[1], accept


def test_documents_over_redis(stack, httpserver):
    requests = []

    def voice(request):
        requests.append((request.url, request.get_data(as_text=True), dict(request.headers)))
        return Response("<Response/>", content_type="text/xml")

    httpserver.expect_request("/voice").respond_with_handler(voice)
    httpserver.expect_request("/broken").respond_with_data("oops", status=500)
    url = httpserver.url_for("/voice?tenant=7")
    with stack.worker(), stack.node() as node:
        for number in range(20):
            parameters = [["Number", str(number)], ["SipHeader_X-Tag", "b"], ["Ünï", "ü"]]
            node.send(id=number, url=url, parameters=parameters)
        replies = [node.read() for _ in range(20)]
        node.send(id="broken", url=httpserver.url_for("/broken"))
        broken = node.read()
        node.send(id="nobody", url=url, account="AC" + "0" * 32)
        nobody = node.read()
    assert {reply["id"] for reply in replies} == set(range(20))
    assert {(reply["code"], reply["body"]) for reply in replies} == {(0, "<Response/>")}
    assert broken["code"] == 11200
    assert nobody["code"] == 12400
    validator = RequestValidator(stack.auth_token)
    for sent, form, headers in requests:
        pairs = dict(parse_qsl(form, keep_blank_values=True))
        assert validator.validate(sent, pairs, headers["X-Twilio-Signature"])
    assert len({headers["I-Twilio-Idempotency-Token"] for _, _, headers in requests}) == 20
    # The warm shutdown of the worker has written every row.
    assert len(stack.attempts()) == 21


def test_a_hang_up_closes_the_connection_to_the_application(stack, silent_server):
    port, accept = silent_server
    with stack.worker(), stack.node() as node:
        node.send(id=1, url=f"http://127.0.0.1:{port}/")
        with accept() as connection:
            node.send(cancel=1)
            assert read_to_end(connection) == b""


def test_a_worker_that_is_killed_leaves_an_answer_at_the_deadline(stack, silent_server):
    port, accept = silent_server
    with stack.worker() as worker, stack.node(seconds=5.0) as node:
        node.send(id=1, url=f"http://127.0.0.1:{port}/")
        with accept():
            worker.kill()
            reply = node.read()
    assert reply["code"] == 11200
    assert "no worker answered" in reply["message"]


def test_a_broker_that_is_down_is_told_at_once_and_healed(stack, httpserver, tmp_path):
    httpserver.expect_request("/voice").respond_with_data("<Response/>", content_type="text/xml")
    url = httpserver.url_for("/voice")
    with stack.worker(), stack.node() as node:
        node.send(id=1, url=url)
        assert node.read()["code"] == 0
        stack.redis.stop()
        try:
            node.send(id=2, url=url)
            assert node.read()["code"] == 59901
        finally:
            stack.redis.start()

        answers = []

        def fetched():
            node.send(id=3, url=url)
            answers.append(node.read()["code"])
            return answers[-1] == 0

        eventually(fetched, "recovery", 120)


def read_to_end(connection):
    try:
        return connection.recv(1)
    except ConnectionResetError:
        return b""


# --- one process -------------------------------------------------------------------------------


@pytest.fixture
def embedded(monkeypatch):
    written = []
    monkeypatch.setattr(tasks.accounts, "auth_token", lambda account_sid: "token")
    monkeypatch.setattr(tasks.calls, "apply", written.extend)
    worker = start_embedded_worker(concurrency=2)
    yield written
    assert worker.stop(60)
    tasks.close_fetch_worker()


async def test_documents_within_one_process(embedded, httpserver):
    httpserver.expect_request("/voice").respond_with_data("<Response/>", content_type="text/xml")
    bus = default_bus()
    gateway = CeleryWebhookGateway("embedded", bus, publish_fetches)
    nodebus = NodeBus(
        bus, "embedded", on_reply=gateway.receive, on_directory_changed=lambda domain: None
    )
    await nodebus.start()
    replies = await asyncio.gather(
        *(
            gateway.fetch(
                call_sid="CA1",
                account_sid="AC1",
                url=httpserver.url_for("/voice"),
                method="POST",
                parameters=[("A", "1")],
                session={},
                verify_tls=True,
            )
            for _ in range(10)
        )
    )
    assert [(reply.error_code, reply.body) for reply in replies] == [(0, "<Response/>")] * 10
    await asyncio.to_thread(eventually, lambda: len(embedded) == 10, "rows")
    await nodebus.stop()
    await asyncio.to_thread(gateway.close)


def test_an_embedded_worker_can_be_started_again(embedded):
    del embedded
