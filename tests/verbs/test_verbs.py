"""What Say, Play, Pause, Redirect, Reject and Hangup do to a call (twiml-voice.md section 6)."""

import pytest

from tests.fakes.call_control import BASE, World, one_document, twiml
from twimlrunner.engine.ports import AudioUrl, Clip, Speech
from twimlrunner.engine.runner import Completed, HungUp, ProgramEnd, Rejected

ASK = f"POST {BASE}"


@pytest.mark.parametrize(
    ("inner", "ladder"),
    [
        ("<Say>hi</Say>", ["answer", "say hi"]),
        ("<Say loop='3'>hi</Say>", ["answer", "say hi", "say hi", "say hi"]),
        ("<Say/>", ["answer"]),
        (f"<Say>{'a' * 4097}</Say>", ["answer"]),
        ("<Say><p>hi</p></Say>", ["answer", "say hi"]),
        ("<Play>http://x.example/a.mp3</Play>", ["answer", "play http://x.example/a.mp3"]),
        ("<Play>a.mp3?b=1</Play>", ["answer", "play http://app.example/a.mp3?b=1"]),
        ("<Play loop='2'>/a</Play>", ["answer", *["play http://app.example/a"] * 2]),
        ("<Play digits='1ww2#'/>", ["answer", "digits 1ww2#"]),
        ("<Play digits='12' loop='2'/>", ["answer", "digits 12", "digits 12"]),
        ("<Play digits='12'>/a</Play>", ["answer", "digits 12"]),
        ("<Play/>", ["answer"]),
        ("<Pause/>", ["pause 1", "answer"]),
        ("<Pause length='3'/><Say>hi</Say>", ["pause 3", "answer", "say hi"]),
        ("<Say>hi</Say><Pause length='3'/>", ["answer", "say hi", "pause 3"]),
    ],
)
async def test_what_is_heard(inner, ladder):
    world = one_document(inner)
    assert await world.run() == Completed()
    assert world.ladder == [ASK, *ladder]


@pytest.mark.parametrize("verb", ["<Say loop='0'>hi</Say>", "<Play loop='0'>/a</Play>"])
async def test_endless_is_a_thousand_times(verb):
    world = one_document(verb)
    await world.run()
    assert len(world.ladder) == 2 + 1000


async def test_an_endless_play_ends_with_the_call():
    world = one_document("<Play loop='0'>/a</Play>", hangs_up_at=7.0)
    assert await world.run() == HungUp("peer-gone")
    assert world.ladder.count("play http://app.example/a") == 4


async def test_the_clip_carries_voice_language_and_markup():
    clips: list[Clip] = []

    class Listener(World):
        async def play(self, clip: Clip) -> None:
            clips.append(clip)

    inner = (
        "<Say voice='Polly.Amy' language='en-GB'>a <break/>b</Say><Say voice='woman'>c</Say>"
        "<Play>/d</Play>"
    )
    await Listener({BASE: twiml(inner)}).run()
    assert clips == [
        Speech("a b", "Polly.Amy", "en-GB", "a <break></break>b"),
        Speech("c", "woman", "en-US"),
        AudioUrl("http://app.example/d"),
    ]


EDGE_CASES: list[tuple[str, str, list[str], ProgramEnd]] = [
    ("empty document: answered, then ended", "", ["answer"], Completed()),
    (
        "only the redirected document runs, still unanswered",
        "<Redirect>/b</Redirect><Say>x</Say>",
        ["POST http://app.example/b"],
        Rejected(404),
    ),
    (
        "the method of a Redirect",
        "<Redirect method='GET'>/b</Redirect>",
        ["GET http://app.example/b"],
        Rejected(404),
    ),
    ("Pause then Reject: still unanswered", "<Pause length='3'/><Reject/>", ["pause 3"],
     Rejected(404)),
    ("Reject busy", "<Reject reason='busy'/>", [], Rejected(486)),
    ("Reject with an unknown reason", "<Reject reason='x'/>", [], Rejected(404)),
    ("an empty Say has answered: Reject hangs up", "<Say/><Reject/>", ["answer"],
     HungUp("already-answered")),
    ("Hangup first: answered, then ended", "<Hangup/><Say>x</Say>", ["answer"],
     HungUp("hangup")),
    ("unknown verbs are skipped", "<Unknown/><say>x</say>", ["answer"], Completed()),
]  # fmt: skip


@pytest.mark.parametrize(
    ("inner", "ladder", "end"), [row[1:] for row in EDGE_CASES], ids=[row[0] for row in EDGE_CASES]
)
async def test_edge_case(inner, ladder, end):
    world = World({BASE: twiml(inner), "http://app.example/b": twiml("<Reject/>")})
    assert await world.run() == end
    assert world.ladder == [ASK, *ladder]


async def test_an_empty_redirect_asks_the_same_url_by_post():
    world = World({BASE: lambda _: twiml("<Redirect/>" if len(world.requests) < 2 else "")})
    await world.run()
    assert world.ladder == [ASK, ASK, "answer"]


@pytest.mark.parametrize(
    "inner",
    [
        "<Gather/>",  # no input: hang up
        "<Start><Stream url='wss://x/'/></Start>",  # ends at once
        "<Refer><Sip>sip:a@b</Sip></Refer>",  # last, no action: the leg is ended
    ],
)
async def test_a_last_verb_without_action_ends_the_answered_call(inner):
    world = one_document(inner)
    assert await world.run() == Completed()
    assert world.answered


# --- the peer hangs up before, while and after each verb runs -----------------------------------

VERBS = {
    "Say": ("<Say>a</Say>", 2.0),
    "Play": ("<Play>/a</Play>", 2.0),
    "Play digits": ("<Play digits='1234567890'/>", 2.0),
    "Pause": ("<Pause length='2'/>", 2.0),
}


@pytest.mark.parametrize(("verb", "seconds"), VERBS.values(), ids=VERBS)
@pytest.mark.parametrize("moment", ["before", "during", "after"])
async def test_hang_up_ends_quietly(verb, seconds, moment):
    at = {"before": 1.0, "during": 1.0 + seconds / 2, "after": 1.0 + seconds + 0.5}[moment]
    world = one_document(
        f"<Pause length='1'/>{verb}<Pause length='5'/><Redirect>/never</Redirect>", hangs_up_at=at
    )
    assert await world.run() == HungUp("peer-gone")
    assert world.now == pytest.approx(at)
    assert world.ladder.count(ASK) == 1
    assert not any("never" in line for line in world.ladder)
    assert world.notes == []
    assert world.verbs[-1].endswith(": call-ended")


@pytest.mark.parametrize("verb", ["<Redirect>/never</Redirect>", "<Reject/>", "<Hangup/>"])
async def test_hang_up_before_a_verb_that_ends_the_document(verb):
    world = one_document(f"<Pause length='1'/>{verb}", hangs_up_at=1.0)
    assert await world.run() == HungUp("peer-gone")
    assert len(world.requests) == 1


async def test_digits_never_reach_the_log():
    world = one_document("<Play digits='4711'/>")
    await world.run()
    assert "4711" not in " ".join(world.verbs)
