"""Charts as shapes that a template draws as SVG. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 960, 180
_TOP = 14


@dataclass(frozen=True, slots=True)
class Bar:
    """``low`` is the part at its foot (failures), ``high`` the rest; y grows downwards."""

    x: float
    width: float
    low_y: float
    low_height: float
    high_y: float
    high_height: float


def bars(values: Sequence[tuple[int, int]], width: int = WIDTH, height: int = HEIGHT) -> list[Bar]:
    """One for each (whole, part of it)."""
    if not values:
        return []
    top = max(1, max(whole for whole, _ in values))
    slot = width / len(values)
    scale = (height - _TOP) / top
    drawn = []
    for number, (whole, part) in enumerate(values):
        low, high = part * scale, (whole - part) * scale
        drawn.append(
            Bar(
                number * slot + slot * 0.1, slot * 0.8, height - low, low, height - low - high, high
            )
        )
    return drawn


def ceiling(values: Sequence[int]) -> int:
    return max(1, *values) if values else 1


def percentile(values: Sequence[float], share: float) -> float | None:
    """The value that ``share`` of them do not exceed (nearest rank)."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


CURVE_WIDTH, CURVE_HEIGHT = 480, 70
_DASH = 5  # half of its length


def curve(values: Sequence[float | None], top: float) -> str:
    """The path of an SVG through values of 0 to ``top``, one for each slot of the width; broken
    where nothing is known, a dash where a value stands alone."""
    slot = CURVE_WIDTH / max(1, len(values))
    parts, drawing = [], False
    for number, value in enumerate(values):
        if value is None:
            drawing = False
            continue
        x = (number + 0.5) * slot
        y = 2 + (1 - min(1.0, max(0.0, value / top))) * (CURVE_HEIGHT - 4)
        is_last = number + 1 == len(values) or values[number + 1] is None
        if is_last and not drawing:
            parts.append(f"M{x - _DASH:.1f} {y:.1f}h{2 * _DASH}")
        else:
            parts.append(f"{'L' if drawing else 'M'}{x:.1f} {y:.1f}")
        drawing = True
    return "".join(parts)
