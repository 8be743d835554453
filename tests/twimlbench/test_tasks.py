"""The worker's part of a bench run: requests are sent once each, and within limits."""

from __future__ import annotations

import pytest

from sipdomains import bench
from sipdomains.bench import BenchSetup, Move
from sipdomains.contracts import FetchReply
from sipdomains.services import benchruns, deskcache
from twimlrunner.bench import tasks

BASE = "http://app.example/voice"

pytestmark = pytest.mark.django_db


@pytest.fixture
def asked(monkeypatch):
    """What was asked for; the application answers each with the next of ``answers``."""
    requests, answers = [], []

    async def ask(document, token, attempts):
        requests.append((document.url, dict(document.parameters), document.session, token))
        body = answers.pop(0) if answers else "<Response/>"
        number = len(requests)
        return FetchReply(
            "", "", body=body, content_type="text/xml", final_url=document.url, status=200,
            session={"cookies": [number]},
        )  # fmt: skip

    monkeypatch.setattr(tasks, "_ask", ask)
    requests_and_answers = type("Asked", (), {"requests": requests, "answers": answers})
    return requests_and_answers


@pytest.fixture
def run(alice):
    setup = BenchSetup(account_sid=alice.sid, call_sid="CA" + "1" * 32, url=BASE)
    return benchruns.start(1, setup)


def test_no_request_is_sent_twice_however_often_the_run_is_replayed(run, asked, alice) -> None:
    asked.answers[:] = [
        '<Response><Gather numDigits="1" action="/a"><Say>Key?</Say></Gather></Response>',
        "<Response><Hangup/></Response>",
    ]
    tasks.carry_on(run.id)
    assert benchruns.result(run.id).wants == {"kind": "keys"}
    moved = benchruns.move(run, 0, Move("keys", "7"))
    tasks.carry_on(moved.id)
    result = benchruns.result(run.id)
    assert (result.step, result.wants, result.error) == (1, {}, "")
    assert [url for url, *_ in asked.requests] == [BASE, "http://app.example/a"]
    assert asked.requests[1][1]["Digits"] == "7"
    # Signed with the account's token; cookies of the last answer go along.
    assert [token for *_, token in asked.requests] == [alice.auth_token] * 2
    assert asked.requests[1][2] == {"cookies": [1]}


def test_one_move_is_made_of_two_clicks(run) -> None:
    assert benchruns.move(run, 0, Move("hangup")) is not None
    assert benchruns.move(run, 0, Move("hangup")) is None
    assert benchruns.move(run, 3, Move("hangup")) is None
    assert len(benchruns.find(run.id).moves) == 1


def test_a_run_belongs_to_who_has_started_it(run) -> None:
    assert benchruns.find(run.id, 1) is not None
    assert benchruns.find(run.id, 2) is None
    assert benchruns.find("nonsense", 1) is None


def test_documents_that_lead_to_each_other_end_at_the_limit_of_requests(
    run, asked, monkeypatch
) -> None:
    monkeypatch.setattr(tasks, "MAX_REQUESTS", 5)
    asked.answers[:] = ["<Response><Redirect/></Response>"] * 9
    tasks.carry_on(run.id)
    assert len(asked.requests) == 5
    assert "5 requests" in benchruns.result(run.id).error


def test_answers_that_are_too_long_together_end_it(run, asked, monkeypatch) -> None:
    monkeypatch.setattr(tasks, "MAX_STORED", 50)
    asked.answers[:] = ["<Response><Pause/><Redirect/></Response>"] * 9
    tasks.carry_on(run.id)
    assert len(asked.requests) == 2
    assert "too long" in benchruns.result(run.id).error


def test_a_fault_of_the_bench_is_told_and_not_left_hanging(run, monkeypatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(tasks, "play", broken)
    tasks.carry_on(run.id)
    result = benchruns.result(run.id)
    assert result.step == 0
    assert "worker's log" in result.error


def test_moves_and_starts_are_bounded(run, monkeypatch) -> None:
    monkeypatch.setattr(benchruns, "MAX_MOVES", 1)
    moved = benchruns.move(run, 0, Move("nothing"))
    with pytest.raises(benchruns.TooMany):
        benchruns.move(moved, 1, Move("nothing"))
    monkeypatch.setattr(deskcache.time, "time", lambda: 1_000_000.0)  # within one minute
    for _ in range(benchruns.STARTS_PER_MINUTE):
        benchruns.start(7, run.setup)
    with pytest.raises(benchruns.TooMany):
        benchruns.start(7, run.setup)
    benchruns.start(8, run.setup)


def test_setup_and_moves_survive_the_way_through_the_cache() -> None:
    setup = BenchSetup("AC1", "CA1", document="<Response/>", type_ahead=True)
    assert BenchSetup.from_json(setup.to_json()) == setup
    move = Move("record", seconds=3, how="key", keys="#")
    assert Move.from_json(move.to_json() | {"newer": 1}) == move
    assert set(bench.HOWS) < {do for dos in bench.ANSWERS.values() for do in dos}
