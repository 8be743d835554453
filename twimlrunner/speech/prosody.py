"""Values of SSML attributes (W3C SSML 1.1 sections 3.2.2 to 3.2.4) as numbers. Pure.

Wrong values count as absent.
"""

from __future__ import annotations

import re

MAX_BREAK_MS = 10_000

_BREAKS = {"none": 0, "x-weak": 100, "weak": 200, "medium": 400, "strong": 700, "x-strong": 1000}
_RATES = {"x-slow": 0.5, "slow": 0.75, "medium": 1.0, "fast": 1.25, "x-fast": 1.5}
_PITCHES = {"x-low": 0.7, "low": 0.85, "medium": 1.0, "high": 1.15, "x-high": 1.3}
_VOLUMES = {
    "silent": -96.0,
    "x-soft": -12.0,
    "soft": -6.0,
    "medium": 0.0,
    "loud": 4.0,
    "x-loud": 8.0,
}
_EMPHASIS = {"strong": (0.85, 3.0), "moderate": (0.92, 1.5), "none": (1.0, 0.0)}
_TIME = re.compile(r"\+?(\d{1,6}(?:\.\d{1,6})?|\.\d{1,6})(ms|s)")
_CHANGE = re.compile(r"([+-]?)(\d{1,4}(?:\.\d{1,4})?)(%|st|Hz|hz|dB|db)?")
_MEAN_HZ = 190.0
"""Of the default voice: what a change given in hertz is taken from."""


def break_ms(strength: str | None, time: str | None) -> int:
    """Milliseconds of a ``break``; ``time`` wins."""
    if time and (match := _TIME.fullmatch(time.strip())):
        ms = float(match[1]) * (1 if match[2] == "ms" else 1000)
        return min(round(ms), MAX_BREAK_MS)
    return _BREAKS.get((strength or "medium").strip(), _BREAKS["medium"])


def emphasis(level: str | None) -> tuple[float, float]:
    """(rate factor, change of volume in dB)."""
    if level == "reduced":
        return 1.1, -3.0
    return _EMPHASIS.get(level or "moderate", _EMPHASIS["moderate"])


def rate_factor(value: str | None) -> float:
    """``slow``, ``80%``, ``+10%``, ``1.2``."""
    if not value:
        return 1.0
    match = _CHANGE.fullmatch(value.strip())
    if match is None or match[3] not in {None, "%"}:
        return _RATES.get(value.strip(), 1.0)
    number = float(match[2]) / (100 if match[3] else 1)
    if match[1]:
        return max(1.0 + (number if match[1] == "+" else -number), 0.1)
    return number or 1.0


def pitch_factor(value: str | None) -> float:
    """``high``, ``+10%``, ``-2st``, ``+20Hz``, ``200Hz``."""
    if not value:
        return 1.0
    match = _CHANGE.fullmatch(value.strip())
    if match is None or match[3] is None:
        return _PITCHES.get(value.strip(), 1.0)
    number = float(match[2]) * (-1 if match[1] == "-" else 1)
    match match[3].lower():
        case "%":
            return max(1.0 + number / 100 if match[1] else number / 100, 0.1)
        case "st":
            return float(2.0 ** (min(max(number, -24), 24) / 12))
        case "hz":
            return max((_MEAN_HZ + number if match[1] else number) / _MEAN_HZ, 0.1)
        case _:
            return 1.0


def volume_db(value: str | None) -> float:
    """``loud``, ``+6dB``, ``-3dB``."""
    if not value:
        return 0.0
    match = _CHANGE.fullmatch(value.strip())
    if match is None or (match[3] or "").lower() != "db":
        return _VOLUMES.get(value.strip(), 0.0)
    return float(match[2]) * (-1 if match[1] == "-" else 1)
