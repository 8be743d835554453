"""The way of packets through a bridge, on a virtual clock."""

import pytest

from sipserver.media.bridge import Relay
from sipserver.media.receiver import BUFFER
from sipserver.rtp import g711
from sipserver.rtp.packet import RtpPacket
from sipserver.rtp.sequence import ReceiveStatistics
from tests.media.test_sender import Rig

FRAME = bytes(range(160))


class Joined(Rig):
    """A source whose packets are relayed to the sender of the rig."""

    def __init__(self, source="PCMU", **parameters):
        super().__init__(**parameters)
        self.relay = Relay(self.sender)
        self.relay.tune(source, parameters.get("codec", "PCMU"))
        self.statistics = None

    def hear(self, sequence, timestamp=None, *, payload=FRAME, event=False, marker=False, raw=None):
        """As the receiver does it."""
        stamp = sequence * 160 if timestamp is None else timestamp
        packet = RtpPacket(0, sequence & 0xFFFF, stamp & 0xFFFFFFFF, 77, payload, marker)
        data = raw or packet.build()
        BUFFER[: len(data)] = data
        if self.statistics is None:
            self.statistics = ReceiveStatistics(packet.sequence)
        if not self.statistics.count(packet.sequence):
            return
        take = self.relay.event if event else self.relay.audio
        take(self.statistics.extended(packet.sequence), packet.timestamp, len(data))

    def stream(self, *sequences, **options):
        for sequence in sequences:
            self.hear(sequence, **options)
            self.run(20)

    def out(self):
        """(sequence, timestamp) relative to the first packet."""
        first = self.packets[0][1]
        return [
            (
                (packet.sequence - first.sequence + 0x8000 & 0xFFFF) - 0x8000,
                (packet.timestamp - first.timestamp + (1 << 31) & 0xFFFFFFFF) - (1 << 31),
            )
            for _, packet in self.packets
        ]

    def markers(self):
        return [packet.marker for _, packet in self.packets]


def expected(*steps):
    return [(step, step * 160) for step in steps]


@pytest.mark.parametrize("start", [0, 1000, 0xFFFD, 0xFFFF])
def test_a_stream_is_passed_on_untouched(start):
    rig = Joined()
    rig.stream(*range(start, start + 6))
    assert rig.out() == expected(0, 1, 2, 3, 4, 5)
    assert rig.markers() == [True] + [False] * 5
    assert {packet.payload for _, packet in rig.packets} == {FRAME}
    assert {packet.ssrc for _, packet in rig.packets} == {rig.sender.ssrc}
    assert (rig.sender.packets, rig.sender.octets) == (6, 960)


def test_packets_leave_at_the_moment_they_come():
    rig = Joined()
    for sequence, ms in enumerate([3, 21, 24, 35, 1]):
        rig.run(ms)
        rig.hear(sequence)
    assert [ms for ms, _ in rig.packets] == [3, 24, 48, 83, 84]
    assert rig.out() == expected(0, 1, 2, 3, 4)


def test_loss_stays_loss_and_is_not_counted_as_sent():
    rig = Joined()
    rig.stream(1, 2, 5, 6)
    assert rig.out() == expected(0, 1, 4, 5)
    assert rig.markers() == [True, False, False, False]
    assert rig.sender.packets == 4


def test_disorder_stays_disorder():
    rig = Joined()
    rig.stream(1, 2, 5, 4, 3, 6)
    assert rig.out() == expected(0, 1, 4, 3, 2, 5)
    assert rig.sender.packets == 6


def test_disorder_about_a_wrap_of_the_sequence():
    rig = Joined()
    rig.stream(0xFFFE, 0x10000, 0xFFFF, 0x10001)
    assert rig.out() == expected(0, 2, 1, 3)


def test_duplicates_are_not_passed_on():
    rig = Joined()
    rig.stream(1, 2, 2, 3, 3)
    assert rig.out() == expected(0, 1, 2)


def test_what_is_older_than_the_bridge_has_no_place():
    rig = Joined()
    rig.statistics = ReceiveStatistics(1)
    rig.statistics.count(1)
    rig.stream(3, 2, 4)
    assert rig.out() == expected(0, 1)


def test_a_pause_of_the_source_is_a_gap_of_time_only():
    rig = Joined()
    rig.stream(1, 2)
    rig.run(1000)
    rig.hear(3, 3 * 160 + 8000, marker=True)
    rig.run(20)
    rig.hear(4, 4 * 160 + 8000)
    assert rig.out() == [(0, 0), (1, 160), (2, 8320), (3, 8480)]
    assert rig.markers() == [True, False, True, False]


def test_a_source_whose_clock_stood_still_is_put_right_at_its_next_talkspurt():
    rig = Joined()
    rig.stream(1, 2)
    rig.run(5000)
    rig.hear(3, marker=True)
    assert rig.out()[2][0] == 2
    assert 5000 * 8 <= rig.out()[2][1] - 160 <= 5100 * 8


@pytest.mark.parametrize(
    ("sequence", "timestamp"),
    [(3, 10**9), (3, -(10**9)), (1000, 3 * 160), (60000, 10**9)],
    ids=["timestamps", "timestamps-back", "sequence", "both"],
)
def test_a_jump_of_the_source_is_not_seen_by_the_peer(sequence, timestamp):
    rig = Joined()
    rig.stream(1, 2)
    # Far away, the first is not believed (RFC 3550 appendix A.1).
    rig.stream(sequence, sequence + 1, timestamp=timestamp)
    rig.hear(sequence + 2, timestamp + 160)
    steps = [(b[0] - a[0], b[1] - a[1]) for a, b in zip(rig.out()[1:], rig.out()[2:], strict=False)]
    assert all(number == 1 and 0 <= time <= 1600 for number, time in steps)
    assert rig.markers()[2]
    assert rig.sender.packets == len(rig.packets)


def test_another_source_goes_on_in_the_same_stream():
    rig = Joined()
    rig.stream(100, 101)
    rig.relay.reset()
    rig.statistics = None
    rig.stream(9000, 9001, 9002)
    assert [number for number, _ in rig.out()] == [0, 1, 2, 3, 4]
    assert rig.markers() == [True, False, True, False, False]
    times = [time for _, time in rig.out()]
    assert times == sorted(set(times))


def test_a_prompt_interrupts_and_the_stream_stays_one(wav):
    rig = Joined()
    rig.stream(1, 2, 3)
    rig.sender.play(1, [wav(800)], more=False)
    heard = len(rig.packets)
    rig.stream(4, 5, 6, 7, 8, 9)
    during = len(rig.packets)
    rig.stream(10, 11)
    assert during - heard == 5  # of the prompt only
    steps = rig.steps()
    assert all(step[0] == 1 for step in steps)
    assert all(20 <= step[1] <= 60 for step in steps)
    assert rig.markers() == [True, False, False, True] + [False] * 4 + [True, False]
    assert rig.sender.packets == 10


def test_a_prompt_after_a_source_with_a_fast_clock_does_not_go_back_in_time(wav):
    rig = Joined()
    for sequence in range(200):
        rig.hear(sequence)
        rig.run(16)  # 20 ms of audio each
    rig.sender.play(1, [wav(800)], more=False)
    rig.run(200)
    times = [time for _, time in rig.out()]
    assert times == sorted(set(times))
    assert rig.packets[200][1].marker


def test_nothing_is_sent_while_the_leg_may_not(wav):
    rig = Joined()
    rig.stream(1, 2)
    rig.configure(sending=False)
    rig.stream(3, 4, 5)
    rig.configure(sending=True)
    rig.stream(6, 7)
    assert [number for number, _ in rig.out()] == [0, 1, 2, 3]
    assert rig.markers() == [True, False, True, False]
    assert 80 * 8 <= rig.out()[2][1] - rig.out()[1][1] <= 120 * 8


@pytest.mark.parametrize(("source", "target"), [("PCMU", "PCMA"), ("PCMA", "PCMU")])
def test_the_codec_is_converted(source, target):
    rig = Joined(source, codec=target, payload_type=9)
    rig.stream(1)
    assert rig.packets[0][1].payload == g711.encode(g711.decode(FRAME, source), target)
    assert rig.packets[0][1].payload_type == 9


@pytest.mark.parametrize("size", [80, 240, 480, 160])
def test_packets_of_any_length_pass(size):
    rig = Joined()
    for sequence in range(4):
        rig.hear(sequence, sequence * size, payload=bytes(size))
        rig.run(size // 8)
    assert rig.out() == [(sequence, sequence * size) for sequence in range(4)]


@pytest.mark.parametrize(
    "head",
    [
        bytes.fromhex("82000007000004600000004d") + bytes(8),
        bytes.fromhex("90000007000004600000004d") + bytes.fromhex("bede000100000000"),
    ],
    ids=["contributing-sources", "extension"],
)
def test_what_stands_before_the_payload_is_taken_off(head):
    rig = Joined()
    rig.hear(7, raw=head + FRAME)
    assert rig.packets[0][1].payload == FRAME
    assert rig.sender.octets == 160


def test_padding_is_taken_off():
    rig = Joined()
    rig.hear(7, raw=bytes.fromhex("a0000007000004600000004d") + FRAME + b"\0\0\0\4")
    assert rig.packets[0][1].payload == FRAME


@pytest.mark.parametrize("first", [0xA0, 0x90, 0x8F])
def test_malformed_and_empty_packets_do_not_pass(first):
    rig = Joined()
    rig.stream(6)
    rig.hear(7, raw=bytes((first,)) + bytes.fromhex("000007000004600000004d"))
    rig.hear(8, raw=bytes.fromhex("80000008000005000000004d"))
    rig.stream(9)
    assert [number for number, _ in rig.out()] == [0, 1]


# --- digits -------------------------------------------------------------------------------------


def press(rig, sequence, code=5, *, ends=3, timestamp=None):
    """An event of 100 ms; the next sequence number."""
    start = sequence * 160 if timestamp is None else timestamp
    for tick in range(1, 6):
        flags = 0x80 if tick == 5 else 0
        payload = bytes((code, flags | 10)) + (tick * 160).to_bytes(2, "big")
        for _ in range(ends if tick == 5 else 1):
            rig.hear(sequence, start, payload=payload, event=True, marker=tick == 1)
            sequence += 1
        rig.run(20)
    return sequence


def test_an_event_passes_whole_with_the_payload_type_of_the_other_leg():
    rig = Joined(dtmf_payload=96)
    rig.stream(1, 2)
    sequence = press(rig, 3)
    rig.hear(sequence, 8 * 160)
    events = [packet for _, packet in rig.packets[2:-1]]
    assert {packet.payload_type for packet in events} == {96}
    assert [packet.payload[2] << 8 | packet.payload[3] for packet in events] == [
        160, 320, 480, 640, 800, 800, 800,
    ]  # fmt: skip
    assert [packet.payload[1] >> 7 for packet in events] == [0, 0, 0, 0, 1, 1, 1]
    assert [packet.marker for packet in events] == [True] + [False] * 6
    assert rig.out() == [
        (0, 0), (1, 160), *((number, 320) for number in range(2, 9)), (9, 7 * 160),
    ]  # fmt: skip


def test_a_long_event_is_one_event():
    rig = Joined()
    for tick in range(1, 150):
        payload = b"\x05\x0a" + (tick * 160).to_bytes(2, "big")
        rig.hear(tick, 0, payload=payload, event=True)
        rig.run(20)
    assert len({packet.timestamp for _, packet in rig.packets}) == 1


def test_a_swallowed_digit_leaves_no_gap():
    rig = Joined()
    rig.relay.swallow = "*"
    rig.stream(1, 2)
    sequence = press(rig, 3, code=10)
    rig.hear(sequence, 8 * 160)
    assert rig.out() == [(0, 0), (1, 160), (2, 7 * 160)]
    assert rig.markers() == [True, False, False]


def test_other_digits_are_not_swallowed():
    rig = Joined()
    rig.relay.swallow = "*"
    press(rig, 1, code=11)
    assert len(rig.packets) == 7


@pytest.mark.parametrize(("code", "passes"), [(16, True), (17, False), (255, False)])
def test_events_that_are_no_digits(code, passes):
    rig = Joined()
    press(rig, 1, code=code)
    assert bool(rig.packets) is passes


def test_a_digit_becomes_a_tone_for_a_peer_without_events():
    rig = Joined(dtmf_payload=None)
    rig.stream(1)
    rig.relay.digit("5")
    rig.relay.digit("6")
    press(rig, 2)
    rig.run(500)
    assert len(rig.packets) == 1 + 2 * 10
    assert {packet.payload_type for _, packet in rig.packets} == {0}
    assert rig.ended == []
    assert all(step[0] == 1 for step in rig.steps())


def test_no_more_tones_wait_than_a_person_can_press():
    rig = Joined(dtmf_payload=None)
    for _ in range(100):
        rig.relay.digit("5")
    rig.run(10000)
    assert len(rig.packets) == 16 * 10


@pytest.mark.parametrize("why", ["events-known", "held", "swallowed", "prompt"])
def test_no_tone(wav, why):
    rig = Joined(dtmf_payload=101 if why == "events-known" else None, sending=why != "held")
    rig.relay.swallow = "5" if why == "swallowed" else ""
    if why == "prompt":
        rig.sender.play(1, [wav(160)], more=False)
    rig.relay.digit("5")
    rig.run(300)
    assert len(rig.packets) == (1 if why == "prompt" else 0)


def test_an_event_cut_by_a_prompt_is_not_a_second_digit(wav):
    rig = Joined()
    for tick in range(1, 20):
        if tick == 5:
            rig.sender.play(1, [wav(320)], more=False)
        payload = b"\x05\x0a" + (tick * 160).to_bytes(2, "big")
        rig.hear(tick, 0, payload=payload, event=True)
        rig.run(20)
    events = [packet for _, packet in rig.packets if packet.payload_type == 101]
    assert len(events) == 4
    rig.stream(20)
    assert rig.packets[-1][1].payload_type == 0


def test_comfort_noise_leaves_no_gap():
    rig = Joined()
    rig.stream(1, 2)
    rig.statistics.count(3)
    rig.relay.skip(rig.statistics.extended(3))
    rig.run(40)
    rig.hear(4, 6 * 160)
    assert rig.out() == [(0, 0), (1, 160), (2, 5 * 160)]
