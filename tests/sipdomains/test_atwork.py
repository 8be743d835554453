"""What a page may conclude from a worker's signs of life."""

from __future__ import annotations

import pytest
from django.core.cache import caches

from sipdomains.services import atwork, deskcache
from sipdomains.services.atwork import LOST, NOBODY, at_work, given_up

NOW = 1_000_000.0


@pytest.fixture(autouse=True)
def _still(monkeypatch):
    caches["desk"].clear()
    monkeypatch.setattr(atwork.time, "time", lambda: NOW)


@pytest.mark.parametrize(("age", "expected"), [(0, ""), (64, ""), (66, NOBODY)])
def test_what_nobody_has_begun_is_given_up_when_the_order_has_run_out(age, expected) -> None:
    assert given_up("order", NOW - age) == expected


def test_what_somebody_works_on_is_waited_for_however_long_it_takes() -> None:
    with at_work("order"):
        assert given_up("order", NOW - 600) == ""
    assert given_up("order", NOW - 600) == ""  # until what came of it has been seen
    assert given_up("another", NOW - 600) == NOBODY


def test_a_worker_of_which_nothing_is_heard_any_more_is_lost() -> None:
    with at_work("order"):
        pass
    caches["desk"].delete("desk:alive:order")  # as it does by itself
    assert given_up("order", NOW - 5) == LOST


def test_signs_of_life_go_on_although_one_cannot_be_left(monkeypatch) -> None:
    class Stop:
        beats = iter([False, False, True])

        def wait(self, seconds: float) -> bool:
            return next(self.beats)

    left = []

    def put(*given) -> None:
        left.append(given)
        if len(left) == 1:
            raise deskcache.CacheAway

    monkeypatch.setattr(deskcache, "put", put)
    atwork._beat("order", Stop())
    assert left == [("alive", "order", 1, atwork.ALIVE_SECONDS)] * 2
