import pytest

from sipserver.media.keys import Keys
from sipserver.media.taps import Taps, ToneTap
from sipserver.rtp import g711, tone

TONE, EVENT, HOLD = "tone", "event", "hold"


def told(*heard):
    found = []
    keys = Keys(lambda key, now: found.append(key))
    for now, kind, key in heard:
        if kind == HOLD:
            keys.hold(now)
        elif kind == EVENT:
            keys.hold(now)
            keys.event(key, now)
        else:
            keys.tone(key, now)
    assert keys.count == len(found)
    return "".join(found)


@pytest.mark.parametrize(
    ("heard", "keys"),
    [
        ([(0.0, EVENT, "1"), (0.3, EVENT, "1")], "11"),
        ([(0.0, TONE, "1"), (0.3, TONE, "1")], "11"),
        ([(0.0, EVENT, "1"), (0.05, TONE, "1")], "1"),  # both of one key
        ([(0.0, EVENT, "1"), (0.4, HOLD, ""), (0.5, TONE, "1")], "1"),  # a long one
        ([(0.0, EVENT, "1"), (0.05, TONE, "4")], "1"),  # what clipping left of the tone
        ([(0.0, TONE, "1"), (0.05, EVENT, "1")], "1"),  # first packets of the event lost
        ([(0.0, TONE, "1"), (0.05, EVENT, "1"), (0.19, EVENT, "1")], "11"),
        ([(0.0, TONE, "1"), (0.05, EVENT, "2")], "12"),
        ([(0.0, TONE, "1"), (0.25, EVENT, "1")], "11"),
        ([(0.0, EVENT, "1"), (0.25, TONE, "1")], "11"),
    ],
)
def test_each_key_is_told_once(heard, keys):
    assert told(*heard) == keys


def listened(packets, codec="PCMU"):
    found = []
    taps = Taps()
    taps.recode(codec)
    taps.add(ToneTap(Keys(lambda key, now: found.append(key)), lambda: 0.0))
    for timestamp, payload in packets:
        taps.hear(timestamp & 0xFFFFFFFF, payload)
    return "".join(found)


def packets(audio, start=0):
    return [(start + at, audio[at : at + 160]) for at in range(0, len(audio), 160)]


@pytest.mark.parametrize("codec", g711.CODECS)
def test_tones_in_packets(codec):
    assert listened(packets(tone.dial("147*0#", codec)), codec) == "147*0#"


def test_a_packet_lost_or_late_does_not_repeat_a_key():
    stream = packets(tone.tone("5", "PCMU") * 2)
    del stream[4]
    stream[6], stream[7] = stream[7], stream[6]
    assert listened(stream) == "5"


def test_a_gap_between_packets_is_a_pause():
    key = tone.tone("5", "PCMU")
    assert listened(packets(key) + packets(key, start=1600)) == "55"
    assert listened(packets(key) + packets(key, start=800)) == "5"


def test_timestamps_may_begin_anew():
    key = tone.tone("5", "PCMU")
    assert listened(packets(key, start=3_000_000_000) + packets(key, start=7)) == "55"
