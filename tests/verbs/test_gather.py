"""Gather: digits (twiml-voice.md section 2, webhooks.md section 4.1)."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.call_control import BASE, World, pressed, twiml
from tests.fakes.virtual_loop import VirtualLoop
from twimlrunner.engine.ports import DocumentRequest
from twimlrunner.engine.runner import ApplicationError, Completed, HungUp

ACTION = "http://app.example/action"
AUDIO = "http://app.example/a"
NOTHING = None


def world_of(verb: str, keys=(), **options) -> World:
    """A Gather whose document says "missed" when the Gather leads nowhere."""
    site = {BASE: twiml(f"{verb}<Say>missed</Say>"), ACTION: twiml("<Hangup/>")}
    return World(site, keys=keys, **options)


async def gathered(verb: str, keys=(), **options) -> SimpleNamespace:
    """Run it: the report (None when the next verb ran), when it came, what was heard."""
    world = world_of(verb, keys, **options)
    await world.run()
    asked = len(world.requests) > 1
    assert asked is ("say missed" not in world.ladder)
    return SimpleNamespace(
        report=dict(world.requests[1].report) if asked else None,
        at=world.now if asked else world.now - 2.0,
        ladder=world.ladder,
        world=world,
    )


def digits(value: str, finished_on: str = "") -> dict[str, str]:
    return {"Digits": value, "FinishedOnKey": finished_on}


G = "<Gather action='/action'"
SAY = "<Say>menu</Say>"  # two seconds

EMPTY = "actionOnEmptyResult='true'"
DEAF = "bargeIn='false'"
LATE = "<Say>a</Say><Pause length='3'/><Say>b</Say>"

# name, attributes, prompts, keys (from 0.5 s on, two a second), report, when the Gather was over
SITUATIONS = [
    ("digits, then finish key", "", "", pressed("12#"), digits("12", "#"), 1.5),
    ("digits, then timeout", "", "", pressed("12"), digits("12"), 6.0),
    ("numDigits reached", "numDigits='2'", "", pressed("123"), digits("12"), 1.0),
    ("finish key before numDigits", "numDigits='3'", "", pressed("1#2"), digits("1", "#"), 1.0),
    ("finish key as the only key", "", "", pressed("#12"), NOTHING, 0.5),
    ("finish key alone, numDigits=1", "numDigits='1'", "", pressed("#"), NOTHING, 0.5),
    ("nothing", "", "", [], NOTHING, 5.0),
    ("nothing, after a prompt", "", SAY, [], NOTHING, 7.0),
    ("nothing, after several prompts", "", LATE, [], NOTHING, 12.0),
    ("restarts at each key", "", "", pressed("123", at=4, every=4), digits("123"), 17.0),
    ("a key just too late", "", "", pressed("1", at=5.1), NOTHING, 5.0),
    ("from the prompt's end", "", SAY, pressed("1#", at=6.9), digits("1", "#"), 7.4),
    ("from the first key", "", SAY, pressed("1"), digits("1"), 5.5),
    ("letters are digits too", "numDigits='2'", "", pressed("AD"), digits("AD"), 1.0),
    ("timeout", "timeout='2'", "", pressed("1"), digits("1"), 2.5),
    ("bad timeout: 5 s", "timeout='0'", "", pressed("1"), digits("1"), 5.5),
    ("timeout auto without speech: 5 s", "timeout='auto'", "", pressed("1"), digits("1"), 5.5),
    ("finishOnKey=*", "finishOnKey='*'", "", pressed("1#*"), digits("1#", "*"), 1.5),
    ("finishOnKey=5", "finishOnKey='5'", "", pressed("1#5"), digits("1#", "5"), 1.5),
    ("no finishOnKey: all is data", "finishOnKey=''", "", pressed("12#"), digits("12#"), 6.5),
    ("no finishOnKey, only #", "finishOnKey=''", "", pressed("#"), digits("#"), 5.5),
    ("no finishOnKey, but a number", "finishOnKey='' numDigits='2'", "", pressed("#*"),
     digits("#*"), 1.0),
    ("bad finishOnKey: #", "finishOnKey='ab'", "", pressed("1#"), digits("1", "#"), 1.0),
    ("bad numDigits: no limit", "numDigits='x'", "", pressed("12#"), digits("12", "#"), 1.5),
    ("actionOnEmptyResult, timeout", EMPTY, "", [], {"FinishedOnKey": ""}, 5.0),
    ("actionOnEmptyResult, finish key", EMPTY, "", pressed("#"), {"FinishedOnKey": "#"}, 0.5),
    ("actionOnEmptyResult, input", EMPTY, "", pressed("1#"), digits("1", "#"), 1.0),
    ("bargeIn=false: not during the prompt", DEAF, SAY, pressed("1"), NOTHING, 7.0),
    ("bargeIn=false: after it", DEAF, SAY, pressed("1#2#", at=1.2), digits("2", "#"), 2.7),
    ("dtmf speech: digits", "input='dtmf speech'", "", pressed("12#"), digits("12", "#"), 1.5),
    ("dtmf speech, auto", "input='dtmf speech' timeout='auto'", "", pressed("1"), digits("1"), 5.5),
    ("speech: keys are no input", "input='speech'", SAY, pressed("12#"), NOTHING, 7.0),
    ("speech, actionOnEmptyResult", f"input='speech' timeout='3' {EMPTY}", "", [],
     {"FinishedOnKey": ""}, 3.0),
]  # fmt: skip


@pytest.mark.parametrize(
    ("attributes", "prompts", "keys", "report", "at"),
    [row[1:] for row in SITUATIONS],
    ids=[row[0] for row in SITUATIONS],
)
async def test_situation(attributes, prompts, keys, report, at):
    found = await gathered(f"{G} {attributes}>{prompts}</Gather>", keys)
    assert found.report == report
    assert found.at == pytest.approx(at)


# --- the request ------------------------------------------------------------------------------


async def test_the_action_is_asked_by_its_method_and_replaces_the_document():
    world = world_of(f"{G} method='GET' numDigits='1'/>", pressed("1"))
    assert await world.run() == HungUp("hangup")
    request = world.requests[1]
    assert (request.url, request.method, request.why) == (ACTION, "GET", "gather-action")
    assert not request.parting
    assert world.ladder == [f"POST {BASE}", "answer", f"GET {ACTION}"]


async def test_without_action_the_current_document_is_asked():
    def voice(request: DocumentRequest) -> str:
        return twiml("<Hangup/>" if request.report else "<Gather numDigits='1'/>")

    world = World({BASE: voice}, keys=pressed("7"))
    assert await world.run() == HungUp("hangup")
    assert world.ladder == [f"POST {BASE}", "answer", f"POST {BASE}"]
    assert world.requests[1].report == (("Digits", "7"), ("FinishedOnKey", ""))


async def test_the_last_gather_without_input_ends_the_call():
    world = World({BASE: twiml("<Gather/>")})
    assert await world.run() == Completed()
    assert world.now == 5.0


async def test_hang_up_asks_for_nothing():
    world = world_of(f"{G}>{SAY}</Gather>", pressed("12", at=0.5), hangs_up_at=3.0)
    assert await world.run() == HungUp("peer-gone")
    assert len(world.requests) == 1
    assert world.now == 3.0


async def test_hang_up_breaks_off_the_request():
    world = world_of(f"{G} numDigits='1'/>", pressed("1"), fetch_seconds=5.0, hangs_up_at=6.0)
    world.keys = pressed("1", at=5.5)
    assert await world.run() == HungUp("peer-gone")
    assert len(world.requests) == 2
    assert world.now == 6.0


# --- prompts ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prompts", "at", "heard"),
    [
        ("<Say>a</Say><Say>b</Say>", 1.0, ["say a", "stop say a"]),
        ("<Say>a</Say><Say>b</Say>", 3.0, ["say a", "say b", "stop say b"]),
        ("<Say loop='0'>a</Say>", 5.0, ["say a", "say a", "say a", "stop say a"]),
        ("<Play loop='0'>/a</Play>", 1.0, [f"play {AUDIO}", f"stop play {AUDIO}"]),
        ("<Pause length='60'/><Say>b</Say>", 30.0, ["pause 60", "stop pause"]),
        ("<Say>a</Say>", 3.0, ["say a"]),
    ],
)
async def test_the_first_key_stops_the_prompts_at_once(prompts, at, heard):
    found = await gathered(f"{G} numDigits='1'>{prompts}</Gather>", pressed("1", at=at))
    assert found.report == digits("1")
    assert found.at == at
    assert found.ladder[2:-1] == heard


async def test_without_barge_in_the_prompt_is_heard_to_its_end():
    found = await gathered(f"{G} bargeIn='false'>{SAY}{SAY}</Gather>", pressed("1", at=0.5))
    assert found.ladder[2:4] == ["say menu", "say menu"]
    assert not any(line.startswith("stop") for line in found.ladder)


@pytest.mark.parametrize(("code", "reported"), [(11200, 11200), (13420, 13325)])
async def test_a_prompt_that_cannot_be_had_fails_the_document(code, reported):
    world = world_of(f"{G}><Play>/a</Play></Gather>", broken={AUDIO: code})
    end = await world.run()
    assert isinstance(end, ApplicationError)
    assert end.code == reported
    assert world.now == 0.0


async def test_nested_verbs_are_not_steps_of_the_document():
    found = await gathered(f"{G} timeout='1'>{SAY}</Gather>")
    assert [line for line in found.world.verbs if line.startswith("0")] == [
        "0 Gather dtmf",
        "0 Gather: continue",
    ]


# --- type-ahead -------------------------------------------------------------------------------

TYPED = f"<Pause length='2'/>{G} numDigits='2'>{SAY}</Gather>"


async def test_keys_pressed_before_are_not_collected():
    found = await gathered(TYPED, pressed("12", at=1))
    assert found.report == NOTHING
    assert found.at == pytest.approx(9.0)  # the prompt and its timeout were waited for in full


async def test_type_ahead_collects_them_and_begins_no_prompt():
    found = await gathered(TYPED, pressed("12", at=1, every=0.2), type_ahead=True)
    assert found.report == digits("12")
    assert "say menu" not in found.ladder
    assert found.at == 2.0


async def test_type_ahead_for_the_second_of_two_menus():
    site = {
        BASE: twiml(f"{G} numDigits='1'/>"),
        ACTION: twiml("<Gather action='/2' numDigits='1'><Say>second</Say></Gather>"),
        "http://app.example/2": twiml("<Hangup/>"),
    }
    world = World(site, keys=pressed("12", every=0.001), fetch_seconds=0.1, type_ahead=True)
    assert await world.run() == HungUp("hangup")
    assert [dict(request.report).get("Digits") for request in world.requests] == [None, "1", "2"]
    assert "say second" not in world.ladder


async def test_without_type_ahead_the_rest_is_forgotten():
    site = {
        BASE: twiml(f"{G} numDigits='1'/>"),
        ACTION: twiml("<Gather action='/2' numDigits='1'><Say>second</Say></Gather>"),
    }
    world = World(site, keys=pressed("12", every=0.001), fetch_seconds=0.1)
    assert await world.run() == Completed()
    assert len(world.requests) == 2
    assert "say second" in world.ladder


async def test_what_may_not_be_interrupted_is_heard_although_keys_were_typed_ahead():
    verb = f"<Pause length='2'/>{G} bargeIn='false'>{SAY}</Gather>"
    found = await gathered(verb, pressed("12#", at=1, every=0.2), type_ahead=True)
    assert found.report == NOTHING
    assert "say menu" in found.ladder


# --- what is told -----------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", ["speech", "dtmf speech", "speech dtmf"])
async def test_speech_is_reported_as_unsupported(wanted):
    found = await gathered(f"\n<Gather input='{wanted}' timeout='1'/>")
    assert found.world.notes == [(59900, "warning")]
    assert found.world.messages[0].startswith('line 2: <Gather input="speech"> is not supported')


async def test_digits_never_reach_the_log():
    found = await gathered(f"{G}/>", pressed("4711#"))
    assert found.report == digits("4711", "#")
    assert "4711" not in repr((found.world.verbs, found.world.messages))


# --- against a model --------------------------------------------------------------------------

TICK = 0.25
keystrokes = st.lists(
    st.tuples(st.integers(0, 60), st.sampled_from("12#*")), max_size=12, unique_by=lambda k: k[0]
)


def expected(keys, *, prompt, timeout, finish, length, barge):
    """(digits, finish key) by the words of the specification, in whole ticks. No key falls on a
    border, see the test."""
    deadline = prompt + timeout
    taken, counted_from = "", 0 if barge else prompt
    for at, key in sorted(keys):
        if at < counted_from:
            continue
        if at > deadline:
            break
        if key == finish:
            return taken, key
        taken += key
        if len(taken) == length:
            break
        deadline = at + timeout
    return taken, ""


@given(
    keys=keystrokes,
    prompt=st.integers(0, 12),
    timeout=st.integers(1, 4),
    finish=st.sampled_from("#*1") | st.just(""),
    length=st.none() | st.integers(1, 4),
    barge=st.booleans(),
)
def test_any_keys_at_any_time(keys, prompt, timeout, finish, length, barge):
    # Prompts and timeouts last a whole number of ticks; keys come a little after one, each by
    # another bit, so that no key meets a deadline in the same instant.
    keys = [(at + 0.5 + at / 1000, key) for at, key in keys]
    ticks = timeout * 4
    taken, finished_on = expected(
        keys, prompt=prompt, timeout=ticks, finish=finish, length=length, barge=barge
    )
    say = "<Say>x</Say>" if prompt else ""
    limit = f"numDigits='{length}'" if length else ""
    verb = (
        f"{G} timeout='{timeout}' finishOnKey='{finish}' bargeIn='{str(barge).lower()}' {limit}>"
        f"{say}</Gather>"
    )
    loop = VirtualLoop()
    try:
        found = loop.run_until_complete(
            gathered(
                verb, [(at * TICK, key) for at, key in keys], clip_seconds=(prompt or 1) * TICK
            )
        )
    finally:
        loop.close()
    assert found.report == (digits(taken, finished_on) if taken else None)
