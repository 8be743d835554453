"""What one session hears: source, statistics, digits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from sipserver.media.keys import Keys
from sipserver.media.ports import PortPair, disconnect
from sipserver.media.taps import Taps
from sipserver.rtp.latch import Address, SourceLatch
from sipserver.rtp.packet import HEADER, HEADER_SIZE, MalformedPacket, is_rtcp, payload_span
from sipserver.rtp.sequence import ReceiveStatistics
from sipserver.rtp.telephone_event import TelephoneEventDecoder

BUFFER = bytearray(2048)  # of the whole process: each packet is done with before the next
VIEWS = [memoryview(BUFFER)[:size] for size in range(len(BUFFER) + 1)]
_COMFORT_NOISE = 13  # RFC 3389
_RATE = 8000

Emit = Callable[[str, dict[str, Any]], None]


class Relay(Protocol):
    """Takes the packet in :data:`BUFFER`, and may change it there; see ``bridge.Relay``."""

    def audio(self, extended: int, timestamp: int, size: int) -> None: ...
    def event(self, extended: int, timestamp: int, size: int) -> None: ...
    def digit(self, digit: str) -> None: ...
    def skip(self, extended: int) -> None: ...
    def reset(self) -> None: ...


class Receiver:
    """Once the source is known, the RTP socket is connected to it: the kernel then drops foreign
    packets before they cost anything, and both directions need no address per packet. Packets that
    were queued before are still told by their address, until :meth:`watch_source` is called next.
    """

    __slots__ = (
        "_connected",
        "_decoder",
        "_dtmf_payload",
        "_emit",
        "_pair",
        "_past",
        "_payload_type",
        "_receive",
        "_receive_from",
        "_ssrc",
        "_trusting",
        "connected_at",
        "first_packet_at",
        "heard_at",
        "keys",
        "latch",
        "listening",
        "malformed",
        "octets",
        "on_rtcp",
        "packets",
        "relay",
        "routed",
        "ssrc_changes",
        "statistics",
        "taps",
    )

    def __init__(self, pair: PortPair, keys: Keys, emit: Emit) -> None:
        self._pair = pair
        self.keys = keys
        self.taps = Taps()
        self._emit = emit
        self._receive = pair.rtp.recv_into
        self._receive_from = pair.rtp.recvfrom_into
        self._connected = False  # the socket is
        self._trusting = False  # all that comes is from there
        self._decoder = TelephoneEventDecoder()
        self._payload_type = -1
        self._dtmf_payload: int | None = None
        self._ssrc = -1
        self._past = (0, 0, 0)  # lost, duplicates, out of order of earlier sources
        self.statistics: ReceiveStatistics | None = None
        self.latch: SourceLatch | None = None
        self.listening = False
        self.connected_at = 0.0
        self.first_packet_at: float | None = None
        self.heard_at = 0.0
        self.packets = 0
        self.octets = 0
        self.malformed = 0
        self.ssrc_changes = 0
        self.relay: Relay | None = None
        self.on_rtcp: Callable[[bytes, float], None] = lambda data, now: None
        self.routed: Callable[[], None] = lambda: None  # the route to the peer has changed

    def configure(
        self,
        announced: Address,
        relatch_after: float,
        *,
        payload_type: int,
        dtmf_payload: int | None,
        listening: bool,
        now: float,
    ) -> None:
        self._payload_type, self._dtmf_payload = payload_type, dtmf_payload
        if self.latch is None:
            self.latch = SourceLatch(announced, relatch_after)
            self.connected_at = self.heard_at = now
        elif self.latch.announce(announced):
            self._open_route()
        if listening and not self.listening:
            self.heard_at = now  # silence counts from here
        if listening != self.listening and self.relay is not None:
            self.relay.reset()  # what comes while we do not listen is not lost to the other side
        self.listening = listening
        self.routed()

    @property
    def ssrc(self) -> int | None:
        return self._ssrc if self._ssrc >= 0 else None

    @property
    def connected(self) -> bool:
        return self._connected

    # --- packets ----------------------------------------------------------------------------

    def on_rtp(self, now: float) -> None:
        """The RTP socket is readable: take one packet. Hot path; never raises."""
        source: Any = None
        try:
            if self._trusting:
                size = self._receive(BUFFER)
            else:
                size, source = self._receive_from(BUFFER)
        except OSError:
            return  # nothing there after all, or the peer's host refused a packet of ours
        if size < HEADER_SIZE or BUFFER[0] >> 6 != 2:
            self.malformed += 1
            return
        _, second, sequence, timestamp, ssrc = HEADER.unpack_from(BUFFER)
        payload_type = second & 0x7F
        if (source is not None or ssrc != self._ssrc) and not self._admit(
            source, second, ssrc, sequence, size, now
        ):
            return
        if payload_type == self._payload_type:
            statistics = self.statistics
            if statistics is None or not statistics.update(sequence, timestamp, now * _RATE):
                return
            self.heard_at = now
            self.packets += 1
            self.octets += size - HEADER_SIZE
            if self.taps.listeners and self.listening:
                self._tell_taps(timestamp, size)
            if self.relay is not None and self.listening:
                self.relay.audio(statistics.extended(sequence), timestamp, size)
        elif payload_type == self._dtmf_payload:
            self._on_event(sequence, timestamp, size, now)
        else:
            self._on_other(payload_type, sequence, now)

    def _on_other(self, payload_type: int, sequence: int, now: float) -> None:
        if payload_type == _COMFORT_NOISE and self.statistics is not None:
            counted = self.statistics.count(sequence)
            self.heard_at = now
            if counted and self.relay is not None:
                self.relay.skip(self.statistics.extended(sequence))
        else:
            self.malformed += 1

    def _admit(
        self, source: Any, second: int, ssrc: int, sequence: int, size: int, now: float
    ) -> bool:
        """A packet of a source not known, or of a new SSRC of the known one: go on with it?"""
        latch = self.latch
        if latch is None:
            return False
        if is_rtcp(second):
            if source is None or source[0] == latch.remote[0]:
                self.on_rtcp(bytes(BUFFER[:size]), now)
            else:
                latch.foreign += 1
            return False
        if second & 0x7F not in (self._payload_type, self._dtmf_payload, _COMFORT_NOISE):
            self.malformed += 1
            return False
        if source is not None:
            if not latch.consider(source[:2], ssrc, sequence, now):
                return False
            if not self._connected:
                self._close_route(source)
        if ssrc != self._ssrc:
            self._begin(ssrc, sequence)
        if self.first_packet_at is None:
            self.first_packet_at = now
            waited = round((now - self.connected_at) * 1000, 1)
            self._emit("first_packet", {"remote": list(latch.remote), "ms": waited})
        return True

    def _begin(self, ssrc: int, sequence: int) -> None:
        """Statistics and events of a new SSRC begin anew."""
        if self.statistics is not None:
            self.ssrc_changes += 1
            if self.relay is not None:
                self.relay.reset()
            self._past = self.totals()
        self._ssrc = ssrc
        self.statistics = ReceiveStatistics(sequence)
        self._decoder = TelephoneEventDecoder()

    def _tell_taps(self, timestamp: int, size: int) -> None:
        try:
            start, end = payload_span(BUFFER, size)
        except MalformedPacket:
            self.malformed += 1
            return
        self.taps.hear(timestamp, bytes(BUFFER[start:end]))

    def _on_event(self, sequence: int, timestamp: int, size: int, now: float) -> None:
        try:
            start, end = payload_span(BUFFER, size)
        except MalformedPacket:
            self.malformed += 1
            return
        if self.statistics is None or not self.statistics.count(sequence):
            return
        self.heard_at = now
        self.packets += 1
        self.octets += end - start
        self.keys.hold(now)
        digit = self._decoder.feed(timestamp, bytes(BUFFER[start:end]))
        if digit and self.listening:
            self.keys.event(digit, now)
            if self.relay is not None:
                self.relay.digit(digit)
        if self.relay is not None and self.listening:
            self.relay.event(self.statistics.extended(sequence), timestamp, size)

    # --- route ------------------------------------------------------------------------------

    def _close_route(self, source: Any) -> None:
        try:
            self._pair.rtp.connect(source)
        except OSError:
            return  # no route back: stay open, the latch guards
        self._connected = True
        self.routed()

    def _open_route(self) -> None:
        if self._connected:
            disconnect(self._pair.rtp)
            self._connected = self._trusting = False

    def watch_source(self, now: float) -> None:
        """Called now and then: let a silent source be replaced. One that may not send is not
        silent."""
        latch = self.latch
        self._trusting = self._connected
        if latch is None or not self._connected or not self.listening:
            return
        latch.heard(self.heard_at)
        if latch.silent(now):
            self._open_route()
            self.routed()

    def totals(self) -> tuple[int, int, int]:
        """Lost, duplicates, out of order, over all sources."""
        lost, duplicates, out_of_order = self._past
        if self.statistics is not None:
            lost += self.statistics.lost
            duplicates += self.statistics.duplicates
            out_of_order += self.statistics.out_of_order
        return lost, duplicates, out_of_order
