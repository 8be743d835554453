"""Delays and quality of a day, hour by hour, as curves of the overview. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sipdomains.selectors.daysample import HourSample, Sample
from sipdomains.web import charts
from sipdomains.web.formatting import milliseconds

Words = Callable[[float], str]


@dataclass(frozen=True, slots=True)
class DayCurve:
    """``usual`` is the path of the medians of hours, ``bad`` that of what 5 % of calls exceed (of
    MOS: fall below). ``rows`` say the same in words: hour, calls looked at, median, bad."""

    name: str
    bad_name: str
    top: str
    usual: str
    bad: str
    rows: tuple[tuple[str, int, str, str], ...]


def day_curves(hours: Sequence[HourSample], labels: Sequence[str]) -> list[DayCurve]:
    """Without those of which nothing is known."""
    found = [
        _curve("Post-dial delay", "p95", hours, labels, lambda one: one.ringing_ms, 0.95, _ms),
        _curve("Webhooks", "p95", hours, labels, lambda one: one.webhook_ms, 0.95, _ms),
        _curve("Audio quality (MOS)", "p5", hours, labels, lambda one: one.mos, 0.05, _mos, 4.5),
    ]
    return [one for one in found if one is not None]


def _curve(
    name: str,
    bad_name: str,
    hours: Sequence[HourSample],
    labels: Sequence[str],
    of: Callable[[Sample], Sequence[float]],
    share: float,
    words: Words,
    top: float = 0.0,
) -> DayCurve | None:
    values = [of(hour.sample) if hour.sample is not None else () for hour in hours]
    usual = [charts.percentile(one, 0.5) for one in values]
    bad = [charts.percentile(one, share) for one in values]
    known = [value for value in (*usual, *bad) if value is not None]
    if not known:
        return None
    top = top or max(1.0, *known)
    return DayCurve(
        name=name,
        bad_name=bad_name,
        top=words(top),
        usual=charts.curve(usual, top),
        bad=charts.curve(bad, top),
        rows=tuple(
            (label, len(one), words(middle), words(worse))
            for label, one, middle, worse in zip(labels, values, usual, bad, strict=True)
            if middle is not None and worse is not None
        ),
    )


def _ms(value: float) -> str:
    return milliseconds(value)


def _mos(value: float) -> str:
    return f"{value:.1f}"
