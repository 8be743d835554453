from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipserver.sip.timers import Deadlines, Timers


@pytest.mark.parametrize(
    ("name", "unreliable", "reliable"),
    [("d", 32.0, 0.0), ("i", 5.0, 0.0), ("j", 32.0, 0.0), ("k", 5.0, 0.0)],
)
def test_timers_of_table_4(name, unreliable, reliable):
    timer = getattr(Timers(), name)
    assert timer(reliable=False) == unreliable
    assert timer(reliable=True) == reliable


def test_limit_is_64_t1_and_d_is_32_seconds_at_least():
    quick = Timers(t1=0.1)
    assert Timers().limit == 32.0
    assert quick.limit == pytest.approx(6.4)
    assert quick.d(reliable=False) == 32.0
    assert Timers(t1=1.0).d(reliable=False) == 64.0


def test_intervals_double_up_to_t2():
    timers, interval, seen = Timers(), 0.5, []
    for _ in range(5):
        seen.append(interval)
        interval = timers.longer(interval)
    assert seen == [0.5, 1.0, 2.0, 4.0, 4.0]


def test_deadlines_fire_in_order_and_once():
    deadlines, fired = Deadlines(), []
    for name, when in (("c", 3.0), ("a", 1.0), ("b", 1.0)):
        deadlines.at(when, lambda now, name=name: fired.append((name, now)))
    assert deadlines.next() == 1.0
    deadlines.run(0.9)
    assert fired == []
    deadlines.run(2.0)
    assert fired == [("a", 2.0), ("b", 2.0)]
    deadlines.run(9.0)
    deadlines.run(9.0)
    assert fired[2:] == [("c", 9.0)]
    assert deadlines.next() is None
    assert len(deadlines) == 0


def test_a_deadline_set_by_another_one_fires_in_the_same_run_if_due():
    deadlines, fired = Deadlines(), []
    deadlines.at(1.0, lambda now: deadlines.at(2.0, fired.append))
    deadlines.run(5.0)
    assert fired == [5.0]


def test_cancelled_deadlines_never_fire_and_cancelling_twice_is_harmless():
    deadlines, fired = Deadlines(), []
    deadline = deadlines.at(1.0, fired.append)
    deadlines.cancel(deadline)
    deadlines.cancel(deadline)
    deadlines.cancel(None)
    assert len(deadlines) == 0
    deadlines.run(2.0)
    assert fired == []
    late = deadlines.at(3.0, fired.append)
    deadlines.run(3.0)
    deadlines.cancel(late)
    assert fired == [3.0]
    assert len(deadlines) == 0


def test_many_cancelled_deadlines_do_not_pile_up():
    deadlines, fired = Deadlines(), []
    kept = deadlines.at(50.0, fired.append)
    for _ in range(3000):
        deadlines.cancel(deadlines.at(99.0, fired.append))
    assert len(deadlines) == 1
    assert len(deadlines._heap) < 600
    assert deadlines.next() == kept.when
    deadlines.run(100.0)
    assert fired == [100.0]


@given(st.lists(st.tuples(st.floats(0, 100), st.booleans()), max_size=700))
def test_what_is_left_fires_in_order_however_many_are_cancelled(entries):
    deadlines, fired = Deadlines(), []
    made = [(deadlines.at(when, lambda _, w=when: fired.append(w)), drop) for when, drop in entries]
    for deadline, drop in made:
        if drop:
            deadlines.cancel(deadline)
    expected = sorted(when for when, drop in entries if not drop)
    assert len(deadlines) == len(expected)
    assert deadlines.next() == (expected[0] if expected else None)
    deadlines.run(100.0)
    assert fired == expected
