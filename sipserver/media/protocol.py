"""Control channel between the SIP node and a media worker. Pure, used by both ends.

A stream socket pair carries frames: four bytes of big-endian length, then one JSON object.
Audio never crosses the channel, only paths of files. End of file means death of the other side:
the worker exits, the node reports its sessions as lost.

Commands, node to worker: ``{"id": int, "command": str, ...}``. Each id gets exactly one reply,
``{"id": int, "ok": true, ...}`` or ``{"id": int, "ok": false, "error": str}``. A command sent again
under the id of a recent one is not run again: its reply is repeated.

=============  =================================================  ===========================
command        arguments                                          reply
=============  =================================================  ===========================
hello          version, config (see :class:`WorkerConfig`)        version, pid
open           session, family (ip4 or ip6)                       port (RTCP is port + 1)
connect        session and the fields of :data:`CONNECT_FIELDS`   -
play           session, op, files, more                           - (accepted)
extend         session, op, files, more                           -
stop           session, op                                        -
send_digits    session, op, digits (0-9 A-D # * w W)              - (accepted)
record         session, op, path, channels (1 or 2), track        - (accepted)
               (inbound, outbound, both), other (a session
               whose peer is the outbound track, or null), max_s,
               silence_s (0: off), finish_on (keys), beep
pause          session, op of a recording, behavior (skip or      -
               silence; of one that is paused: from now on)
resume         session, op of a recording                         -
ringback       session, op, country (see ``rtp.ringing``)         - (accepted)
bridge         session, other, swallow (digits)                   -
unbridge       session                                            -
close          session                                            stats (:data:`STATS_FIELDS`)
ping           -                                                  load (:data:`LOAD_FIELDS`)
=============  =================================================  ===========================

Errors: ``bad-command``, ``no-port``, ``no-session``, ``no-operation``, ``version``.

Events, worker to node: ``{"event": str, "session": int, "seq": int, ...}``; ``seq`` counts from 1
without gaps in each session.

============  ===========================================================================
event         data
============  ===========================================================================
first_packet  remote [host, port], ms since the first connect
digit         digit: its key went down, or its tone was recognised
rtp_timeout   silence_s
stats         stats (only if WorkerConfig.stats_interval_s is not 0)
ended         op, cause: end, stopped or failed (then also error); one for each accepted
              play, ringback and send_digits, before the reply to ``close``.
              Of record also max-length, silence, key; then, but not if failed, seconds
              (of the file), key (or empty), speech_s, peak (0..32768). It comes when the
              file is complete, be it after the reply to ``close``
============  ===========================================================================
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

VERSION = 1
MAX_FRAME = 1 << 20
MAX_DIGITS = 512
PTIMES = (10, 20, 30, 40, 60)
DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
CODECS = ("PCMU", "PCMA")

CONNECT_FIELDS = (
    "host",  # where the peer wants RTP: numeric address of its SDP
    "port",
    "codec",  # PCMU or PCMA
    "payload_type",
    "dtmf_payload",  # None: telephone-event not agreed, digits are sent as tones
    "ptime_ms",  # one of PTIMES; others are treated as 20
    "direction",  # ours
    "rtcp_mux",  # RTCP shares the RTP port (RFC 5761)
    "inband_dtmf",  # listen for tones
)

STATS_FIELDS = (
    "codec",
    "remote",  # [host, port] we send to, None before connect
    "latched",  # a valid packet has been heard from there
    "source_changes",  # times the peer moved or changed SSRC
    "foreign",  # packets of unexpected sources dropped by us (the kernel drops more unseen)
    "malformed",
    "packets_sent",
    "bytes_sent",  # payload octets, as in a sender report
    "send_errors",
    "packets_received",
    "bytes_received",
    "lost",
    "duplicates",
    "out_of_order",
    "jitter_ms",
    "rtt_ms",  # None without a report of the peer
    "remote_lost",  # None without a report of the peer
    "remote_jitter_ms",
    "remote_reports",  # how many report blocks of the peer were about us
    "remote_fraction",  # percent lost, as the last of them says of the time since the one before
    "remote_highest",  # highest sequence number that it had (extended); None without a report
    "first_packet_ms",  # after connect; None if nothing came
    "digits",  # received
    "late_ticks",  # packets more than 5 ms after their deadline; as the next, of prompts ended
    "deviation_ms",  # {p50, p95, p99, max} of our packet spacing from the nominal
    "mos",  # estimate for what we hear, None if nothing came
    "remote_mos",  # estimate for what the peer hears, None without its report
    "duration_s",
)

LOAD_FIELDS = (
    "sessions",
    "playing",
    "cpu",  # 0..1, share of one core since the last ping
    "late_ticks",  # this and what follows, up to deviation_ms, since the worker's start
    "ticks",
    "skipped_ms",  # time given up after stalls
    "deviation_ms",  # {p50, p95, p99, max}
    "free_ports",  # per family: how many sessions could still be opened at once
    "cache_bytes",
)


class ProtocolError(Exception):
    """The byte stream is not what this protocol allows: the channel is unusable."""


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """All a worker is told, in ``hello``. Times in seconds."""

    port_min: int = 10000
    port_max: int = 19999  # inclusive
    bind_ip4: str = "0.0.0.0"  # noqa: S104 - RTP comes from anywhere; empty: family not offered
    bind_ip6: str = "::"
    port_cooldown_s: float = 5.0
    rtp_timeout_s: float = 0.0  # 0 = off
    relatch_after_s: float = 2.0
    rtcp_interval_s: float = 5.0
    stats_interval_s: float = 0.0  # 0 = off
    cache_bytes: int = 64 << 20
    dscp: int = 46  # EF
    nice: int = -10  # tried, not required

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> WorkerConfig:
        """Unknown keys are ignored."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in data.items() if name in known})


def encode(message: dict[str, Any]) -> bytes:
    """One frame. Raises ProtocolError if it is too long."""
    body = json.dumps(message, separators=(",", ":")).encode()
    if len(body) > MAX_FRAME:
        raise ProtocolError(f"frame of {len(body)} bytes")
    return len(body).to_bytes(4, "big") + body


class FrameReader:
    """Cuts a byte stream into messages."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """Messages that are complete now. Raises ProtocolError."""
        buffer = self._buffer
        buffer += data
        messages: list[dict[str, Any]] = []
        position = 0
        while len(buffer) - position >= 4:
            size = int.from_bytes(buffer[position : position + 4], "big")
            if size > MAX_FRAME:
                raise ProtocolError(f"frame of {size} bytes")
            end = position + 4 + size
            if len(buffer) < end:
                break
            messages.append(_decode(bytes(buffer[position + 4 : end])))
            position = end
        del buffer[:position]
        return messages


def _decode(body: bytes) -> dict[str, Any]:
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("frame is not JSON") from error
    if not isinstance(message, dict):
        raise ProtocolError("frame is not an object")
    return message
