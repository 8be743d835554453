"""Media statistics (``STATS_FIELDS`` of the media protocol) as rows with a judgement. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """``mark`` good, fair or poor, or empty where there is nothing to judge."""

    name: str
    value: str
    mark: str = ""
    note: str = ""


def media_rows(stats: Any, peer: str = "caller") -> list[Row]:
    """Rows of what is known; none for a call without media. ``peer`` is who is at the other end."""
    if not isinstance(stats, dict) or not stats:
        return []
    rows = [
        Row("Codec", str(stats.get("codec") or "not agreed")),
        _remote(stats),
        _number(stats, "duration_s", "Duration of the media", "{:.1f} s"),
        _number(stats, "mos", "Quality we hear (MOS)", "{:.1f}", _high(4.0, 3.5), "of 5"),
        _number(stats, "packets_sent", "Packets sent", "{:,.0f}"),
        _received(stats),
        _loss(stats, "lost", "packets_received", "Lost on the way to us"),
        _number(stats, "jitter_ms", "Jitter, from the caller", "{:.1f} ms", _low(20, 50)),
        _number(stats, "first_packet_ms", "First packet from the caller after", "{:.0f} ms"),
        _late(stats),
        _deviation(stats),
        _number(stats, "digits", "Digits received", "{:.0f}"),
        *(_unless_zero(stats, name, words) for name, words in _ODDITIES),
    ]
    return _named(rows, peer)


def remote_rows(stats: Any, peer: str = "caller") -> list[Row]:
    """What the peer reports of what it receives from us, by RTCP; none if it sends no reports."""
    if not isinstance(stats, dict) or _value(stats, "remote_lost") is None:
        return []
    rows = [
        _number(stats, "remote_mos", "Quality the caller hears (MOS)", "{:.1f}", _high(4.0, 3.5)),
        _loss(stats, "remote_lost", "packets_sent", "Lost on the way to the caller"),
        _number(stats, "remote_fraction", "Lost lately", "{:.1f} %", _low(1, 3), "last report"),
        _number(stats, "remote_jitter_ms", "Jitter, at the caller", "{:.1f} ms", _low(20, 50)),
        _number(stats, "rtt_ms", "Round trip", "{:.0f} ms", _low(150, 300)),
        _number(stats, "remote_reports", "Reports received", "{:,.0f}"),
    ]
    return _named(rows, peer)


def _named(rows: list[Row | None], peer: str) -> list[Row]:
    known = [row for row in rows if row is not None]
    if peer == "caller":
        return known
    return [
        replace(row, name=row.name.replace("caller", peer), note=row.note.replace("caller", peer))
        for row in known
    ]


_ODDITIES = (
    ("duplicates", "Duplicate packets"),
    ("out_of_order", "Packets out of order"),
    ("source_changes", "Changes of the caller's address"),
    ("foreign", "Packets of strangers dropped"),
    ("malformed", "Malformed packets"),
    ("send_errors", "Send errors"),
)

Judge = Callable[[float], str]


def _high(good: float, fair: float) -> Judge:
    return lambda value: "good" if value >= good else "fair" if value >= fair else "poor"


def _low(good: float, fair: float) -> Judge:
    return lambda value: "good" if value <= good else "fair" if value <= fair else "poor"


def _value(stats: dict[str, Any], name: str) -> float | None:
    value = stats.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value)


def _number(
    stats: dict[str, Any],
    name: str,
    words: str,
    form: str,
    judge: Judge | None = None,
    note: str = "",
) -> Row | None:
    value = _value(stats, name)
    if value is None:
        return None
    return Row(words, form.format(value), judge(value) if judge else "", note)


def _remote(stats: dict[str, Any]) -> Row | None:
    remote = stats.get("remote")
    if not isinstance(remote, list) or len(remote) != 2:
        return None
    host = f"[{remote[0]}]" if ":" in str(remote[0]) else str(remote[0])
    note = "heard from there" if stats.get("latched") else "nothing was heard from there"
    return Row("Audio goes to", f"{host}:{remote[1]}", "", note)


def _received(stats: dict[str, Any]) -> Row | None:
    row = _number(stats, "packets_received", "Packets received", "{:,.0f}")
    if row is not None and not _value(stats, "packets_received"):
        return Row(row.name, row.value, "poor", "no audio came from the caller")
    return row


def _loss(stats: dict[str, Any], lost: str, of: str, words: str) -> Row | None:
    count, others = _value(stats, lost), _value(stats, of)
    if count is None or others is None:
        return None
    # What arrived does not include what was lost; what was sent does.
    total = others + count if of == "packets_received" else others
    percent = 100 * max(count, 0.0) / total if total > 0 else 0.0
    return Row(words, f"{count:,.0f} ({percent:.1f} %)", _low(1, 3)(percent))


def _late(stats: dict[str, Any]) -> Row | None:
    late, sent = _value(stats, "late_ticks"), _value(stats, "packets_sent")
    if late is None:
        return None
    percent = 100 * late / sent if sent else 0.0
    note = "packets sent over 5 ms late by this server"
    return Row("Late ticks", f"{late:,.0f} ({percent:.1f} %)", _low(1, 5)(percent), note)


def _deviation(stats: dict[str, Any]) -> Row | None:
    deviation = stats.get("deviation_ms")
    if not isinstance(deviation, dict):
        return None
    parts = [
        f"{name} {deviation[name]:.1f}"
        for name in ("p50", "p95", "p99", "max")
        if _value(deviation, name) is not None
    ]
    if not parts:
        return None
    return Row("Our spacing off by (ms)", " · ".join(parts))


def _unless_zero(stats: dict[str, Any], name: str, words: str) -> Row | None:
    return _number(stats, name, words, "{:,.0f}", None) if _value(stats, name) else None
