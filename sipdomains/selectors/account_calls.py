"""Calls of one account, as the REST API lists them.

One condition leads: it is served by an index in the order of the list. What else is asked for is
the rest, for which a bounded number of rows is looked at (see ``keyset``).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db.models import F, Q, QuerySet, Value
from django.db.models.functions import Coalesce
from django.db.models.lookups import In

from sipdomains import longlists
from sipdomains.models import Account, Call
from sipdomains.stretch import ANY_TIME, ListName, Span, Stretch

ORDER = longlists.CALLS_ORDER
# From the row of a call to its end at most: an hour in the queue, ten minutes of ringing, a day.
LONGEST = timedelta(hours=26)
SHOWN = (
    "sid",
    "account_id",
    "parent_id",
    "direction",
    "from_uri",
    "to_uri",
    "status",
    "started_at",
    "answered_at",
    "ended_at",
    "updated_at",
    "duration",
    "queue_ms",
)


def of_account(account: Account) -> QuerySet[Call]:
    return Call.objects.filter(account=account).only(*SHOWN)


def sought(
    account: Account,
    *,
    to: str = "",
    from_: str = "",
    parent: str = "",
    statuses: tuple[str, ...] = (),
    started: Span = ANY_TIME,
    ended: Span = ANY_TIME,
) -> tuple[Stretch, Q | None]:
    """(what an index serves, the rest). Empty means any."""
    calls = of_account(account)
    name: ListName | None = ListName(account.sid, longlists.CALLS)
    wishes = list(_wishes(to, from_, parent, statuses))
    for column, values in wishes[:1]:
        calls = calls.filter(**{f"{column}__in": values})
        long = column in longlists.CALLS_BY and len(values) == 1
        name = ListName(account.sid, column, values[0]) if long else None
    rest = Q(*[row_by_row(*wish) for wish in wishes[1:]])
    reach = started.of(Stretch(calls, ORDER, name=name))
    if ended.since is not None:
        reach = reach.starting(_less(ended.since))
        rest &= Q(ended_at__gte=ended.since)
    if ended.until is not None:
        reach = reach.until(ended.until)
        rest &= Q(ended_at__lt=ended.until)
    return reach, rest or None


_Wish = tuple[str, tuple[str, ...]]  # a column and the values that it may have


def _wishes(to: str, from_: str, parent: str, statuses: tuple[str, ...]) -> Iterator[_Wish]:
    """The most selective one first; each of them could lead."""
    if parent:
        yield "parent_id", (parent,)
    if to:
        yield "to_uri", (to,)
    if from_:
        yield "from_uri", (from_,)
    if statuses:
        yield "status", statuses


def row_by_row(column: str, values: tuple[str, ...]) -> In:
    """The condition in a form that no index serves: the database shall take the one that leads,
    for the rows that are looked at are the next ones by that."""
    return In(Coalesce(F(column), Value("")), values)


def _less(moment: datetime) -> datetime:
    """LONGEST before; as early as there are times, for a moment near there."""
    try:
        return moment - LONGEST
    except OverflowError:
        return moment
