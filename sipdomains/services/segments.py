"""The only writer of ``ListSegment``: segments of long lists are laid, counted again, lowered.

Housekeeping lays them at the new end of each list, when its rows are old enough that hardly any
will still arrive among them, and counts them again later, because a few did (a call that went on
for long gets its final status at its old place). Who deletes rows lowers their segments in the same
transaction. Under the lock of the account (``hold``) each of these sees what the others did.

The lists of a status are known. Which numbers have long lists is told by samples: some rows of each
segment of all calls are looked at, so that none of many thousand rows is missed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from sipdomains import longlists
from sipdomains.models import Account, ListSegment
from sipdomains.stretch import ListName, Place, Stretch

# Rows younger than that are not laid: those of the same time may not be written yet.
SETTLED = timedelta(minutes=2)
CHECKS = 500  # segments that are counted again in one run
_SOONEST, _LATEST = timedelta(minutes=5), timedelta(days=1)
_SAMPLE = 10  # rows of a segment


def hold(account_sid: str) -> None:
    """Until the end of the transaction, whose first step this has to be: rows that are deleted and
    rows that are counted must not be the same ones. Rows may be added meanwhile."""
    locked = Account.objects.select_for_update(no_key=True).filter(pk=account_sid)
    locked.values_list("pk").first()


def known(account_sid: str) -> set[ListName]:
    """The lists that have segments."""
    found = ListSegment.objects.filter(account=account_sid).order_by()
    pairs = found.values_list("kind", "value").distinct()
    return {ListName(account_sid, kind, value) for kind, value in pairs}


def lower(lists: Mapping[ListName, Sequence[Place]]) -> None:
    """Rows at these places were deleted, in this transaction and under ``hold``. However many they
    are, each segment that they were in is written once."""
    for name, places in lists.items():
        left = sorted(places)
        while left:
            segment = _of(name).filter(_from(left[0])).first()
            if segment is None:
                break  # the new end, which nobody has counted
            gone = bisect_right(left, _end(segment))
            ListSegment.objects.filter(pk=segment.pk).update(rows=F("rows") - gone)
            del left[:gone]


def keep(now: datetime | None = None) -> None:
    """Lay what is missing, and count again what is due; for a task every few minutes."""
    now = now or timezone.now()
    for account_sid in list(Account.objects.values_list("pk", flat=True)):
        _lay_lists(account_sid, now)
    due = ListSegment.objects.filter(check_at__lte=now).order_by("check_at")[:CHECKS]
    chosen = sorted(due, key=lambda segment: (segment.account_id, segment.kind, segment.value))
    for name, segments in groupby(chosen, key=_name):
        _check(name, {segment.pk for segment in segments}, now)


# --- laying ---------------------------------------------------------------------------------------


def _lay_lists(account_sid: str, now: datetime) -> None:
    """A list that narrows another one is looked at when that has grown."""
    have = known(account_sid)
    fixed = longlists.fixed(account_sid)
    grown: set[ListName] = set()
    numbers: set[ListName] = set()
    for name in fixed:
        wider = _wider(name)
        if wider is not None and wider not in grown:
            continue
        for end in _lay(name, now, name in have):
            grown.add(name)
            if name.kind == longlists.CALLS:
                numbers.update(_sample(name, end))
    if numbers:
        for name in numbers | have.difference(fixed):
            for _ in _lay(name, now, name in have):
                pass


def _wider(name: ListName) -> ListName | None:
    """A list that has all rows of this one."""
    if name.kind == longlists.RECORDINGS_KEPT:
        return ListName(name.account, longlists.RECORDINGS)
    return ListName(name.account, longlists.CALLS) if name.kind in longlists.CALLS_BY else None


def _lay(name: ListName, now: datetime, begun: bool) -> Iterator[Place]:
    """The ends of new segments, each of which is committed. ``begun``: there are some already."""
    rows = longlists.rows_of(name).until(now - SETTLED)
    last = _last(name) if begun else None
    while _next(rows, last) is not None:
        with transaction.atomic():
            hold(name.account)
            end = _next(rows, _last(name))
            if end is None:
                return
            _add(name, end, longlists.STEP, now)
        yield end
        last = end


def _next(rows: Stretch, last: Place | None) -> Place | None:
    return rows.newer(last).oldest(longlists.STEP)


def _sample(name: ListName, end: Place) -> set[ListName]:
    """Lists of the numbers that stand in some rows before ``end``."""
    columns = [column for column in longlists.CALLS_BY if column != "status"]
    rows = longlists.rows_of(name).through(end).newest_first().values_list(*columns)[:_SAMPLE]
    return {
        ListName(name.account, column, value)
        for row in rows
        for column, value in zip(columns, row, strict=True)
        if value
    }


# --- counting again -------------------------------------------------------------------------------


def _check(name: ListName, due: set[int], now: datetime) -> None:
    right: list[ListSegment] = []
    last: Place | None = None
    for segment in list(_of(name)):
        if segment.pk in due:
            if 0 != segment.rows == _stretch(name, last, segment).count():
                segment.check_at = _check_at(segment.at, now)
                right.append(segment)
            else:
                _correct(name, segment, now)
        last = _end(segment)
    with transaction.atomic():
        hold(name.account)  # that nobody waits for us who has what we wait for
        ListSegment.objects.bulk_update(right, ["check_at"], batch_size=100)


@transaction.atomic
def _correct(name: ListName, segment: ListSegment, now: datetime) -> None:
    """Count under the lock. One that rows of old times were added to is divided."""
    hold(name.account)
    mine = ListSegment.objects.filter(pk=segment.pk)
    if not mine.exists():
        return
    end = _end(segment)
    earlier = _of(name).filter(_before(end)).last()
    last = _end(earlier) if earlier else None
    rows = _stretch(name, last, segment)
    count = rows.count()
    while count > 2 * longlists.STEP and (cut := _next(rows, last)) is not None:
        _add(name, cut, longlists.STEP, now)
        last, count = cut, count - longlists.STEP
    if count:
        mine.update(rows=count, check_at=_check_at(segment.at, now))
    else:
        mine.delete()


def _stretch(name: ListName, last: Place | None, segment: ListSegment) -> Stretch:
    return longlists.rows_of(name).newer(last).through(_end(segment))


def _check_at(end: datetime, now: datetime) -> datetime:
    """When it is twice as old: what arrives late in a list mostly does so soon. At least daily, for
    rows may be deleted past us."""
    return now + min(max(now - end, _SOONEST), _LATEST)


# --- segments -------------------------------------------------------------------------------------


def _add(name: ListName, end: Place, rows: int, now: datetime) -> None:
    ListSegment.objects.create(
        account_id=name.account,
        kind=name.kind,
        value=name.value,
        at=end.at,
        sid=end.sid,
        rows=rows,
        check_at=_check_at(end.at, now),
    )


def _of(name: ListName) -> QuerySet[ListSegment]:
    """Oldest first."""
    found = ListSegment.objects.filter(account=name.account, kind=name.kind, value=name.value)
    return found.order_by("at", "sid")


def _last(name: ListName) -> Place | None:
    segment = _of(name).last()
    return _end(segment) if segment else None


def _end(segment: ListSegment) -> Place:
    return Place(segment.at, segment.sid)


def _name(segment: ListSegment) -> ListName:
    return ListName(segment.account_id, segment.kind, segment.value)


def _from(place: Place) -> Q:
    """Segments whose end is there or newer."""
    return Q(at__gte=place.at) & (Q(at__gt=place.at) | Q(sid__gte=place.sid))


def _before(place: Place) -> Q:
    return Q(at__lte=place.at) & (Q(at__lt=place.at) | Q(sid__lt=place.sid))
