"""One leg's RTP and RTCP."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic
from typing import Any

from sipserver.media import recording
from sipserver.media.bridge import Relay
from sipserver.media.disk import Disk
from sipserver.media.keys import Keys
from sipserver.media.pacer import Alarms, Pacer
from sipserver.media.ports import PortPair, numeric
from sipserver.media.prompts import PromptCache
from sipserver.media.protocol import CODECS, DIRECTIONS, PTIMES, WorkerConfig
from sipserver.media.receiver import Receiver
from sipserver.media.reports import Reports
from sipserver.media.sender import Sender
from sipserver.media.taps import ToneTap
from sipserver.rtp.latch import Address

_HOUSEKEEPING = 1.0  # s
_UNSPECIFIED = ("0.0.0.0", "::")  # noqa: S104 - the old way to say hold (RFC 3264 section 8.4)


class Session:
    """Made with its ports bound; deaf and mute until :meth:`connect`."""

    def __init__(
        self,
        pair: PortPair,
        pacer: Pacer,
        prompts: PromptCache,
        alarms: Alarms,
        disk: Disk,
        config: WorkerConfig,
        *,
        epoch: float,
        emit: Callable[[str, dict[str, Any]], None],
    ) -> None:
        self.pair = pair
        self._alarms = alarms
        self._config = config
        self._emit = emit
        self.sender = Sender(pacer, prompts, self._on_ended)
        self._keys = Keys(self._on_key)
        self._tones = ToneTap(self._keys, monotonic)
        self.receiver = Receiver(pair, self._keys, emit)
        self._recordings = recording.Recordings(self.sender, disk, alarms, emit)
        self._reports = Reports(
            self.sender, self.receiver, interval=config.rtcp_interval_s, epoch=epoch
        )
        self.receiver.routed = self._route
        self.receiver.on_rtcp = self._reports.receive
        self._codec = ""
        self._partner: Session | None = None  # of the bridge
        self._relay = Relay(self.sender)  # of what the partner hears
        self._connected = False
        self._closed = False
        self._timed_out = False
        self._rtcp_remote: Address | None = None
        self._rtcp_mux = False
        self._stats_due = 0.0

    # --- commands ---------------------------------------------------------------------------

    def connect(self, arguments: dict[str, Any], now: float) -> None:
        """First or renewed parameters, as ``protocol.CONNECT_FIELDS``. Raises KeyError, TypeError
        or ValueError, and then has changed nothing."""
        remote = (numeric(self.pair.family, arguments["host"]), int(arguments["port"]))
        codec, direction = arguments["codec"], arguments["direction"]
        if codec not in CODECS or direction not in DIRECTIONS or not 0 <= remote[1] <= 0xFFFF:
            raise ValueError("codec, direction or port")
        payload_type = _payload_type(arguments["payload_type"])
        dtmf = arguments["dtmf_payload"]
        dtmf_payload = None if dtmf is None else _payload_type(dtmf)
        ptime = arguments["ptime_ms"] if arguments["ptime_ms"] in PTIMES else 20
        reachable = remote[1] != 0 and remote[0] not in _UNSPECIFIED
        self._codec = codec
        self._rtcp_mux = bool(arguments.get("rtcp_mux"))
        self._rtcp_remote = None
        self.receiver.taps.remove(self._tones)
        if arguments.get("inband_dtmf"):
            self.receiver.taps.add(self._tones)
        self.receiver.taps.recode(codec)
        self.sender.taps.recode(codec)
        self.receiver.configure(
            remote,
            self._config.relatch_after_s,
            payload_type=payload_type,
            dtmf_payload=dtmf_payload,
            listening=direction in ("sendrecv", "recvonly"),
            now=now,
        )
        self.sender.configure(
            codec=codec,
            payload_type=payload_type,
            dtmf_payload=dtmf_payload,
            ptime=ptime,
            sending=reachable and direction in ("sendrecv", "sendonly"),
        )
        self._tune()
        if self._partner is not None:
            self._partner._tune()
        if not self._connected:
            self._connected = True
            self._reports.schedule(now, initial=True)
            self._stats_due = now + self._config.stats_interval_s
            self._alarms.at(min(now + _HOUSEKEEPING, self._reports.due), self._housekeep)

    def play(self, operation: int, files: Sequence[str], *, more: bool) -> None:
        self.sender.play(operation, files, more=more)

    def record(self, operation: int, arguments: dict[str, Any], other: Session | None) -> None:
        """Raises KeyError, TypeError or ValueError."""
        self._recordings.start(
            operation,
            recording.plan(arguments),
            self.receiver.taps,
            self.sender.taps if other is None else other.receiver.taps,
        )

    def pause(self, operation: int, behavior: Any, now: float) -> bool:
        """A recording. False: no such operation (any more). Raises ValueError."""
        return self._recordings.pause(operation, behavior, now)

    def resume(self, operation: int, now: float) -> bool:
        """A recording. False: no such operation (any more)."""
        return self._recordings.resume(operation, now)

    def stop(self, operation: int, now: float) -> bool:
        """False: no such operation (any more)."""
        return self._recordings.stop(operation, now) or self.sender.stop(operation)

    def bridge(self, other: Session, swallow: str) -> None:
        """From now on each is sent what the other hears, except the digits ``swallow`` of this
        side. A bridge with a third one ends; renewed, only ``swallow`` changes. Raises ValueError:
        not with oneself."""
        if other is self:
            raise ValueError("bridge with itself")
        if self._partner is not other:
            self.unbridge()
            other.unbridge()
            self._join(other)
            other._join(self)
        other._relay.swallow = swallow

    def _join(self, other: Session) -> None:
        self._partner = other
        self._relay.reset()
        self._relay.swallow = ""
        other.receiver.relay = self._relay
        self._tune()

    def _tune(self) -> None:
        if self._partner is not None:
            self._relay.tune(self._partner._codec, self._codec)

    def unbridge(self) -> None:
        """Nothing happens without a bridge."""
        other, self._partner = self._partner, None
        if other is not None:
            other._partner = None
            self.receiver.relay = other.receiver.relay = None

    def close(self, now: float) -> dict[str, Any]:
        """Ends all operations, says goodbye, returns the final statistics."""
        if not self._closed:
            self._closed = True
            self.unbridge()
            self._recordings.close(now)
            self.sender.close()
            if self._connected and self.sender.packets:
                self._send_rtcp(self._reports.build(now, bye=True))
        return self.statistics(now)

    def statistics(self, now: float) -> dict[str, Any]:
        return self._reports.statistics(self._codec, now)

    # --- packets ----------------------------------------------------------------------------

    def on_rtcp(self, now: float) -> None:
        """The RTCP socket is readable. Only the host that RTP comes from or goes to is heard."""
        try:
            data, source = self.pair.rtcp.recvfrom(2048)
        except OSError:
            return
        latch = self.receiver.latch
        if latch is None:
            return
        if source[0] != latch.remote[0]:
            latch.foreign += 1
            return
        self._rtcp_remote = (source[0], source[1])
        self._reports.receive(data, now)

    def _route(self) -> None:
        """Where the sender's packets go, after the receiver has found or lost the source."""
        rtp, latch = self.pair.rtp, self.receiver.latch
        if self.receiver.connected:
            self.sender.transmit = rtp.send
        elif latch is not None:
            self.sender.transmit = partial(_send_to, rtp.sendto, latch.remote)

    def _send_rtcp(self, data: bytes) -> None:
        latch = self.receiver.latch
        if latch is None or latch.remote[0] in _UNSPECIFIED or not 0 < latch.remote[1] < 0xFFFF:
            return
        host, port = latch.remote
        try:
            if self._rtcp_mux:
                self.sender.transmit(bytearray(data))
            else:
                self.pair.rtcp.sendto(data, self._rtcp_remote or (host, port + 1))
        except OSError:
            self.sender.errors += 1

    # --- time -------------------------------------------------------------------------------

    def _housekeep(self, now: float) -> None:
        if self._closed:
            return
        self.receiver.watch_source(now)
        self._watch_silence(now)
        if now >= self._reports.due:
            self._send_rtcp(self._reports.build(now))
            self._reports.schedule(now)
        if self._config.stats_interval_s and now >= self._stats_due:
            self._stats_due = now + self._config.stats_interval_s
            self._emit("stats", {"stats": self.statistics(now)})
        self._alarms.at(min(now + _HOUSEKEEPING, self._reports.due), self._housekeep)

    def _watch_silence(self, now: float) -> None:
        limit = self._config.rtp_timeout_s
        silence = now - self.receiver.heard_at
        if not limit or not self.receiver.listening or silence < limit:
            self._timed_out = False
        elif not self._timed_out:
            self._timed_out = True
            self._emit("rtp_timeout", {"silence_s": round(silence, 1)})

    def _on_key(self, key: str, now: float) -> None:
        self._emit("digit", {"digit": key})
        self._recordings.key(key, now)

    def _on_ended(self, operation: int, cause: str, error: str) -> None:
        data: dict[str, Any] = {"op": operation, "cause": cause}
        if error:
            data["error"] = error
        self._emit("ended", data)


def _send_to(
    sendto: Callable[[bytearray, Address], int], remote: Address, packet: bytearray
) -> int:
    return sendto(packet, remote)


def _payload_type(value: Any) -> int:
    number = int(value)
    if not 0 <= number <= 127:
        raise ValueError(f"payload type {number}")
    return number
