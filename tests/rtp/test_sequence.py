import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipserver.rtp.sequence import ReceiveStatistics


def fed(sequences):
    statistics = ReceiveStatistics(sequences[0])
    for sequence in sequences:
        statistics.update(sequence, sequence * 160, sequence * 160)
    return statistics


ARRIVALS = [
    # sequences, received, lost, duplicates, out of order, highest
    ([5], 1, 0, 0, 0, 5),
    ([1, 2, 3], 3, 0, 0, 0, 3),
    ([1, 2, 4], 3, 1, 0, 0, 4),
    ([1, 2, 2, 3], 3, 0, 1, 0, 3),
    ([1, 3, 2, 4], 4, 0, 0, 1, 4),
    ([1, 3, 2, 2, 4], 4, 0, 1, 1, 4),
    ([0xFFFE, 0xFFFF, 0, 1], 4, 0, 0, 0, 0x10001),
    ([0xFFFE, 0, 0xFFFF, 1], 4, 0, 0, 1, 0x10001),
    ([2, 1, 3], 3, 0, 0, 1, 3),  # the very first came late
    ([1, 200, 120], 2, 198, 1, 0, 200),  # older than the window: cannot be told from a repeat
    ([1, 2, 20000, 3], 3, 0, 0, 0, 3),  # one wild number is dropped
    ([1, 2, 20000, 20001, 20002], 2, 0, 0, 0, 20002),  # two make a restart
    ([1, 2, 4, 20000, 20001], 1, 1, 0, 0, 20001),  # what was lost before remains
]


@pytest.mark.parametrize(
    ("sequences", "received", "lost", "duplicates", "out_of_order", "highest"), ARRIVALS
)
def test_counts(sequences, received, lost, duplicates, out_of_order, highest):
    statistics = fed(sequences)
    assert (
        statistics.received,
        statistics.lost,
        statistics.duplicates,
        statistics.out_of_order,
        statistics.highest,
    ) == (received, lost, duplicates, out_of_order, highest)


def test_update_tells_what_to_drop():
    statistics = ReceiveStatistics(1)
    taken = [statistics.update(sequence, 0, 0) for sequence in (1, 1, 3, 2, 2, 9000)]
    assert taken == [True, False, True, True, False, False]


def test_jitter_is_that_of_appendix_a8():
    arrivals = [0, 160, 340, 480, 800, 810]
    timestamps = [0, 160, 320, 480, 640, 800]
    statistics = ReceiveStatistics(0)
    jitter = 0.0
    for index, (timestamp, arrival) in enumerate(zip(timestamps, arrivals, strict=True)):
        statistics.update(index, timestamp, arrival)
        if index:
            transit = arrival - timestamp
            before = arrivals[index - 1] - timestamps[index - 1]
            jitter += (abs(transit - before) - jitter) / 16
    assert statistics.jitter == pytest.approx(jitter)
    assert jitter > 20


def test_steady_packets_have_no_jitter_and_silence_adds_none():
    statistics = ReceiveStatistics(0)
    for index in range(100):
        gap = 0 if index < 50 else 8000
        statistics.update(index, index * 160 + gap, index * 160 + gap)
    assert statistics.jitter == 0


def test_timestamp_wrap_is_no_jitter():
    statistics = ReceiveStatistics(0)
    for index in range(10):
        statistics.update(index, (0xFFFFFF00 + index * 160) & 0xFFFFFFFF, index * 160)
    assert statistics.jitter == 0


def test_reports_give_the_loss_since_the_last_one():
    statistics = ReceiveStatistics(0)
    for sequence in (0, 1, 2, 4):
        statistics.update(sequence, 0, 0)
    first = statistics.report()
    for sequence in (5, 6, 7):
        statistics.update(sequence, 0, 0)
    second = statistics.report()
    assert (first.fraction_lost, first.cumulative_lost, first.highest_sequence) == (51, 1, 4)
    assert (second.fraction_lost, second.cumulative_lost, second.highest_sequence) == (0, 1, 7)


@given(st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=200))
def test_no_sequence_of_numbers_breaks_it(sequences):
    statistics = fed(sequences)
    assert statistics.lost >= 0
    assert statistics.received + statistics.duplicates <= len(sequences)
    assert 0 <= statistics.report().fraction_lost <= 255


@given(st.permutations(list(range(40))), st.integers(0, 0xFFFF))
def test_any_order_of_few_packets_loses_nothing(order, start):
    sequences = [start, *((start + 1 + step) & 0xFFFF for step in order)]
    assert fed(sequences).lost == 0
