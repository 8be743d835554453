"""How the quality of a call goes, as a short series out of the media worker's reports. Pure.

Reports come every few seconds with counters of the whole leg; kept are fewer than
:data:`MAX_SAMPLES` of them, evenly spread: when they are full, every second one is dropped.

What the peer hears of us comes from its RTCP (RFC 3550 section 6.4.1): of two reports, the
difference of "cumulative number of packets lost" is what was lost between them, that of "extended
highest sequence number received" what was to come; of the first one, its "fraction lost".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sipserver.rtp.quality import mean_opinion_score

MAX_SAMPLES = 240
LIVE_POINTS = 60  # of a call that goes on: they are written again and again
# A peer reports every five seconds or so (RFC 3550 section 6.2). Its last word holds that long.
_REMOTE_HOLDS = 15.0


@dataclass(frozen=True, slots=True)
class _Remote:
    """What the peer has reported; of no report at all if ``reports`` is 0."""

    reports: int = 0
    lost: int = 0
    highest: int = 0
    jitter: float = 0.0
    fraction: float = 0.0  # percent

    @classmethod
    def of(cls, stats: Mapping[str, Any]) -> _Remote:
        if not stats.get("remote_reports"):
            return cls()
        return cls(
            int(stats["remote_reports"]),
            int(stats["remote_lost"] or 0),
            int(stats["remote_highest"] or 0),
            float(stats["remote_jitter_ms"] or 0.0),
            float(stats["remote_fraction"] or 0.0),
        )

    def share_lost_since(self, before: _Remote) -> float | None:
        """0 to 1; None where the two are no stretch of one stream."""
        if not before.reports:
            return self.fraction / 100
        expected = (self.highest - before.highest) & 0xFFFFFFFF
        if not 0 < expected < 1 << 31:  # nothing was to come, or it counts anew
            return None
        return min(1.0, max(0, self.lost - before.lost) / expected)


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
    remote: _Remote


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
            remote=_Remote.of(stats),
        )
        self._waited += 1
        if self._waited < self._every:
            return
        self._waited = 0
        self._samples.append(sample)
        if len(self._samples) >= MAX_SAMPLES:
            self._samples = self._samples[1::2]
            self._every *= 2

    def with_series(self, stats: dict[str, Any], most: int = MAX_SAMPLES) -> dict[str, Any]:
        """``stats`` with ``series`` of at most ``most`` points, of which each is a list: ``at``
        seconds of media, and of the time up to there ``loss`` percent, ``jitter`` ms, ``rtt`` ms
        (None: unknown), ``mos`` (None: nothing came). If the peer reports, ``remote_loss``,
        ``remote_jitter`` and ``remote_mos`` are what it hears (None: it is silent)."""
        step = max(1, -(-len(self._samples) // most))
        samples = self._samples[(len(self._samples) - 1) % step :: step]  # the newest is one
        if len(samples) < 2:
            return stats
        series = _received(samples)
        if samples[-1].remote.reports:
            series |= _reported(samples)
        return {**stats, "series": series}


def _received(samples: Sequence[_Sample]) -> dict[str, list[float | None]]:
    series: dict[str, list[float | None]] = {
        "at": [], "loss": [], "jitter": [], "rtt": [], "mos": [],
    }  # fmt: skip
    before = replace(samples[0], received=0, lost=0)
    for sample in samples:
        if sample.began != before.began:
            before = replace(sample, received=0, lost=0)
        received = max(0, sample.received - before.received)
        lost = max(0, sample.lost - before.lost)
        share = lost / (lost + received) if lost + received else 0.0
        heard = mean_opinion_score(loss=share, jitter_ms=sample.jitter, rtt_ms=sample.rtt or 0.0)
        series["at"].append(round(sample.at, 1))
        series["loss"].append(round(100 * share, 1))
        series["jitter"].append(round(sample.jitter, 1))
        series["rtt"].append(sample.rtt)
        series["mos"].append(heard if received else None)
        before = sample
    return series


def _reported(samples: Sequence[_Sample]) -> dict[str, list[float | None]]:
    """Between two reports the last one holds for a while."""
    series: dict[str, list[float | None]] = {
        "remote_loss": [], "remote_jitter": [], "remote_mos": [],
    }  # fmt: skip
    before, began, told_at = _Remote(), samples[0].began, 0.0
    point: tuple[float | None, float | None, float | None] = (None, None, None)
    for sample in samples:
        now = sample.remote
        if sample.began != began:
            before, began, point = _Remote(), sample.began, (None, None, None)
        if now.reports != before.reports:
            share, told_at = now.share_lost_since(before), sample.at
            heard = None
            if share is not None:
                heard = mean_opinion_score(
                    loss=share, jitter_ms=now.jitter, rtt_ms=sample.rtt or 0.0
                )
            point = (None if share is None else round(100 * share, 1), round(now.jitter, 1), heard)
        elif sample.at - told_at > _REMOTE_HOLDS:
            point = (None, None, None)
        for name, value in zip(series, point, strict=True):
            series[name].append(value)
        before = now
    return series
