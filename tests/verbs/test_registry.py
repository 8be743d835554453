"""The tables of syntax and behaviour agree, and the table "when is the call answered"
(sip-domain.md section 5)."""

import pytest

from tests.fakes.call_control import BASE, NO_ANSWER, SILENCE, World, one_document, twiml
from twimlrunner.engine.runner import Completed
from twimlrunner.twiml.nodes import NODES
from twimlrunner.verbs.registry import HANDLERS
from twimlrunner.verbs.unsupported import run_sms, run_unsupported

NOT_ANSWERED = "not answered"
ANSWERED = "answered"

# What the call is when the verb runs, as the first one.
TABLE = [
    ("Say", "<Say>x</Say>", ANSWERED),
    ("Play", "<Play>http://x.example/a</Play>", ANSWERED),
    ("Play", "<Play digits='1'/>", ANSWERED),
    ("Record", "<Record/>", ANSWERED),
    ("Dial", "<Dial>+1</Dial>", ANSWERED),
    ("Dial", "<Dial answerOnBridge='false'>+1</Dial>", ANSWERED),
    ("Dial", "<Dial answerOnBridge='true'>+1</Dial>", NOT_ANSWERED),
    ("Gather", "<Gather/>", ANSWERED),
    ("Redirect", "<Redirect>/b</Redirect>", NOT_ANSWERED),
    ("Pause", "<Pause/>", NOT_ANSWERED),
    ("Reject", "<Reject/>", NOT_ANSWERED),
    ("Reject", "<Reject reason='busy'/>", NOT_ANSWERED),
    ("Hangup", "<Hangup/>", ANSWERED),
    ("Refer", "<Refer><Sip>sip:a@b</Sip></Refer>", ANSWERED),
    ("Enqueue", "<Enqueue>q</Enqueue>", ANSWERED),
    ("Connect", "<Connect><Room>r</Room></Connect>", ANSWERED),
    ("Start", "<Start><Stream url='wss://x/'/></Start>", ANSWERED),
    ("Stop", "<Stop><Stream name='a'/></Stop>", ANSWERED),
    ("Leave", "<Leave/>", ANSWERED),
    ("Pay", "<Pay/>", ANSWERED),
    ("Prompt", "<Prompt/>", ANSWERED),
    ("Echo", "<Echo/>", ANSWERED),
    ("Sms", "<Sms>x</Sms>", ANSWERED),
]


def test_every_verb_has_a_handler_and_every_handler_a_verb():
    assert set(HANDLERS) == set(NODES.values())


def test_the_table_holds_every_verb():
    assert {name for name, _, _ in TABLE} == set(NODES)


@pytest.mark.parametrize(("name", "verb", "state"), TABLE)
async def test_when_the_call_is_answered(name, verb, state):
    # What comes behind the verb is a Reject: it tells whether the verb has answered.
    world = World(
        {BASE: twiml(f"{verb}<Reject/>"), "http://app.example/b": twiml("<Reject/>")},
        dialled=NO_ANSWER,
        recorded=SILENCE,
    )
    await world.run()
    assert world.answered is (state == ANSWERED)


@pytest.mark.parametrize(("name", "verb", "state"), TABLE)
async def test_an_answered_call_is_not_answered_again(name, verb, state):
    world = World(
        {BASE: twiml(verb), "http://app.example/b": twiml("<Hangup/>")},
        answered=True,
        recorded=SILENCE,
    )
    await world.run()
    assert "answer" not in world.ladder


UNSUPPORTED = sorted(
    name
    for name, node in NODES.items()
    if HANDLERS[node].run in (run_unsupported, run_sms)  # type: ignore[index]
)


@pytest.mark.parametrize("name", UNSUPPORTED)
async def test_a_verb_without_behaviour_says_so_and_the_next_runs(name):
    verb = next(verb for row, verb, _ in TABLE if row == name)
    world = one_document(f"\n{verb}<Say>next</Say>")
    assert await world.run() == Completed()
    assert world.notes == [(13750 if name == "Sms" else 59900, "warning")]
    assert world.messages[0].startswith(f"line 2: <{name}> is not supported")
    assert world.ladder[-1] == "say next"
