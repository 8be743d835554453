"""Recorder and tracks on a virtual clock."""

import random
from array import array
from math import sin, tau

import pytest

from sipserver.media.recorder import Limits, Recorder, Track
from sipserver.media.taps import Taps
from sipserver.rtp import g711

SPEECH, QUIET = 10000, 0
FRAME = 160


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def octets(value, samples=FRAME):
    return g711.encode(array("h", [value] * samples).tobytes(), "PCMU")


def level(value):
    """As it comes out of the codec."""
    return array("h", g711.decode(octets(value), "PCMU"))[0]


def loud_spans(pcm):
    """(first, end) in ms of what is not silent."""
    flags = [abs(sample) > 500 for sample in array("h", pcm)] + [False]
    edges = [at for at in range(len(flags)) if flags[at] != (at > 0 and flags[at - 1])]
    return [(a / 8, b / 8) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def played(arrivals, until, *, step=0.2, late=0.1):
    """A track that hears (ms, timestamp, payload) and is read as the recorder does."""
    clock = Clock()
    track = Track("PCMU", clock)
    pcm, queue, begun, ms = b"", sorted(arrivals, key=lambda one: one[0]), clock.now, 0
    while ms < until:
        ms = min(until, ms + int(step * 1000))
        while queue and queue[0][0] <= ms:
            at, timestamp, payload = queue.pop(0)
            clock.now = begun + at / 1000
            track.hear(timestamp & 0xFFFFFFFF, payload)
        end = ms if ms == until else ms - int(late * 1000)
        pcm += track.take(end * 8)
    return pcm


def stream(count, *, start=20, timestamp=5000, value=SPEECH):
    """Packets of 20 ms that come on time."""
    return [(start + 20 * n, timestamp + FRAME * n, octets(value)) for n in range(count)]


def test_packets_follow_one_another():
    pcm = played(stream(50), 1000)
    assert len(pcm) == 16000
    assert set(array("h", pcm)) == {level(SPEECH)}


def test_what_begins_late_and_stops_early_is_silence():
    assert loud_spans(played(stream(10, start=320), 1000)) == [(300, 500)]


@pytest.mark.parametrize("seed", range(5))
def test_jitter_and_disorder_do_no_harm(seed):
    chance = random.Random(seed)
    arrivals = [
        (at + chance.choice((0, 0, 5, 45)), stamp, payload) for at, stamp, payload in stream(100)
    ]
    pcm = played(arrivals, 2100)
    (span,) = loud_spans(pcm)
    assert span[0] == pytest.approx(0, abs=45)
    assert span[1] - span[0] == pytest.approx(2000, abs=45)


def test_loss_is_silence_of_its_length():
    arrivals = stream(50)
    del arrivals[20:25]
    assert loud_spans(played(arrivals, 1000)) == [(0, 400), (500, 1000)]


def test_a_burst_after_a_stall_finds_its_place_or_is_dropped():
    on_time, held = stream(50)[:20], stream(50)[20:45]
    arrivals = on_time + [(910, stamp, payload) for _, stamp, payload in held] + stream(75)[45:]
    spans = loud_spans(played(arrivals, 1500))
    assert spans[0] == (0, 400)
    assert spans[-1][1] == 1500
    assert spans[-1][0] <= 900


def test_a_first_packet_that_was_late_does_not_shift_the_others():
    (_, stamp, payload), *others = stream(50)
    (span,) = loud_spans(played([(95, stamp, payload), *others], 1000))
    assert span == (0, 1000)


def test_timestamps_that_jump_begin_anew():
    arrivals = stream(25) + stream(25, start=520, timestamp=4_000_000_000)
    assert loud_spans(played(arrivals, 1000)) == [(0, 1000)]


def test_timestamps_wrap():
    arrivals = stream(50, timestamp=(1 << 32) - 1000)
    assert loud_spans(played(arrivals, 1000)) == [(0, 1000)]


def test_a_clock_that_sleeps_over_silence():
    """No packets for 700 ms, and then the timestamps go on as if nothing had been."""
    arrivals = stream(10) + stream(10, start=920, timestamp=5000 + 10 * FRAME)
    assert loud_spans(played(arrivals, 1200)) == [(0, 200), (900, 1100)]


@pytest.mark.parametrize("drift", [-0.001, 0.001])
def test_drift_is_made_good(drift):
    """A clock off by 0.1 %, which is much: 60 ms in a minute."""
    arrivals = [(20 + n * 20 * (1 + drift), 5000 + FRAME * n, octets(SPEECH)) for n in range(3000)]
    pcm = played(arrivals, 60_100)
    last = 20 + 2999 * 20 * (1 + drift)
    assert loud_spans(pcm)[-1][1] == pytest.approx(last, abs=40)


def test_the_codec_may_change():
    clock = Clock()
    track = Track("PCMU", clock)
    clock.now += 0.02
    track.hear(0, octets(SPEECH))
    track.recode("PCMA")
    clock.now += 0.02
    track.hear(160, g711.encode(array("h", [SPEECH] * FRAME).tobytes(), "PCMA"))
    pcm = array("h", track.take(320))
    assert {abs(sample - SPEECH) < 400 for sample in pcm} == {True}


# --- recorder -------------------------------------------------------------------------------


class File:
    def __init__(self):
        self.writes, self.error, self.done = [], "", False

    def write(self, pcm):
        self.writes.append(pcm)

    def close(self):
        self.done = True


class Rig:
    def __init__(self, *, longest=60.0, silence=0.0, channels=1, both=False):
        self.clock, self.file, self.ended = Clock(), File(), []
        self.inbound, self.outbound = Taps(), Taps()
        self.inbound.recode("PCMU")
        self.outbound.recode("PCMU")
        self._due = []
        self.recorder = Recorder(
            self.file,
            Limits(longest, silence, ""),
            clock=self.clock,
            alarm=lambda at, action: self._due.append((at, action)),
            ended=lambda cause, data: self.ended.append((cause, data)),
        )
        self.recorder.begin(self.inbound, self.outbound if both else None, channels=channels)

    def run(self, ms, *, inbound=None, outbound=None, size=FRAME):
        """Time passes; each 20 ms a packet of these sample values comes."""
        for _ in range(0, ms, 20):
            self.clock.now += 0.02
            stamp = round((self.clock.now - 100) * 8000)
            for taps, value in ((self.inbound, inbound), (self.outbound, outbound)):
                if value is not None:
                    taps.hear(stamp, octets(value, size))
            for one in [one for one in self._due if one[0] <= self.clock.now + 1e-9]:
                self._due.remove(one)
                one[1](self.clock.now)

    @property
    def pcm(self):
        return b"".join(self.file.writes)


def test_silence_ends_it():
    rig = Rig(silence=1.0)
    rig.run(500, inbound=SPEECH)
    rig.run(3000, inbound=QUIET)
    ((cause, data),) = rig.ended
    assert cause == "silence"
    assert data["seconds"] == pytest.approx(1.5, abs=0.06)
    assert data["speech_s"] == pytest.approx(0.5, abs=0.03)
    assert data["peak"] == level(SPEECH)


def test_missing_packets_are_not_silence():
    rig = Rig(silence=1.0)
    rig.run(500, inbound=SPEECH)
    rig.run(5000)
    assert rig.ended == []
    rig.run(400, inbound=QUIET)
    rig.run(5000)
    assert rig.ended == []
    rig.run(700, inbound=QUIET)
    assert [cause for cause, _ in rig.ended] == ["silence"]


def test_the_longest_is_of_the_clock():
    rig = Rig(longest=2.0)
    rig.run(400, inbound=SPEECH)
    rig.run(2000)
    ((cause, data),) = rig.ended
    assert (cause, data["seconds"], len(rig.pcm)) == ("max-length", 2.0, 32000)


def test_it_is_written_once_a_second():
    rig = Rig()
    rig.run(5200, inbound=SPEECH)
    assert [len(pcm) for pcm in rig.file.writes] == [pytest.approx(16000, abs=3500)] * 5


def test_two_tracks_are_summed_or_stand_side_by_side():
    rig = Rig(both=True)
    rig.run(1000, inbound=1000, outbound=2000)
    rig.recorder.stop("stopped", rig.clock.now)
    assert set(array("h", rig.pcm)) == {level(1000) + level(2000)}
    rig = Rig(both=True, channels=2)
    rig.run(1000, inbound=1000, outbound=2000)
    rig.recorder.stop("stopped", rig.clock.now)
    samples = array("h", rig.pcm)
    assert (set(samples[::2]), set(samples[1::2])) == ({level(1000)}, {level(2000)})
    assert len(samples) == 16000


def test_the_sum_is_cut_at_full_scale():
    rig = Rig(both=True)
    rig.run(1000, inbound=30000, outbound=30000)
    rig.recorder.stop("stopped", rig.clock.now)
    assert set(array("h", rig.pcm)) == {32767}


def test_a_channel_without_track_is_silent():
    rig = Rig(channels=2)
    rig.run(1000, inbound=1000)
    rig.recorder.stop("stopped", rig.clock.now)
    samples = array("h", rig.pcm)
    assert (set(samples[::2]), set(samples[1::2])) == ({level(1000)}, {0})


def test_legs_that_start_and_stop_at_other_times_stay_aligned():
    rig = Rig(both=True, channels=2)
    rig.run(500, inbound=SPEECH)
    rig.run(500, inbound=SPEECH, outbound=SPEECH)
    rig.run(500, outbound=SPEECH)
    rig.recorder.stop("stopped", rig.clock.now)
    samples = array("h", rig.pcm)
    (left,), (right,) = (loud_spans(samples[at::2].tobytes()) for at in (0, 1))
    assert left == pytest.approx((0, 1000), abs=1)
    assert right == pytest.approx((500, 1500), abs=21)


# --- pauses ---------------------------------------------------------------------------------


def test_a_pause_that_skips_leaves_nothing_in_the_file():
    rig = Rig(both=True, channels=2)
    rig.run(1000, inbound=1000, outbound=2000)
    rig.recorder.pause("skip", rig.clock.now)
    assert (rig.inbound.listeners, rig.outbound.listeners) == ((), ())
    rig.run(5000, inbound=SPEECH, outbound=SPEECH)
    rig.recorder.resume(rig.clock.now)
    rig.run(500, inbound=3000, outbound=4000)
    rig.recorder.stop("stopped", rig.clock.now)
    samples = array("h", rig.pcm)
    assert (set(samples[:16000:2]), set(samples[1:16000:2])) == ({level(1000)}, {level(2000)})
    assert (set(samples[16000::2]), set(samples[16001::2])) == ({level(3000)}, {level(4000)})
    assert len(samples) == 24000
    assert rig.ended[0][1]["seconds"] == 1.5
    assert rig.ended[0][1]["peak"] == level(4000)


def test_a_pause_with_silence_is_as_long_as_it_was():
    rig = Rig(both=True, channels=2)
    rig.run(1000, inbound=1000, outbound=2000)
    rig.recorder.pause("silence", rig.clock.now)
    rig.run(3000, inbound=SPEECH, outbound=SPEECH)
    assert len(rig.pcm) >= 3 * 32000  # written as it passes: whatever happens, it is in the file
    rig.recorder.resume(rig.clock.now)
    rig.run(500, inbound=3000, outbound=4000)
    rig.recorder.stop("stopped", rig.clock.now)
    samples = array("h", rig.pcm)
    assert (set(samples[:16000:2]), set(samples[1:16000:2])) == ({level(1000)}, {level(2000)})
    assert set(samples[16000:64000]) == {0}
    assert (set(samples[64000::2]), set(samples[64001::2])) == ({level(3000)}, {level(4000)})
    assert len(samples) == 72000


@pytest.mark.parametrize(
    ("behavior", "seconds", "size"), [("skip", 1.0, 16000), ("silence", 5.0, 80000)]
)
def test_it_may_end_while_it_is_paused(behavior, seconds, size):
    rig = Rig()
    rig.run(1000, inbound=SPEECH)
    rig.recorder.pause(behavior, rig.clock.now)
    rig.run(4000, inbound=SPEECH)
    rig.recorder.stop("stopped", rig.clock.now)
    assert (rig.ended[0][1]["seconds"], len(rig.pcm)) == (seconds, size)
    assert rig.ended[0][1]["speech_s"] == pytest.approx(1.0, abs=0.03)


def test_the_rest_of_a_pause_may_be_another_one():
    rig = Rig()
    rig.run(1000, inbound=SPEECH)
    rig.recorder.pause("skip", rig.clock.now)
    rig.run(1000, inbound=SPEECH)
    rig.recorder.pause("silence", rig.clock.now)
    rig.run(500, inbound=SPEECH)
    rig.recorder.resume(rig.clock.now)
    rig.recorder.resume(rig.clock.now)
    rig.run(200, inbound=SPEECH)
    rig.recorder.stop("stopped", rig.clock.now)
    samples = array("h", rig.pcm)
    assert set(samples[8000:12000]) == {0}
    assert len(samples) == 8000 + 4000 + 1600


@pytest.mark.parametrize(("behavior", "size"), [("skip", 32000), ("silence", 192000)])
def test_the_longest_does_not_count_pauses(behavior, size):
    rig = Rig(longest=2.0)
    rig.run(1000, inbound=SPEECH)
    rig.recorder.pause(behavior, rig.clock.now)
    rig.run(10000)
    assert rig.ended == []
    rig.recorder.resume(rig.clock.now)
    rig.run(1400, inbound=SPEECH)
    ((cause, _),) = rig.ended
    assert (cause, len(rig.pcm)) == ("max-length", size)


def test_silence_does_not_end_it_in_a_pause_and_counts_anew_after_it():
    rig = Rig(silence=1.0)
    rig.run(500, inbound=SPEECH)
    rig.run(800, inbound=QUIET)
    rig.recorder.pause("silence", rig.clock.now)
    rig.run(5000, inbound=QUIET)
    rig.recorder.resume(rig.clock.now)
    rig.run(800, inbound=QUIET)
    assert rig.ended == []
    rig.run(400, inbound=QUIET)
    assert [cause for cause, _ in rig.ended] == ["silence"]


def test_one_that_is_paused_before_its_beep_has_ended_waits():
    rig = Rig()
    late = Recorder(
        File(), Limits(60.0, 0.0, ""), clock=rig.clock, alarm=lambda at, action: None,
        ended=lambda cause, data: rig.ended.append((cause, data)),
    )  # fmt: skip
    late.pause("skip", rig.clock.now)
    rig.run(300)
    late.begin(rig.outbound, None, channels=1)
    assert rig.outbound.listeners == ()
    rig.run(1000, outbound=SPEECH)
    late.resume(rig.clock.now)
    rig.run(500, outbound=SPEECH)
    late.stop("stopped", rig.clock.now)
    assert rig.ended[0][1]["seconds"] == 0.5


def test_codec_that_changes_in_a_pause_is_known_after_it():
    rig = Rig()
    rig.run(200, inbound=SPEECH)
    rig.recorder.pause("skip", rig.clock.now)
    rig.inbound.recode("PCMA")
    rig.recorder.resume(rig.clock.now)
    rig.clock.now += 0.02
    rig.inbound.hear(7, g711.encode(array("h", [SPEECH] * FRAME).tobytes(), "PCMA"))
    rig.recorder.stop("stopped", rig.clock.now)
    assert {abs(sample - SPEECH) < 400 for sample in array("h", rig.pcm)} == {True}


def test_recorders_of_one_leg_do_not_disturb_each_other():
    rig = Rig()
    due, ended, file = rig._due, [], File()
    other = Recorder(
        file, Limits(60.0, 0.0, ""), clock=rig.clock, alarm=lambda at, act: due.append((at, act)),
        ended=lambda cause, data: ended.append(data["seconds"]),
    )  # fmt: skip
    rig.run(1000, inbound=SPEECH)
    other.begin(rig.inbound, None, channels=1)
    rig.run(500, inbound=SPEECH)
    rig.recorder.pause("skip", rig.clock.now)
    rig.run(1000, inbound=SPEECH)
    other.pause("silence", rig.clock.now)
    rig.recorder.resume(rig.clock.now)
    rig.run(500, inbound=SPEECH)
    rig.recorder.stop("stopped", rig.clock.now)
    rig.run(500, inbound=SPEECH)
    other.stop("stopped", rig.clock.now)
    assert (rig.ended[0][1]["seconds"], ended) == (2.0, [2.5])
    assert loud_spans(rig.pcm) == [(0, 2000)]
    assert loud_spans(b"".join(file.writes)) == [(0, 1500)]


def test_a_disk_that_fails_ends_it():
    rig = Rig()
    rig.run(1500, inbound=SPEECH)
    rig.file.error = "No space left on device"
    rig.run(400, inbound=SPEECH)
    assert rig.ended == [("failed", {"error": "No space left on device"})]
    assert rig.inbound.listeners == ()


def test_it_ends_once_and_before_it_began_too():
    rig = Rig()
    rig.recorder.stop("key", rig.clock.now, "#")
    rig.recorder.stop("stopped", rig.clock.now)
    rig.run(100)
    ((cause, data),) = rig.ended
    assert (cause, data["key"], data["seconds"]) == ("key", "#", 0.0)


def test_the_end_waits_for_the_disk():
    rig = Rig()
    rig.file.close = lambda: None
    rig.run(300, inbound=SPEECH)
    rig.recorder.stop("stopped", rig.clock.now)
    rig.run(500)
    assert rig.ended == []
    assert not rig.recorder.pause("skip", rig.clock.now)
    assert not rig.recorder.resume(rig.clock.now)
    rig.file.done = True
    rig.run(200)
    assert [cause for cause, _ in rig.ended] == ["stopped"]


def test_a_sine_keeps_its_samples():
    sine = [int(8000 * sin(tau * 440 * n / 8000)) for n in range(8000)]
    coded = g711.encode(array("h", sine).tobytes(), "PCMU")
    arrivals = [(20 + 20 * n, FRAME * n, coded[FRAME * n :][:FRAME]) for n in range(50)]
    assert played(arrivals, 1000) == g711.decode(coded, "PCMU")
