"""What the caches do while Redis cannot be reached."""

from __future__ import annotations

import pytest
import redis
from django.core.cache.backends.redis import RedisCacheClient

from sipdomains import cache as cache_module
from sipdomains.cache import LenientCache, RedisCache
from sipdomains.services import deskcache

URL = "redis://127.0.0.1:1/0"  # nothing is sent: see below


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(cache_module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(LenientCache, "away_until", 0.0)
    return now


@pytest.fixture
def asked(monkeypatch):
    """What was asked of Redis, which cannot be reached while ``asked.away``."""

    class Asked(list):
        away = True

    log = Asked()

    def add(self, key, value, timeout):
        log.append(key)
        if log.away:
            raise redis.ConnectionError("secret-host:6379 refused")
        return True

    monkeypatch.setattr(RedisCacheClient, "add", add)
    return log


def test_counting_goes_on_in_the_process_and_redis_is_tried_again_later(
    clock, asked, caplog
) -> None:
    cache = LenientCache(URL, {})
    cache.memory.clear()
    assert cache.add("count", 1)
    assert cache.incr("count") == 2
    assert not cache.add("count", 1)
    assert cache.get_many(["count"]) == {"count": 2}
    assert len(asked) == 1  # a page is not held up by each of its questions
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "secret-host" not in caplog.text
    clock[0] += cache_module.AWAY_SECONDS
    asked.away = False
    assert cache.add("count", 1)
    assert len(asked) == 2


def test_what_is_for_another_process_fails_aloud(asked, monkeypatch) -> None:
    with pytest.raises(redis.ConnectionError):
        RedisCache(URL, {}).add("order", 1)
    monkeypatch.setattr(deskcache, "caches", {"desk": RedisCache(URL, {})})
    with pytest.raises(deskcache.CacheAway, match="Redis cannot be reached"):
        deskcache.once("move", "1", 60)


def test_redis_that_does_not_answer_holds_nobody_up_for_long() -> None:
    pool = RedisCache(URL, {})._cache._get_connection_pool(write=True)
    assert pool.connection_kwargs["socket_timeout"] == cache_module.ANSWER_SECONDS
    assert pool.connection_kwargs["socket_connect_timeout"] == cache_module.ANSWER_SECONDS
