"""Orders of test calls: once, encrypted, bounded; and where they go."""

from __future__ import annotations

import pickle

import pytest
from django.core.cache import cache

from sipdomains.services import deskcache, testcalls
from sipdomains.services.testcalls import OVER, WAITING
from sipdomains.settings.env import EnvError
from sipserver import tasks

TARGET = "sip:100@pbx.example.net"


@pytest.fixture(autouse=True)
def _empty_cache():
    cache.clear()


def place(**given) -> str:
    return testcalls.order(1, "SD1", TARGET, **given)


def test_an_order_can_be_taken_once() -> None:
    id_ = place(username="alice", password="Correct9HorseX", digits="1#", seconds=500)
    found = testcalls.take(id_)
    assert (found.target, found.username, found.password) == (TARGET, "alice", "Correct9HorseX")
    assert (found.digits, found.seconds) == ("1#", testcalls.MAX_SECONDS)
    assert testcalls.progress(id_).call_id == found.call_id
    assert testcalls.take(id_) is None
    assert "Correct9HorseX" not in repr(found)


def test_nothing_that_waits_for_the_worker_can_be_read() -> None:
    id_ = place(username="alice", password="Correct9HorseX", digits="4711")
    stored = [pickle.dumps(deskcache.get(kind, id_)) for kind in ("test-order", "test-call")]
    assert all(stored)
    for secret in (b"Correct9HorseX", b"4711"):
        assert not [text for text in stored if secret in text]


def test_an_order_that_another_key_sealed_is_not_carried_out(settings) -> None:
    from cryptography.fernet import Fernet

    id_ = place()
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    tasks.place(id_)
    now = testcalls.progress(id_)
    assert (now.state, now.outcome["ended_by"]) == (OVER, "error")


def test_a_user_may_ask_for_a_few_calls_a_minute(monkeypatch) -> None:
    monkeypatch.setattr(deskcache.time, "time", lambda: 1_000_000.0)
    for _ in range(testcalls.PER_MINUTE):
        place()
    with pytest.raises(testcalls.TooMany):
        place()
    assert testcalls.progress(testcalls.order(2, "SD1", TARGET)).state == WAITING


@pytest.mark.parametrize(
    ("test_call_address", "listen", "expected"),
    [
        ("", ["udp:0.0.0.0:5060", "tcp:0.0.0.0:5060"], ("udp", "127.0.0.1", 5060)),
        ("", ["tcp:[::]:5070"], ("tcp", "::1", 5070)),
        ("", ["udp:192.0.2.5:5060"], ("udp", "192.0.2.5", 5060)),
        ("udp:192.0.2.7:5080", ["udp:0.0.0.0:5060"], ("udp", "192.0.2.7", 5080)),
    ],
)
def test_calls_go_where_phones_call(settings, test_call_address, listen, expected) -> None:
    settings.SIP_TEST_CALL_ADDRESS, settings.SIP_LISTEN = test_call_address, listen
    assert tasks.server_address() == expected


def test_an_address_that_cannot_be_read_is_told_to_who_asked(settings) -> None:
    settings.SIP_TEST_CALL_ADDRESS = "nonsense"
    with pytest.raises(EnvError):
        tasks.server_address()
    id_ = place()
    tasks.place(id_)
    assert "SIP address" in testcalls.progress(id_).outcome["why"]
