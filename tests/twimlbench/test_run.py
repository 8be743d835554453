"""A bench run as a pure function: what is said, what is asked, how it ends."""

from __future__ import annotations

import pytest

from sipdomains.bench import MAX_ENTRIES, BenchSetup, Move
from sipdomains.contracts import FetchReply
from twimlrunner.bench.run import Played, play

BASE = "http://app.example/voice"
AC, CA = "AC" + "0" * 32, "CA" + "1" * 32


def setup(verbs: str = "", **fields) -> BenchSetup:
    """A pasted document, as if it came from BASE."""
    values = {
        "account_sid": AC, "call_sid": CA, "base_url": BASE,
        "from_": "sip:alice@pbx.example.net", "to": "sip:100@pbx.example.net",
        "public_url": "https://desk.example",
    }  # fmt: skip
    if verbs:
        values["document"] = f"<Response>{verbs}</Response>"
    return BenchSetup(**values | fields)


def reply(verbs: str, url: str = BASE) -> FetchReply:
    body = f"<Response>{verbs}</Response>"
    return FetchReply("", "", body=body, content_type="text/xml", final_url=url, status=200)


def said(played: Played) -> list[str]:
    """The transcript as a reader of the page takes it in."""
    lines = []
    for entry in played.entries:
        data = entry.data
        match entry.kind:
            case "say" | "end" | "would":
                lines.append(data["text"])
            case "play":
                lines.append(f"play {data['url']}")
            case "note":
                lines.append(f"{data['level']} {data['code']}")
            case "pause":
                lines.append(f"pause {data['seconds']:g}")
            case "answered":
                lines.append("answered")
    return lines


def parameters(played: Played) -> dict[str, str]:
    return dict(played.wants["parameters"])


HANGS_UP = "Every verb has run, so the server hangs up."
GONE = "The caller has hung up; nothing more is run."
MENU = (
    '<Gather numDigits="2" action="/x"><Say>Press</Say><Pause length="2"/></Gather><Say>None</Say>'
)


@pytest.mark.parametrize(
    ("verbs", "lines"),
    [
        ("<Say>Hello</Say>", ["answered", "Hello", HANGS_UP]),
        ("<Play>/tune.wav</Play>", ["answered", "play http://app.example/tune.wav", HANGS_UP]),
        ('<Pause length="3"/><Say>Now</Say>', ["pause 3", "answered", "Now", HANGS_UP]),
        ('<Reject reason="busy"/>', ["The call is refused with 486; it was never answered."]),
        ("<Say>A</Say><Hangup/>", ["answered", "A", "The application hangs up."]),
        (
            "<Enqueue>q</Enqueue>",
            ["answered", "warning 59900", HANGS_UP],
        ),
        (
            "<Dial/>",
            ["warning 13215", "answered", HANGS_UP],
        ),
    ],
)
def test_what_needs_no_input_runs_to_its_end(verbs, lines) -> None:
    played = play(setup(verbs), [], [])
    assert played.wants == {}
    assert said(played) == lines


@pytest.mark.parametrize(
    ("moves", "lines", "wants"),
    [
        ([], ["answered", "Press", "pause 2"], {"kind": "keys"}),
        ([Move("nothing")], ["answered", "Press", "pause 2", "None", HANGS_UP], {}),
        ([Move("hangup")], ["answered", "Press", "pause 2", GONE], {}),
    ],
)
def test_a_gather_asks_for_keys_when_its_prompts_have_been_heard(moves, lines, wants) -> None:
    played = play(setup(MENU), moves, [])
    assert said(played) == lines
    assert played.wants == wants


@pytest.mark.parametrize(
    ("attributes", "keys", "expected"),
    [
        ('numDigits="2"', "12", {"Digits": "12", "FinishedOnKey": ""}),
        ('numDigits="2"', "1", {"Digits": "1", "FinishedOnKey": ""}),  # then time runs out
        ("", "123#", {"Digits": "123", "FinishedOnKey": "#"}),
        ('bargeIn="false"', "5#", {"Digits": "5", "FinishedOnKey": "#"}),
    ],
)
def test_typed_keys_are_reported_to_the_action(attributes, keys, expected) -> None:
    verbs = f'<Gather {attributes} action="/x" method="GET"><Say>Press</Say></Gather>'
    played = play(setup(verbs), [Move("keys", keys)], [])
    wants = played.wants
    assert (wants["kind"], wants["url"], wants["method"]) == (
        "fetch",
        "http://app.example/x",
        "GET",
    )
    found = parameters(played)
    assert {name: found[name] for name in expected} == expected
    assert (found["CallStatus"], found["CallSid"], found["AccountSid"]) == ("in-progress", CA, AC)
    assert (found["From"], found["To"]) == ("sip:alice@pbx.example.net", "sip:100@pbx.example.net")


@pytest.mark.parametrize(
    ("move", "expected"),
    [
        (
            Move("record", seconds=4, how="silence"),
            {"RecordingDuration": "4", "CallStatus": "in-progress"},
        ),
        (Move("record", seconds=4, how="key", keys="#"), {"Digits": "#"}),
        (Move("record", seconds=99, how="silence"), {"RecordingDuration": "10"}),
        (
            Move("record", seconds=4, how="hangup"),
            {"Digits": "hangup", "CallStatus": "completed"},
        ),
    ],
)
def test_a_recording_is_reported(move, expected) -> None:
    played = play(setup('<Record action="/r" maxLength="10"/>'), [move], [])
    found = parameters(played)
    assert {name: found[name] for name in expected} == expected
    assert found["RecordingUrl"].startswith(
        f"https://desk.example/2010-04-01/Accounts/{AC}/Recordings/RE"
    )


def test_a_recording_of_nothing_goes_on_with_a_warning() -> None:
    played = play(setup("<Record/><Say>On</Say>"), [Move("record", how="silence")], [])
    assert said(played) == ["answered", "warning 16102", "On", HANGS_UP]


DIAL = '<Dial action="/d"><Sip statusCallback="/s">sip:bob:secret@pbx.example.net</Sip></Dial>'


@pytest.mark.parametrize(
    ("move", "expected"),
    [
        (
            Move("dial", how="completed", seconds=9),
            {"DialCallStatus": "completed", "DialCallDuration": "9", "DialBridged": "true",
             "DialSipResponseCode": "200"},
        ),
        (Move("dial", how="busy"), {"DialCallStatus": "busy", "DialSipResponseCode": "486"}),
        (Move("dial", how="no-answer"), {"DialCallStatus": "no-answer", "DialBridged": "false"}),
        (Move("dial", how="failed"), {"DialCallStatus": "failed"}),
        (Move("hangup"), {"DialCallStatus": "canceled", "CallStatus": "completed"}),
    ],
)  # fmt: skip
def test_what_becomes_of_a_dial_is_reported(move, expected) -> None:
    asked = play(setup(DIAL), [], [])
    assert asked.wants["kind"] == "dial"
    assert asked.wants["targets"] == ["sip sip:bob:…@pbx.example.net"]
    assert any("would be told" in line for line in said(asked))
    found = parameters(play(setup(DIAL), [move], []))
    assert {name: found[name] for name in expected} == expected


def test_answer_on_bridge_leaves_the_call_ringing_until_the_other_side_answers() -> None:
    verbs = '<Dial answerOnBridge="true"><Number>+4930123</Number></Dial>'
    assert "answered" not in said(play(setup(verbs), [], []))
    assert "answered" in said(play(setup(verbs), [Move("dial", how="completed", seconds=3)], []))


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("accepted", {"ReferCallStatus": "in-progress", "NotifySipResponseCode": "200"}),
        ("busy", {"ReferCallStatus": "busy"}),
        ("refused", {"ReferCallStatus": "failed", "ReferSipResponseCode": "603"}),
    ],
)
def test_what_becomes_of_a_transfer_is_reported(how, expected) -> None:
    verbs = '<Refer action="/t"><Sip>sip:carol@pbx.example.net</Sip></Refer>'
    assert play(setup(verbs), [], []).wants["kind"] == "refer"
    found = parameters(play(setup(verbs), [Move("refer", how=how)], []))
    assert {name: found[name] for name in expected} == expected


def test_recorded_answers_are_run_and_the_next_request_is_asked_for() -> None:
    wanted = setup(url=BASE, base_url="")
    first = play(wanted, [], [])
    assert (first.wants["kind"], first.wants["why"]) == ("fetch", "voice-url")
    assert parameters(first)["CallStatus"] == "ringing"
    second = play(wanted, [], [reply("<Say>A</Say><Redirect>/next</Redirect>")])
    assert second.wants["url"] == "http://app.example/next"
    assert said(second) == ["answered", "A"]
    answers = [reply("<Say>A</Say><Redirect>/next</Redirect>"), reply("<Say>B</Say>")]
    last = play(wanted, [], answers)
    assert said(last) == ["answered", "A", "B", HANGS_UP]
    requests = [entry.data["number"] for entry in last.entries if entry.kind == "request"]
    assert requests == [0, 1]


def test_the_request_of_a_pasted_document_is_marked_as_never_sent() -> None:
    played = play(setup("<Redirect>/x</Redirect>"), [], [reply("<Hangup/>")])
    requests = [entry.data["number"] for entry in played.entries if entry.kind == "request"]
    assert requests == [-1, 0]


def test_a_replay_is_the_same_again() -> None:
    moves = [Move("record", seconds=3, how="silence")]
    wanted = setup('<Record action="/r"/>')
    assert play(wanted, moves, []) == play(wanted, moves, [])


def test_a_relative_action_of_a_document_without_a_url_is_explained() -> None:
    played = play(setup(MENU, base_url=""), [Move("keys", "12")], [])
    assert said(played)[-2] == "error 15004"
    assert played.wants == {}


@pytest.mark.parametrize(
    ("fields", "last"),
    [
        ({}, "The caller hears the error announcement, then the server hangs up."),
        ({"fail_with_503": True}, "The domain wants such calls refused: the caller gets 503."),
    ],
)
@pytest.mark.parametrize("base_url", ["", BASE])
def test_what_is_no_twiml_fails_as_a_call_would(fields, last, base_url) -> None:
    played = play(setup(document="<Nonsense>", base_url=base_url, **fields), [], [])
    assert said(played)[0].startswith("error 121")
    assert said(played)[-1].endswith(last)


def test_failures_ask_the_fallback_url() -> None:
    wanted = setup(url=BASE, base_url="", fallback_url="http://app.example/fallback")
    failed = FetchReply("", "", error_code=11200, error_message="HTTP status 500")
    played = play(wanted, [], [failed])
    assert played.wants["url"] == "http://app.example/fallback"
    assert parameters(played)["ErrorCode"] == "11200"


def test_documents_that_only_lead_to_each_other_never_end_by_themselves() -> None:
    wanted = setup(url=BASE, base_url="")
    played = play(wanted, [], [reply("<Redirect/>")] * 50)
    assert played.wants["kind"] == "fetch"  # which the worker counts
    assert said(played) == []  # slowed down, but that is no pause of the call


def test_endless_prompts_stop_at_the_limit_of_the_bench() -> None:
    verbs = '<Say loop="900">A</Say>' * 3
    played = play(setup(verbs), [], [])
    assert played.wants["kind"] == "stop"
    assert len(played.entries) == MAX_ENTRIES
