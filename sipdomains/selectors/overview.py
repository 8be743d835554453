"""What the overview shows, bounded whatever the length of the log.

The last day is counted hour by hour, and hours are kept in the cache: past ones for long, the
present one for seconds. Whoever asks first pays for a part of the day only and gets the rest when
asking again. What needs more than a count (delays, quality) comes from the latest SAMPLE calls.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.core.cache import cache
from django.db.models import Count, Q

from sipdomains.access import Scope
from sipdomains.models import Call, CallEvent, SipDomain, WebhookRequest
from sipdomains.selectors.callfilter import LIVE_STATUSES, ORDINARY_CAUSES, CallFilter
from sipdomains.selectors.calllog import calls_page

HOURS = 24
SAMPLE = 200
BUDGET_SECONDS = 0.04
_HOUR = timedelta(hours=1)
_PRESENT_SECONDS, _PAST_SECONDS = 5, 900
_SETTLED = timedelta(minutes=15)  # after its end an hour's calls have mostly ended
_MAX_ATTEMPTS = 2_000


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


@dataclass(frozen=True, slots=True)
class Hour:
    """From ``begin`` on; ``groups`` None: not counted yet."""

    begin: datetime
    groups: tuple[Group, ...] | None

    @property
    def calls(self) -> int:
        return sum(group.calls for group in self.groups or ())

    @property
    def failed(self) -> int:
        return sum(group.failed for group in self.groups or ())


@dataclass(frozen=True, slots=True)
class Sample:
    """Of the latest calls: what each of them says, in no order. Delays in milliseconds."""

    calls: int = 0
    ringing_ms: tuple[float, ...] = ()
    webhook_ms: tuple[float, ...] = ()
    webhook_errors: int = 0
    mos: tuple[float, ...] = ()
    jitter_ms: tuple[float, ...] = ()
    lost: int = 0
    received: int = 0


def last_day(scope: Scope, now: datetime, budget: float = BUDGET_SECONDS) -> list[Hour]:
    """Oldest first. Counts from the newest hour back until the budget is spent."""
    spent_at = time.monotonic() + budget
    top = now.replace(minute=0, second=0, microsecond=0)
    begins = [top - number * _HOUR for number in range(HOURS)]
    names = {begin: f"overview:{_owner(scope)}:{begin:%Y%m%d%H}" for begin in begins}
    known = cache.get_many(names.values())
    hours = []
    for number, begin in enumerate(begins):
        groups = known.get(names[begin])
        if groups is None and (number == 0 or time.monotonic() < spent_at):
            groups = _count(scope, begin)
            past = begin + _HOUR + _SETTLED < now
            seconds = _PAST_SECONDS if past else _PRESENT_SECONDS
            cache.set(names[begin], groups, seconds)
        hours.append(Hour(begin, groups))
    return hours[::-1]


def _count(scope: Scope, begin: datetime) -> tuple[Group, ...]:
    rows = Call.objects.filter(started_at__gte=begin, started_at__lt=begin + _HOUR)
    counted = (
        scope.narrow(rows)
        .order_by()
        .values_list("domain_id", "cause")
        .annotate(Count("pk"), Count("answered_at"))
    )
    return tuple(Group(domain or "", cause, calls, yes) for domain, cause, calls, yes in counted)


def sample(scope: Scope, now: datetime) -> Sample:
    name = f"overview-sample:{_owner(scope)}"
    found: Sample | None = cache.get(name)
    if found is None:
        found = _sample(scope, now - HOURS * _HOUR)
        cache.set(name, found, 2 * _PRESENT_SECONDS)
    return found


def _sample(scope: Scope, since: datetime) -> Sample:
    page = calls_page(CallFilter(since=since), scope, size=SAMPLE)
    began = {call.sid: call.started_at for call in page.calls}
    rang: dict[str, float] = {}
    told = CallEvent.objects.filter(call__in=began, status__in=("ringing", "in-progress"))
    for sid, at in told.order_by().values_list("call_id", "at"):
        delay = (at - began[sid]).total_seconds() * 1000
        rang[sid] = min(delay, rang.get(sid, delay))
    asked = WebhookRequest.objects.filter(call__in=began).order_by()
    attempts = list(asked.values_list("duration_ms", "error_code")[:_MAX_ATTEMPTS])
    stats = [
        media
        for media in Call.objects.filter(sid__in=began).order_by().values_list("media", flat=True)
        if isinstance(media, dict)
    ]
    return Sample(
        calls=len(began),
        ringing_ms=tuple(value for value in rang.values() if value >= 0),
        webhook_ms=tuple(duration for duration, error in attempts if not error),
        webhook_errors=sum(1 for _, error in attempts if error),
        mos=tuple(_numbers(stats, "mos")),
        jitter_ms=tuple(_numbers(stats, "jitter_ms")),
        lost=int(sum(_numbers(stats, "lost"))),
        received=int(sum(_numbers(stats, "packets_received"))),
    )


def _numbers(stats: list[dict[str, Any]], name: str) -> list[float]:
    values = [one.get(name) for one in stats]
    return [float(v) for v in values if isinstance(v, int | float) and not isinstance(v, bool)]


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


def _owner(scope: Scope) -> str:
    if scope.accounts is None:
        return "every"
    return hashlib.sha256(",".join(sorted(scope.accounts)).encode()).hexdigest()[:32]
