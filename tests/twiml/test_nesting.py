"""What may stand in what (twiml-voice.md sections 1-5): a wrong child is skipped, with a code."""

import pytest

from tests.twiml.reading import document, read
from twimlrunner.twiml.document import Invalid
from twimlrunner.twiml.nodes import NODES
from twimlrunner.twiml.nodes.pause import Pause
from twimlrunner.twiml.nodes.play import Play
from twimlrunner.twiml.nodes.say import Say

PROMPTS = {"Say", "Play", "Pause"}
ALLOWED: dict[str, set[str]] = {
    "Say": set(),
    "Play": set(),
    "Pause": set(),
    "Gather": PROMPTS,
    "Record": set(),
    "Enqueue": set(),
    "Leave": set(),
    "Hangup": set(),
    "Reject": set(),
    "Redirect": set(),
    "Pay": {"Prompt"},
    "Prompt": PROMPTS,
    "Echo": set(),
    "Sms": set(),
    "Dial": set(),
    "Refer": set(),
    "Connect": set(),
}
COSTS = {"Gather": 13320, "Dial": 13215}
# What makes each verb valid by itself.
CONTENT = {
    "Say": "hi",
    "Play": "http://x/",
    "Enqueue": "q",
    "Redirect": "/b",
    "Sms": "hi",
    "Dial": "<Number>+1</Number>",
    "Refer": "<Sip>sip:a@b</Sip>",
    "Connect": "<Stream url='wss://x/'/>",
    "Start": "<Stream url='wss://x/'/>",
    "Stop": "<Stream url='wss://x/'/>",
}


def xml(verb: str, more: str = "") -> str:
    return f"<{verb}>{CONTENT.get(verb, '')}{more}</{verb}>"


@pytest.mark.parametrize("verb", NODES)
def test_every_verb_stands_in_response(verb):
    node, codes = read(xml(verb))
    assert verb == node.NAME
    assert codes == []


@pytest.mark.parametrize("child", NODES)
@pytest.mark.parametrize("parent", ALLOWED)
def test_verbs_in_verbs(parent, child):
    node, codes = read(xml(parent, xml(child)))
    assert parent == node.NAME
    assert codes == ([] if child in ALLOWED[parent] else [COSTS.get(parent, 12200)])


@pytest.mark.parametrize("child", NODES)
def test_start_with_a_verb_in_it_fails_when_it_runs(child):
    node, _ = read(xml("Start", xml(child)))
    assert isinstance(node, Invalid)
    assert node.issue.code == 14300


def test_prompts_of_gather_keep_their_order():
    node, codes = read("<Gather><Play>/a</Play><Say>b</Say><Pause/></Gather>")
    assert [type(prompt) for prompt in node.prompts] == [Play, Say, Pause]
    assert codes == []


@pytest.mark.parametrize(
    ("inner", "code"),
    [
        ('<Say voice="x">b</Say>', 13321),
        ('<Say loop="x">b</Say>', 13322),
        ('<Play loop="x">/a</Play>', 13322),
        ('<Play digits="1">/a</Play>', 13430),
    ],
)
def test_codes_inside_gather(inner, code):
    node, codes = read(f"<Gather>{inner}</Gather>")
    assert codes == [code]
    assert getattr(node.prompts[0], "digits", "") == ""


@pytest.mark.parametrize(
    ("inner", "names", "issues"),
    [
        ("<say>x</say>", [], [(12200, 2)]),
        ("<Unknown/><Hangup/>", ["Hangup"], [(12200, 2)]),
        ("hello<Hangup/>bye", ["Hangup"], [(12200, 1)]),
        ("<Hangup>now</Hangup>", ["Hangup"], [(12200, 2)]),
        ("<!-- <Say>x</Say> --><?pi x?><Hangup/>", ["Hangup"], []),
        ('<Pause x="1" y="2"/>', ["Pause"], [(12200, 2), (12200, 2)]),
        ("<Number>+1</Number>", [], [(12200, 2)]),
        ('<x:Say xmlns:x="urn:x">x</x:Say>', [], [(12200, 2)]),
        ('<Say xmlns:x="urn:x" x:voice="man">x</Say>', ["Say"], [(12200, 2)]),
    ],
)
def test_what_is_unknown_is_skipped_with_its_line(inner, names, issues):
    result = document("\n" + inner)
    assert [node.NAME for node in result.nodes] == names
    assert [(issue.code, issue.line) for issue in result.issues] == issues
    assert all(issue.level == "warning" for issue in result.issues)


def test_lines_count_from_one():
    result = document("\n<Say>\n a\n</Say>\n<Hangup/>")
    assert [node.line for node in result.nodes] == [2, 5]


def test_an_invalid_verb_leaves_the_others_alone():
    result = document('<Say>a</Say>\n<Enqueue method="x">q</Enqueue><Hangup/>')
    assert [node.NAME for node in result.nodes] == ["Say", "Invalid", "Hangup"]
    invalid = result.nodes[1]
    assert isinstance(invalid, Invalid)
    assert (invalid.verb, invalid.issue.code, invalid.issue.line) == ("Enqueue", 14201, 2)


def test_warnings_are_bounded():
    result = document("<x/>" * 900)
    assert len(result.issues) == 51
    assert "left out" in result.issues[-1].message


def test_names_of_nodes_are_those_of_the_table():
    assert {name: node.NAME for name, node in NODES.items()} == {name: name for name in NODES}
