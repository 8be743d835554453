import asyncio
import functools
import itertools
import socket
import wave
from array import array
from dataclasses import dataclass
from math import sin, tau

import pytest

from sipserver.mediapool import MediaPool, WorkerConfig
from sipserver.rtp import packet
from tests.ports import Block

_FIRST_PORT = Block().rest()[0] // 2 * 2 + 2

CONFIG = WorkerConfig(
    port_min=_FIRST_PORT,
    port_max=_FIRST_PORT + 199,
    bind_ip4="127.0.0.1",
    bind_ip6="::1",
    port_cooldown_s=0.0,
    relatch_after_s=3.0,
    rtcp_interval_s=0.3,
    nice=0,
)


def write_wav(path, samples, rate=8000):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(array("h", samples).tobytes())
    return str(path)


def tone(frequency, count):
    return [int(8000 * sin(tau * frequency * n / 8000)) for n in range(count)]


@pytest.fixture
def wav(tmp_path):
    """Path of a file with ``count`` samples of a tone."""

    def make(count, frequency=440):
        path = tmp_path / f"{frequency}-{count}.wav"
        return str(path) if path.exists() else write_wav(path, tone(frequency, count))

    return make


@dataclass
class Parameters:
    remote: tuple[str, int]
    codec: str = "PCMU"
    payload_type: int = 0
    dtmf_payload: int | None = 101
    ptime_ms: int = 20
    direction: str = "sendrecv"
    rtcp_mux: bool = False


@functools.cache
def _pairs():
    """Ports of peers, over and over: there are more than there are peers at a time."""
    first, last = Block().rest()
    return itertools.cycle(range(first // 2 * 2 + 2, last, 2))


def _bound_pair(family, host):
    """Sockets for RTP and, on the port above, RTCP."""
    for port in itertools.islice(_pairs(), 1000):
        rtp, rtcp = (socket.socket(family, socket.SOCK_DGRAM) for _ in range(2))
        try:
            rtp.bind((host, port))
            rtcp.bind((host, port + 1))
        except OSError:
            rtp.close()
            rtcp.close()
            continue
        return rtp, rtcp
    raise RuntimeError("no pair of ports is free")


def _waiting(sock):
    """All that the socket has."""
    while True:
        try:
            yield sock.recv(2048)
        except BlockingIOError:
            return


class Peer:
    """An RTP endpoint: keeps what comes, sends what it is told."""

    def __init__(self, host="127.0.0.1"):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.rtp, self.rtcp = _bound_pair(family, host)
        self.host = host
        self.address = self.rtp.getsockname()[:2]
        self.packets = []
        self.reports = []
        self._news = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        for sock, read in ((self.rtp, self._read_rtp), (self.rtcp, self._read_rtcp)):
            sock.setblocking(False)
            self._loop.add_reader(sock.fileno(), read)

    def close(self):
        for sock in (self.rtp, self.rtcp):
            self._loop.remove_reader(sock.fileno())
            sock.close()

    def _read_rtp(self):
        for data in _waiting(self.rtp):
            if packet.is_rtcp(data[1]):
                self.reports.append(data)
            else:
                self.packets.append(packet.parse(data))
        self._news.set()

    def _read_rtcp(self):
        self.reports += _waiting(self.rtcp)
        self._news.set()

    async def settled(self):
        """What had been sent to it by now is read: sockets come before timers that are due."""
        await asyncio.sleep(0.01)

    async def until(self, condition, timeout=30.0):
        async with asyncio.timeout(timeout):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def count(self, packets):
        await self.until(lambda: len(self.packets) >= packets)
        return self.packets

    def send(
        self, port, sequence, *, payload=b"\xff" * 160, ssrc=77, payload_type=0, timestamp=None
    ):
        stamp = sequence * 160 if timestamp is None else timestamp
        data = packet.RtpPacket(payload_type, sequence, stamp & 0xFFFFFFFF, ssrc, payload)
        self.rtp.sendto(data.build(), (self.host, port))


class Events:
    """A MediaListener that can be waited for."""

    def __init__(self):
        self.all = []
        self._news = asyncio.Event()

    def __call__(self, event, data):
        self.all.append((event, data))
        self._news.set()

    def named(self, event):
        return [data for name, data in self.all if name == event]

    async def wait(self, event, count=1, timeout=30.0):
        async with asyncio.timeout(timeout):
            while len(self.named(event)) < count:
                self._news.clear()
                await self._news.wait()
        return self.named(event)


@pytest.fixture
async def pool():
    pool = MediaPool(CONFIG, workers=1)
    await pool.start()
    yield pool
    await pool.stop()


@pytest.fixture
async def peer():
    peer = Peer()
    yield peer
    peer.close()


@pytest.fixture
async def leg(pool, peer):
    """(session, events) connected to ``peer``."""
    events = Events()
    session = await pool.open("ip4", events)
    await session.connect(Parameters(peer.address))
    yield session, events
    await session.close()
