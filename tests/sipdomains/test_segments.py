"""Pages by number: what is kept of long lists, and that it says the same as the list itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sipdomains import longlists
from sipdomains.celery import BEAT_SCHEDULE
from sipdomains.models import Account, Call, ListSegment, Notification, Recording
from sipdomains.selectors import keyset
from sipdomains.selectors.account_calls import sought
from sipdomains.selectors.keyset import Turn
from sipdomains.services import call_deletion, calls, recordings, segments
from sipdomains.stretch import ListName, Span, Stretch
from sipdomains.tasks import keep_segments
from tests.sipdomains.records import call_sid, closed, opened

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
LATER = NOON + timedelta(days=30)
ANY = {"to_uri": "sip:b@x", "from_uri": "sip:a@x", "status": "completed"}


@pytest.fixture(autouse=True)
def _small_segments(monkeypatch):
    monkeypatch.setattr(longlists, "STEP", 4)


@pytest.fixture
def make(alice):
    count = 0

    def make(seconds: float, **fields) -> Call:
        nonlocal count
        count += 1
        at = NOON + timedelta(seconds=seconds)
        values = {
            "sid": f"CA{(count * 7919) % 10**6:032x}",
            "account": alice,
            "node": "boot",
            "direction": "inbound",
            "started_at": at,
            "ended_at": at + timedelta(seconds=5),
            "updated_at": NOON,
        }
        return Call.objects.create(**values | ANY | fields)

    return make


def truth(account: Account, **wanted) -> list[str]:
    found = Call.objects.filter(account=account, **wanted)
    return list(found.order_by("-started_at", "-sid").values_list("sid", flat=True))


def asked(rows: Stretch, size: int, number: int) -> list[str]:
    page = keyset.page(rows, size, Turn(skip=number * size))
    return [row.sid for row in page.rows]


def counts(account: Account, kind: str = longlists.CALLS, value: str = "") -> list[int]:
    found = ListSegment.objects.filter(account=account, kind=kind, value=value)
    return list(found.values_list("rows", flat=True))


@pytest.mark.parametrize("laid", [None, 0, 9, 22])
@pytest.mark.parametrize("size", [1, 3, 5])
def test_pages_by_number_are_slices_of_the_list(alice, make, size, laid) -> None:
    for number in range(22):
        make(number // 2)
        if number == laid:
            segments.keep(LATER)
    if laid == 22:
        segments.keep(LATER)
    expected = truth(alice)
    for number in range(26 // size + 2):
        assert asked(sought(alice)[0], size, number) == expected[number * size :][:size]


@pytest.mark.parametrize("since", [-1, 0, 3, 8, 21, 30])
@pytest.mark.parametrize("until", [-1, 0, 4, 9, 17, 22, 30])
def test_pages_by_number_of_a_stretch_of_the_list(alice, make, since, until) -> None:
    for number in range(24):
        make(number // 2)
    segments.keep(LATER)
    span = Span(NOON + timedelta(seconds=since), NOON + timedelta(seconds=until))
    expected = truth(alice, started_at__gte=span.since, started_at__lt=span.until)
    for number in range(8):
        assert asked(sought(alice, started=span)[0], 4, number) == expected[number * 4 :][:4]


def test_an_emptied_cache_costs_no_walk_and_the_number_of_queries_is_constant(
    alice, make, django_assert_num_queries
) -> None:
    for number in range(60):
        make(number)
    segments.keep(LATER)
    for number in range(60):
        make(100 + number)
    cache.clear()
    for number in range(5, 39):
        with django_assert_num_queries(4):
            found = asked(sought(alice)[0], 3, number)
        assert found == truth(alice)[number * 3 :][:3]


def test_no_more_rows_are_laid_than_have_settled(alice, make) -> None:
    for number in range(9):
        make(number * 60)
    segments.keep(NOON + timedelta(seconds=4 * 60))
    assert counts(alice) == []
    segments.keep(NOON + timedelta(seconds=6 * 60))
    assert counts(alice) == [4]
    segments.keep(LATER)
    segments.keep(LATER)
    assert counts(alice) == [4, 4]


def test_housekeeping_lays_them(alice, make) -> None:
    for number in range(8):
        make(number)
    assert keep_segments.name in {entry["task"] for entry in BEAT_SCHEDULE.values()}
    keep_segments()
    assert counts(alice) == [4, 4]


def test_deleted_rows_lower_the_segments_that_they_were_in(
    alice, make, django_assert_max_num_queries
) -> None:
    made = [make(number) for number in range(22)]
    segments.keep(LATER)
    assert counts(alice) == counts(alice, "status", "completed") == [4, 4, 4, 4, 4]
    for gone in (made[3], made[4], made[7], made[21]):  # also ends, and what is not laid
        call_deletion.delete(gone, "test")
    assert counts(alice) == counts(alice, "to_uri", "sip:b@x") == [3, 2, 4, 4, 4]
    for number in range(10):
        assert asked(sought(alice)[0], 2, number) == truth(alice)[number * 2 :][:2]
    places = [longlists.CALLS_ORDER.of(call) for call in made[8:16]]
    with django_assert_max_num_queries(5):
        segments.lower({ListName(alice.sid, longlists.CALLS): places})
    assert counts(alice) == [3, 2, 0, 0, 4]


def test_a_deletion_writes_nothing_for_lists_that_are_not_long(
    alice, make, django_assert_num_queries
) -> None:
    call = make(0)
    with django_assert_num_queries(0):
        segments.lower({})
    call_deletion.delete(call, "test")
    assert not ListSegment.objects.exists()


def test_calls_that_begin_and_end_write_no_segments(alice, make) -> None:
    for number in range(8):
        make(number)
    segments.keep(LATER)
    records = [opened("a", account=alice.sid), closed("a")]
    with CaptureQueriesContext(connection) as captured:
        for record in records:
            calls.apply([record])
    assert Call.objects.get(pk=call_sid("a")).status == "completed"
    assert not [query for query in captured if "listsegment" in query["sql"]]


def test_a_segment_without_rows_goes_when_it_is_counted_again(alice, make) -> None:
    made = [make(number) for number in range(12)]
    segments.keep(LATER)
    for call in made[:4]:
        call_deletion.delete(call, "test")
    assert counts(alice) == [0, 4, 4]
    assert asked(sought(alice)[0], 1, 7) == truth(alice)[7:8]
    segments.keep(LATER + timedelta(days=1))
    assert counts(alice) == [4, 4]


def test_what_arrives_late_or_is_deleted_past_us_is_counted_within_a_day(alice, make) -> None:
    for number in range(16):
        make(number * 10)
    segments.keep(LATER)
    for number in range(9):
        make(55 + number / 10)
    Call.objects.filter(sid=truth(alice)[-1]).delete()
    segments.keep(LATER + timedelta(hours=23))
    assert counts(alice) == [4, 4, 4, 4]
    segments.keep(LATER + timedelta(days=1))
    assert counts(alice) == [3, 4, 4, 5, 4, 4]  # one with many is divided
    for number in range(25):
        assert asked(sought(alice)[0], 1, number) == truth(alice)[number:][:1]


def test_young_segments_are_counted_again_soon(alice, make) -> None:
    for number in range(4):
        make(number, status="in-progress", ended_at=None)
        make(number)
    now = NOON + timedelta(minutes=3)
    segments.keep(now)
    assert counts(alice, "status", "completed") == [4]
    Call.objects.filter(status="in-progress").update(status="completed")
    segments.keep(now + timedelta(minutes=5))
    assert sum(counts(alice, "status", "completed")) == 8


def test_a_run_counts_a_bounded_number_of_segments(alice, make, monkeypatch) -> None:
    monkeypatch.setattr(segments, "CHECKS", 2)
    for number in range(24):
        make(number)
    segments.keep(LATER)
    due = LATER + timedelta(days=1)
    every = ListSegment.objects.count()
    segments.keep(due)
    assert ListSegment.objects.filter(check_at__gt=due).count() == 2
    for _ in range(every):
        segments.keep(due)
    assert not ListSegment.objects.filter(check_at__lte=due).exists()


def test_numbers_with_long_lists_are_found_and_kept(
    alice, bob, make, django_assert_num_queries
) -> None:
    for number in range(40):
        make(number, to_uri="sip:often@x" if number % 2 else f"sip:{number}@x")
        make(number, account=bob)
    segments.keep(LATER)
    names = {name for name in segments.known(alice.sid) if name.kind == "to_uri"}
    assert names == {ListName(alice.sid, "to_uri", "sip:often@x")}
    for number in range(40, 50):
        make(number, to_uri="sip:often@x")
    segments.keep(LATER)
    assert counts(alice, "to_uri", "sip:often@x") == [4] * 7
    for number in range(3, 11):
        with django_assert_num_queries(4):
            found = asked(sought(alice, to="sip:often@x")[0], 3, number)
        assert found == truth(alice, to_uri="sip:often@x")[number * 3 :][:3]


def test_a_list_that_is_nowhere_kept_is_walked(alice, make) -> None:
    parent = make(0)
    for number in range(1, 20):
        make(number, parent=parent)
    segments.keep(LATER)
    for number in range(8):
        expected = truth(alice, parent=parent)[number * 3 :][:3]
        assert asked(sought(alice, parent=parent.sid)[0], 3, number) == expected


def test_notifications_of_a_deleted_call_and_recordings_that_are_deleted_are_taken_off(
    alice, make
) -> None:
    call = make(0)
    for number in range(10):
        at = NOON + timedelta(seconds=number)
        Notification.objects.create(
            sid=f"NO{number:032x}", account=alice, call=call if number in (1, 6, 9) else None,
            at=at, code=11200, level="error", message="-",
        )  # fmt: skip
        Recording.objects.create(
            sid=f"RE{number:032x}", account=alice, source="RecordVerb", status="completed",
            started_at=at, node="boot",
        )  # fmt: skip
    segments.keep(LATER)
    assert counts(alice, longlists.NOTIFICATIONS) == [4, 4]
    call_deletion.delete(call, "test")
    assert counts(alice, longlists.NOTIFICATIONS) == [3, 3]
    gone = Recording.objects.get(sid=f"RE{3:032x}")
    recordings.delete(gone)
    recordings.delete(gone)
    assert counts(alice, longlists.RECORDINGS_KEPT) == [3, 4]
    assert counts(alice, longlists.RECORDINGS) == [4, 4]


def test_the_segments_of_an_account_go_with_it(alice, make) -> None:
    for number in range(8):
        make(number)
    segments.keep(LATER)
    alice.delete()
    assert not ListSegment.objects.exists()


class Story:
    """A log that is written, deleted from and read. ``exact``: every change so far was one that is
    counted at once, or everything was counted again since."""

    def __init__(self, account, make) -> None:
        self.account, self.make = account, make
        self.clock, self.number, self.days, self.exact = 0, 0, 0, True

    def add(self, rows: int) -> None:
        for _ in range(rows):
            self.clock += self.number % 2  # some at the same time
            self._add(self.clock)

    def late(self, rows: int) -> None:
        for number in range(rows):
            self._add(self.clock * number / 7)
        self.exact = False

    def delete(self, indexes: list[int]) -> None:
        rows = truth(self.account)
        self._delete({rows[index % len(rows)] for index in indexes} if rows else ())

    def retention(self, rows: int) -> None:
        self._delete(truth(self.account)[-rows:])

    def past_us(self, index: int) -> None:
        if rows := truth(self.account):
            Call.objects.filter(sid=rows[index % len(rows)]).delete()
            self.exact = False

    def keep(self, settled: int) -> None:
        segments.keep(self._now() + timedelta(seconds=settled))

    def check(self, _: int = 0) -> None:
        self.days += 2
        segments.keep(self._now() + timedelta(days=self.days))
        self.exact = True

    def read(self, size: int) -> None:
        if not self.exact:
            return
        for wanted, columns in (
            ({}, {}),
            ({"statuses": ("busy",)}, {"status": "busy"}),
            ({"to": "sip:1@x"}, {"to_uri": "sip:1@x"}),
        ):
            expected = truth(self.account, **columns)
            for number in range(len(expected) // size + 2):
                found = asked(sought(self.account, **wanted)[0], size, number)
                assert found == expected[number * size :][:size]

    def _add(self, seconds: float) -> None:
        self.number += 1
        status, to = ("completed", "busy")[self.number % 2], f"sip:{self.number % 3}@x"
        self.make(seconds, status=status, to_uri=to)

    def _delete(self, sids) -> None:
        for call in Call.objects.filter(sid__in=sids):
            call_deletion.delete(call, "test")

    def _now(self) -> datetime:
        return NOON + timedelta(seconds=self.clock) + segments.SETTLED


STEPS = st.one_of(
    st.tuples(st.just(Story.add), st.integers(1, 9)),
    st.tuples(st.just(Story.add), st.integers(1, 9)),
    st.tuples(st.just(Story.late), st.integers(1, 5)),
    st.tuples(st.just(Story.delete), st.lists(st.integers(0, 200), min_size=1, max_size=5)),
    st.tuples(st.just(Story.retention), st.integers(1, 12)),
    st.tuples(st.just(Story.past_us), st.integers(0, 200)),
    st.tuples(st.just(Story.keep), st.integers(-1, 1)),
    st.tuples(st.just(Story.check), st.just(0)),
    st.tuples(st.just(Story.read), st.integers(2, 6)),
)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=st.lists(STEPS, max_size=20))
def test_whatever_is_added_and_deleted_pages_are_those_of_a_plain_list(alice, make, steps) -> None:
    ListSegment.objects.all().delete()
    Call.objects.all().delete()
    story = Story(alice, make)
    for step, value in [*steps, (Story.check, 0), (Story.read, 3)]:
        step(story, value)


def test_rows_of_the_future_wait(alice, make) -> None:
    for number in range(8):
        make(number + 3600)
    segments.keep(NOON)
    assert counts(alice) == []
    segments.keep(LATER)
    assert counts(alice) == [4, 4]
