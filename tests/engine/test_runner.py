"""The runner's loop: outcomes, URLs, log, guards."""

import asyncio

import pytest

from tests.fakes.call_control import BASE, World, one_document, twiml
from twimlrunner.engine.handler import Handler, VerbContext
from twimlrunner.engine.outcomes import Continue, Needs, Outcome
from twimlrunner.engine.ports import DocumentRequest, FetchFailed
from twimlrunner.engine.program import ProgramLimits
from twimlrunner.engine.runner import ApplicationError, Completed, HungUp, Rejected
from twimlrunner.twiml.document import Document
from twimlrunner.twiml.nodes.record import Record
from twimlrunner.twiml.parser import parse
from twimlrunner.verbs.registry import HANDLERS


async def test_verbs_run_in_order_and_the_log_tells():
    world = one_document("<Say>a</Say><Pause length='2'/><Play>/b.wav</Play>")
    assert await world.run() == Completed()
    assert world.ladder == [
        f"POST {BASE}", "answer", "say a", "pause 2", "play http://app.example/b.wav",
    ]  # fmt: skip
    assert world.verbs == [
        f"document {BASE}: Say Pause Play",
        '0 Say "a" man',
        "0 Say: continue",
        "1 Pause 2 s",
        "1 Pause: continue",
        "2 Play /b.wav",
        "2 Play: continue",
    ]
    assert world.notes == []


async def test_warnings_of_the_parser_are_notified_and_the_document_runs():
    world = one_document("<say>x</say>\n<Pause length='0'/>")
    assert await world.run() == Completed()
    assert world.notes == [(12200, "warning"), (13910, "warning")]
    assert world.messages[1].startswith("line 2: <Pause> length")


@pytest.mark.parametrize(
    ("base", "written", "asked"),
    [
        ("http://a.example/x/voice?q=1", "b", "http://a.example/x/b"),
        ("http://a.example/x/voice?q=1", "/b?c=d", "http://a.example/b?c=d"),
        ("http://a.example/x/voice?q=1", "?c=d", "http://a.example/x/voice?c=d"),
        ("http://a.example/x/voice?q=1", "//b.example/y", "http://b.example/y"),
        ("http://a.example/x/voice?q=1", "https://b.example/", "https://b.example/"),
        ("http://a.example/x/voice?q=1", " ../b ", "http://a.example/b"),
        ("http://a.example/x/voice?q=1", "", "http://a.example/x/voice?q=1"),
    ],
)
async def test_relative_urls_are_those_of_the_document(base, written, asked):
    world = World({base: twiml(f"<Redirect>{written.replace('&', '&amp;')}</Redirect>")})
    world.site[asked] = (
        (lambda request: twiml("<Hangup/>" if request.why == "redirect" else "<Redirect/>"))
        if asked == base
        else twiml("<Hangup/>")
    )
    assert await world.run(base) == HungUp("hangup")
    assert [request.url for request in world.requests] == [base, asked]


@pytest.mark.parametrize(
    ("inner", "code"),
    [
        ("<Redirect>/b</Redirect>", 15004),
        ("<Redirect/>", 15004),
        ("<Play>/a.wav</Play>", 15004),
        ("<Redirect>ftp://x/</Redirect>", 11100),
        ("<Redirect>http://</Redirect>", 11100),
        ("<Play>not a url</Play>", 11100),
    ],
)
async def test_urls_that_an_inline_document_cannot_have(inner, code):
    world = World()
    end = await world.run(parse(twiml(inner).encode()))
    assert isinstance(end, ApplicationError)
    assert end.code == code
    assert world.notes == [(code, "error")]
    assert world.requests == []


async def test_inline_document_with_absolute_url_goes_on():
    world = World({BASE: twiml("<Hangup/>")})
    end = await world.run(parse(twiml(f"<Redirect method='GET'>{BASE}</Redirect>").encode()))
    assert end == HungUp("hangup")
    assert world.ladder == [f"GET {BASE}", "answer"]


async def test_no_document_is_run_after_the_end():
    world = World(answered=True)
    assert await world.run(Document()) == Completed()
    assert world.ladder == []


# --- guards -----------------------------------------------------------------------------------


async def test_a_circle_of_redirects_ends_without_the_fallback():
    world = one_document("<Redirect/>")
    end = await world.run(fallback=("http://app.example/fallback", "POST"))
    assert isinstance(end, ApplicationError)
    assert end.code == 59904
    assert world.notes == [(59904, "error")]
    assert len(world.requests) == 201
    assert not world.answered
    # Ten a second: the circle is slowed down while it lasts.
    assert world.now == pytest.approx(20.0, abs=1.0)


async def test_a_thousand_documents_use_one_stack_frame():
    def answer(request: DocumentRequest) -> str:
        return twiml("<Hangup/>" if len(world.requests) > 1000 else "<Redirect/>")

    world = World({BASE: answer})
    limits = ProgramLimits(idle_documents=10_000, fetches_per_second=10_000)
    assert await world.run(limits=limits) == HungUp("hangup")
    assert len(world.requests) == 1001


async def test_documents_in_which_time_passes_may_go_on_for_ever():
    def answer(request: DocumentRequest) -> str:
        done = len(world.requests) > 500
        return twiml("<Hangup/>" if done else "<Pause length='1'/><Redirect/>")

    world = World({BASE: answer})
    assert await world.run() == HungUp("hangup")
    assert world.notes == []


async def test_ten_quick_fetches_are_not_slowed_down():
    def answer(request: DocumentRequest) -> str:
        return twiml("<Hangup/>" if len(world.requests) == 10 else "<Redirect/>")

    world = World({BASE: answer})
    await world.run()
    assert world.now == 0.0


async def test_a_fallback_that_joins_the_circle_ends_too():
    fallback = "http://app.example/fallback"
    world = World(
        {BASE: FetchFailed(11200, "x", BASE), fallback: twiml(f"<Redirect>{BASE}</Redirect>")}
    )
    end = await world.run(fallback=(fallback, "POST"))
    assert isinstance(end, ApplicationError)
    assert end.code == 59904
    assert len(world.requests) < 450


# --- hang-up ----------------------------------------------------------------------------------


async def test_a_verb_that_owes_a_report_sends_it_and_nothing_else_runs():
    site = {BASE: twiml("<Record action='/r'/><Say>no</Say>")}
    site["http://app.example/r"] = twiml("<Redirect>/never</Redirect>")
    world = World(site, hangs_up_at=3.0)
    assert await world.run() == HungUp("peer-gone")
    assert world.ladder == [f"POST {BASE}", "answer", "record", "POST http://app.example/r"]
    assert world.requests[-1].parting
    assert ("Digits", "hangup") in world.requests[-1].report
    assert world.verbs[-1] == "0 Record: fetch"


async def test_a_parting_request_that_fails_is_notified_but_asks_no_fallback():
    world = one_document("<Record action='/r'/>", hangs_up_at=3.0)
    end = await world.run(fallback=("http://app.example/f", "POST"))
    assert end == HungUp("peer-gone")
    assert world.notes == [(11200, "error")]
    assert len(world.requests) == 2


async def test_an_owed_report_is_not_held_back_by_the_pace():
    world = one_document("<Dial action='/d'>+1</Dial>", operation_seconds=0.1, hangs_up_at=0.05)
    assert await world.run(limits=ProgramLimits(fetches_per_second=1)) == HungUp("peer-gone")
    assert [request.url for request in world.requests] == [BASE, "http://app.example/d"]
    assert world.now == 0.05


async def test_an_owed_report_whose_request_fails_asks_the_fallback_of_a_call_that_is_up():
    site = {BASE: twiml("<Dial action='/d'>+1</Dial>"), "http://app.example/f": twiml("<Hangup/>")}
    world = World(site)
    assert await world.run(fallback=("http://app.example/f", "POST")) == HungUp("hangup")
    request = world.requests[-1]
    assert not request.parting
    assert dict(request.report)["DialCallStatus"] == "completed"
    assert dict(request.report)["ErrorUrl"] == "http://app.example/d"


async def test_hang_up_during_a_fetch_ends_quietly():
    world = one_document("<Say>no</Say>", fetch_seconds=5.0, hangs_up_at=2.0)
    assert await world.run() == HungUp("peer-gone")
    assert world.notes == []
    assert world.ladder == [f"POST {BASE}"]


async def test_hang_up_just_before_the_last_answer_ends_quietly():
    world = one_document("<Pause length='1'/>", hangs_up_at=1.5, fetch_seconds=0.5)
    assert await world.run() == HungUp("peer-gone")
    world = World(hangs_up_at=0.0)
    assert await world.run(Document()) == HungUp("peer-gone")


async def test_a_cancelled_runner_leaves_a_closed_log():
    started = asyncio.Event()

    async def forever(node: Record, context: VerbContext) -> Outcome:
        started.set()
        await asyncio.Event().wait()
        return Continue()

    world = one_document("<Record/>")
    handlers = {**HANDLERS, Record: Handler(Needs.NOTHING, forever)}
    task = asyncio.create_task(world.run(handlers=handlers))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert world.verbs[-1] == "0 Record: interrupted"


async def test_reject_ends_with_the_status_and_answers_nothing():
    world = one_document("<Reject reason='busy'/><Say>no</Say>")
    assert await world.run() == Rejected(486)
    assert world.ladder == [f"POST {BASE}"]
