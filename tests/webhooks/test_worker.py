"""The fetch loop of a worker process, without Celery and Redis."""

import asyncio
import threading
import time

import pytest

from sipdomains.bus import WORKERS, BusUnavailable, InProcessBus
from sipdomains.contracts import CancelFetch, FetchDocument, from_wire, to_wire
from tests.webhooks.brokers import eventually
from tests.webhooks.peers import TOKEN, Application, answer, listening
from twimlrunner.webhooks.batching import BatchWriter
from twimlrunner.webhooks.callbacks import CallbackMessage
from twimlrunner.webhooks.config import WebhookConfig
from twimlrunner.webhooks.egress import EgressPolicy
from twimlrunner.webhooks.worker import FetchWorker


class Node:
    def __init__(self, bus, address="n1"):
        self.replies = {}
        self.arrived = asyncio.Event()
        self.loop = asyncio.get_running_loop()
        bus.subscribe(address, self.deliver)

    def deliver(self, messages):
        for wire in messages:
            reply = from_wire(wire)
            self.replies[reply.request_id] = reply
        self.loop.call_soon_threadsafe(self.arrived.set)

    async def wait(self, count):
        async with asyncio.timeout(30):
            while len(self.replies) < count:
                await self.arrived.wait()
                self.arrived.clear()
        return self.replies


class Hanging:
    """An application that answers when told to."""

    def __init__(self):
        self.inside = 0
        self.release = asyncio.Event()

    async def __call__(self, reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        self.inside += 1
        await self.release.wait()
        writer.write(answer())
        await writer.drain()
        await reader.read(1)

    async def busy_with(self, count):
        async with asyncio.timeout(30):
            while self.inside < count:
                await asyncio.sleep(0.001)


def document(request_id, port, seconds=60.0):
    return (
        FetchDocument(
            request_id,
            "n1",
            "CA1",
            "AC1",
            f"http://127.0.0.1:{port}/",
            "GET",
            [],
            time.time() + seconds,
        ),
        TOKEN,
    )


@pytest.fixture
def start():
    workers = []

    def start(bus, write=lambda attempts: None, **limits):
        worker = FetchWorker(WebhookConfig(**limits), bus, write)
        workers.append(worker)
        return worker

    yield start
    for worker in workers:
        worker.close(0.1)


async def close(worker, timeout=60.0):
    await asyncio.to_thread(worker.close, timeout)


async def test_replies_and_attempts(start):
    bus, attempts = InProcessBus(), []
    node = Node(bus)
    worker = FetchWorker(WebhookConfig(), bus, attempts.extend)
    async with listening(Application(answer())) as port:
        worker.submit([document(f"r{n}", port) for n in range(50)])
        replies = await node.wait(50)
        await close(worker)
    assert {reply.error_code for reply in replies.values()} == {0}
    assert sorted(attempt.request_id for attempt in attempts) == sorted(replies)


async def test_a_slow_neighbour_delays_nobody(start):
    bus = InProcessBus()
    node = Node(bus)
    slow = Hanging()
    worker = start(bus)
    async with listening(slow) as slow_port, listening(Application(answer())) as port:
        worker.submit([document("slow", slow_port), document("fast", port)])
        assert set(await node.wait(1)) == {"fast"}
        slow.release.set()
        await node.wait(2)


async def test_cancelling_and_cancelling_ahead(start):
    bus = InProcessBus()
    node = Node(bus)
    app = Hanging()
    worker = start(bus)
    async with listening(app) as port:
        bus.publish_all(to_wire(CancelFetch("ahead")), WORKERS)
        worker.submit([document("ahead", port), document("running", port), document("kept", port)])
        await app.busy_with(2)
        bus.publish_all(to_wire(CancelFetch("running")), WORKERS)
        await asyncio.to_thread(
            eventually, lambda: worker.counters["cancelled"] == 2, "cancellation"
        )
        app.release.set()
        assert set(await node.wait(1)) == {"kept"}
    assert app.inside == 2


async def test_in_flight_is_bounded_and_late_documents_are_dropped(start):
    bus = InProcessBus()
    node = Node(bus)
    app = Hanging()
    worker = start(bus, max_in_flight=2)
    async with listening(app) as port:
        batch = [document(name, port) for name in "abc"]
        batch.insert(2, document("late", port, seconds=0.05))
        waiting = asyncio.create_task(asyncio.to_thread(worker.submit, batch))
        await app.busy_with(2)
        await asyncio.to_thread(eventually, lambda: worker.counters["expired"] == 1, "expiry")
        assert app.inside == 2
        assert not waiting.done()
        app.release.set()
        await waiting
        assert set(await node.wait(3)) == {"a", "b", "c"}


async def test_one_host_cannot_take_all_room(start):
    bus = InProcessBus()
    node = Node(bus)
    app = Hanging()
    worker = start(bus, max_in_flight_per_host=1)
    async with listening(app) as port:
        worker.submit([document("first", port), document("second", port)])
        assert (await node.wait(1))["second"].error_code == 59903
        app.release.set()
        assert (await node.wait(2))["first"].error_code == 0


async def test_closing_lets_fetches_end(start):
    bus, attempts = InProcessBus(), []
    node = Node(bus)
    app = Hanging()
    worker = FetchWorker(WebhookConfig(), bus, attempts.extend)
    async with listening(app) as port:
        worker.submit([document("a", port)])
        await app.busy_with(1)
        closing = asyncio.create_task(close(worker))
        await asyncio.sleep(0)
        app.release.set()
        await closing
        assert (await node.wait(1))["a"].error_code == 0
    assert len(attempts) == 1


async def test_replies_survive_a_short_outage_of_the_broker(start):
    class Flaky(InProcessBus):
        failures = 2

        def publish(self, address, messages):
            if self.failures:
                self.failures -= 1
                raise BusUnavailable("away")
            super().publish(address, messages)

    bus = Flaky()
    node = Node(bus)
    worker = start(bus)
    async with listening(Application(answer())) as port:
        worker.submit([document("a", port)])
        await node.wait(1)
    assert bus.failures == 0


async def test_attempts_wait_for_the_database(start):
    bus, written, failures = InProcessBus(), [], [OSError("away"), OSError("away")]
    node = Node(bus)

    def write(attempts):
        if failures:
            raise failures.pop()
        written.extend(attempts)

    worker = start(bus, write)
    async with listening(Application(answer())) as port:
        worker.submit([document("a", port)])
        await node.wait(1)
        await asyncio.to_thread(eventually, lambda: written, "writing")
    assert [attempt.request_id for attempt in written] == ["a"]


def test_batches_grow_while_a_write_is_under_way():
    entered, proceed = threading.Event(), threading.Event()
    batches = []

    def write(items):
        batches.append(items)
        entered.set()
        assert proceed.wait(30)

    writer = BatchWriter("test", write, max_batch=3, max_pending=5)
    assert writer.put(0)
    assert entered.wait(30)
    assert [writer.put(n) for n in range(1, 7)] == [True] * 5 + [False]
    proceed.set()
    assert writer.close(60)
    assert batches == [[0], [1, 2, 3], [4, 5]]
    assert not writer.put(9)


def test_a_write_that_fails_loses_its_batch_only(caplog):
    written = []

    def write(items):
        if items == [1]:
            raise ValueError("bad item")
        written.extend(items)

    writer = BatchWriter("test", write, max_batch=1, max_pending=5)
    for number in (1, 2):
        writer.put(number)
    writer.close(60)
    assert written == [2]
    assert "1 items lost" in caplog.text


def repeated(url, **fields):
    return CallbackMessage(
        id="repeat-1", stream="repeat-1", purpose="repeat", call_sid="CA1", account_sid="AC1",
        created_at=time.time(), method="POST", url=url, parameters=[("CallSid", "CA1")],
        deliveries=1, attempts=0, **fields,
    )  # fmt: skip


async def test_repeated_request_is_signed_and_only_stored(start):
    bus, attempts = InProcessBus(), []
    node = Node(bus, "")
    application = Application(answer(200, b"<Response/>"))
    worker = FetchWorker(WebhookConfig(), bus, attempts.extend)
    async with listening(application) as port:
        worker.repeat(repeated(f"http://127.0.0.1:{port}/voice"), TOKEN)
        async with asyncio.timeout(30):
            while not attempts:
                await asyncio.sleep(0.001)
        await close(worker)
    [attempt] = attempts
    assert (attempt.purpose, attempt.request_id, attempt.status) == ("repeat", "repeat-1", 200)
    assert attempt.response_body == "<Response/>"
    assert "X-Twilio-Signature" in dict(attempt.request_headers)
    assert node.replies == {}


@pytest.mark.parametrize(("url", "code"), [("nonsense", 11100), ("http://127.0.0.1:1/", 59902)])
async def test_repeat_that_never_leaves_us_is_stored_with_its_reason(url, code):
    attempts = []
    config = WebhookConfig(egress=EgressPolicy(allow_loopback=False))
    worker = FetchWorker(config, InProcessBus(), attempts.extend)
    worker.repeat(repeated(url), TOKEN)
    async with asyncio.timeout(30):
        while not attempts:
            await asyncio.sleep(0.001)
    await close(worker)
    assert [attempt.error_code for attempt in attempts] == [code]
