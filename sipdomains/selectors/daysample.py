"""What needs more than a count on the overview, delays and quality: of a few calls of each hour.

Those are the latest PER_QUARTER calls of each quarter of an hour, so that a busy minute does not
speak for a day, and the cost is the same on a thousand calls and a million. Hours are kept in the
cache; whoever asks first gets a part of the day only, as in ``overview``.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.core.cache import cache

from sipdomains.access import Scope
from sipdomains.models import Call, CallEvent, WebhookRequest
from sipdomains.selectors.callfilter import CallFilter
from sipdomains.selectors.calllog import calls_page
from sipdomains.selectors.overview import HOURS, SETTLED, owner

PER_QUARTER = 10
PER_HOUR = 4 * PER_QUARTER
BUDGET_SECONDS = 0.015
_QUARTER = timedelta(minutes=15)
_HOUR = 4 * _QUARTER
_FRESH = timedelta(seconds=20)  # of an hour whose calls go on
_KEPT_SECONDS = 25 * 3600
_MAX_ATTEMPTS = 400  # of one hour
_MEASURES = ("mos", "jitter_ms", "lost", "packets_received")


@dataclass(frozen=True, slots=True)
class Sample:
    """What some calls say, in no order. Delays in milliseconds; ``webhooks`` are (domain SID,
    requests, errors)."""

    calls: int = 0
    ringing_ms: tuple[float, ...] = ()
    webhook_ms: tuple[float, ...] = ()
    webhook_errors: int = 0
    webhooks: tuple[tuple[str, int, int], ...] = ()
    mos: tuple[float, ...] = ()
    jitter_ms: tuple[float, ...] = ()
    lost: int = 0
    received: int = 0


@dataclass(frozen=True, slots=True)
class HourSample:
    """``sample`` None: not taken yet."""

    begin: datetime
    sample: Sample | None
    taken_at: datetime | None = None


def day_sample(scope: Scope, now: datetime, budget: float | None = None) -> list[HourSample]:
    """Oldest first. The present hour first, then those that were never looked at, then those that
    have changed since; all but the first only until the budget is spent."""
    spent_at = time.monotonic() + (BUDGET_SECONDS if budget is None else budget)
    top = now.replace(minute=0, second=0, microsecond=0)
    names = {
        top - number * _HOUR: f"overview:{owner(scope)}:sample:{top - number * _HOUR:%Y%m%d%H}"
        for number in range(HOURS)
    }
    known = cache.get_many(names.values())
    hours = {begin: known.get(name) or HourSample(begin, None) for begin, name in names.items()}
    missing = [begin for begin in names if hours[begin].sample is None and begin != top]
    stale = [begin for begin in names if begin not in (top, *missing) and _stale(hours[begin], now)]
    for begin in [top] * _stale(hours[top], now) + missing + stale:
        if begin != top and time.monotonic() >= spent_at:
            break
        hours[begin] = HourSample(begin, _taken(scope, begin), now)
        cache.set(names[begin], hours[begin], _KEPT_SECONDS)
    return sorted(hours.values(), key=lambda hour: hour.begin)


def _stale(hour: HourSample, now: datetime) -> bool:
    if hour.taken_at is None:
        return True
    settled = hour.begin + _HOUR + SETTLED
    return hour.taken_at < settled and now - hour.taken_at >= _FRESH


def together(samples: Iterable[Sample]) -> Sample:
    whole = Sample()
    for one in samples:
        whole = replace(
            whole,
            calls=whole.calls + one.calls,
            ringing_ms=whole.ringing_ms + one.ringing_ms,
            webhook_ms=whole.webhook_ms + one.webhook_ms,
            webhook_errors=whole.webhook_errors + one.webhook_errors,
            webhooks=whole.webhooks + one.webhooks,
            mos=whole.mos + one.mos,
            jitter_ms=whole.jitter_ms + one.jitter_ms,
            lost=whole.lost + one.lost,
            received=whole.received + one.received,
        )
    return whole


def _taken(scope: Scope, begin: datetime) -> Sample:
    calls = [
        call
        for quarter in range(4)
        for call in calls_page(_within(begin + quarter * _QUARTER), scope, size=PER_QUARTER).calls
    ]
    began = {call.sid: call.started_at for call in calls}
    if not began:
        return Sample()
    rang: dict[str, float] = {}
    told = CallEvent.objects.filter(call__in=began, status__in=("ringing", "in-progress"))
    for sid, at in told.order_by().values_list("call_id", "at"):
        delay = (at - began[sid]).total_seconds() * 1000
        rang[sid] = min(delay, rang.get(sid, delay))
    # Single figures: with its course over the call, the media of one may be ten kilobytes.
    measures = [f"media__{name}" for name in _MEASURES]
    rows = Call.objects.filter(sid__in=began).order_by()
    stats = list(rows.values_list("sid", "domain_id", *measures))
    domains = {row[0]: row[1] or "" for row in stats}
    asked = WebhookRequest.objects.filter(call__in=began).order_by()
    attempts = list(asked.values_list("call_id", "duration_ms", "error_code")[:_MAX_ATTEMPTS])
    of_domains: dict[str, tuple[int, int]] = {}
    for sid, _, error in attempts:
        requests, errors = of_domains.get(domains.get(sid, ""), (0, 0))
        of_domains[domains.get(sid, "")] = (requests + 1, errors + bool(error))
    mos, jitter, lost, received = (_numbers(row[place] for row in stats) for place in range(2, 6))
    return Sample(
        calls=len(began),
        ringing_ms=tuple(value for value in rang.values() if value >= 0),
        webhook_ms=tuple(duration for _, duration, error in attempts if not error),
        webhook_errors=sum(1 for *_, error in attempts if error),
        webhooks=tuple((domain, *counts) for domain, counts in of_domains.items()),
        mos=mos,
        jitter_ms=jitter,
        lost=int(sum(lost)),
        received=int(sum(received)),
    )


def _within(begin: datetime) -> CallFilter:
    return CallFilter(since=begin, until=begin + _QUARTER)


def _numbers(values: Iterable[object]) -> tuple[float, ...]:
    return tuple(float(v) for v in values if isinstance(v, int | float) and not isinstance(v, bool))
