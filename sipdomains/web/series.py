"""The quality of a call over time, as the points of a chart. Pure.

Times and values come from ``Call.media["series"]``; anything odd in there draws nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

WIDTH, HEIGHT = 600.0, 60.0
_Curve = tuple[str, str, str, tuple[float, float], tuple[float, float]]
_CURVES: tuple[_Curve, ...] = (
    # field, words, unit, range at least, judged (good, fair): higher is better if good > fair
    ("mos", "Quality (MOS)", "", (1.0, 4.5), (4.0, 3.5)),
    ("loss", "Loss", " %", (0.0, 5.0), (1.0, 3.0)),
    ("jitter", "Jitter", " ms", (0.0, 50.0), (20.0, 50.0)),
)
_REMOTE_CURVES: tuple[_Curve, ...] = (
    ("remote_mos", "Quality (MOS)", "", (1.0, 4.5), (4.0, 3.5)),
    ("remote_loss", "Loss", " %", (0.0, 5.0), (1.0, 3.0)),
    ("remote_jitter", "Jitter", " ms", (0.0, 50.0), (20.0, 50.0)),
    ("rtt", "Round trip", " ms", (0.0, 300.0), (150.0, 300.0)),
)


@dataclass(frozen=True, slots=True)
class Chart:
    """One curve. ``path`` is that of an SVG of WIDTH and HEIGHT; ``limit`` the height of the line
    below (of MOS) or above (of the others) which it is no longer fair."""

    slug: str
    name: str
    path: str
    worst: str
    top: str
    bottom: str
    limit: float
    tone: str
    last: str


def charts(media: Any) -> list[Chart]:
    """Of what we received."""
    return _drawn(media, _CURVES)


def remote_charts(media: Any) -> list[Chart]:
    """Of what the peer received, as its RTCP reports say."""
    return _drawn(media, _REMOTE_CURVES)


def _drawn(media: Any, curves: tuple[_Curve, ...]) -> list[Chart]:
    series = media.get("series") if isinstance(media, dict) else None
    if not isinstance(series, dict):
        return []
    at = _numbers(series.get("at"))
    if len(at) < 2 or any(one is None for one in at):
        return []
    times = [float(one) for one in at if one is not None]
    span = times[-1] - times[0]
    if span <= 0:
        return []
    found = []
    for slug, name, unit, (low, high), (good, fair) in curves:
        values = _numbers(series.get(slug))
        known = [value for value in values if value is not None]
        if len(values) != len(times) or not known:
            continue
        high = max(high, *known)
        better = good > fair
        worst = min(known) if better else max(known)
        found.append(
            Chart(
                slug=slug,
                name=name,
                path=_path(times, values, low, high),
                worst=f"{worst:.1f}{unit}",
                top=f"{round(high, 1):g}{unit}",
                bottom=f"{low:g}",
                limit=round(_height(fair, low, high), 1),
                tone=_tone(worst, good, fair, better),
                last=f"{int(times[-1]) // 60}:{int(times[-1]) % 60:02d}",
            )
        )
    return found


def _numbers(values: Any) -> list[float | None]:
    if not isinstance(values, list):
        return []
    return [
        float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
        for value in values
    ]


def _path(times: list[float], values: list[float | None], low: float, high: float) -> str:
    """Broken where nothing is known."""
    parts, drawing = [], False
    for at, value in zip(times, values, strict=True):
        if value is None:
            drawing = False
            continue
        across = (at - times[0]) / (times[-1] - times[0]) * WIDTH
        parts.append(f"{'L' if drawing else 'M'}{across:.1f} {_height(value, low, high):.1f}")
        drawing = True
    return "".join(parts)


def _height(value: float, low: float, high: float) -> float:
    """From the top."""
    share = (min(max(value, low), high) - low) / (high - low)
    return (1 - share) * (HEIGHT - 4) + 2


def _tone(worst: float, good: float, fair: float, better: bool) -> str:
    if better:
        return "good" if worst >= good else "fair" if worst >= fair else "poor"
    return "good" if worst <= good else "fair" if worst <= fair else "poor"
