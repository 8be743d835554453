"""A stretch of a list that is ordered by a time and a SID.

Whatever narrows it, a query has one bound at either end: SQLite uses only one of several, and not
the best one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Of a row, in the order of (time, SID). An empty SID is before all rows of that time;
    ``behind`` is between that row and the next newer one."""

    at: datetime
    sid: Any = ""
    behind: bool = False


@dataclass(frozen=True, slots=True)
class Order:
    """By a time, then by what is unique in the list: a SID, or a number if it is ``numeric``. Names
    of the columns."""

    time: str
    sid: str = "pk"
    numeric: bool = False

    def of(self, row: Any) -> Place:
        return Place(getattr(row, self.time), getattr(row, self.sid))


@dataclass(frozen=True, slots=True)
class ListName:
    """Of a list that may be long (see ``longlists``): which one of the account."""

    account: str
    kind: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class Stretch:
    """The rows newer than ``after`` and older than ``before``, neither included. ``name`` is that
    of the list, if it has one: of all its rows, without these bounds."""

    rows: QuerySet[Any]
    order: Order
    after: Place | None = None
    before: Place | None = None
    name: ListName | None = None

    def newer(self, place: Place | None) -> Stretch:
        if place is None or (self.after is not None and self.after >= place):
            return self
        return replace(self, after=place)

    def older(self, place: Place | None) -> Stretch:
        if place is None or (self.before is not None and self.before <= place):
            return self
        return replace(self, before=place)

    def through(self, place: Place) -> Stretch:
        """Up to the row at ``place``, included."""
        return self.older(replace(place, behind=True))

    def starting(self, moment: datetime | None) -> Stretch:
        """From ``moment`` on, included."""
        return self if moment is None else self.newer(Place(moment))

    def until(self, moment: datetime | None) -> Stretch:
        """Before ``moment``, not included."""
        return self if moment is None else self.older(Place(moment))

    def that(self, condition: Q) -> Stretch:
        return replace(self, rows=self.rows.filter(condition), name=None)

    def newest_first(self) -> QuerySet[Any]:
        return self._bounded().order_by(f"-{self.order.time}", f"-{self.order.sid}")

    def oldest_first(self) -> QuerySet[Any]:
        return self._bounded().order_by(self.order.time, self.order.sid)

    def newest(self, number: int) -> Place | None:
        """The place of the ``number``-th row. Read from the index alone."""
        return next(iter(self._places(self.newest_first(), number, number + 1)), None)

    def oldest(self, number: int) -> Place | None:
        return next(iter(self._places(self.oldest_first(), number, number + 1)), None)

    def newest_two(self, number: int) -> tuple[Place, Place] | tuple[None, None]:
        """Of the ``number``-th row and the one behind it, if there is one behind it."""
        return self._pair(self.newest_first(), number)

    def oldest_two(self, number: int) -> tuple[Place, Place] | tuple[None, None]:
        return self._pair(self.oldest_first(), number)

    def count(self) -> int:
        return self._bounded().count()

    def _places(self, ordered: QuerySet[Any], first: int, behind: int) -> list[Place]:
        found = ordered.values_list(self.order.time, self.order.sid)[first - 1 : behind - 1]
        return [Place(at, sid) for at, sid in found]

    def _pair(self, ordered: QuerySet[Any], number: int) -> tuple[Place, Place] | tuple[None, None]:
        found = self._places(ordered, number, number + 2)
        return (found[0], found[1]) if len(found) == 2 else (None, None)

    def _bounded(self) -> QuerySet[Any]:
        rows = self.rows
        # The first condition of each pair is implied by the second; an index can use the first.
        at, sid = self.order.time, self.order.sid
        if (after := self.after) is not None:
            rows = rows.filter(**{f"{at}__gte": after.at})
            if after.sid:
                rows = rows.filter(Q(**{f"{at}__gt": after.at}) | Q(**{f"{sid}__gt": after.sid}))
        if (before := self.before) is not None:
            if not before.sid:
                return rows.filter(**{f"{at}__lt": before.at})
            up_to = "lte" if before.behind else "lt"
            rows = rows.filter(
                Q(**{f"{at}__lt": before.at}) | Q(**{f"{sid}__{up_to}": before.sid}),
                **{f"{at}__lte": before.at},
            )
        return rows


@dataclass(frozen=True, slots=True)
class Span:
    """From ``since`` on, included, until ``until``, not included; None: without end."""

    since: datetime | None = None
    until: datetime | None = None

    def of(self, rows: Stretch) -> Stretch:
        return rows.starting(self.since).until(self.until)


ANY_TIME = Span()
