"""Tasks on their way to the broker, and from a commit to the application within one process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connections
from pytest_httpserver import HTTPServer

from sipdomains.bus import CONSUMERS, default_bus
from sipdomains.celery import app, start_embedded_worker
from sipdomains.contracts import (
    TASK_DELIVER_CALLBACKS,
    TASK_FOLLOW_UP_TRANSFER,
    CallbackPromised,
    CallOpened,
    TransferChanged,
)
from sipdomains.models import Account, OutboxMessage, Transfer
from sipdomains.services import calls, nodes
from sipserver.adapters import tasks as adapter
from sipserver.adapters.calllog import CallLogWriter
from sipserver.adapters.tasks import TaskPublisher
from tests.webhooks.brokers import eventually
from twimlrunner import tasks

CALL = "CA" + "1" * 32


class Broker:
    def __init__(self) -> None:
        self.sent: list[tuple[str, Any]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.down = False

    def send(self, name: str, arguments: Any) -> None:
        self.gate.wait(30)
        if self.down:
            raise ConnectionError("away")
        self.sent.append((name, tuple(arguments)))


def test_ids_travel_in_batches() -> None:
    broker = Broker()
    publisher = TaskPublisher(broker.send)
    publisher.see_to([str(number) for number in range(450)], [("CA1", 1)])
    publisher.close()
    *batches, last = broker.sent
    assert [(name, len(ids)) for name, (ids,) in batches] == [
        (TASK_DELIVER_CALLBACKS, 200), (TASK_DELIVER_CALLBACKS, 200), (TASK_DELIVER_CALLBACKS, 50),
    ]  # fmt: skip
    assert last == (TASK_FOLLOW_UP_TRANSFER, ("CA1", 1))


def test_a_broker_that_is_away_is_told_of_once_and_blocks_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = Broker()
    broker.down = True
    publisher = TaskPublisher(broker.send)
    for number in range(3):
        publisher.see_to([str(number)], [])
    eventually(lambda: publisher.lost == 3, "losing")
    broker.down = False
    publisher.see_to(["later"], [])
    publisher.close()
    assert broker.sent == [(TASK_DELIVER_CALLBACKS, (["later"],))]
    assert caplog.text.count("wait for the sweep") == 1


def test_a_broker_that_hangs_blocks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "MAX_WAITING", 5)
    broker = Broker()
    broker.gate.clear()
    publisher = TaskPublisher(broker.send)
    for number in range(50):
        publisher.see_to([str(number)], [])
    assert publisher.lost >= 40
    broker.gate.set()
    publisher.close()


# --- from the commit to the application -----------------------------------------------------------


@pytest.fixture
def worker() -> Iterator[None]:
    running = start_embedded_worker(concurrency=2)
    yield
    assert running.stop(60)
    tasks.close_fetch_worker()


def test_a_worker_is_heard_of_while_it_runs() -> None:
    running = start_embedded_worker(concurrency=1)
    assert len(default_bus().members(CONSUMERS)) == 1
    assert running.stop(60)
    assert not default_bus().members(CONSUMERS)


def promise(url: str, account: str, position: int) -> CallbackPromised:
    return CallbackPromised(
        f"m-{position}", CALL, position, "status-callback", CALL, account, 1_700_000_000.0, "POST",
        url, [("SequenceNumber", str(position))],
    )  # fmt: skip


def delivered() -> int:
    return OutboxMessage.objects.filter(state="delivered").count()


async def off_loop(function, *arguments):
    def run():
        try:
            return function(*arguments)
        finally:
            connections.close_all()

    return await asyncio.to_thread(run)


@pytest.mark.django_db(transaction=True)
async def test_what_the_log_commits_is_delivered(worker: None, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/status").respond_with_data("", status=204)
    account = await off_loop(lambda: Account.objects.create(friendly_name="A").sid)
    publisher = TaskPublisher(app.send_task)
    log = CallLogWriter(
        asyncio.get_running_loop(), lambda owed: publisher.see_to(owed.callbacks, owed.transfers)
    )
    log.start()
    await log.open(
        CallOpened(
            call_sid=CALL, account_sid=account, domain_sid="", domain_name="", node="n", at=1.0,
            direction="inbound", from_="a", to="b", status="ringing", sip={},
        )
    )  # fmt: skip
    for position in range(3):
        log.append(promise(httpserver.url_for("/status"), account, position))
    log.append(TransferChanged(CALL, 1, 2.0, "sent", "sip:x@y", 405, 0, "refused"))
    await log.stop(60)
    await off_loop(eventually, lambda: delivered() == 3, "delivery")
    settled = Transfer.objects.exclude(settled_at=None)
    await off_loop(eventually, settled.exists, "the follow-up")
    await asyncio.to_thread(publisher.close)
    told = [request.form["SequenceNumber"] for request, _ in httpserver.log]
    assert told == ["0", "1", "2"]


@pytest.mark.django_db(transaction=True)
def test_a_sweep_delivers_what_the_broker_lost(worker: None, httpserver: HTTPServer) -> None:
    """Promised while the broker was away, or before a restart: the row is all there is."""
    httpserver.expect_request("/status").respond_with_data("", status=204)
    account = Account.objects.create(friendly_name="A").sid
    calls.apply([promise(httpserver.url_for("/status"), account, n) for n in range(3)])
    app.send_task("sipdomains.reap_dead_nodes")
    eventually(lambda: delivered() == 3, "delivery")
    assert nodes.sweep().callbacks == []
    tokens = [one.headers["I-Twilio-Idempotency-Token"] for one, _ in httpserver.log]
    assert tokens == ["m-0", "m-1", "m-2"]
