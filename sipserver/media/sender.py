"""What one session sends: prompts, ring tones and digits, one after another."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from sipserver.media.pacer import Pacer, Timing
from sipserver.media.prompts import Prompt, PromptCache
from sipserver.media.taps import Taps
from sipserver.rtp import g711, ringing, tone
from sipserver.rtp.packet import HEADER, HEADER_SIZE, PLAIN
from sipserver.rtp.telephone_event import END_PACKETS, EventPacket, ended, paced
from sipserver.rtp.wav import UnsupportedWav

_RATE = 8  # timestamp units per ms
_MARKER = 0x80
_PASSED_ON = 0  # number of an operation that nobody waits for; those of the node begin at 1
_MOST_PASSED_ON = 16  # waiting at a time
Ended = Callable[[int, str, str], None]
"""(operation, cause, error text or empty)"""


@dataclass(slots=True, eq=False)
class Operation:
    """A prompt of one or several files, a ring tone, a beep, or digits."""

    number: int
    files: deque[str] = field(default_factory=deque)
    more: bool = False  # further files will come
    country: str = ""  # whose ring tone, without end
    beeped: Callable[[str], None] | None = None  # a beep: who is told of its end
    beep: bytes = b""  # linear, until it has begun
    digits: str = ""
    steps: Iterator[EventPacket | None] | None = None  # digits under way as telephone-events
    prompt: Prompt | None = None  # file under way
    chunk: int = 0  # next to be read from it


class Sender:
    """Audio is paced by the Pacer; the RTP timestamp is the pacer's clock, so that it runs on over
    silence, holds and stalls. ``transmit`` gets the whole packet; it is set from outside because
    the route changes.

    What is relayed from another leg goes by a :class:`sipserver.media.bridge.Relay`, while
    ``queue`` is empty: it counts in ``sequence``, ``skipped`` and ``octets`` and moves ``until``.
    """

    __slots__ = (
        "_active",
        "_codec",
        "_data",
        "_ended",
        "_ends_owed",
        "_event_payload",
        "_event_timestamp",
        "_first_sequence",
        "_frame",
        "_length",
        "_pacer",
        "_packet",
        "_position",
        "_prompts",
        "_ptime",
        "_second",
        "_timestamp_base",
        "dtmf_payload",
        "errors",
        "octets",
        "payload_type",
        "queue",
        "sending",
        "sequence",
        "skipped",
        "slot",
        "ssrc",
        "taps",
        "timing",
        "transmit",
        "until",
    )

    def __init__(self, pacer: Pacer, prompts: PromptCache, ended: Ended) -> None:
        self._pacer = pacer
        self._prompts = prompts
        self._ended = ended
        self.slot = 0
        self.taps = Taps()  # on audio
        self.timing = Timing()
        self.ssrc = int.from_bytes(os.urandom(4), "big")
        self._timestamp_base = int.from_bytes(os.urandom(4), "big")
        self._first_sequence = self.sequence = int.from_bytes(os.urandom(2), "big") >> 1
        self.queue: deque[Operation] = deque()
        self._active = False
        self._data = b""
        self._position = self._length = 0
        self._codec = ""
        self.payload_type = self._second = 0
        self.dtmf_payload: int | None = None
        self._ptime = self._frame = 0
        self._packet = bytearray(HEADER_SIZE)
        self._event_payload = b""
        self._event_timestamp = 0
        self._ends_owed = 0  # end packets of the event under way that are still to be sent
        self.skipped = 0  # sequence numbers given to packets that a relay's source lost
        self.until: int | None = None  # timestamp at the end of what was relayed
        self.sending = False
        self.transmit: Callable[[bytearray | memoryview], int] = len
        self.octets = 0
        self.errors = 0

    @property
    def packets(self) -> int:
        return self.sequence - self._first_sequence - self.skipped

    def timestamp(self) -> int:
        """Of this moment."""
        return (self._timestamp_base + int(self._pacer.elapsed()) * _RATE) & 0xFFFFFFFF

    def free_timestamp(self) -> int:
        """Of this moment, but beyond all that has been sent."""
        clock = self.timestamp() + self._frame
        if self.until is None:
            return clock & 0xFFFFFFFF
        ahead = (self.until - clock) & 0xFFFFFFFF
        return (clock + (ahead if ahead < 1 << 31 else 0)) & 0xFFFFFFFF

    def configure(
        self,
        *,
        codec: str,
        payload_type: int,
        dtmf_payload: int | None,
        ptime: int,
        sending: bool,
    ) -> None:
        """What was negotiated; from now on, in mid-play too."""
        if self._active and ptime != self._ptime:
            self._pacer.remove(self)
            self._active = False
        recode = codec != self._codec and self._length > 0
        self._codec, self.payload_type, self.dtmf_payload = codec, payload_type, dtmf_payload
        self._ptime, self._frame = ptime, ptime * _RATE
        self._packet = bytearray(HEADER_SIZE + self._frame)
        HEADER.pack_into(self._packet, 0, PLAIN, 0, 0, 0, self.ssrc)
        self._second = payload_type | _MARKER
        self.sending = sending
        if recode:
            # Both codecs have one octet per sample: only the table changes, not the place.
            other = "PCMA" if codec == "PCMU" else "PCMU"
            self._data = self._data.translate(g711.TRANSCODING[other, codec])
        self._wake()

    # --- operations -------------------------------------------------------------------------

    def play(self, number: int, files: Sequence[str], *, more: bool) -> None:
        self._submit(Operation(number, deque(files), more))

    def ring(self, number: int, country: str) -> None:
        self._submit(Operation(number, country=country))

    def beep(self, number: int, beeped: Callable[[str], None]) -> None:
        """The tone before a recording. ``beeped`` gets the cause of its end: end or stopped."""
        self._submit(Operation(number, beeped=beeped, beep=tone.beep()))

    def dial(self, number: int, digits: str) -> None:
        self._submit(Operation(number, digits=digits))

    def pass_on(self, digit: str) -> None:
        """A digit from the other leg of a bridge, for a peer without telephone-event. Beside a
        prompt there is no place for it, nor for more than a person can press."""
        waiting = len(self.queue)
        if not waiting or (waiting < _MOST_PASSED_ON and self.queue[-1].number == _PASSED_ON):
            self.dial(_PASSED_ON, digit)

    def _submit(self, operation: Operation) -> None:
        if not self.queue:
            self._leave_relay()
        self.queue.append(operation)
        self._wake()

    def _leave_relay(self) -> None:
        """What comes now must not be older than what was relayed, whose clock may run faster."""
        if self.until is not None:
            ahead = (self.until - self.timestamp()) & 0xFFFFFFFF
            if ahead < 1 << 31:
                self._timestamp_base += ahead
            self.until = None
            self._second = self.payload_type | _MARKER

    def extend(self, number: int, files: Sequence[str], *, more: bool) -> bool:
        """False: no such operation (any more)."""
        for operation in self.queue:
            if operation.number == number:
                operation.files.extend(files)
                operation.more = more
                self._wake()
                return True
        return False

    def stop(self, number: int) -> bool:
        for operation in self.queue:
            if operation.number == number:
                if operation is self.queue[0]:
                    self._clear()
                    self._end_event()
                self._finish(operation, "stopped")
                return True
        return False

    def close(self) -> None:
        self._clear()
        self._end_event()
        while self.queue:
            self._finish(self.queue[0], "stopped")
        if self._active:
            self._pacer.remove(self)
            self._active = False

    def _clear(self) -> None:
        self._data = b""
        self._position = self._length = 0

    def _finish(self, operation: Operation, cause: str, error: str = "") -> None:
        self.queue.remove(operation)
        if operation.beeped is not None:
            operation.beeped(cause)
        elif operation.number != _PASSED_ON:
            self._ended(operation.number, cause, error)

    def _wake(self) -> None:
        if self._active or not self._ptime or not self.queue:
            return
        self._second = self.payload_type | _MARKER
        self._active = True
        self._pacer.add(self, self._ptime)

    # --- packets ----------------------------------------------------------------------------

    def tick(self, ms: int) -> bool:
        """One packet interval. Hot path."""
        position = self._position
        end = position + self._frame
        if end > self._length:
            return self._advance(ms)
        self._position = end
        if self.sending:
            self._send_audio(self._data[position:end], ms)
        else:
            self._second = self.payload_type | _MARKER
        return True

    def _send_audio(self, frame: bytes, ms: int) -> None:
        packet = self._packet
        sequence = self.sequence
        HEADER.pack_into(
            packet,
            0,
            PLAIN,
            self._second,
            sequence & 0xFFFF,
            (self._timestamp_base + ms * _RATE) & 0xFFFFFFFF,
            self.ssrc,
        )
        packet[HEADER_SIZE:] = frame
        if self.taps.listeners:
            self.taps.hear(self._timestamp_base + ms * _RATE, frame)
        self.sequence = sequence + 1
        self._second = self.payload_type
        try:
            self.transmit(packet)
            self.octets += len(frame)
        except OSError:
            self.errors += 1

    def _advance(self, ms: int) -> bool:
        """The audio at hand does not fill a packet: end of a chunk, a file, an operation."""
        audio = self._data[self._position :]
        self._clear()
        while self.queue:
            operation = self.queue[0]
            try:
                following = self._next_audio(operation)
            except (OSError, UnsupportedWav) as error:
                audio = b""
                self._finish(operation, "failed", str(error))
                continue
            if following:
                audio += following
                if len(audio) < self._frame:
                    continue
                self._data, self._length = audio, len(audio)
                return self.tick(ms)
            if audio:
                if self.sending:
                    self._send_audio(audio.ljust(self._frame, g711.SILENCE[self._codec]), ms)
                return True
            if operation.steps is not None:
                for step in operation.steps:
                    self._send_event(step, ms)
                    return True
            elif operation.more:
                break  # the next sentence is not ready: silence until extend()
            self._finish(operation, "end")
        self._active = False
        return False

    def _next_audio(self, operation: Operation) -> bytes:
        """Raises OSError or UnsupportedWav."""
        if operation.digits:
            digits, operation.digits = operation.digits, ""
            if self.dtmf_payload is None:
                return tone.dial(digits, self._codec)
            operation.steps = paced(digits, self._ptime)
        if operation.beep:
            beep, operation.beep = operation.beep, b""
            return g711.encode(beep, self._codec)
        if operation.country:
            return ringing.cycle(operation.country, self._codec)
        while True:
            if operation.prompt is None:
                if not operation.files:
                    return b""
                operation.prompt = self._prompts.open(operation.files.popleft())
                operation.chunk = 0
            data = self._prompts.chunk(operation.prompt, self._codec, operation.chunk)
            if data:
                operation.chunk += 1
                return data
            operation.prompt = None

    def _send_event(self, step: EventPacket | None, ms: int) -> None:
        self._second = self.payload_type | _MARKER  # audio after a gap begins anew
        if step is None or self.dtmf_payload is None or not self.sending:
            self._ends_owed = 0
            return
        if step.first:
            self._event_timestamp = (self._timestamp_base + ms * _RATE) & 0xFFFFFFFF
            self._ends_owed = END_PACKETS
        self._event_payload = step.payload
        if step.payload[1] & 0x80:
            self._ends_owed -= 1
        self._transmit_event(step.payload, self.dtmf_payload | (_MARKER if step.first else 0))

    def _end_event(self) -> None:
        """A digit broken off ends at once: its end packets are not lost with the operation."""
        owed, self._ends_owed = self._ends_owed, 0
        if self.dtmf_payload is not None and self.sending:
            for _ in range(owed):
                self._transmit_event(ended(self._event_payload), self.dtmf_payload)

    def _transmit_event(self, payload: bytes, second: int) -> None:
        packet = bytearray(HEADER_SIZE) + payload
        HEADER.pack_into(
            packet, 0, PLAIN, second, self.sequence & 0xFFFF, self._event_timestamp, self.ssrc
        )
        self.sequence += 1
        try:
            self.transmit(packet)
            self.octets += len(payload)
        except OSError:
            self.errors += 1
