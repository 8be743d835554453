"""HTTP caching of documents and audio (RFC 9111, private; webhooks.md section 1). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

MAX_AGE = 365 * 24 * 3600
HEURISTIC_MAX = 24 * 3600
HEURISTIC_DEFAULT = 300
"""Seconds that an answer without any caching header stays fresh: the loop of a waiting call must
not fetch its music each time, and a changed file should be heard soon."""


class HeaderMap(dict[str, str]):
    """Header fields by lower-case name, several lines of one name joined by commas."""

    def __init__(self, lines: Iterable[tuple[str, str]]) -> None:
        super().__init__()
        for name, value in lines:
            lower = name.lower()
            self[lower] = f"{self[lower]}, {value}" if lower in self else value


@dataclass(frozen=True, slots=True)
class Freshness:
    """How long an answer may be used. ``store`` False: for this request only. ``until`` is epoch
    seconds; after that it is revalidated by ``etag`` or ``last_modified`` if there is one."""

    store: bool
    until: float
    etag: str = ""
    last_modified: str = ""


def freshness(headers: Mapping[str, str], now: float) -> Freshness:
    """Of an answer with these headers (by lower-case name) received at ``now``."""
    control = _directives(headers.get("cache-control", ""))
    etag, modified = headers.get("etag", "")[:1024], headers.get("last-modified", "")[:64]
    if "no-store" in control or headers.get("vary", "").strip() == "*":
        return Freshness(store=False, until=0.0)
    if "no-cache" in control or (not control and "no-cache" in headers.get("pragma", "").lower()):
        return Freshness(True, now, etag, modified)
    age = _seconds(headers.get("age")) or 0
    lifetime = _lifetime(control, headers, now)
    return Freshness(True, now + max(lifetime - age, 0), etag, modified)


def _lifetime(control: Mapping[str, str], headers: Mapping[str, str], now: float) -> float:
    if (seconds := _seconds(control.get("max-age"))) is not None:
        return seconds
    if "max-age" in control:
        return 0  # not a number: stale (RFC 9111 section 4.2.1)
    if "expires" in headers:
        expires = _date(headers["expires"])
        date = _date(headers.get("date", "")) or now
        return min(max(expires - date, 0), MAX_AGE) if expires is not None else 0
    modified = _date(headers.get("last-modified", ""))
    if modified is not None and modified < now:
        return min((now - modified) / 10, HEURISTIC_MAX)
    return HEURISTIC_DEFAULT


def _directives(value: str) -> dict[str, str]:
    directives: dict[str, str] = {}
    for item in value[:1024].split(","):
        name, _, argument = item.strip().partition("=")
        if name:
            directives.setdefault(name.strip().lower(), argument.strip().strip('"'))
    return directives


def _seconds(value: str | None) -> int | None:
    """Delta-seconds (RFC 9111 section 1.2.2), cut at a year."""
    if value is None:
        return None
    value = value.strip()
    if not (value.isascii() and value.isdigit()):
        return None
    return MAX_AGE if len(value) > 9 else min(int(value), MAX_AGE)


def _date(value: str) -> float | None:
    try:
        return parsedate_to_datetime(value).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
