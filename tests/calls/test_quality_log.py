"""The course of a call's quality: what is kept of many reports, and what is told of them."""

import pytest

from sipserver.calls.quality_log import MAX_SAMPLES, QualityLog


def report(seconds, received, lost=0, jitter=1.0, rtt=None):
    return {
        "duration_s": seconds, "packets_received": received, "lost": lost, "jitter_ms": jitter,
        "rtt_ms": rtt, "codec": "PCMU",
    }  # fmt: skip


def series_of(reports):
    log = QualityLog()
    for one in reports:
        log.add(one)
    return log.with_series({"codec": "PCMU"}).get("series")


def test_each_sample_tells_of_its_own_time():
    found = series_of([report(5, 250), report(10, 450, 50, 4.24, 30.0), report(15, 700, 50)])
    assert found["at"] == [5, 10, 15]
    assert found["loss"] == [0, 20, 0]
    assert found["jitter"] == [1, 4.2, 1]
    assert found["rtt"] == [None, 30.0, None]
    assert found["mos"][1] < 3 < 4 < found["mos"][2]


def test_silence_has_no_quality():
    assert series_of([report(5, 250), report(10, 250)])["mos"][1] is None


def test_leg_that_moved_goes_on():
    found = series_of([report(5, 250), report(10, 500), report(4, 200), report(9, 400, 50)])
    assert found["at"] == [5, 10, 14, 19]
    assert found["loss"] == [0, 0, 0, 20]


def test_short_call_has_no_series():
    assert series_of([report(5, 250)]) is None
    assert QualityLog().with_series({"a": 1}) == {"a": 1}


@pytest.mark.parametrize("count", [MAX_SAMPLES, MAX_SAMPLES + 1, 1000, 20_000])
def test_long_call_keeps_a_bounded_number_evenly_spread(count):
    found = series_of(report(5 * n, 250 * n) for n in range(1, count + 1))
    assert MAX_SAMPLES // 2 <= len(found["at"]) <= MAX_SAMPLES
    gaps = {later - sooner for sooner, later in zip(found["at"], found["at"][1:], strict=False)}
    assert len(gaps) == 1
    assert found["at"][-1] > 0.98 * 5 * count
    assert set(found["loss"]) == {0}
