"""The caller's ear and voice: RTP on one asyncio socket, what was heard as a WAV file.

A test phone, not a media worker: one call, no pacing budget, everything kept in memory.
"""

from __future__ import annotations

import asyncio
import secrets
import wave
from collections.abc import Callable, Iterator
from itertools import chain
from typing import cast

from sipserver.rtp import g711, rtcp
from sipserver.rtp.packet import MalformedPacket, RtpPacket, is_rtcp, parse
from sipserver.rtp.telephone_event import EventPacket, TelephoneEventDecoder, paced

FRAME_MS = 20
FRAME_SAMPLES = 160
RATE = 8000
MAX_SECONDS = 3600


class Audio(asyncio.DatagramProtocol):
    """``open`` binds, ``connect`` begins to send silence (so that a server can latch), ``dial``
    queues digits, ``save`` writes what was heard. ``on_digit`` tells received DTMF."""

    def __init__(self, on_digit: Callable[[str], None]) -> None:
        self._on_digit = on_digit
        self._transport: asyncio.DatagramTransport | None = None
        self._remote: tuple[str, int] | None = None
        self._codec = "PCMU"
        self._payload_type = 0
        self._dtmf: int | None = None
        self._events: Iterator[EventPacket | None] = iter(())
        self._decoder = TelephoneEventDecoder()
        self._heard = bytearray()
        self._first_timestamp: int | None = None
        self._sender: asyncio.Task[None] | None = None
        self.packets = 0

    @classmethod
    async def open(cls, host: str, on_digit: Callable[[str], None]) -> Audio:
        """Raises OSError."""
        loop = asyncio.get_running_loop()
        _, audio = await loop.create_datagram_endpoint(lambda: cls(on_digit), (host, 0))
        return audio

    @property
    def port(self) -> int:
        if self._transport is None:
            raise RuntimeError("not open")
        return int(self._transport.get_extra_info("sockname")[1])

    @property
    def heard_seconds(self) -> float:
        return len(self._heard) / 2 / RATE

    def connect(
        self, remote: tuple[str, int], codec: str, payload_type: int, dtmf: int | None
    ) -> None:
        self._remote, self._codec, self._payload_type = remote, codec, payload_type
        self._dtmf = dtmf
        if self._sender is None:
            self._sender = asyncio.create_task(self._send_forever())

    def dial(self, digits: str) -> None:
        """RFC 4733 events, after what is queued already."""
        self._events = chain(self._events, paced(digits, FRAME_MS))

    def close(self) -> None:
        if self._sender is not None:
            self._sender.cancel()
        if self._transport is not None:
            self._transport.close()

    def save(self, path: str) -> None:
        """16-bit mono WAV at 8 kHz; silence where packets were missing. Raises OSError."""
        with wave.open(path, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes(bytes(self._heard))

    # --- in ---------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        try:
            if len(data) > 1 and is_rtcp(data[1]):
                rtcp.parse(data)
                return
            packet = parse(data)
        except MalformedPacket:
            return
        self.packets += 1
        if packet.payload_type == self._dtmf:
            for digit in self._decoder.feed(packet.timestamp, packet.payload):
                self._on_digit(digit)
            return
        if packet.payload_type in (0, 8):
            self._hear(packet)

    def _hear(self, packet: RtpPacket) -> None:
        """Put the samples where the timestamp says."""
        if self._first_timestamp is None:
            self._first_timestamp = packet.timestamp
        start = 2 * ((packet.timestamp - self._first_timestamp) & 0xFFFFFFFF)
        if start > 2 * RATE * MAX_SECONDS:
            return  # older than the first packet, or far off
        pcm = g711.decode(packet.payload, "PCMU" if packet.payload_type == 0 else "PCMA")
        if len(self._heard) < start:
            self._heard.extend(bytes(start - len(self._heard)))
        self._heard[start : start + len(pcm)] = pcm

    # --- out --------------------------------------------------------------------------------

    async def _send_forever(self) -> None:
        loop = asyncio.get_running_loop()
        sequence, timestamp = secrets.randbelow(1 << 16), secrets.randbelow(1 << 32)
        ssrc, event_timestamp, first = secrets.randbelow(1 << 32), 0, True
        due = loop.time()
        while True:
            event = next(self._events, None)
            if event is not None and self._dtmf is not None:
                if event.first:
                    event_timestamp = timestamp
                packet = RtpPacket(
                    self._dtmf, sequence, event_timestamp, ssrc, event.payload, event.first
                )
            else:
                quiet = g711.encode(bytes(2 * FRAME_SAMPLES), self._codec)
                packet = RtpPacket(self._payload_type, sequence, timestamp, ssrc, quiet, first)
            if self._transport is not None and not self._transport.is_closing():
                self._transport.sendto(packet.build(), self._remote)
            first = False
            sequence, timestamp = (sequence + 1) & 0xFFFF, (timestamp + FRAME_SAMPLES) & 0xFFFFFFFF
            due += FRAME_MS / 1000
            await asyncio.sleep(max(0.0, due - loop.time()))
