"""The course of a call's quality: what is kept of many reports, and what is told of them."""

import pytest

from sipserver.calls.quality_log import LIVE_POINTS, MAX_SAMPLES, QualityLog


def report(seconds, received, lost=0, jitter=1.0, rtt=None, remote=(0, None, None)):
    reports, remote_lost, highest = remote
    return {
        "remote_reports": reports, "remote_lost": remote_lost, "remote_highest": highest,
        "remote_jitter_ms": 2.0 if reports else None, "remote_fraction": 5.0 if reports else None,
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


@pytest.mark.parametrize("count", [2, LIVE_POINTS, LIVE_POINTS + 1, 239, 1000])
def test_call_that_goes_on_is_told_with_fewer_points_and_the_newest_is_one(count):
    log = QualityLog()
    for number in range(1, count + 1):
        log.add(report(5 * number, 250 * number))
    whole = log.with_series({})["series"]
    found = log.with_series({}, LIVE_POINTS)["series"]
    assert min(len(whole["at"]), LIVE_POINTS // 2) <= len(found["at"]) <= LIVE_POINTS
    assert found["at"][-1] == whole["at"][-1]
    assert set(found["at"]) <= set(whole["at"])


# --- what the peer reports ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("remotes", "expected"),
    [
        # Of the first report its own fraction, then what two of them differ by.
        ([(1, 10, 1250), (2, 10, 1500), (3, 35, 1750)], [5.0, 0.0, 10.0]),
        # A report holds until the next one, but not for ever.
        ([(0, None, None), (1, 0, 9), (1, 0, 9), (1, 0, 9), (1, 0, 9), (1, 0, 9), (2, 0, 19)],
         [None, 5.0, 5.0, 5.0, 5.0, None, 0.0]),
        # Extended sequence numbers may wrap; loss may be "negative" (duplicates came).
        ([(1, 0, 0xFFFFFFF0), (2, 25, 0x54)], [5.0, 25.0]),
        ([(1, 10, 100), (2, 4, 200)], [5.0, 0.0]),
        # More lost than were to come; nothing was to come; it counts anew.
        ([(1, 0, 100), (2, 500, 200), (3, 500, 200), (4, 0, 5)], [5.0, 100.0, None, None]),
    ],
    ids=["differences", "between reports", "wrap", "duplicates", "senseless"],
)  # fmt: skip
def test_what_the_peer_hears_comes_from_its_reports(remotes, expected):
    found = series_of(
        report(5 * number, 250 * number, remote=remote) for number, remote in enumerate(remotes, 1)
    )
    assert found["remote_loss"] == expected
    assert [value is None for value in found["remote_mos"]] == [one is None for one in expected]
    assert len(found["remote_jitter"]) == len(found["at"])


def test_peer_without_reports_has_no_curve():
    assert "remote_mos" not in series_of([report(5, 250), report(10, 500)])


def test_reports_to_another_worker_begin_anew():
    found = series_of([
        report(5, 250, remote=(1, 0, 100)), report(10, 500, remote=(2, 0, 200)),
        report(4, 200, remote=(1, 9, 60000)), report(9, 400, remote=(2, 9, 60100)),
    ])  # fmt: skip
    assert found["remote_loss"] == [5.0, 0.0, 5.0, 0.0]
