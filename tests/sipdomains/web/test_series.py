"""The chart of a call's quality."""

import pytest

from sipdomains.web.series import charts, remote_charts

SERIES = {
    "at": [5, 10, 15],
    "mos": [4.4, None, 3.2],
    "loss": [0, 0.5, 10],
    "jitter": [1, 2, 3],
    "rtt": [None, 20.0, 30.0],
}


def test_what_is_known_is_drawn():
    found = {chart.slug: chart for chart in charts({"series": SERIES})}
    assert set(found) == {"mos", "loss", "jitter"}
    assert [found[slug].tone for slug in ("mos", "loss", "jitter")] == ["poor", "poor", "good"]
    assert found["mos"].worst == "3.2"
    assert found["loss"].top == "10 %"
    assert found["loss"].last == "0:15"


def test_what_the_peer_reports_is_a_chart_of_its_own():
    remote = {
        "remote_mos": [4.3, 3.6, None], "remote_loss": [0, 4, None], "remote_jitter": [None] * 3,
    }  # fmt: skip
    found = {chart.slug: chart for chart in remote_charts({"series": SERIES | remote})}
    assert set(found) == {"remote_mos", "remote_loss", "rtt"}
    assert [chart.tone for chart in found.values()] == ["fair", "poor", "good"]
    assert remote_charts({"series": SERIES | {"rtt": [None] * 3}}) == []


def test_curves_run_from_left_to_right_and_break_where_nothing_is_known():
    mos, loss, _ = charts({"series": SERIES})
    assert loss.path == "M0.0 58.0L300.0 55.2L600.0 2.0"
    assert [part[0] for part in mos.path.split() if part[0] == "M"] == ["M"]
    assert mos.path.count("M") == 2
    assert "L" not in mos.path


@pytest.mark.parametrize(
    "media",
    [
        None, {}, {"series": 5}, {"series": {}}, {"series": {"at": [1]}}, {"series": {"at": "ab"}},
        {"series": {"at": [1, 1], "mos": [4, 4]}}, {"series": {"at": [1, "x"], "mos": [4, 4]}},
        {"series": {"at": [1, 2], "mos": [4]}}, {"series": {"at": [1, 2], "mos": ["a", True]}},
    ],
)  # fmt: skip
def test_odd_series_draw_nothing(media):
    assert charts(media) == []
