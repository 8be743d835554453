"""Filters by time: ``Name``, ``Name<`` and ``Name>`` (rest-api.md section 1).

The value is a day, ``2024-01-02``, or a moment, ``2024-01-02T03:04:05Z``, exact to the second; a
time zone that is not given is UTC. Each stands for the whole of it: ``<`` and ``>`` include the day
or the second that they name.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta

from django.http import QueryDict

from sipdomains.api import vendor
from sipdomains.api.errors import ApiError
from sipdomains.selectors.stretch import Span

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}")
_LONGEST = 40


def span(query: QueryDict, name: str) -> Span:
    """What ``Name``, ``Name<`` and ``Name>`` of a request leave. Raises ApiError."""
    since: list[datetime] = []
    until: list[datetime] = []
    for suffix in ("", ">", "<"):
        text = query.get(name + suffix, "")
        if not text:
            continue
        first, behind = _read(name, text)
        if suffix != "<":
            since.append(first)
        if suffix != ">":
            until.append(behind)
    return Span(max(since, default=None), min(until, default=None))


def names(name: str) -> tuple[str, str, str]:
    """All keys that :func:`span` looks at."""
    return name, f"{name}<", f"{name}>"


def _read(name: str, text: str) -> tuple[datetime, datetime]:
    try:
        if _DAY.match(text):
            first = datetime.combine(date.fromisoformat(text), time(), UTC)
            return first, first + timedelta(days=1)
        if len(text) <= _LONGEST and _MOMENT.match(text):
            moment = datetime.fromisoformat(text)
            moment = moment.replace(tzinfo=moment.tzinfo or UTC, microsecond=0).astimezone(UTC)
            return moment, moment + timedelta(seconds=1)
    except (ValueError, OverflowError):
        pass  # looks like one, but there is no such day
    example = "2024-01-02 or 2024-01-02T03:04:05Z"
    raise ApiError(vendor.INVALID_PARAMETER, f"{name} is not a date such as {example}")
