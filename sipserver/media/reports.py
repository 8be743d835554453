"""RTCP of one session, and its statistics."""

from __future__ import annotations

import base64
import os
import random
from typing import Any

from sipserver.media.pacer import summarize
from sipserver.media.receiver import Receiver
from sipserver.media.sender import Sender
from sipserver.rtp import rtcp
from sipserver.rtp.packet import MalformedPacket
from sipserver.rtp.quality import mean_opinion_score


class Reports:
    """``epoch`` is the Unix time at zero of the monotonic clock: NTP times do not jump."""

    __slots__ = (
        "_cname",
        "_epoch",
        "_interval",
        "_last_sr",
        "_last_sr_at",
        "_octets",
        "_receiver",
        "_remote_expected",
        "_reported",
        "_sender",
        "due",
        "malformed",
        "remote_fraction",
        "remote_highest",
        "remote_jitter_ms",
        "remote_lost",
        "remote_reports",
        "rtt_ms",
    )

    def __init__(
        self, sender: Sender, receiver: Receiver, *, interval: float, epoch: float
    ) -> None:
        self._sender = sender
        self._receiver = receiver
        self._interval = interval
        self._epoch = epoch
        self._cname = base64.b64encode(os.urandom(12))  # RFC 7022
        self._last_sr = 0
        self._last_sr_at = 0.0
        self._reported = 0  # packets sent up to the last report
        self._remote_expected = 0
        self.due = 0.0
        self.malformed = 0
        self.rtt_ms: float | None = None
        self.remote_lost: int | None = None
        self.remote_jitter_ms: float | None = None
        self.remote_reports = 0
        self.remote_fraction: float | None = None
        self.remote_highest: int | None = None

    def schedule(self, now: float, *, initial: bool = False) -> None:
        chance = random.random()  # noqa: S311 - spreads reports, keeps no secret
        self.due = now + rtcp.interval(self._interval, chance, initial=initial)

    def receive(self, data: bytes, now: float) -> None:
        """A compound of the peer. Never raises."""
        try:
            found = rtcp.parse(data)
        except MalformedPacket:
            self.malformed += 1
            return
        for item in found:
            if not isinstance(item, rtcp.Report):
                continue
            if item.sender is not None:
                self._last_sr = item.sender.ntp >> 16 & 0xFFFFFFFF
                self._last_sr_at = now
            for block in item.blocks:
                if block.ssrc == self._sender.ssrc:
                    self._take(block, now)

    def _take(self, block: rtcp.ReportBlock, now: float) -> None:
        self.remote_lost = max(0, block.cumulative_lost)
        self.remote_jitter_ms = round(block.jitter / 8, 1)
        self.remote_reports += 1
        self.remote_fraction = round(block.fraction_lost / 2.56, 1)
        self.remote_highest = block.highest_sequence
        self._remote_expected = self._sender.packets
        seconds = rtcp.round_trip(block, rtcp.ntp_time(self._epoch + now))
        if seconds is not None:
            self.rtt_ms = round(seconds * 1000, 1)

    def build(self, now: float, *, bye: bool = False) -> bytes:
        sender, statistics = self._sender, self._receiver.statistics
        info = None
        if sender.packets != self._reported:
            self._reported = sender.packets
            info = rtcp.SenderInfo(
                rtcp.ntp_time(self._epoch + now),
                sender.timestamp(),
                sender.packets,
                sender.octets,
            )
        blocks: tuple[rtcp.ReportBlock, ...] = ()
        if statistics is not None and self._receiver.ssrc is not None:
            figures = statistics.report()
            delay = int((now - self._last_sr_at) * 65536) & 0xFFFFFFFF if self._last_sr else 0
            blocks = (
                rtcp.ReportBlock(
                    self._receiver.ssrc,
                    figures.fraction_lost,
                    figures.cumulative_lost,
                    figures.highest_sequence,
                    figures.jitter,
                    self._last_sr,
                    delay,
                ),
            )
        return rtcp.build(rtcp.Report(sender.ssrc, info, blocks), self._cname, bye=bye)

    def statistics(self, codec: str, now: float) -> dict[str, Any]:
        """As ``protocol.STATS_FIELDS``."""
        sender, receiver = self._sender, self._receiver
        latch = receiver.latch
        lost, duplicates, out_of_order = receiver.totals()
        jitter = receiver.statistics.jitter / 8 if receiver.statistics else 0.0
        first = receiver.first_packet_at
        timing = sender.timing
        return {
            "codec": codec,
            "remote": list(latch.remote) if latch else None,
            "latched": latch.latched if latch else False,
            "source_changes": (latch.changes if latch else 0) + receiver.ssrc_changes,
            "foreign": latch.foreign if latch else 0,
            "malformed": receiver.malformed + self.malformed,
            "packets_sent": sender.packets,
            "bytes_sent": sender.octets,
            "send_errors": sender.errors,
            "packets_received": receiver.packets,
            "bytes_received": receiver.octets,
            "lost": lost,
            "duplicates": duplicates,
            "out_of_order": out_of_order,
            "jitter_ms": round(jitter, 2),
            "rtt_ms": self.rtt_ms,
            "remote_lost": self.remote_lost,
            "remote_jitter_ms": self.remote_jitter_ms,
            "remote_reports": self.remote_reports,
            "remote_fraction": self.remote_fraction,
            "remote_highest": self.remote_highest,
            "first_packet_ms": None
            if first is None
            else round((first - receiver.connected_at) * 1000, 1),
            "digits": receiver.keys.count,
            "late_ticks": timing.late,
            "deviation_ms": summarize(timing.buckets),
            "mos": self._mos(lost, receiver.packets + lost, jitter),
            "remote_mos": self._mos(
                self.remote_lost or 0, self._remote_expected, self.remote_jitter_ms or 0.0
            ),
            "duration_s": round(now - receiver.connected_at, 2) if latch else 0.0,
        }

    def _mos(self, lost: int, expected: int, jitter_ms: float) -> float | None:
        if not expected:
            return None
        return mean_opinion_score(
            loss=min(1.0, lost / expected), jitter_ms=jitter_ms, rtt_ms=self.rtt_ms or 0.0
        )
