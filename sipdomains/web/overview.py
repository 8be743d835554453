"""The overview: how the last day went and what is going on, each figure with the list behind it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from sipdomains.access import Scope, scope_of
from sipdomains.selectors import daysample, machinery, overview
from sipdomains.selectors.daysample import Sample
from sipdomains.selectors.overview import Group, Hour
from sipdomains.web import charts
from sipdomains.web.daycurves import day_curves
from sipdomains.web.formatting import milliseconds
from sipdomains.web.forms import zone_named
from sipdomains.web.pages import operator_page

_HOUR = timedelta(hours=1)
_TOP_REASONS = 8
_TOP_DOMAINS = 12


@dataclass(frozen=True, slots=True)
class Figure:
    """``value`` in words, ``link`` to the list behind it, ``tone`` good, warn, bad or empty."""

    name: str
    value: str
    note: str = ""
    link: str = ""
    tone: str = ""


@dataclass(slots=True)
class Line:
    """Of the table of domains."""

    name: str
    link: str
    live: int = 0
    calls: int = 0
    answered: int = 0
    failed: int = 0
    ended: int = 0
    asked: int = 0  # requests of the calls that were looked at
    refused: int = 0  # of these, how many failed

    @property
    def answer_rate(self) -> str:
        return _share(self.answered, self.ended)

    @property
    def failure_rate(self) -> str:
        return _share(self.failed, self.ended)

    @property
    def webhook_errors(self) -> str:
        return _share(self.refused, self.asked)


@operator_page
@require_safe
def overview_page(request: HttpRequest) -> HttpResponse:
    now, scope = timezone.now(), scope_of(request.user)
    zone = zone_named(request.COOKIES.get("tz", ""))
    hours = overview.last_day(scope, now)
    live = overview.live_by_domain(scope)
    groups = [group for hour in hours for group in hour.groups or ()]
    taken = daysample.day_sample(scope, now)
    sample = daysample.together(hour.sample for hour in taken if hour.sample is not None)
    chart = _chart(hours, zone)
    context = {
        "counting": any(hour.groups is None for hour in hours)
        or any(hour.sample is None for hour in taken),
        "figures": [*_figures(groups, live, sample), _phones(request.user, scope, now)],
        "curves": day_curves(taken, [row["label"] for row in chart["rows"]]),
        "per_hour": daysample.PER_HOUR,
        "curve_size": (charts.CURVE_WIDTH, charts.CURVE_HEIGHT),
        "chart": chart,
        "domains": _domains(groups, live, sample, scope),
        "reasons": _reasons(groups),
    }
    if scope.everything:
        context |= {"nodes": _nodes(now), "queues": _queues(now), "workers": machinery.workers()}
    fragment = request.headers.get("HX-Request") == "true"
    return render(request, "web/_overview.html" if fragment else "web/overview.html", context)


# --- figures --------------------------------------------------------------------------------------


def _figures(groups: Iterable[Group], live: dict[str, int], sample: Sample) -> list[Figure]:
    groups = list(groups)
    calls = sum(group.calls for group in groups)
    failed = sum(group.failed for group in groups)
    ended = sum(group.calls for group in groups if group.cause)
    answered = sum(group.answered for group in groups if group.cause)
    median = f"median of {sample.calls:,} call{'s' * (sample.calls != 1)}"
    ringing = charts.percentile(sample.ringing_ms, 0.5)
    asked = len(sample.webhook_ms) + sample.webhook_errors
    mos = charts.percentile(sample.mos, 0.5)
    return [
        Figure("Calls now", f"{sum(live.values()):,}", "", reverse("web:live")),
        Figure("Calls, 24 h", f"{calls:,}", "", _log(range="day")),
        Figure(
            "Failures, 24 h", f"{failed:,}", _share(failed, ended),
            _log(range="day", errors_only="on"),
            "bad" if ended and failed / ended > 0.05 else "",
        ),
        Figure("Answered", _share(answered, ended), "of calls that ended, 24 h",
               _log(range="day", status="completed")),
        Figure("Post-dial delay", _ms(ringing), median, _log(range="day")),
        Figure(
            "Webhooks", _ms(charts.percentile(sample.webhook_ms, 0.5)),
            f"p95 {_ms(charts.percentile(sample.webhook_ms, 0.95))} · errors "
            f"{_share(sample.webhook_errors, asked)} · {asked:,} request{'s' * (asked != 1)}",
            _log(range="day", errors_only="on"),
            "bad" if asked and sample.webhook_errors / asked > 0.05 else "",
        ),
        Figure(
            "Audio quality", f"MOS {mos:.1f}" if mos is not None else "–",
            f"loss {_share(sample.lost, sample.lost + sample.received)} · jitter "
            f"{_ms(charts.percentile(sample.jitter_ms, 0.5))}",
            _log(range="day", status="completed"),
            "" if mos is None or mos >= 3.5 else "bad",
        ),
    ]  # fmt: skip


def _phones(user: Any, scope: Scope, now: datetime) -> Figure:
    listed = user.is_staff and user.has_perm("sipdomains.view_registration")
    link = reverse("admin:sipdomains_registration_changelist") if listed else ""
    return Figure("Phones registered", f"{machinery.registrations(scope, now):,}", "", link)


def _chart(hours: list[Hour], zone: ZoneInfo) -> dict[str, Any]:
    drawn = charts.bars([(hour.calls, hour.failed) for hour in hours])
    rows = []
    for hour, bar in zip(hours, drawn, strict=True):
        local = hour.begin.astimezone(zone)
        rows.append({"hour": hour, "bar": bar, "label": f"{local:%H:%M}",
                     "link": hour_link(hour.begin, zone),
                     "marked": local.hour % 3 == 0})  # fmt: skip
    top = charts.ceiling([hour.calls for hour in hours])
    return {"rows": rows, "top": top, "width": charts.WIDTH, "height": charts.HEIGHT,
            "zone": str(zone)}  # fmt: skip


def hour_link(begin: datetime, zone: ZoneInfo) -> str:
    """The calls of an hour, by the clocks of ``zone``; by UTC where those show an hour twice."""
    ends = [at.astimezone(zone) for at in (begin, begin + _HOUR)]
    if any(at.utcoffset() != at.replace(fold=1 - at.fold).utcoffset() for at in ends):
        zone = ZoneInfo("UTC")
    since, until = (f"{at.astimezone(zone):%Y-%m-%dT%H:%M:%S}" for at in ends)
    tz = str(zone) if str(zone) != "UTC" else ""
    return _log(range="exact", since=since, until=until, tz=tz)


def _domains(
    groups: Iterable[Group], live: dict[str, int], sample: Sample, scope: Scope
) -> list[Line]:
    groups = list(groups)
    names = overview.names_of_domains(
        scope, {group.domain_sid for group in groups if group.domain_sid} | set(live) - {""}
    )
    lines: dict[str, Line] = {}

    def line(sid: str) -> Line:
        name = names.get(sid, "")
        link = _log(range="day", domain=name) if name else ""
        return lines.setdefault(name, Line(name or "no domain of ours", link))

    for group in groups:
        one = line(group.domain_sid)
        one.calls += group.calls
        one.failed += group.failed
        if group.cause:
            one.ended += group.calls
            one.answered += group.answered
    for sid, count in live.items():
        line(sid).live += count
    counted = {group.domain_sid for group in groups}
    for sid, asked, errors in sample.webhooks:
        if sid in counted:  # else it shows with its hour
            line(sid).asked += asked
            line(sid).refused += errors
    return sorted(lines.values(), key=lambda one: (-one.calls, one.name))[:_TOP_DOMAINS]


def _reasons(groups: Iterable[Group]) -> list[dict[str, Any]]:
    counted: Counter[str] = Counter()
    for group in groups:
        if group.failed:
            counted[group.cause] += group.failed
    top = max(counted.values(), default=1)
    return [
        {"cause": cause, "words": _cause_words(cause), "count": count,
         "share": round(100 * count / top, 1), "link": _log(range="day", cause=cause)}
        for cause, count in counted.most_common(_TOP_REASONS)
    ]  # fmt: skip


def _cause_words(cause: str) -> str:
    return cause.replace("-", " ").capitalize()


# --- the server -----------------------------------------------------------------------------------


def _nodes(now: datetime) -> list[dict[str, Any]]:
    rows = []
    for node in machinery.nodes(now):
        if node.stopped_at is not None:
            state, tone = "stopped", "plain"
        elif now - node.heartbeat_at > machinery.LEASE:
            state, tone = "not heard of", "failed"
        elif node.draining:
            state, tone = "draining", "no-answer"
        else:
            state, tone = "running", "completed"
        age = max(0, int((now - node.heartbeat_at).total_seconds()))
        contact = node.contact.replace(",", ", ")  # else it breaks within an address
        rows.append({"node": node, "contact": contact, "state": state, "tone": tone, "age": age})
    return rows


def _queues(now: datetime) -> list[dict[str, Any]]:
    rows = []
    for queue in machinery.queues(now):
        age = int((now - queue.oldest).total_seconds()) if queue.oldest else 0
        rows.append({"queue": queue, "age": age, "late": age > 30})
    return rows


# --- words ----------------------------------------------------------------------------------------


def _log(**fields: str) -> str:
    given = {name: value for name, value in fields.items() if value}
    return f"{reverse('web:calls')}?{urlencode(given)}"


def _share(part: int, whole: int) -> str:
    if not whole:
        return "–"
    value = 100 * part / whole
    return f"{value:.1f} %" if 0 < value < 10 else f"{value:.0f} %"


def _ms(value: float | None) -> str:
    return "–" if value is None else milliseconds(value)
