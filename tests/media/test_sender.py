"""The send side on a virtual clock."""

from itertools import pairwise

import pytest

from sipserver.media.pacer import Pacer, summarize
from sipserver.media.prompts import CHUNK, PromptCache
from sipserver.media.sender import Sender
from sipserver.rtp import g711
from sipserver.rtp.packet import parse


class Rig:
    """One sender, its packets as (ms, RtpPacket), its endings."""

    def __init__(self, **parameters):
        self.now = 0  # ms
        self.pacer = Pacer(lambda: self.now / 999.9999)  # never a rounding short of the slot
        self.cache = PromptCache(1 << 20)
        self.ended = []
        self.packets = []
        self.sender = Sender(self.pacer, self.cache, lambda *ending: self.ended.append(ending))
        self.sender.transmit = self.transmit
        self.configure(**parameters)

    def configure(self, **parameters):
        defaults = {"codec": "PCMU", "payload_type": 0, "dtmf_payload": 101, "ptime": 20}
        self.sender.configure(**{**defaults, "sending": True, **parameters})

    def transmit(self, packet):
        self.packets.append((self.now, parse(bytes(packet))))
        return len(packet)

    def run(self, ms):
        """The worker's loop, exact to the millisecond."""
        for _ in range(ms):
            self.now += 1
            self.pacer.run()

    def audio(self):
        return b"".join(packet.payload for _, packet in self.packets)

    def steps(self):
        """(packets, ms by timestamp, marker) from each packet to the next."""
        return [
            (
                (b.sequence - a.sequence) & 0xFFFF,
                ((b.timestamp - a.timestamp) & 0xFFFFFFFF) // 8,
                b.marker,
            )
            for (_, a), (_, b) in pairwise(self.packets)
        ]


def encoded(path, codec="PCMU"):
    with open(path, "rb") as file:
        return g711.encode(file.read()[44:], codec)


@pytest.mark.parametrize("ptime", [10, 20, 30, 40, 60])
@pytest.mark.parametrize("codec", ["PCMU", "PCMA"])
def test_a_file_is_sent_whole_and_in_time(wav, ptime, codec):
    path = wav(CHUNK + 1234)
    rig = Rig(ptime=ptime, codec=codec)
    rig.sender.play(1, [path], more=False)
    rig.run(2000)
    audio = encoded(path, codec)
    packets = -(-len(audio) // (ptime * 8))
    assert rig.audio() == audio.ljust(packets * ptime * 8, g711.SILENCE[codec])
    assert rig.steps() == [(1, ptime, False)] * (packets - 1)
    assert rig.packets[0][1].marker
    times = [ms for ms, _ in rig.packets]
    assert times[0] <= 10
    assert [b - a for a, b in pairwise(times)] == [ptime] * (packets - 1)
    assert rig.ended == [(1, "end", "")]
    assert rig.pacer.active == 0


def test_numbers_wrap_around(wav):
    rig = Rig()
    rig.sender.sequence = rig.sender._first_sequence = 0xFFFE
    rig.sender._timestamp_base = 0xFFFFFFFF - 320
    rig.sender.play(1, [wav(1600)], more=False)
    rig.run(300)
    assert [packet.sequence for _, packet in rig.packets][:4] == [0xFFFE, 0xFFFF, 0, 1]
    assert rig.steps() == [(1, 20, False)] * 9
    assert rig.sender.packets == 10
    assert rig.sender.octets == 1600


def test_plays_run_one_after_another_without_a_gap(wav):
    rig = Rig()
    rig.sender.play(1, [wav(320)], more=False)
    rig.sender.play(2, [wav(320, 600)], more=False)
    rig.run(200)
    assert rig.audio() == encoded(wav(320)) + encoded(wav(320, 600))
    assert rig.steps() == [(1, 20, False)] * 3
    assert [ending[:2] for ending in rig.ended] == [(1, "end"), (2, "end")]


def test_waiting_for_the_next_sentence_is_silent_and_the_clock_runs_on(wav):
    rig = Rig()
    rig.sender.play(1, [wav(320)], more=True)
    rig.run(500)
    assert len(rig.packets) == 2
    assert rig.ended == []
    assert rig.pacer.active == 0
    assert rig.sender.extend(1, [wav(320, 600)], more=False)
    rig.run(100)
    first, gap, last = rig.steps()
    assert (first, last) == ((1, 20, False), (1, 20, False))
    assert gap[0] == 1
    assert gap[1] == 480
    assert gap[2]  # marker
    assert rig.ended == [(1, "end", "")]


def test_extend_without_files_ends_what_waits(wav):
    rig = Rig()
    rig.sender.play(1, [wav(160)], more=True)
    rig.run(100)
    assert rig.sender.extend(1, [], more=False)
    rig.run(40)
    assert rig.ended == [(1, "end", "")]
    assert not rig.sender.extend(1, [], more=False)


def test_stop_ends_at_once_and_the_next_goes_on(wav):
    rig = Rig()
    rig.sender.play(1, [wav(8000)], more=False)
    rig.sender.play(2, [wav(160, 600)], more=False)
    rig.run(100)
    before = len(rig.packets)
    assert rig.sender.stop(1)
    assert rig.ended == [(1, "stopped", "")]
    rig.run(100)
    assert rig.audio()[before * 160 :] == encoded(wav(160, 600))
    assert [ending[:2] for ending in rig.ended] == [(1, "stopped"), (2, "end")]
    assert not rig.sender.stop(1)


def test_one_not_begun_can_be_stopped(wav):
    rig = Rig()
    rig.sender.play(1, [wav(320)], more=False)
    rig.sender.play(2, [wav(320)], more=False)
    assert rig.sender.stop(2)
    rig.run(200)
    assert [ending[:2] for ending in rig.ended] == [(2, "stopped"), (1, "end")]
    assert len(rig.packets) == 2


def test_close_ends_everything_once(wav):
    rig = Rig()
    rig.sender.play(1, [wav(8000)], more=True)
    rig.sender.dial(2, "123")
    rig.run(50)
    rig.sender.close()
    assert [ending[:2] for ending in rig.ended] == [(1, "stopped"), (2, "stopped")]
    assert rig.pacer.active == 0


def test_a_missing_or_wrong_file_fails_only_its_play(wav, tmp_path):
    (tmp_path / "x.wav").write_bytes(b"nothing of the kind")
    rig = Rig()
    rig.sender.play(1, [str(tmp_path / "missing.wav")], more=False)
    rig.sender.play(2, [str(tmp_path / "x.wav")], more=False)
    rig.sender.play(3, [wav(160)], more=False)
    rig.run(100)
    assert [ending[:2] for ending in rig.ended] == [(1, "failed"), (2, "failed"), (3, "end")]
    assert len(rig.packets) == 1


def test_nothing_goes_to_a_peer_on_hold_while_time_passes(wav):
    path = wav(16000)
    rig = Rig()
    rig.sender.play(1, [path], more=False)
    rig.run(100)
    before = len(rig.packets)
    rig.configure(sending=False)
    rig.run(200)
    assert len(rig.packets) == before
    rig.configure(sending=True)
    rig.run(100)
    assert rig.steps()[before - 1] == (1, 220, True)
    audio = encoded(path)
    resumed = rig.packets[before][1].payload
    assert resumed == audio[(before + 10) * 160 :][:160]


def test_the_codec_can_change_in_mid_play(wav):
    path = wav(3200)
    rig = Rig()
    rig.sender.play(1, [path], more=False)
    rig.run(100)
    before = len(rig.packets)
    rig.configure(codec="PCMA", payload_type=8)
    rig.run(400)
    audio = g711.decode(b"".join(p.payload for _, p in rig.packets[:before]), "PCMU")
    audio += g711.decode(b"".join(p.payload for _, p in rig.packets[before:]), "PCMA")
    with open(path, "rb") as file:
        wanted = file.read()[44:]
    error = [
        abs(int.from_bytes(a, "little", signed=True) - int.from_bytes(b, "little", signed=True))
        for a, b in zip(
            (audio[i : i + 2] for i in range(0, len(audio), 2)),
            (wanted[i : i + 2] for i in range(0, len(wanted), 2)),
            strict=True,
        )
    ]
    assert max(error) < 600


def test_many_tiny_files_are_joined(wav):
    tiny = wav(7)
    rig = Rig()
    rig.sender.play(1, [tiny] * 3000, more=False)
    rig.run(3000)
    assert rig.audio().rstrip(b"\xff") == (encoded(tiny) * 3000).rstrip(b"\xff")
    assert len(rig.packets) == -(-3000 * 7 // 160)
    assert rig.ended == [(1, "end", "")]


def test_the_interval_can_change_in_mid_play(wav):
    rig = Rig()
    rig.sender.play(1, [wav(3200)], more=False)
    rig.run(100)
    rig.configure(ptime=40)
    rig.run(600)
    assert rig.audio()[:3200] == encoded(wav(3200))
    assert rig.ended == [(1, "end", "")]


def test_nothing_is_played_before_the_parameters_are_known(wav):
    rig = Rig()
    sender = Sender(rig.pacer, rig.cache, lambda *ending: rig.ended.append(ending))
    sender.play(1, [wav(160)], more=False)
    rig.run(100)
    assert rig.ended == []
    sender.transmit = rig.transmit
    sender.configure(codec="PCMU", payload_type=0, dtmf_payload=None, ptime=20, sending=True)
    rig.run(100)
    assert rig.ended == [(1, "end", "")]
    assert len(rig.packets) == 1


def test_digits_as_events_then_audio(wav):
    rig = Rig()
    rig.sender.dial(1, "1w2")
    rig.sender.play(2, [wav(320)], more=False)
    rig.run(1100)
    events = [packet for _, packet in rig.packets if packet.payload_type == 101]
    audio = [packet for _, packet in rig.packets if packet.payload_type == 0]
    assert len(events) == 14
    assert [packet.marker for packet in events] == ([True] + [False] * 6) * 2
    assert len({packet.timestamp for packet in events}) == 2
    assert (events[7].timestamp - events[0].timestamp) & 0xFFFFFFFF == 700 * 8
    assert [packet.marker for packet in audio] == [True, False]
    assert [packet.sequence - events[0].sequence for _, packet in rig.packets] == list(range(16))
    assert rig.ended == [(1, "end", ""), (2, "end", "")]


def test_digits_as_tones_without_telephone_event():
    rig = Rig(dtmf_payload=None)
    rig.sender.dial(1, "12")
    rig.run(500)
    assert len(rig.audio()) == 400 * 8
    assert {packet.payload_type for _, packet in rig.packets} == {0}
    assert rig.ended == [(1, "end", "")]


def test_refused_packets_are_counted_and_playing_goes_on(wav):
    def refuse(packet):
        raise ConnectionRefusedError

    rig = Rig()
    rig.sender.transmit = refuse
    rig.sender.play(1, [wav(320)], more=False)
    rig.run(100)
    assert rig.sender.errors == 2
    assert rig.ended == [(1, "end", "")]


def test_a_short_stall_is_made_up_and_a_long_one_is_given_up(wav):
    rig = Rig()
    rig.sender.play(1, [wav(16000)], more=False)
    rig.run(100)
    rig.now += 60
    rig.run(1)
    assert {step[:2] for step in rig.steps()} == {(1, 20)}
    assert rig.pacer.skipped_ms == 0
    before = len(rig.packets)
    rig.now += 1000
    rig.run(20)
    assert len(rig.packets) <= before + 2
    assert rig.pacer.skipped_ms >= 900
    sequence, gap, _ = rig.steps()[before - 1]
    assert sequence == 1
    assert gap >= 1000


def test_a_talkspurt_begins_soon_in_an_empty_slot(wav):
    rig = Rig()
    senders = [Sender(rig.pacer, rig.cache, lambda *ending: None) for _ in range(20)]
    for sender in senders:
        sender.configure(codec="PCMU", payload_type=0, dtmf_payload=None, ptime=20, sending=True)
        sender.play(1, [wav(8000)], more=False)
    begun = sorted(sender.slot % 20 for sender in senders)
    assert begun == sorted([*range(1, 11)] * 2)
    rig.run(10)
    assert all(sender.packets == 1 for sender in senders)
    for sender in senders:
        sender.stop(1)
    rig.run(20)
    assert rig.pacer.active == 0


def test_deviation_is_measured_against_the_tick_before(wav):
    rig = Rig()
    rig.sender.play(1, [wav(16000)], more=False)
    rig.run(200)
    rig.now += 30
    rig.run(400)
    assert sum(rig.pacer.deviations.late) >= 1
    figures = summarize(rig.pacer.deviations.total())
    assert figures["p50"] == 0.25
    assert figures["max"] >= 10
    rig.sender.close()
    assert rig.sender.timing.late == sum(rig.pacer.deviations.late)
    assert rig.sender.timing.buckets == rig.pacer.deviations.total()


@pytest.mark.parametrize(
    ("buckets", "expected"),
    [
        ([0] * 86, (0, 0, 0, 0)),
        ([100] + [0] * 85, (0.25, 0.25, 0.25, 0.25)),
        ([90, 0, 0, 9, 1] + [0] * 81, (0.25, 1.0, 1.0, 1.25)),
        ([99] + [0] * 79 + [1] + [0] * 5, (0.25, 0.25, 0.25, 40.0)),
    ],
)
def test_percentiles(buckets, expected):
    found = summarize(buckets)
    assert tuple(found[name] for name in ("p50", "p95", "p99", "max")) == expected


def test_prompts_are_encoded_once_and_shared(wav):
    cache = PromptCache(1 << 20)
    prompt = cache.open(wav(CHUNK * 2))
    assert cache.open(wav(CHUNK * 2)) is prompt
    assert cache.chunk(prompt, "PCMU", 0) is cache.chunk(prompt, "PCMU", 0)
    assert cache.chunk(prompt, "PCMU", 2) == b""
    assert cache.held == CHUNK


def test_the_cache_is_bounded_and_forgets_the_oldest(wav):
    cache = PromptCache(3 * CHUNK)
    prompt = cache.open(wav(CHUNK * 5))
    first = cache.chunk(prompt, "PCMU", 0)
    second = cache.chunk(prompt, "PCMU", 1)
    cache.chunk(prompt, "PCMU", 2)
    assert cache.chunk(prompt, "PCMU", 0) is first  # now the youngest
    cache.chunk(prompt, "PCMU", 3)
    assert cache.held == 3 * CHUNK
    assert cache.chunk(prompt, "PCMU", 0) is first
    assert cache.chunk(prompt, "PCMU", 1) is not second


def test_a_file_removed_in_mid_play_is_played_to_its_end(tmp_path, wav):
    path = wav(CHUNK * 2)
    audio = encoded(path)
    rig = Rig()
    rig.sender.play(1, [path], more=False)
    rig.run(100)
    (tmp_path / path).unlink()
    rig.run(2500)
    assert rig.audio() == audio
