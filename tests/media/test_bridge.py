"""Bridged legs in a real worker process over loopback."""

import asyncio
import os
import signal

import numpy as np
import pytest

from sipserver.mediapool import MediaPool, NoMedia
from sipserver.rtp import g711
from sipserver.rtp.telephone_event import paced
from tests.media.conftest import CONFIG, Events, Parameters, Peer, tone
from tests.media.test_worker import contiguous, frequency

pytestmark = pytest.mark.integration


def encoded(hz, codec="PCMU", packets=50, size=160):
    audio = g711.encode(np.array(tone(hz, packets * size), dtype="<i2").tobytes(), codec)
    return [audio[start : start + size] for start in range(0, len(audio), size)]


class Phone(Peer):
    """A peer that talks in a tone of its own."""

    def __init__(self, hz, codec="PCMU", **parameters):
        super().__init__()
        self.codec = codec
        self.parameters = {
            "codec": codec,
            "payload_type": 0 if codec == "PCMU" else 8,
            **parameters,
        }
        self.hz = hz
        self.frames = encoded(hz, codec)
        self.events = Events()
        self.sequence = 1000
        self.clock = 0
        self.ssrc = hz
        self.session = None
        self._talking = None

    async def join(self, pool, *, near=None, connect=True):
        self.session = await pool.open("ip4", self.events, near=near and near.session)
        if connect:
            await self.connect()
        return self

    async def connect(self, **changes):
        self.parameters |= changes
        await self.session.connect(Parameters(self.address, **self.parameters))

    def say(self, payload=None, *, payload_type=None, timestamp=None):
        """One packet."""
        payload = payload or self.frames[self.sequence % len(self.frames)]
        if payload_type is None:
            payload_type = self.parameters["payload_type"]
        self.send(
            self.session.port,
            self.sequence & 0xFFFF,
            payload=payload,
            payload_type=payload_type,
            ssrc=self.ssrc,
            timestamp=self.clock if timestamp is None else timestamp,
        )
        self.sequence += 1
        if timestamp is None:
            self.clock += len(payload)

    def talk(self):
        """50 packets a second from now on."""

        async def talking():
            due = self._loop.time()
            while True:
                self.say()
                due += 0.02
                await asyncio.sleep(max(0, due - self._loop.time()))

        self._talking = asyncio.create_task(talking())

    def silence(self):
        if self._talking is not None:
            self._talking.cancel()
            self._talking = None

    async def press(self, keys):
        """As telephone-events, a digit in 20 ms: nobody counts them."""
        start = self.clock
        for tick, step in enumerate(paced(keys, 20)):
            if step is not None:
                start = self.clock + tick * 160 if step.first else start
                self.say(step.payload, payload_type=101, timestamp=start)
                await asyncio.sleep(0.002)
        self.clock = start + 2000

    async def hears(self, hz, packets=15, *, codec=None):
        """The next packets are of this tone."""
        before = len(self.packets)
        await self.count(before + packets + 3)
        heard = self.packets[before + 3 : before + packets + 3]
        assert abs(frequency(heard, codec or self.codec) - hz) <= 2
        return heard

    def digits(self):
        return "".join(data["digit"] for data in self.events.named("digit"))

    def heard_events(self):
        """(event code, timestamp) of each telephone-event that came."""
        return {
            (packet.payload[0], packet.timestamp)
            for packet in self.packets
            if packet.payload_type == self.parameters.get("dtmf_payload", 101)
        }

    def close(self):
        self.silence()
        super().close()


@pytest.fixture
async def phones(pool):
    """Makes phones whose sessions share a worker."""
    made = []

    async def make(hz, codec="PCMU", *, connect=True, **parameters):
        phone = Phone(hz, codec, **parameters)
        made.append(phone)
        return await phone.join(pool, near=made[0] if len(made) > 1 else None, connect=connect)

    yield make
    for phone in made:
        phone.close()
        await phone.session.close()


@pytest.fixture
async def pair(phones):
    left, right = await phones(400), await phones(900)
    await left.session.bridge(right.session)
    return left, right


@pytest.mark.parametrize(
    ("left_codec", "right_codec"),
    [("PCMU", "PCMU"), ("PCMU", "PCMA"), ("PCMA", "PCMU"), ("PCMA", "PCMA")],
)
async def test_both_hear_each_other(phones, left_codec, right_codec):
    left, right = await phones(400, left_codec), await phones(900, right_codec)
    await left.session.bridge(right.session)
    left.talk()
    right.talk()
    at_left, at_right = await asyncio.gather(left.hears(900), right.hears(400))
    for packets, phone in ((at_left, left), (at_right, right)):
        assert contiguous(packets)
        assert {packet.payload_type for packet in packets} == {phone.parameters["payload_type"]}
        assert len({packet.ssrc for packet in phone.packets}) == 1
    stats = await left.session.close()
    assert abs(stats["packets_sent"] - len(left.packets)) <= 1
    assert stats["bytes_sent"] == stats["packets_sent"] * 160
    assert stats["lost"] == 0


async def test_sender_reports_tell_of_what_is_relayed(pair):
    left, right = pair
    left.talk()
    await right.until(lambda: len(right.reports) > 1)
    assert any(report[1] == 200 for report in right.reports)


async def test_after_unbridge_nothing_passes_and_a_new_bridge_goes_on(pair):
    left, right = pair
    left.talk()
    await right.hears(400, 5)
    await right.session.unbridge()
    await right.session.unbridge()
    await right.settled()
    count = len(right.packets)
    await asyncio.sleep(0.1)
    assert len(right.packets) == count
    await right.session.bridge(left.session)
    await right.hears(400, 5)
    before, after = right.packets[count - 1], right.packets[count]
    assert (after.sequence - before.sequence) & 0xFFFF == 1
    assert after.marker
    assert len({packet.ssrc for packet in right.packets}) == 1


async def test_close_of_one_ends_the_bridge(pair, wav):
    left, right = pair
    left.talk()
    await right.hears(400, 5)
    await left.session.close()
    assert await right.session.play([wav(320)]).wait() == "end"
    await right.session.unbridge()
    with pytest.raises(NoMedia):
        await right.session.bridge(left.session)
    with pytest.raises(NoMedia):
        await left.session.bridge(right.session)
    await left.session.unbridge()


async def test_a_third_takes_over(phones, pair):
    left, right = pair
    third = await phones(1500)
    left.talk()
    right.talk()
    third.talk()
    await asyncio.gather(left.hears(900), right.hears(400))
    await third.session.bridge(left.session)
    await asyncio.gather(left.hears(1500), third.hears(400))
    await right.settled()
    count = len(right.packets)
    await left.hears(1500, 5)
    assert len(right.packets) == count


async def test_bridging_at_any_moment_leaves_a_stream_without_holes(pair):
    left, right = pair
    left.talk()
    for _ in range(20):
        await left.session.unbridge()
        await asyncio.gather(
            left.session.bridge(right.session),
            right.session.bridge(left.session),
            asyncio.sleep(0.021),
        )
    await right.hears(400, 5)
    numbers = [packet.sequence for packet in right.packets]
    assert numbers == [(numbers[0] + step) & 0xFFFF for step in range(len(numbers))]


async def test_sessions_of_other_workers_or_itself_are_refused(peer):
    pool = MediaPool(CONFIG, workers=2)
    await pool.start()
    first, second = await pool.open("ip4", Events()), await pool.open("ip4", Events())
    near = await pool.open("ip4", Events(), near=first)
    for other in (second, first):
        with pytest.raises(ValueError, match="worker"):
            await first.bridge(other)
    await first.bridge(near)
    await pool.stop()


async def test_near_a_worker_without_ports_or_life(pool):
    first = await pool.open("ip4", Events())
    legs = [first]

    async def fill() -> None:
        while True:  # others may hold some of the hundred
            legs.append(await pool.open("ip4", Events(), near=first))

    with pytest.raises(NoMedia, match="no-port"):
        await fill()
    os.kill(pool.details[0]["pid"], signal.SIGKILL)
    with pytest.raises(NoMedia):
        await pool.open("ip4", Events(), near=first)
    await legs[0].close()


async def test_a_killed_worker_loses_both_sides(pool, pair):
    left, right = pair
    os.kill(pool.details[0]["pid"], signal.SIGKILL)
    await asyncio.gather(left.events.wait("lost"), right.events.wait("lost"))
    with pytest.raises(NoMedia):
        await left.session.bridge(right.session)
    await left.session.unbridge()


# --- directions and renewed parameters ----------------------------------------------------------


async def test_early_media_of_one_side(phones):
    left, right = await phones(400), await phones(900, connect=False)
    await left.session.bridge(right.session)
    left.talk()
    right.talk()
    await asyncio.sleep(0.05)
    assert left.packets == right.packets == []
    await right.connect(direction="recvonly")
    await left.hears(900)
    assert right.packets == []
    await right.connect(direction="sendrecv")
    await right.hears(400)


@pytest.mark.parametrize(
    ("direction", "left_hears", "right_hears"),
    [("sendonly", False, True), ("recvonly", True, False), ("inactive", False, False)],
)
async def test_hold_and_resume(pair, direction, left_hears, right_hears):
    left, right = pair
    left.talk()
    right.talk()
    await asyncio.gather(left.hears(900, 5), right.hears(400, 5))
    await right.connect(direction=direction)
    await right.settled()
    counts = len(left.packets), len(right.packets)
    for phone, count, hears in ((left, counts[0], left_hears), (right, counts[1], right_hears)):
        if hears:
            await phone.count(count + 5)
    await asyncio.sleep(0.1)
    for phone, count, hears in ((left, counts[0], left_hears), (right, counts[1], right_hears)):
        assert hears or len(phone.packets) == count
    await right.connect(direction="sendrecv")
    await asyncio.gather(left.hears(900), right.hears(400))
    for phone in pair:
        numbers = [packet.sequence for packet in phone.packets]
        assert numbers == [(numbers[0] + step) & 0xFFFF for step in range(len(numbers))]


async def test_a_new_codec_in_mid_bridge(pair):
    left, right = pair
    left.talk()
    right.talk()
    await asyncio.gather(left.hears(900, 5), right.hears(400, 5))
    await right.connect(codec="PCMA", payload_type=8)
    right.frames = encoded(900, "PCMA")
    right.packets.clear()
    await asyncio.gather(left.hears(900), right.hears(400, codec="PCMA"))
    assert {packet.payload_type for packet in right.packets[1:]} == {8}


async def test_another_ssrc_is_the_same_stream_for_the_other(pair):
    left, right = pair
    left.talk()
    await right.hears(400, 5)
    left.ssrc, left.sequence, left.clock = 4711, 30000, 10**9
    heard = await right.hears(400)
    assert contiguous(heard)
    assert len({packet.ssrc for packet in right.packets}) == 1
    numbers = [packet.sequence for packet in right.packets]
    assert numbers == [(numbers[0] + step) & 0xFFFF for step in range(len(numbers))]
    assert sum(packet.marker for packet in right.packets) == 2


async def test_loss_disorder_and_duplicates(pair):
    left, right = pair
    for sequence in (1, 2, 5, 4, 4, 7, 7, 8):
        left.send(left.session.port, sequence, payload=bytes([sequence]) * 160, ssrc=9)
        await asyncio.sleep(0.003)
    packets = await right.count(6)
    assert [packet.payload[0] for packet in packets] == [1, 2, 5, 4, 7, 8]
    first = packets[0]
    assert [(packet.sequence - first.sequence) & 0xFFFF for packet in packets] == [0, 1, 4, 3, 6, 7]
    assert [((packet.timestamp - first.timestamp) & 0xFFFFFFFF) // 160 for packet in packets] == [
        0, 1, 4, 3, 6, 7,
    ]  # fmt: skip
    stats = await right.session.close()
    assert (stats["packets_sent"], stats["bytes_sent"]) == (6, 960)


# --- prompts and digits -------------------------------------------------------------------------


async def test_a_prompt_covers_the_bridge(pair, wav):
    left, right = pair
    left.talk()
    right.talk()
    await right.hears(400, 5)
    play = right.session.play([wav(80000, 1500)])
    await asyncio.gather(right.hears(1500), left.hears(900))
    play.stop()
    await play.wait()
    await right.hears(400)
    numbers = [packet.sequence for packet in right.packets]
    assert numbers == [(numbers[0] + step) & 0xFFFF for step in range(len(numbers))]


async def test_digits_pass_both_ways_and_are_told(phones):
    left, right = await phones(400), await phones(900, dtmf_payload=101)
    await left.session.bridge(right.session)
    await left.press("12#")
    await right.press("A*")
    await left.events.wait("digit", 3)
    await right.events.wait("digit", 2)
    await right.until(lambda: len(right.heard_events()) == 3)
    await left.until(lambda: len(left.heard_events()) == 2)
    assert (left.digits(), right.digits()) == ("12#", "A*")
    assert [code for code, _ in sorted(right.heard_events(), key=lambda e: e[1])] == [1, 2, 11]
    assert {code for code, _ in left.heard_events()} == {12, 10}
    ends = [p for p in right.packets if p.payload_type == 101 and p.payload[1] & 0x80]
    assert len(ends) == 9


async def test_swallowed_digits_are_told_only(phones):
    left, right = await phones(400), await phones(900)
    await left.session.bridge(right.session, swallow="*")
    await left.press("1*2")
    await right.press("*")
    await left.events.wait("digit", 3)
    await left.until(left.heard_events)
    await right.until(lambda: len(right.heard_events()) == 2)
    assert left.digits() == "1*2"
    assert {code for code, _ in right.heard_events()} == {1, 2}
    assert {code for code, _ in left.heard_events()} == {10}
    numbers = [packet.sequence for packet in right.packets]
    assert numbers == [(numbers[0] + step) & 0xFFFF for step in range(len(numbers))]


async def test_a_tone_for_a_peer_without_events(phones):
    left, right = await phones(400), await phones(900, dtmf_payload=None)
    await left.session.bridge(right.session)
    await left.press("5")
    packets = await right.count(10)
    assert {packet.payload_type for packet in packets} == {0}
    pcm = g711.decode(b"".join(packet.payload for packet in packets[:5]), "PCMU")
    spectrum = np.abs(np.fft.rfft(np.frombuffer(pcm, dtype="<i2").astype(float), 8000))
    assert abs(int(spectrum[:1000].argmax()) - 770) <= 3
    assert abs(int(spectrum[1000:].argmax()) + 1000 - 1336) <= 3


async def test_the_node_sends_digits_into_a_bridge(pair):
    left, right = pair
    left.talk()
    await right.hears(400, 5)
    assert await right.session.send_digits("7") == "end"
    await right.hears(400)
    assert {code for code, _ in right.heard_events()} == {7}


async def test_close_in_mid_digit_ends_the_digit(phones):
    phone = await phones(400)
    digits = asyncio.create_task(phone.session.send_digits("1"))
    await phone.count(2)
    await phone.session.close()
    assert await digits == "stopped"
    await phone.until(lambda: sum(packet.payload[1] >> 7 for packet in phone.packets) == 3)
    assert {packet.timestamp for packet in phone.packets} == {phone.packets[0].timestamp}


# --- ring tone ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("country", "codec", "on", "hz"), [("uk", "PCMU", 400, 450), ("nz", "PCMA", 400, 450)]
)
async def test_a_ring_tone_sounds_until_it_is_stopped(phones, country, codec, on, hz):
    phone = await phones(400, codec)
    ringing = phone.session.ringback(country)
    packets = await phone.count(60)
    ringing.stop()
    assert await ringing.wait() == "stopped"
    assert contiguous(packets)
    loud = [
        max(np.abs(np.frombuffer(g711.decode(packet.payload, codec), dtype="<i2"))) > 300
        for packet in packets
    ]
    assert loud == ([True] * 20 + [False] * 10 + [True] * 20 + [False] * 10)
    assert abs(frequency(packets[:20], codec) - 425) <= 27


async def test_an_unknown_country_fails(leg):
    session, _ = leg
    assert await session.ringback("xx").wait() == "failed"
