"""The document that a callee hears before the bridge (twiml-voice.md section 3, ``url``)."""

import pytest

from tests.fakes.call_control import BASE, World, pressed, twiml
from twimlrunner.engine.runner import ApplicationError, Completed, HungUp
from twimlrunner.twiml.nodes import NODES
from twimlrunner.verbs.registry import HANDLERS, SCREENING_HANDLERS

ALLOWED = ("Say", "Play", "Gather", "Pause", "Hangup", "Redirect")


async def screened(inner: str, **options) -> tuple[World, object]:
    site = {BASE: twiml(inner), "http://app.example/b": twiml("<Hangup/>")}
    world = World(site, answered=True, **options)
    return world, await world.run(handlers=SCREENING_HANDLERS)


def test_every_verb_has_its_rule():
    assert set(SCREENING_HANDLERS) == set(NODES.values())


@pytest.mark.parametrize("name", ALLOWED)
def test_what_is_allowed_runs_as_everywhere(name):
    assert SCREENING_HANDLERS[NODES[name]] is HANDLERS[NODES[name]]


async def test_to_accept_a_call_by_a_key():
    inner = "<Gather action='/b' numDigits='1'><Say>press one</Say></Gather><Hangup/>"
    world, end = await screened(inner, keys=pressed("1"))
    assert end == HungUp("hangup")
    assert world.ladder[-1] == "POST http://app.example/b"


async def test_a_document_that_ends_lets_the_bridge_begin():
    world, end = await screened("<Say>a call for you</Say>")
    assert end == Completed()
    assert world.notes == []


@pytest.mark.parametrize("dial", ["<Dial>+1</Dial>", "<Dial answerOnBridge='true'/>"])
async def test_dial_is_an_error(dial):
    world, end = await screened(f"<Say>x</Say>\n{dial}<Say>no</Say>")
    assert isinstance(end, ApplicationError)
    assert end.code == 13201
    assert world.ladder[1:] == ["say x"]


OTHERS = {
    "Record": "<Record/>",
    "Reject": "<Reject/>",
    "Refer": "<Refer><Sip>sip:a@b</Sip></Refer>",
    "Enqueue": "<Enqueue>q</Enqueue>",
    "Leave": "<Leave/>",
    "Connect": "<Connect><Room>r</Room></Connect>",
    "Start": "<Start><Stream url='wss://x/'/></Start>",
    "Stop": "<Stop><Stream name='a'/></Stop>",
    "Echo": "<Echo/>",
    "Pay": "<Pay/>",
    "Prompt": "<Prompt/>",
    "Sms": "<Sms>x</Sms>",
}


def test_no_verb_is_forgotten():
    assert set(OTHERS) | {*ALLOWED, "Dial"} == set(NODES)


@pytest.mark.parametrize(("name", "verb"), OTHERS.items(), ids=OTHERS)
async def test_other_verbs_are_told_and_skipped(name, verb):
    world, end = await screened(f"\n{verb}<Say>next</Say>")
    assert end == Completed()
    assert world.ladder[1:] == ["say next"]
    assert world.notes[-1] == (12200, "warning")
    assert world.messages[-1].startswith(f"line 2: <{name}> may not stand in")
