"""The failure chain (webhooks.md section 1): notification → fallback → application error."""

import pytest

from tests.fakes.call_control import BASE, World, twiml
from twimlrunner.engine.ports import FetchFailed
from twimlrunner.engine.runner import ApplicationError, Completed, HungUp

FALLBACK = "http://app.example/fallback"
NEXT = "http://app.example/next"

FAILURES = {
    "fetch fails": (FetchFailed(11205, "no route", BASE), 11205, BASE),
    "not XML": ("oops", 12100, BASE),
    "wrong root": ("<html/>", 12102, BASE),
    "verb fails": (twiml("<Play>http://x.example/a.wav</Play>"), 11200, "http://x.example/a.wav"),
    "bad URL": (twiml("<Redirect>ftp://x/</Redirect>"), 11100, "ftp://x/"),
    "attribute of level error": (twiml("<Enqueue method='x'>q</Enqueue>"), 14201, BASE),
    "child of level error": (twiml("<Start><Say>x</Say></Start>"), 14300, BASE),
}


def world_of(answer, **site) -> World:
    return World({BASE: answer, **site}, broken={"http://x.example/a.wav": 11200})


@pytest.mark.parametrize(("answer", "code", "url"), FAILURES.values(), ids=FAILURES)
async def test_without_a_fallback(answer, code, url):
    world = world_of(answer)
    end = await world.run()
    assert isinstance(end, ApplicationError)
    assert end.code == code
    assert end.message
    assert world.notes == [(code, "error")]


@pytest.mark.parametrize(("answer", "code", "url"), FAILURES.values(), ids=FAILURES)
async def test_the_fallback_is_told_code_and_url(answer, code, url):
    world = world_of(answer, **{FALLBACK: twiml("<Say>sorry</Say>")})
    assert await world.run(fallback=(FALLBACK, "GET")) == Completed()
    request = world.requests[-1]
    assert (request.url, request.method, request.why) == (FALLBACK, "GET", "fallback")
    assert request.report == (("ErrorCode", str(code)), ("ErrorUrl", url))
    assert world.ladder[-1] == "say sorry"
    assert world.notes == [(code, "error")]


@pytest.mark.parametrize(("answer", "code", "url"), FAILURES.values(), ids=FAILURES)
async def test_a_fallback_that_fails_too_is_the_end(answer, code, url):
    world = world_of(FetchFailed(11201, "timed out", BASE), **{FALLBACK: answer})
    end = await world.run(fallback=(FALLBACK, "POST"))
    assert isinstance(end, ApplicationError)
    assert end.code == code
    assert world.notes == [(11201, "error"), (code, "error")]
    assert [request.url for request in world.requests] == [BASE, FALLBACK]


async def test_what_stands_before_an_invalid_verb_runs():
    world = world_of(twiml("<Say>a</Say><Enqueue method='x'>q</Enqueue><Say>no</Say>"))
    end = await world.run()
    assert isinstance(end, ApplicationError)
    assert [line for line in world.ladder if line.startswith("say")] == ["say a"]
    assert world.verbs[-1] == "1 Enqueue: failed 14201"


async def test_an_invalid_first_verb_does_not_answer():
    world = world_of(twiml("<Enqueue method='x'>q</Enqueue>"))
    await world.run()
    assert not world.answered


async def test_each_later_failure_asks_the_fallback_again():
    world = world_of(
        FetchFailed(11200, "x", BASE),
        **{FALLBACK: lambda request: twiml(
            "<Hangup/>" if len(world.requests) > 3 else f"<Redirect>{NEXT}</Redirect>"
        )},
    )  # fmt: skip
    assert await world.run(fallback=(FALLBACK, "POST")) == HungUp("hangup")
    assert [request.url for request in world.requests] == [BASE, FALLBACK, NEXT, FALLBACK]
    assert world.requests[-1].report == (("ErrorCode", "11200"), ("ErrorUrl", NEXT))


async def test_warnings_ask_no_fallback():
    world = world_of(twiml("<Reject reason='x'/>"))
    await world.run(fallback=(FALLBACK, "POST"))
    assert world.notes == [(13810, "warning")]
    assert len(world.requests) == 1
