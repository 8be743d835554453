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
