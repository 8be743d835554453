import pytest

from sipdomains.contracts import CALL_STATUSES, FINAL_STATUSES
from sipdomains.services import projection

ORDER = {"queued": 0, "initiated": 1, "ringing": 2, "in-progress": 3}


@pytest.mark.parametrize("target", CALL_STATUSES)
@pytest.mark.parametrize("current", CALL_STATUSES)
def test_statuses_only_move_forward_and_final_ones_stay(current: str, target: str) -> None:
    expected = current not in FINAL_STATUSES and (
        target in FINAL_STATUSES or ORDER[target] > ORDER[current]
    )
    assert (current in projection.sources(target)) is expected


def test_an_unknown_status_is_refused() -> None:
    with pytest.raises(ValueError, match="answered"):
        projection.sources("answered")


@pytest.mark.parametrize(
    ("statuses", "reached"),
    [
        ([], ""),
        (["ringing"], "ringing"),
        (["in-progress", "ringing", "queued"], "in-progress"),
        (["ringing", "completed", "in-progress"], "completed"),
        (["busy", "completed"], "busy"),
    ],
)
def test_furthest_does_not_depend_on_order(statuses: list[str], reached: str) -> None:
    assert projection.furthest(statuses) == reached


@pytest.mark.parametrize(
    ("answered_at", "ended_at", "seconds"),
    [(None, 9.0, None), (1.0, 1.4, 0), (1.0, 2.5, 2), (1.0, 61.0, 60), (5.0, 4.0, 0)],
)
def test_duration(answered_at: float | None, ended_at: float, seconds: int | None) -> None:
    assert projection.duration(answered_at, ended_at) == seconds
