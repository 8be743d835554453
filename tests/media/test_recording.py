"""Recordings by a real worker."""

import asyncio
import os
import wave
from array import array
from time import monotonic

import numpy as np
import pytest

from sipserver.media.trim import repair_wav
from sipserver.mediapool import RecordSpec
from sipserver.rtp import g711, tone
from sipserver.rtp.telephone_event import paced
from tests.media.conftest import Events, Parameters, Peer
from tests.media.conftest import tone as sine

pytestmark = pytest.mark.integration

# What two processes measure of the same time differs by how long a busy machine lets them wait.
LATE = 0.6


class Voice:
    """A peer that sends a sine on time, until it is told to be silent or to stop."""

    def __init__(self, peer, port, frequency=440, codec="PCMU", payload_type=0, ssrc=77):
        self.audio = g711.encode(array("h", sine(frequency, 8000)).tobytes(), codec)
        self.quiet = g711.SILENCE[codec] * 160
        self.silent = False
        self.sent = 0
        self._send = lambda n, payload: peer.send(
            port, n, payload=payload, payload_type=payload_type, ssrc=ssrc
        )
        self._task = asyncio.create_task(self._run())

    async def _run(self):
        begun = monotonic()
        while True:
            frame = self.audio[self.sent % 50 * 160 :][:160]
            self._send(self.sent, self.quiet if self.silent else frame)
            self.sent += 1
            await asyncio.sleep(max(0, begun + self.sent * 0.02 - monotonic()))

    def stop(self):
        self._task.cancel()


@pytest.fixture
def voices():
    made = []

    def make(*args, **more):
        made.append(Voice(*args, **more))
        return made[-1]

    yield make
    for voice in made:
        voice.stop()


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "recording.wav")


@pytest.fixture
async def second(pool):
    peer, events = Peer(), Events()
    session = await pool.open("ip4", events)
    await session.connect(Parameters(peer.address))
    yield session, peer
    await session.close()
    peer.close()


def channels(path):
    with wave.open(path) as file:
        assert (file.getframerate(), file.getsampwidth()) == (8000, 2)
        data = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return [data[at :: file.getnchannels()].astype(float) for at in range(file.getnchannels())]


def pitches(samples, count=1):
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    found = []
    for _ in range(count):
        peak = int(spectrum.argmax())
        found.append(peak * 8000 / len(samples))
        spectrum[max(0, peak - 40) : peak + 40] = 0
    return sorted(found)


def span(samples, threshold=500):
    """Seconds of the first and the last loud sample."""
    loud = np.flatnonzero(np.abs(samples) > threshold)
    return loud[0] / 8000, loud[-1] / 8000


def longest_silence(*tracks):
    """Of all together: its first and its last sample."""
    loud = np.flatnonzero(np.abs(np.stack(tracks)).max(axis=0))
    loud = np.concatenate(([-1], loud, [len(tracks[0])]))
    at = int(np.argmax(np.diff(loud)))
    return int(loud[at]) + 1, int(loud[at + 1]) - 1


def has(samples, frequency):
    """Whether there is more of it than the edges of other tones leave."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    at = round(frequency * len(samples) / 8000)
    return bool(spectrum[at - 20 : at + 20].max() > spectrum.max() / 30)


async def written(path, seconds):
    """Until so much is in a file that is being written."""
    async with asyncio.timeout(30):
        while not os.path.exists(path) or os.path.getsize(path) < 44 + seconds * 16000:
            await asyncio.sleep(0.005)


async def ended(operation):
    async with asyncio.timeout(30):
        return await operation.wait()


async def test_a_tone_is_recorded(leg, peer, voices, path):
    session, _ = leg
    voices(peer, session.port, 440)
    begun = monotonic()
    operation = session.record(RecordSpec(path))
    await asyncio.sleep(1.2)
    operation.stop()
    lasted = monotonic() - begun
    end = await ended(operation)
    (samples,) = channels(path)
    assert (end.cause, end.key, end.seconds) == ("stopped", "", len(samples) / 8000)
    assert end.seconds == pytest.approx(lasted, abs=LATE)
    assert 0.3 < end.speech_seconds < end.seconds + LATE  # counted in packets
    assert end.peak == pytest.approx(8000, rel=0.05)
    assert pitches(samples[800:8800]) == [pytest.approx(440, abs=2)]
    assert span(samples) == pytest.approx((0, end.seconds), abs=LATE)


async def test_the_longest(leg, peer, voices, path):
    session, _ = leg
    voices(peer, session.port)
    end = await ended(session.record(RecordSpec(path, max_seconds=0.7)))
    assert (end.cause, end.seconds) == ("max-length", 0.7)
    assert len(channels(path)[0]) == 5600


async def test_silence(leg, peer, voices, path):
    session, _ = leg
    voice = voices(peer, session.port)
    begun = monotonic()
    operation = session.record(RecordSpec(path, silence_seconds=0.5))
    await asyncio.sleep(0.6)
    voice.silent = True
    spoken = monotonic() - begun
    end = await ended(operation)
    assert end.cause == "silence"
    assert end.seconds == pytest.approx(spoken + 0.5, abs=LATE)


@pytest.mark.parametrize("finish_on", ["0123456789*#", "#"])
async def test_a_key(leg, peer, voices, path, finish_on):
    session, events = leg
    voices(peer, session.port)
    operation = session.record(RecordSpec(path, finish_on=finish_on))
    await events.wait("first_packet")
    await written(path, 0)
    for number, step in enumerate(paced("#", 20)):
        if step is not None:
            peer.send(session.port, 5000 + number, payload=step.payload, payload_type=101,
                      timestamp=160)  # fmt: skip
    end = await ended(operation)
    assert (end.cause, end.key) == ("key", "#")
    assert events.named("digit") == [{"digit": "#"}]


async def test_other_keys_do_not_end_it(leg, peer, path):
    session, events = leg
    operation = session.record(RecordSpec(path, finish_on="#", max_seconds=0.3))
    await written(path, 0)
    peer.send(session.port, 1, payload=bytes.fromhex("050a00a0"), payload_type=101)
    assert (await ended(operation)).cause == "max-length"
    assert events.named("digit") == [{"digit": "5"}]


async def test_the_beep_is_heard_by_the_peer_and_not_in_the_file(leg, peer, voices, path):
    session, _ = leg
    voices(peer, session.port, 440)
    begun = monotonic()
    end = await ended(session.record(RecordSpec(path, beep=True, track="both", max_seconds=0.5)))
    assert monotonic() - begun >= 0.75  # the timeline began after the beep
    heard = b"".join(packet.payload for packet in peer.packets)
    assert len(heard) == 2400
    beep = np.frombuffer(g711.decode(heard, "PCMU"), "<i2").astype(float)
    assert pitches(beep) == [pytest.approx(1000, abs=5)]
    (samples,) = channels(path)
    assert end.seconds == 0.5
    assert pitches(samples) == [pytest.approx(440, abs=4)]
    assert np.abs(samples).max() < 9000


async def test_stopped_during_the_beep(leg, peer, path, wav):
    session, _ = leg
    for _ in range(50):
        before = len(peer.packets)
        operation = session.record(RecordSpec(path, beep=True))
        await peer.count(before + 2)
        operation.stop()
        end = await ended(operation)
        await peer.settled()
        if len(peer.packets) - before < 15:  # else we were so slow that all of it was heard
            break
    assert (end.cause, end.seconds, len(channels(path)[0])) == ("stopped", 0.0, 0)
    assert await session.play([wav(800)]).wait() == "end"


async def test_close_ends_it_with_a_complete_file(pool, peer, voices, path):
    session = await pool.open("ip4", Events())
    await session.connect(Parameters(peer.address))
    voices(peer, session.port)
    begun = monotonic()
    operation = session.record(RecordSpec(path))
    await asyncio.sleep(0.5)
    lasted = monotonic() - begun
    stats = await session.close()
    assert stats["packets_received"] > 0
    end = await ended(operation)
    assert end.cause == "stopped"
    assert end.seconds == len(channels(path)[0]) / 8000 == pytest.approx(lasted, abs=LATE)
    assert (await session.close()) == stats
    assert (await ended(session.record(RecordSpec(path)))).cause == "stopped"
    assert pool.load.sessions == 0


async def test_a_killed_worker_leaves_a_file_that_can_be_played(pool, peer, voices, path):
    session = await pool.open("ip4", Events())
    await session.connect(Parameters(peer.address))
    voices(peer, session.port, 440)
    begun = monotonic()
    operation = session.record(RecordSpec(path))
    await written(path, 1.0)
    session.worker.kill()
    lasted = monotonic() - begun
    assert (await ended(operation)).cause == "lost"
    (samples,) = channels(path)  # as it was left
    assert len(samples) >= 8000
    seconds = repair_wav(path)
    (samples,) = channels(path)
    assert 1.0 <= seconds == len(samples) / 8000 <= lasted
    assert pitches(samples[:8000]) == [pytest.approx(440, abs=2)]


@pytest.mark.parametrize("behavior", ["skip", "silence"])
async def test_paused_and_resumed(leg, peer, second, voices, path, behavior):
    """Both channels of a bridge stay in step; what was said in the pause is not in the file."""
    (session, _), (other, other_peer) = leg, second
    await session.bridge(other)
    first = voices(peer, session.port, 440), voices(other_peer, other.port, 1200)
    operation = session.record(RecordSpec(path, channels=2, track="both"))
    begun = monotonic()
    await asyncio.sleep(1.0)
    assert await operation.pause(behavior)
    paused_at = monotonic()
    for voice in first:
        voice.stop()
    secret = (
        voices(peer, session.port, 2000, ssrc=78),
        voices(other_peer, other.port, 2600, ssrc=79),
    )
    await asyncio.sleep(1.5)
    for voice in secret:
        voice.stop()
    # The worker has got it all: nothing of it will come after the pause.
    for one, said in ((other_peer, (first[0], secret[0])), (peer, (first[1], secret[1]))):
        await one.count(sum(voice.sent for voice in said))
    then = voices(peer, session.port, 700, ssrc=80), voices(other_peer, other.port, 1600, ssrc=81)
    assert await operation.resume()
    resumed_at = monotonic()
    await asyncio.sleep(1.0)
    operation.stop()
    stopped_at = monotonic()
    for voice in then:
        voice.stop()
    end = await ended(operation)
    before, pause, after = paused_at - begun, resumed_at - paused_at, stopped_at - resumed_at
    kept = pause if behavior == "silence" else 0
    assert end.cause == "stopped"
    assert end.seconds == pytest.approx(before + kept + after, abs=LATE)
    left, right = channels(path)
    assert len(left) == len(right) == round(end.seconds * 8000)
    if behavior == "silence":
        at, on = longest_silence(left, right)
        assert (on - at) / 8000 == pytest.approx(pause, abs=LATE)
    for samples, early, late, never in ((left, 440, 700, 2000), (right, 1200, 1600, 2600)):
        assert pitches(samples[1200:5600]) == [pytest.approx(early, abs=4)]
        assert pitches(samples[-6000:-800]) == [pytest.approx(late, abs=4)]
        assert not has(samples, never)
    assert end.speech_seconds <= before + after + LATE


async def test_one_recording_is_paused_while_another_goes_on(leg, peer, voices, path):
    session, _ = leg
    voices(peer, session.port, 440)
    whole = session.record(RecordSpec(path, track="both"))
    parts = session.record(RecordSpec(path + ".parts"))
    await asyncio.sleep(0.5)
    await parts.pause("skip")
    paused_at = monotonic()
    await asyncio.sleep(1.2)
    await parts.resume()
    pause = monotonic() - paused_at
    await asyncio.sleep(0.3)
    whole.stop()
    parts.stop()
    lengths = [(await ended(one)).seconds for one in (whole, parts)]
    assert lengths[0] - lengths[1] == pytest.approx(pause, abs=LATE)
    for name in (path, path + ".parts"):
        (samples,) = channels(name)
        assert pitches(samples[800:]) == [pytest.approx(440, abs=4)]


async def test_keys_and_lengths_do_not_end_what_is_paused(leg, peer, voices, path):
    session, events = leg
    voice = voices(peer, session.port)
    operation = session.record(
        RecordSpec(path, finish_on="#", max_seconds=3.0, silence_seconds=0.5)
    )
    await events.wait("first_packet")
    assert await operation.pause("silence")
    voice.silent = True
    for number, step in enumerate(paced("#", 20)):
        if step is not None:
            peer.send(session.port, 5000 + number, payload=step.payload, payload_type=101,
                      timestamp=160)  # fmt: skip
    await events.wait("digit")
    await asyncio.sleep(3.5)
    assert await operation.resume()
    assert (await ended(operation)).cause == "silence"
    assert not await operation.pause("skip")
    assert not await operation.resume()


async def test_a_worker_killed_in_a_pause_leaves_what_was_before(pool, peer, voices, path):
    session = await pool.open("ip4", Events())
    await session.connect(Parameters(peer.address))
    voices(peer, session.port, 440)
    begun = monotonic()
    operation = session.record(RecordSpec(path))
    await asyncio.sleep(1.0)
    assert await operation.pause("skip")
    lasted = monotonic() - begun
    await written(path, 0.2)
    await asyncio.sleep(1.5)
    session.worker.kill()
    assert (await ended(operation)).cause == "lost"
    assert not await operation.resume()
    seconds = repair_wav(path)
    (samples,) = channels(path)
    assert seconds == len(samples) / 8000 == pytest.approx(lasted, abs=LATE)
    assert pitches(samples) == [pytest.approx(440, abs=4)]


async def test_what_is_refused_fails(leg, pool, path):
    session, _ = leg
    for wrong in (
        RecordSpec(path, channels=3),
        RecordSpec(path, track="up"),
        RecordSpec(path, max_seconds=0),
        RecordSpec(path, max_seconds=1e9),
        RecordSpec(path, silence_seconds=-1),
        RecordSpec(path + "/no/such.wav"),
    ):
        assert (await ended(session.record(wrong))).cause == "failed"


async def test_both_legs_side_by_side(leg, peer, second, voices, path):
    (session, _), (other, other_peer) = leg, second
    voices(peer, session.port, 440)
    operation = session.record(
        RecordSpec(path, channels=2, track="both", other=other, max_seconds=3.0)
    )
    begun = monotonic()
    await asyncio.sleep(1.0)
    first = monotonic() - begun
    late = voices(other_peer, other.port, 1200)
    await asyncio.sleep(1.0)
    late.stop()
    assert (await ended(operation)).cause == "max-length"
    left, right = channels(path)
    assert len(left) == len(right) == 24000
    assert span(left) == pytest.approx((0, 3.0), abs=LATE)
    assert span(right) == pytest.approx((first, first + late.sent * 0.02), abs=LATE)
    assert pitches(left) == [pytest.approx(440, abs=2)]
    assert pitches(right) == [pytest.approx(1200, abs=4)]


async def test_the_other_leg_may_go(leg, peer, pool, voices, path):
    session, _ = leg
    other = await pool.open("ip4", Events(), near=session)
    await other.connect(Parameters(peer.address))
    operation = session.record(
        RecordSpec(path, channels=2, track="both", other=other, max_seconds=0.6)
    )
    await asyncio.sleep(0.1)
    await other.close()
    assert (await ended(operation)).cause == "max-length"


async def test_a_bridge_is_recorded(leg, peer, second, voices, path):
    """Of the parent alone: what it says, and what it hears."""
    (session, _), (other, other_peer) = leg, second
    await other.connect(Parameters(other_peer.address, codec="PCMA", payload_type=8))
    await session.bridge(other)
    voices(peer, session.port, 440)
    voices(other_peer, other.port, 1200, codec="PCMA", payload_type=8)
    sides = session.record(RecordSpec(path, channels=2, track="both", max_seconds=1.0))
    summed = session.record(RecordSpec(path + ".mono", track="both", max_seconds=1.0))
    assert (await ended(sides)).cause == (await ended(summed)).cause == "max-length"
    left, right = channels(path)
    assert pitches(left) == [pytest.approx(440, abs=2)]
    assert pitches(right) == [pytest.approx(1200, abs=2)]
    (mono,) = channels(path + ".mono")
    assert pitches(mono, 2) == [pytest.approx(440, abs=2), pytest.approx(1200, abs=2)]


async def test_prompts_are_outbound(leg, peer, path, wav):
    session, _ = leg
    operation = session.record(RecordSpec(path, track="outbound", max_seconds=2.0))
    await session.play([wav(4000, 700)]).wait()
    end = await ended(operation)
    (samples,) = channels(path)
    first, last = span(samples)
    assert last - first == pytest.approx(0.5, abs=LATE)
    assert end.speech_seconds == pytest.approx(0.5, abs=LATE)
    assert pitches(samples) == [pytest.approx(700, abs=5)]


async def test_a_change_of_codec_in_mid_recording(leg, peer, voices, path):
    session, _ = leg
    before = voices(peer, session.port, 440)
    operation = session.record(RecordSpec(path, max_seconds=2.0))
    await asyncio.sleep(0.5)
    before.stop()
    await session.connect(Parameters(peer.address, codec="PCMA", payload_type=8))
    voices(peer, session.port, 440, codec="PCMA", payload_type=8, ssrc=78)
    await ended(operation)
    (samples,) = channels(path)
    assert pitches(samples[-6400:]) == [pytest.approx(440, abs=4)]
    assert np.abs(samples).max() < 9000


# --- in-band digits -------------------------------------------------------------------------


@pytest.mark.parametrize(("codec", "payload_type"), [("PCMU", 0), ("PCMA", 8)])
async def test_tones_are_digits_if_wanted(pool, peer, path, codec, payload_type):
    events = Events()
    session = await pool.open("ip4", events)
    parameters = Parameters(peer.address, codec=codec, payload_type=payload_type)
    parameters.inband_dtmf = True
    await session.connect(parameters)
    operation = session.record(RecordSpec(path, finish_on="#"))
    await written(path, 0)
    audio = tone.dial("159#", codec)
    for at in range(0, len(audio), 160):
        peer.send(session.port, at // 160, payload=audio[at : at + 160], payload_type=payload_type)
    assert await events.wait("digit", 4) == [{"digit": digit} for digit in "159#"]
    end = await ended(operation)
    assert (end.cause, end.key) == ("key", "#")
    assert (await session.close())["digits"] == 4


async def test_tones_are_no_digits_by_default(leg, peer):
    session, events = leg
    audio = tone.dial("159", "PCMU")
    for at in range(0, len(audio), 160):
        peer.send(session.port, at // 160, payload=audio[at : at + 160])
    await session.send_digits("1")
    assert (await session.close())["packets_received"] == len(audio) // 160
    assert events.named("digit") == []
