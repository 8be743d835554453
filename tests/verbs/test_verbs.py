"""What Say, Play, Pause, Redirect, Reject and Hangup do to a call (twiml-voice.md section 6)."""

import pytest

from tests.fakes.call_control import BASE, World, one_document, twiml
from twimlrunner.engine.ports import AudioUrl, Clip, Speech
from twimlrunner.engine.runner import Completed, HungUp, Rejected

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


@pytest.mark.parametrize(
    ("inner", "ladder", "end"),
    [
        ("<Redirect method='GET'>/b</Redirect>", ["GET http://app.example/b"], Rejected(404)),
        ("<Reject reason='busy'/>", [], Rejected(486)),
        ("<Reject reason='x'/>", [], Rejected(404)),
        ("<Hangup/><Say>x</Say>", ["answer"], HungUp("hangup")),
    ],
)
async def test_flow(inner, ladder, end):
    world = World({BASE: twiml(inner), "http://app.example/b": twiml("<Reject/>")})
    assert await world.run() == end
    assert world.ladder == [ASK, *ladder]


async def test_digits_never_reach_the_log():
    world = one_document("<Play digits='4711'/>")
    await world.run()
    assert "4711" not in " ".join(world.verbs)
