"""Pages by key and by number: every row once, whatever happens meanwhile; bounded searches."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.db.models import Q

from sipdomains import longlists
from sipdomains.models import Account, Call
from sipdomains.selectors import keyset
from sipdomains.selectors.account_calls import sought
from sipdomains.selectors.keyset import Turn
from sipdomains.stretch import ListName, Place, Span, Stretch

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)


@pytest.fixture
def make(alice):
    count = 0

    def make(seconds: float, **fields) -> Call:
        nonlocal count
        count += 1
        values = {
            "sid": f"CA{(count * 7919) % 10**6:032x}",
            "account": alice,
            "node": "boot",
            "direction": "inbound",
            "from_uri": "sip:a@x",
            "to_uri": "sip:b@x",
            "status": "completed",
            "started_at": NOON + timedelta(seconds=seconds),
            "ended_at": NOON + timedelta(seconds=seconds + 5),
            "updated_at": NOON,
        }
        return Call.objects.create(**values | fields)

    return make


def listed(account: Account) -> Stretch:
    return longlists.rows_of(ListName(account.sid, longlists.CALLS))


def truth(account: Account, rest: Q | None = None) -> list[str]:
    calls = Call.objects.filter(account=account).filter(rest or Q())
    return list(calls.order_by("-started_at", "-sid").values_list("sid", flat=True))


def walk(rows: Stretch, size: int, rest: Q | None = None, scan: int = 5, turn=None, between=None):
    """SIDs page by page towards older ones, and the turns that led there."""
    turn = turn or Turn()
    pages, turns = [], []
    for _ in range(200):
        page = keyset.page(rows, size, turn, rest, scan=scan)
        pages.append([row.sid for row in page.rows])
        turns.append((turn, page))
        if page.older is None:
            return pages, turns
        if between is not None:
            between()
        turn = page.older
    raise AssertionError("paging does not end")


def joined(pages: list[list[str]]) -> list[str]:
    return [sid for page in pages for sid in page]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 23, 24, 50])
@pytest.mark.parametrize("ties", [1, 4, 24])
def test_pages_hold_every_row_once_in_order(alice, make, size, ties) -> None:
    for number in range(23):
        make(number // ties)
    pages, _ = walk(listed(alice), size)
    assert joined(pages) == truth(alice)
    assert {len(page) for page in pages[:-1]} <= {size}


def test_rows_that_arrive_or_are_deleted_meanwhile_shift_nothing(alice, bob, make) -> None:
    for number in range(30):
        make(number // 3)
        make(number // 3, account=bob)
    before = truth(alice)
    deleted = []

    def between() -> None:
        make(1000 + len(deleted))
        gone = before[(7 * len(deleted) + 3) % len(before)]
        Call.objects.filter(sid=gone).delete()
        deleted.append(gone)

    pages, _ = walk(listed(alice), 4, between=between)
    seen = joined(pages)
    assert len(seen) == len(set(seen))
    assert [sid for sid in before if sid in seen] == seen
    assert set(before) - set(seen) <= set(deleted)


NEEDLE = Q(to_uri="needle")


@pytest.mark.parametrize("scan", [1, 2, 3, 5, 50])
@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_bounded_search_finds_every_match_once_both_ways(alice, make, scan, size) -> None:
    for number in range(31):
        make(number // 3, to_uri="needle" if number % 7 in (0, 1) else "hay")
    pages, turns = walk(listed(alice), size, NEEDLE, scan)
    matches = truth(alice, NEEDLE)
    assert joined(pages) == matches
    # And back from the end to the newest.
    back, turn = [*turns[-1][1].rows], turns[-1][1].newer
    for _ in range(200):
        if turn is None:
            break
        page = keyset.page(listed(alice), size, turn, NEEDLE, scan=scan)
        back = [*page.rows, *back]
        turn = page.newer
    found = [row.sid for row in back]
    assert [sid for number, sid in enumerate(found) if sid not in found[:number]] == matches


@pytest.mark.parametrize("scan", [1, 3, 10, 100])
def test_a_search_by_number_arrives_at_its_page_by_following_the_next_ones(
    alice, make, scan
) -> None:
    for number in range(40):
        make(number // 3, to_uri="needle" if number % 3 == 0 else "hay")
    matches = truth(alice, NEEDLE)
    pages, _ = walk(listed(alice), 2, NEEDLE, scan, Turn(skip=6))
    assert joined(pages) == matches[6:]
    assert joined(walk(listed(alice), 2, NEEDLE, scan, Turn(skip=60))[0]) == []


def test_an_empty_page_behind_the_last_leads_back(alice, make) -> None:
    for number in range(5):
        make(number)
    page = keyset.page(listed(alice), 2, Turn(skip=8))
    assert (page.rows, page.older) == ([], None)
    back = keyset.page(listed(alice), 2, page.newer)
    assert [row.sid for row in back.rows] == truth(alice)[3:]


def test_one_bound_at_either_end_whatever_narrows_the_list(alice, make) -> None:
    calls = [make(number) for number in range(10)]
    rows = Span(calls[2].started_at, calls[8].started_at).of(listed(alice))
    assert joined(walk(rows, 3)[0]) == [call.sid for call in calls[7:1:-1]]
    place = Place(calls[4].started_at, calls[4].sid)
    for narrowed in (rows.newer(place), rows.newer(place).starting(calls[3].started_at)):
        assert [call.sid for call in narrowed.oldest_first()] == [call.sid for call in calls[5:8]]
        assert str(narrowed.oldest_first().query).count('"started_at" >=') == 1
    assert rows.older(place).count() == 2


SEARCHES = [
    ({}, "call_by_account"),
    ({"to": "sip:b@x"}, "call_by_account_to"),
    ({"from_": "sip:a@x"}, "call_by_account_from"),
    ({"statuses": ("busy",)}, "call_by_account_status"),
    ({"parent": "CA" + "0" * 32}, "call_by_parent"),
    ({"to": "sip:b@x", "statuses": ("busy",)}, "call_by_account_to"),
    ({"started": Span(NOON, NOON)}, "call_by_account"),
    ({"ended": Span(NOON, NOON)}, "call_by_account"),
]


@pytest.mark.skipif(connection.vendor != "sqlite", reason="reads SQLite's query plans")
@pytest.mark.parametrize(("wanted", "index"), SEARCHES)
@pytest.mark.parametrize("turn", [Turn(), Turn(Place(NOON, "CA" + "5" * 32)), Turn(skip=2)])
def test_every_list_of_calls_is_served_by_an_index_in_its_order(
    alice, make, django_assert_max_num_queries, wanted, index, turn
) -> None:
    for number in range(9):
        make(number)
    rows, rest = sought(alice, **wanted)
    with django_assert_max_num_queries(3) as captured:
        keyset.page(rows, 2, turn, rest, scan=3)
    for query in captured:
        with connection.cursor() as database:
            plan = database.execute("EXPLAIN QUERY PLAN " + query["sql"]).fetchall()
        steps = " | ".join(row[3] for row in plan)
        assert f"{index} " in steps
        assert "USE TEMP B-TREE FOR ORDER BY" not in steps
