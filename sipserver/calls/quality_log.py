"""How the quality of a call went, as a short series out of the media worker's reports. Pure.

Reports come every few seconds with counters of the whole leg; kept are fewer than
:data:`MAX_SAMPLES` of them, evenly spread: when they are full, every second one is dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sipserver.rtp.quality import mean_opinion_score

MAX_SAMPLES = 240


@dataclass(frozen=True, slots=True)
class _Sample:
    """Counters up to ``at`` seconds of media; ``began`` tells apart the sessions of a leg that has
    moved to another media worker, where counters begin anew."""

    at: float
    began: float
    received: int
    lost: int
    jitter: float
    rtt: float | None


class QualityLog:
    __slots__ = ("_every", "_latest", "_samples", "_waited")

    def __init__(self) -> None:
        self._samples: list[_Sample] = []
        self._latest: _Sample | None = None
        self._every = 1
        self._waited = 0

    def add(self, stats: Mapping[str, Any]) -> None:
        """A report of the worker (``STATS_FIELDS`` of the media protocol)."""
        seconds = float(stats["duration_s"])
        last = self._latest
        began = 0.0
        if last is not None:
            # Shorter than before: another session of this leg.
            began = last.began if last.began + seconds >= last.at else last.at
        sample = self._latest = _Sample(
            at=began + seconds,
            began=began,
            received=int(stats["packets_received"]),
            lost=int(stats["lost"]),
            jitter=float(stats["jitter_ms"]),
            rtt=stats["rtt_ms"],
        )
        self._waited += 1
        if self._waited < self._every:
            return
        self._waited = 0
        self._samples.append(sample)
        if len(self._samples) >= MAX_SAMPLES:
            self._samples = self._samples[1::2]
            self._every *= 2

    def with_series(self, stats: dict[str, Any]) -> dict[str, Any]:
        """``stats`` with ``series``, of which each is a list: ``at`` seconds of media, and of the
        time up to there ``loss`` percent, ``jitter`` ms, ``rtt`` ms (None: unknown), ``mos`` (None:
        nothing came)."""
        if len(self._samples) < 2:
            return stats
        series: dict[str, list[float | None]] = {
            "at": [], "loss": [], "jitter": [], "rtt": [], "mos": [],
        }  # fmt: skip
        before = replace(self._samples[0], received=0, lost=0)
        for sample in self._samples:
            if sample.began != before.began:
                before = replace(sample, received=0, lost=0)
            received = max(0, sample.received - before.received)
            lost = max(0, sample.lost - before.lost)
            share = lost / (lost + received) if lost + received else 0.0
            heard = mean_opinion_score(
                loss=share, jitter_ms=sample.jitter, rtt_ms=sample.rtt or 0.0
            )
            series["at"].append(round(sample.at, 1))
            series["loss"].append(round(100 * share, 1))
            series["jitter"].append(round(sample.jitter, 1))
            series["rtt"].append(sample.rtt)
            series["mos"].append(heard if received else None)
            before = sample
        return {**stats, "series": series}
