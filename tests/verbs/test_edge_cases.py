"""The table of edge cases (twiml-voice.md section 6), row by row."""

from dataclasses import dataclass, field

import pytest

from tests.fakes.call_control import (
    BASE,
    DIALLED,
    RECORDED,
    World,
    one_document,
    pressed,
    twiml,
)
from twimlrunner.engine.ports import DocumentRequest, Referred
from twimlrunner.engine.runner import ApplicationError, Completed, HungUp, ProgramEnd, Rejected

B = "http://app.example/b"
X = "http://app.example/x"
DIAL = "<Dial>+1</Dial>"


@dataclass
class Row:
    """One row: the document, what is to happen to the call in order, and how it ends."""

    quoted: str
    inner: str
    ladder: list[str]
    end: ProgramEnd
    world: dict = field(default_factory=dict)
    report: dict[str, str] | None = None  # of the last request
    notes: list[tuple[int, str]] = field(default_factory=list)


ROWS = [
    Row("<Response/>: answer, BYE", "", ["answer"], Completed()),
    Row(
        "Redirect, Say: only /b runs, still 180",
        "<Redirect>/b</Redirect><Say>x</Say>",
        [f"POST {B}"],
        Rejected(404),
    ),
    Row("Pause 3, Reject: 404 after 3 s", "<Pause length='3'/><Reject/>", ["pause 3"],
        Rejected(404)),
    Row("Say, then Reject: hang up", "<Say>a</Say><Reject/>", ["answer", "say a"],
        HungUp("already-answered")),
    Row("empty Say, then Reject: hang up", "<Say/><Reject/>", ["answer"],
        HungUp("already-answered"), notes=[(13520, "warning")]),
    Row("Dial, Say, callee hangs up: Say runs", f"{DIAL}<Say>bye</Say>",
        ["answer", "dial +1", "say bye"], Completed()),
    Row(
        "the same with action: /x requested, Say not run",
        "<Dial action='/x'>+1</Dial><Say>bye</Say>",
        ["answer", "dial +1", f"POST {X}"],
        HungUp("hangup"),
        report={
            "DialCallStatus": "completed", "DialCallSid": "CA2", "DialCallDuration": "7",
            "DialBridged": "true", "DialSipCallId": "c2", "DialSipResponseCode": "200",
        },
    ),
    Row(
        "the same, caller hangs up: /x requested, nothing played",
        "<Dial action='/x'>+1</Dial><Say>bye</Say>",
        ["answer", "dial +1", f"POST {X}"],
        HungUp("peer-gone"),
        world={"hangs_up_at": 4.0},
    ),
    Row("the same without action, caller hangs up: nothing", f"{DIAL}<Say>bye</Say>",
        ["answer", "dial +1"], HungUp("peer-gone"), world={"hangs_up_at": 4.0}),
    Row("Gather alone, no input: hang up", "<Gather/>", ["answer"], Completed()),
    Row(
        "Gather numDigits=1, # pressed: empty, next verb",
        "<Gather numDigits='1'/><Say>next</Say>",
        ["answer", "say next"],
        Completed(),
        world={"keys": pressed("#")},
    ),
    Row(
        "Gather finishOnKey empty, 12#: after timeout Digits=12#",
        "<Gather finishOnKey='' action='/x'/>",
        ["answer", f"POST {X}"],
        HungUp("hangup"),
        world={"keys": pressed("12#")},
        report={"Digits": "12#", "FinishedOnKey": ""},
    ),
    Row(
        "Record, caller hangs up: action with Digits=hangup",
        "<Record action='/x'/>",
        ["answer", "record", f"POST {X}"],
        HungUp("peer-gone"),
        world={"hangs_up_at": 4.0},
        report={
            "RecordingUrl": RECORDED.url, "RecordingDuration": "3", "Digits": "hangup",
            "RecordingSid": "RE1",
        },
    ),
    Row(
        "Dial answerOnBridge after Say: answered already, attribute without effect",
        "<Say>a</Say><Dial answerOnBridge='true'>+1</Dial>",
        ["answer", "say a", "dial +1"],
        Completed(),
        world={"dialled": DIALLED},
    ),
    Row(
        "Refer last, no action, NOTIFY 486: leg ended too",
        "<Refer><Sip>sip:a@b</Sip></Refer>",
        ["answer", "refer sip:a@b"],
        Completed(),
        world={"referred": Referred(202, 486, "final")},
    ),
    Row("Refer on a call answered by no one yet: answer first",
        "<Refer action='/x'><Sip>sip:a@b</Sip></Refer>",
        ["answer", "refer sip:a@b", f"POST {X}"], HungUp("hangup")),
    Row("Unknown, <say>: 12200, skipped", "<Unknown/><say>x</say>", ["answer"], Completed(),
        notes=[(12200, "warning"), (12200, "warning")]),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=[row.quoted for row in ROWS])
async def test_row(row):
    site = {BASE: twiml(row.inner), B: twiml("<Reject/>"), X: twiml("<Hangup/>")}
    world = World(site, **row.world)
    assert await world.run() == row.end
    assert world.ladder == [f"POST {BASE}", *row.ladder]
    assert world.notes == row.notes
    if row.report is not None:
        assert dict(world.requests[-1].report) == row.report


async def test_row_empty_redirect_asks_the_same_url_by_post():
    world = World({BASE: lambda _: twiml("<Redirect/>" if len(world.requests) < 2 else "")})
    first = DocumentRequest(BASE, "GET", "voice-url")
    assert await world.run(first) == Completed()
    assert world.ladder == [f"GET {BASE}", f"POST {BASE}", "answer"]


async def test_row_record_without_action_asks_the_same_document_with_the_recording():
    world = World({BASE: lambda request: twiml("<Hangup/>" if request.report else "<Record/>")})
    assert await world.run() == HungUp("hangup")
    assert world.ladder == [f"POST {BASE}", "answer", "record", f"POST {BASE}"]
    assert ("RecordingUrl", RECORDED.url) in world.requests[1].report


async def test_row_record_without_action_is_a_loop_that_ends_with_the_call():
    world = World({BASE: twiml("<Record/>")}, hangs_up_at=35.0)
    assert await world.run() == HungUp("peer-gone")
    assert [("Digits", "hangup") in request.report for request in world.requests] == [
        False, False, False, False, True,
    ]  # fmt: skip


async def test_row_blank_line_before_the_declaration_is_12100_and_asks_the_fallback():
    broken = '\n<?xml version="1.0"?><Response/>'
    world = World({BASE: broken, B: twiml("<Say>sorry</Say>")})
    assert await world.run(fallback=(B, "POST")) == Completed()
    assert world.notes == [(12100, "error")]
    assert dict(world.requests[1].report) == {"ErrorCode": "12100", "ErrorUrl": BASE}
    assert world.ladder == [f"POST {BASE}", f"POST {B}", "answer", "say sorry"]
    world = World({BASE: broken})
    assert isinstance(await world.run(), ApplicationError)


# Rows whose verbs this version has not: the reason, and the verb that is told of (59900).
LATER = (
    ("Dial hangupOnStar, Conference: * leaves, next verb, DialCallStatus=answered",
     "<Dial hangupOnStar='true'><Conference>room</Conference></Dial>",
     "there are no conferences yet", "<Conference> in <Dial>"),
    ("Enqueue, and Leave in its waitUrl: the verbs after Enqueue run",
     "<Enqueue waitUrl='/b'>q</Enqueue>", "there are no queues yet", "<Enqueue>"),
    ("Leave", "<Leave/>", "there are no queues yet", "<Leave>"),
    ("Start Stream last: the stream starts, the call ends at once",
     "<Start><Stream url='wss://x.example/'/></Start>", "there are no streams yet", "<Start>"),
    ("Connect Stream, the server closes: next verb",
     "<Connect><Stream url='wss://x.example/'/></Connect>", "there are no streams yet",
     "<Connect>"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("inner", "told"), [(row[1], row[3]) for row in LATER], ids=[row[0] for row in LATER]
)
async def test_a_row_of_later_is_told_and_skipped(inner, told):
    world = one_document(f"{inner}<Say>next</Say>")
    assert await world.run() == Completed()
    assert world.notes == [(59900, "warning")]
    assert f"{told} is not supported by this version" in world.messages[0]
    assert world.ladder == [f"POST {BASE}", "answer", "say next"]
