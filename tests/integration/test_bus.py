"""Both backends of the bus, Redis for real."""

import threading
import time

import pytest
import redis

from sipdomains import bus as bus_module
from sipdomains.bus import NODES, WORKERS, BusUnavailable, InProcessBus, RedisBus, connect
from tests.webhooks.brokers import eventually, private_redis

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with private_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(params=["memory", "redis"])
def bus(request):
    if request.param == "memory":
        return InProcessBus()
    return RedisBus(request.getfixturevalue("server").url)


class Inbox:
    def __init__(self):
        self.messages = []
        self.gaps = 0

    def deliver(self, messages):
        self.messages += messages

    def gap(self):
        self.gaps += 1

    def has(self, count):
        return lambda: len(self.messages) >= count


@pytest.fixture
def subscribe(bus):
    subscriptions = []

    def subscribe(address, group=NODES):
        inbox = Inbox()
        subscriptions.append(bus.subscribe(address, inbox.deliver, group=group, on_gap=inbox.gap))
        return inbox

    yield subscribe
    for subscription in subscriptions:
        subscription.close()


def test_messages_arrive_in_order_at_their_address_only(bus, subscribe):
    one, two = subscribe("one"), subscribe("two")
    for number in range(0, 100, 4):
        bus.publish("one", [{"n": n} for n in range(number, number + 4)])
    bus.publish("two", [{"n": -1}])
    eventually(one.has(100), "arrival")
    eventually(two.has(1), "arrival")
    assert one.messages == [{"n": n} for n in range(100)]
    assert two.messages == [{"n": -1}]


def test_publish_all_reaches_every_member_of_the_group(bus, subscribe):
    nodes = [subscribe(f"group-{n}") for n in range(3)]
    worker = subscribe("group-worker", WORKERS)
    assert bus.publish_all({"x": 1}) == 3
    for inbox in nodes:
        eventually(inbox.has(1), "arrival")
    assert bus.publish_all({"x": 2}, WORKERS) == 1
    eventually(worker.has(1), "arrival")
    assert worker.messages == [{"x": 2}]


def test_members_are_who_lives(bus, subscribe):
    subscribe("a-node")
    leaver = bus.subscribe("first", print, group=WORKERS)
    subscribe("second", WORKERS)
    found = bus.members(WORKERS)
    assert set(found) == {"first", "second"}
    assert all(0 <= silent < bus_module.ALIVE_SECONDS for silent in found.values())
    leaver.close()
    assert set(bus.members(WORKERS)) == {"second"}
    assert bus.members("nobody") == {}


def test_publishers_on_many_threads(bus, subscribe):
    inbox = subscribe("threads")
    threads = [
        threading.Thread(target=lambda: [bus.publish("threads", [{}]) for _ in range(50)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    eventually(inbox.has(200), "arrival")


def test_nothing_is_delivered_after_close(bus):
    inbox = Inbox()
    subscription = bus.subscribe("closing", inbox.deliver)
    subscription.close()
    subscription.close()
    bus.publish("closing", [{}])
    assert bus.publish_all({}) == 0
    assert inbox.messages == []


def test_messages_for_nobody_expire(server):
    RedisBus(server.url).publish("nobody", [{}])
    seconds = redis.Redis.from_url(server.url).ttl("sipdomains:inbox:nobody")
    assert 0 < seconds <= bus_module.INBOX_SECONDS


def test_a_member_that_died_silently_is_left_out(server):
    plain = redis.Redis.from_url(server.url)
    plain.sadd("sipdomains:group:nodes", "dead")  # announced once, its life sign has expired
    assert RedisBus(server.url).publish_all({}) == 0
    assert not plain.sismember("sipdomains:group:nodes", "dead")
    assert not plain.exists("sipdomains:inbox:dead")


def test_an_outage_is_survived_and_reported(tmp_path):
    with private_redis(tmp_path) as server:
        bus = RedisBus(server.url)
        inbox = Inbox()
        subscription = bus.subscribe("node", inbox.deliver, on_gap=inbox.gap)
        bus.publish("node", [{"n": 1}])
        eventually(inbox.has(1), "arrival")
        server.stop()
        began = time.monotonic()
        with pytest.raises(BusUnavailable):
            bus.publish("node", [{"n": 2}])
        with pytest.raises(BusUnavailable):
            bus.publish_all({})
        assert time.monotonic() - began < 20  # nobody waits for it to come back
        server.start()
        eventually(lambda: inbox.gaps >= 1, "the gap is reported")
        assert bus.publish_all({"n": 3}) == 1
        eventually(inbox.has(2), "arrival")
        assert inbox.messages == [{"n": 1}, {"n": 3}]
        subscription.close()


def test_a_subscription_may_begin_during_an_outage(tmp_path):
    with private_redis(tmp_path) as server:
        server.stop()
        inbox = Inbox()
        bus = RedisBus(server.url)
        subscription = bus.subscribe("node", inbox.deliver, on_gap=inbox.gap)
        server.start()
        eventually(lambda: inbox.gaps >= 1, "connection")
        bus.publish("node", [{}])
        eventually(inbox.has(1), "arrival")
        subscription.close()


def test_unreadable_elements_are_dropped(server):
    bus = RedisBus(server.url)
    inbox = Inbox()
    subscription = bus.subscribe("odd", inbox.deliver)
    redis.Redis.from_url(server.url).rpush("sipdomains:inbox:odd", b"\xff{")
    bus.publish("odd", [{"n": 1}])
    eventually(inbox.has(1), "arrival")
    subscription.close()


def test_backend_is_chosen_by_url():
    assert connect("memory://") is connect("memory://")
    assert isinstance(connect("redis://127.0.0.1:1/0"), RedisBus)
    with pytest.raises(ValueError, match="amqp"):
        connect("amqp://localhost")
