"""A telephone's sound: RTP in both directions, with the moments at which it came."""

from __future__ import annotations

import audioop
import random
import socket
import struct
import threading
import time
from dataclasses import dataclass

import numpy as np

EVENTS = "0123456789*#ABCD"  # RFC 4733 3.2
LOUD = 300  # RMS amplitude; all that tests play is far above
FRAME = 160  # samples in 20 ms
_ROWS, _COLUMNS = (697, 770, 852, 941), (1209, 1336, 1477, 1633)
_KEYS = "123A456B789C*0#D"


_SO_TIMESTAMPNS = 35  # of Linux; Python has no name for it


@dataclass(frozen=True, slots=True)
class Heard:
    """A packet of PCMU; ``at`` is wall-clock time, of the kernel: it does not matter when we get to
    read it."""

    at: float
    loud: bool


class Handset:
    """Talks PCMU to 127.0.0.1:``port`` from :meth:`talk` on; hears all the time."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.1)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self.port = int(self._socket.getsockname()[1])
        self.heard: list[Heard] = []
        self._keys: dict[int, str] = {}  # by the timestamp, which all packets of a key share
        self._ssrc = random.getrandbits(32)
        self._sequence = random.getrandbits(15)
        self._timestamp = 0
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._hear, daemon=True)]
        self._threads[0].start()

    def talk(self, port: int, frequency: float = 440.0) -> None:
        thread = threading.Thread(target=self._talk, args=(port, frequency), daemon=True)
        self._threads.append(thread)
        thread.start()

    def press(self, port: int, key: str) -> float:
        """A key held for 100 ms; returns the moment at which its first packet went out."""
        event, pressed = EVENTS.index(key), time.time()
        for step in range(1, 6):
            if step > 1:
                time.sleep(0.02)
            self._event(port, event, step, step == 1, False)
        for _ in range(3):
            self._event(port, event, 5, False, True)
        self._timestamp += 5 * FRAME  # by it the next key is told from this one
        return pressed

    def _event(self, port: int, event: int, step: int, first: bool, last: bool) -> None:
        payload = struct.pack("!BBH", event, 0x80 * last + 10, step * FRAME)
        self._send(port, 101, payload, marker=first)

    @property
    def keys(self) -> str:
        """Those that the other side has pressed."""
        return "".join(self._keys.values())

    def loud(self, begin: float = 0.0) -> list[float]:
        """When loud packets came, from ``begin`` on."""
        return [packet.at for packet in self.heard if packet.loud and begin <= packet.at]

    def _hear(self) -> None:
        while True:
            try:
                packet, extra, _, _ = self._socket.recvmsg(2048, 128)
            except TimeoutError:
                if self._over.is_set():
                    return  # nothing waits to be heard
                continue
            if packet[1] & 0x7F == 0:
                sound = audioop.rms(audioop.ulaw2lin(packet[12:], 2), 2)
                seconds, nanoseconds = struct.unpack("@ll", extra[0][2])
                self.heard.append(Heard(seconds + nanoseconds / 1e9, sound > LOUD))
            elif packet[1] & 0x7F == 101:
                self._keys[struct.unpack_from("!I", packet, 4)[0]] = EVENTS[packet[12]]

    def _talk(self, port: int, frequency: float) -> None:
        begin = time.monotonic()
        for number in range(1 << 20):
            if self._over.wait(max(0.0, begin + number * 0.02 - time.monotonic())):
                return
            at = np.arange(number * FRAME, (number + 1) * FRAME) / 8000
            wave = (12000 * np.sin(2 * np.pi * frequency * at)).astype("<i2").tobytes()
            self._send(port, 0, audioop.lin2ulaw(wave, 2), marker=number == 0)
            self._timestamp += FRAME

    def _send(self, port: int, kind: int, payload: bytes, *, marker: bool) -> None:
        self._sequence = self._sequence + 1 & 0xFFFF
        head = (0x80, 0x80 * marker + kind, self._sequence, self._timestamp, self._ssrc)
        try:
            self._socket.sendto(struct.pack("!BBHII", *head) + payload, ("127.0.0.1", port))
        except OSError:
            pass  # the call is over: its port is closed

    def __enter__(self) -> Handset:
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        self._socket.close()


def dialled(keys: str, on: float = 0.08, off: float = 0.08) -> bytes:
    """Raw PCMU of the keys' tones (ITU-T Q.23), each between silences."""
    pause = np.zeros(int(8000 * off))
    parts = [np.zeros(4000)]
    for key in keys:
        row, column = divmod(_KEYS.index(key), 4)
        at = 2 * np.pi * np.arange(int(8000 * on)) / 8000
        parts += [6000 * (np.sin(_ROWS[row] * at) + np.sin(_COLUMNS[column] * at)), pause]
    return audioop.lin2ulaw(np.concatenate(parts).astype("<i2").tobytes(), 2)
