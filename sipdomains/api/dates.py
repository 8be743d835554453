"""Filters by time: ``Name``, ``Name<`` and ``Name>`` (rest-api.md section 1).

The value is a day, ``2024-01-02``, which is its midnight, or a moment, ``2024-01-02T03:04:05Z``; a
time zone that is not given is UTC. ``Name`` alone means the whole day of it, for clients write even
a day as a moment. ``<`` and ``>`` include the second that they name.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta

from django.http import QueryDict

from sipdomains.api import vendor
from sipdomains.api.errors import ApiError
from sipdomains.stretch import Span

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
        moment = _read(name, text)
        try:
            match suffix:
                case ">":
                    since.append(moment)
                case "<":
                    until.append(moment + timedelta(seconds=1))
                case _:
                    since.append(moment.replace(hour=0, minute=0, second=0))
                    until.append(since[-1] + timedelta(days=1))
        except OverflowError:
            raise _unreadable(name) from None
    return Span(max(since, default=None), min(until, default=None))


def names(name: str) -> tuple[str, str, str]:
    """All keys that :func:`span` looks at."""
    return name, f"{name}<", f"{name}>"


def _read(name: str, text: str) -> datetime:
    try:
        if _DAY.match(text):
            return datetime.combine(date.fromisoformat(text), time(), UTC)
        if len(text) <= _LONGEST and _MOMENT.match(text):
            moment = datetime.fromisoformat(text)
            return moment.replace(tzinfo=moment.tzinfo or UTC, microsecond=0).astimezone(UTC)
    except (ValueError, OverflowError):
        raise _unreadable(name) from None
    raise _unreadable(name)


def _unreadable(name: str) -> ApiError:
    example = "2024-01-02 or 2024-01-02T03:04:05Z"
    return ApiError(vendor.INVALID_PARAMETER, f"{name} is not a date such as {example}")
