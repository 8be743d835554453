"""What the overview shows, bounded whatever the length of the log.

The last day is counted hour by hour, in pieces of minutes where an hour is busy, and what was
counted is kept in the cache: the past for long, the present for seconds. Whoever asks first pays
for a part of the day only and gets the rest when asking again. What needs more than a count, delays
and quality, is in ``daysample``.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.core.cache import cache
from django.db.models import Count, Q, QuerySet

from sipdomains.access import Scope
from sipdomains.models import Call, SipDomain
from sipdomains.selectors.callfilter import LIVE_STATUSES, ORDINARY_CAUSES

HOURS = 24
BUDGET_SECONDS = 0.02
SETTLED = timedelta(minutes=15)  # after that, most calls of a time have ended
_HOUR = timedelta(hours=1)
_SHORT = timedelta(minutes=5)
_BUSY = 4_000  # calls of an hour
_PRESENT, _PAST = timedelta(seconds=5), timedelta(minutes=15)
_KEPT_SECONDS = 25 * 3600

Piece = tuple[datetime, timedelta]  # of time: its begin and length


@dataclass(frozen=True, slots=True)
class Group:
    """Calls of one domain ("" for none of ours) that ended for one cause ("": they go on)."""

    domain_sid: str
    cause: str
    calls: int
    answered: int

    @property
    def failed(self) -> int:
        return 0 if self.cause in ("", *ORDINARY_CAUSES) else self.calls


Groups = tuple[Group, ...]
Kept = dict[Piece, tuple[Groups, datetime]]  # with when it was counted


@dataclass(frozen=True, slots=True)
class Hour:
    """From ``begin`` on; ``groups`` None: not counted yet."""

    begin: datetime
    groups: Groups | None

    @property
    def calls(self) -> int:
        return sum(group.calls for group in self.groups or ())

    @property
    def failed(self) -> int:
        return sum(group.failed for group in self.groups or ())


def last_day(scope: Scope, now: datetime, budget: float | None = None) -> list[Hour]:
    """Oldest first. The present is counted always; then, newest first and until the budget is
    spent, what was never counted, then what may have changed since it was."""
    spent_at = time.monotonic() + (BUDGET_SECONDS if budget is None else budget)
    top = now.replace(minute=0, second=0, microsecond=0)
    begins = [top - number * _HOUR for number in range(HOURS)]
    names = {begin: f"overview:{owner(scope)}:pieces:{begin:%Y%m%d%H}" for begin in begins}
    known = cache.get_many(names.values())
    kept: dict[datetime, Kept] = {begin: dict(known.get(names[begin], ())) for begin in begins}
    pieces = {top: _pieces(top, now)}
    changed = set()

    def count(hour: datetime, piece: Piece) -> None:
        kept[hour][piece] = (_count(scope, piece), now)
        changed.add(hour)

    present = pieces[top][-1]
    if _stale(kept[top].get(present), present, now):
        count(top, present)
    for begin in begins:
        if begin not in pieces and (kept[begin] or time.monotonic() < spent_at):
            pieces[begin] = _pieces_of_past(scope, begin, now, kept[begin])
        for piece in reversed(pieces.get(begin, [])):
            if piece not in kept[begin] and time.monotonic() < spent_at:
                count(begin, piece)
    for begin in begins:
        for piece in reversed(pieces.get(begin, [])):
            if time.monotonic() >= spent_at:
                break
            if _stale(kept[begin].get(piece), piece, now):
                count(begin, piece)
    for begin in changed:
        cache.set(names[begin], kept[begin], _KEPT_SECONDS)
    return [Hour(begin, _whole(kept[begin], pieces.get(begin))) for begin in reversed(begins)]


def _pieces(begin: datetime, now: datetime) -> list[Piece]:
    """Of an hour, as far as they have begun."""
    each = (begin + number * _SHORT for number in range(_HOUR // _SHORT))
    return [(one, _SHORT) for one in each if one <= now]


def _pieces_of_past(scope: Scope, begin: datetime, now: datetime, kept: Kept) -> list[Piece]:
    """An hour that has long passed and was quiet is one piece."""
    whole = (begin, _HOUR)
    if whole in kept:
        return [whole]
    if kept or begin + _HOUR + SETTLED >= now:
        return _pieces(begin, now)
    few = scope.narrow(_calls(whole)).order_by().values("pk")[: _BUSY + 1].count() <= _BUSY
    return [whole] if few else _pieces(begin, now)


def _stale(known: tuple[Groups, datetime] | None, piece: Piece, now: datetime) -> bool:
    if known is None:
        return True
    groups, counted_at = known
    settled = piece[0] + piece[1] + SETTLED
    if counted_at < settled:
        return now - counted_at >= _PRESENT
    return any(not group.cause for group in groups) and now - counted_at >= _PAST


def _whole(kept: Kept, pieces: list[Piece] | None) -> Groups | None:
    """None unless all pieces are known."""
    if pieces is None or any(piece not in kept for piece in pieces):
        return None
    sums: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for piece in pieces:
        for group in kept[piece][0]:
            both = sums[group.domain_sid, group.cause]
            both[0] += group.calls
            both[1] += group.answered
    return tuple(Group(domain, cause, *counts) for (domain, cause), counts in sums.items())


def _calls(piece: Piece) -> QuerySet[Call]:
    begin, length = piece
    return Call.objects.filter(started_at__gte=begin, started_at__lt=begin + length)


def _count(scope: Scope, piece: Piece) -> Groups:
    counted = (
        scope.narrow(_calls(piece))
        .order_by()
        .values_list("domain_id", "cause")
        .annotate(Count("pk"), Count("answered_at"))
    )
    return tuple(Group(domain or "", cause, calls, yes) for domain, cause, calls, yes in counted)


def live_by_domain(scope: Scope) -> dict[str, int]:
    """Domain SID ("" for none of ours) → calls that go on."""
    if scope.accounts is None:
        # In the order of the partial index of open calls, or SQLite walks all calls by domain.
        rows = Call.objects.filter(ended_at=None).order_by("node")
    else:
        rows = scope.narrow(Call.objects.filter(status__in=LIVE_STATUSES)).order_by()
    return dict(Counter(domain or "" for domain in rows.values_list("domain_id", flat=True)))


def names_of_domains(scope: Scope, domain_sids: set[str]) -> dict[str, str]:
    rows = scope.narrow(SipDomain.objects.filter(Q(sid__in=domain_sids)))
    return dict(rows.order_by().values_list("sid", "domain_name"))


def owner(scope: Scope) -> str:
    if scope.accounts is None:
        return "every"
    return hashlib.sha256(",".join(sorted(scope.accounts)).encode()).hexdigest()[:32]
