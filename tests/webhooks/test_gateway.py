"""The node's end of the detour, over a queue of our own."""

import asyncio
import threading

import pytest

from sipdomains.bus import WORKERS, InProcessBus
from sipdomains.contracts import VERSION, DirectoryChanged, FetchReply, from_wire, to_wire
from sipserver.adapters.nodebus import NodeBus
from sipserver.adapters.webhook_gateway import MAX_BATCH, CeleryWebhookGateway

CALL = {
    "call_sid": "CA1",
    "account_sid": "AC1",
    "url": "http://app.example/voice",
    "method": "POST",
    "parameters": [("A", "1")],
    "session": {"cookies": []},
    "verify_tls": True,
}


class Queue:
    """Stands for the broker: keeps batches, may be held up or refuse."""

    def __init__(self):
        self.batches = []
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Event()
        self.error = None

    def publish(self, batch, deadline):
        self.entered.set()
        assert self.open.wait(30)
        if self.error:
            raise self.error
        self.batches.append([from_wire(wire) for wire in batch])

    @property
    def requests(self):
        return [request for batch in self.batches for request in batch]


class Rig:
    def __init__(self, **options):
        self.queue = Queue()
        self.bus = InProcessBus()
        self.gateway = CeleryWebhookGateway("n1", self.bus, self.queue.publish, **options)
        self.domains = []
        self.nodebus = NodeBus(
            self.bus,
            "n1",
            on_reply=self.gateway.receive,
            on_directory_changed=self.domains.append,
        )

    async def requests(self, count):
        async with asyncio.timeout(30):
            while len(self.queue.requests) < count:
                await asyncio.sleep(0.001)
        return self.queue.requests

    def reply(self, *requests, **values):
        replies = [FetchReply(request.request_id, "n1", **values) for request in requests]
        self.bus.publish("n1", [to_wire(reply) for reply in replies])


@pytest.fixture
async def rig():
    rig = Rig()
    await rig.nodebus.start()
    yield rig
    await rig.nodebus.stop()
    await asyncio.to_thread(rig.gateway.close)


async def test_a_fetch_is_answered_by_its_request_id(rig):
    tasks = [asyncio.create_task(rig.gateway.fetch(**CALL)) for _ in range(3)]
    requests = await rig.requests(3)
    for request in reversed(requests):
        rig.reply(request, body=request.request_id)
    replies = await asyncio.gather(*tasks)
    assert {reply.body for reply in replies} == {request.request_id for request in requests}
    assert len({request.request_id for request in requests}) == 3
    assert (requests[0].node, requests[0].url) == ("n1", CALL["url"])
    assert requests[0].parameters == [("A", "1")]


async def test_fetches_travel_together_while_a_publish_is_under_way(rig):
    rig.queue.open.clear()
    tasks = [asyncio.create_task(rig.gateway.fetch(**CALL))]
    await asyncio.to_thread(rig.queue.entered.wait, 30)
    tasks += [asyncio.create_task(rig.gateway.fetch(**CALL)) for _ in range(2 * MAX_BATCH)]
    await asyncio.sleep(0)
    rig.queue.open.set()
    requests = await rig.requests(1 + 2 * MAX_BATCH)
    assert [len(batch) for batch in rig.queue.batches] == [1, MAX_BATCH, MAX_BATCH]
    rig.reply(*requests)
    await asyncio.gather(*tasks)


async def test_a_broker_that_refuses_is_told_at_once(rig):
    rig.queue.error = ConnectionRefusedError("no broker")
    reply = await rig.gateway.fetch(**CALL)
    assert reply.error_code == 59901
    assert "broker" in reply.error_message
    assert rig.gateway.counters["broker_errors"] == 1


async def test_nobody_answers():
    rig = Rig(total_seconds=0.05, margin_seconds=0.05)
    await rig.nodebus.start()
    reply = await rig.gateway.fetch(**CALL)
    assert reply.error_code == 11200
    assert "no worker answered" in reply.error_message
    rig.reply(*rig.queue.requests)
    await asyncio.sleep(0)
    assert rig.gateway.counters["late_replies"] == 1
    await rig.nodebus.stop()
    await asyncio.to_thread(rig.gateway.close)


async def test_a_cancelled_fetch_is_cancelled_at_the_workers(rig):
    told = asyncio.Event()
    cancels = []
    loop = asyncio.get_running_loop()

    def deliver(messages):
        cancels.extend(from_wire(wire) for wire in messages)
        loop.call_soon_threadsafe(told.set)

    rig.bus.subscribe("w1", deliver, group=WORKERS)
    task = asyncio.create_task(rig.gateway.fetch(**CALL))
    (request,) = await rig.requests(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(told.wait(), 30)
    assert [cancel.request_id for cancel in cancels] == [request.request_id]
    rig.reply(request)
    await asyncio.sleep(0)
    assert rig.gateway.counters["late_replies"] == 1


async def test_cancelled_before_it_was_published_it_never_is(rig):
    rig.queue.open.clear()
    first = asyncio.create_task(rig.gateway.fetch(**CALL))
    await asyncio.to_thread(rig.queue.entered.wait, 5)
    second = asyncio.create_task(rig.gateway.fetch(**CALL))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.wait([second])
    third = asyncio.create_task(rig.gateway.fetch(**CALL))
    await asyncio.sleep(0)
    rig.queue.open.set()
    requests = await rig.requests(2)
    rig.reply(*requests)
    await asyncio.gather(first, third)
    assert len(rig.queue.requests) == 2


async def test_the_queue_to_the_broker_is_bounded():
    rig = Rig(max_pending=2)
    await rig.nodebus.start()
    rig.queue.open.clear()
    tasks = [asyncio.create_task(rig.gateway.fetch(**CALL))]
    await asyncio.to_thread(rig.queue.entered.wait, 5)
    tasks += [asyncio.create_task(rig.gateway.fetch(**CALL)) for _ in range(2)]
    await asyncio.sleep(0)
    reply = await rig.gateway.fetch(**CALL)
    assert reply.error_code == 59901
    rig.queue.open.set()
    rig.reply(*await rig.requests(3))
    await asyncio.gather(*tasks)
    await rig.nodebus.stop()
    await asyncio.to_thread(rig.gateway.close)


async def test_the_inbox_dispatches_and_counts(rig):
    rig.bus.publish_all(to_wire(DirectoryChanged("pbx.example.net")))
    rig.bus.publish("n1", [{"v": VERSION + 1, "kind": "fetch_reply"}, {"kind": "other"}])
    rig.bus.publish("n1", [to_wire(FetchReply("unknown", "n1"))])
    await asyncio.sleep(0)
    assert rig.domains == ["pbx.example.net"]
    assert rig.nodebus.counters == {"directory_changed": 1, "refused": 2, "fetch_reply": 1}
    assert rig.gateway.counters["late_replies"] == 1
