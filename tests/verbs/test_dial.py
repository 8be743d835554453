"""Dial and its nouns, as far as the verb goes (twiml-voice.md section 3, webhooks.md 4.1)."""

from dataclasses import replace

import pytest

from tests.fakes.call_control import (
    BASE,
    DIALLED,
    NO_ANSWER,
    World,
    one_document,
    pressed,
    twiml,
)
from twimlrunner.engine.ports import (
    CallbackTarget,
    Dialled,
    DialPlan,
    DialRecording,
    DialTarget,
    DialUri,
)
from twimlrunner.engine.runner import ApplicationError, Completed, HungUp
from twimlrunner.twiml.parser import parse

ACTION = "http://app.example/action"
PHONE = DialTarget("number", "+4930123")
PLAN = DialPlan(
    targets=(PHONE,),
    timeout=30,
    time_limit=14_400,
    hangup_on_star=False,
    caller_id="",
    answer_on_bridge=False,
    ring_tone="",
    sequential=False,
    recording=None,
    refer=None,
)
RECORDING = DialRecording("answer", dual=False, track="both", trim=False, callback=None)
CALLBACK = CallbackTarget("http://app.example/cb", "POST", ("completed",))


def world_of(verb: str, **options) -> World:
    return World(
        {BASE: twiml(f"{verb}<Say>next</Say>"), ACTION: twiml("<Say>done</Say>")}, **options
    )


async def plan_of(verb: str) -> DialPlan:
    world = one_document(verb)
    await world.run()
    assert world.notes == []
    return world.plans[0]


ATTRIBUTES = [
    ("", PLAN),
    ("timeout='60'", replace(PLAN, timeout=60)),
    ("timeLimit='90'", replace(PLAN, time_limit=90)),
    ("hangupOnStar='true'", replace(PLAN, hangup_on_star=True)),
    ("callerId='+49301'", replace(PLAN, caller_id="+49301")),
    ("answerOnBridge='true'", replace(PLAN, answer_on_bridge=True)),
    ("ringTone='us-old'", replace(PLAN, ring_tone="us-old")),
    ("sequential='true'", replace(PLAN, sequential=True)),
    ("callReason='x' recordingConfigurationId='y'", PLAN),
    ("record='do-not-record'", PLAN),
    ("record='false'", PLAN),
    ("record='true'", replace(PLAN, recording=RECORDING)),
    ("record='record-from-answer'", replace(PLAN, recording=RECORDING)),
    ("record='record-from-answer-dual'", replace(PLAN, recording=replace(RECORDING, dual=True))),
    ("record='record-from-ringing'",
     replace(PLAN, recording=replace(RECORDING, start="ringing"))),
    ("record='record-from-ringing-dual'",
     replace(PLAN, recording=replace(RECORDING, start="ringing", dual=True))),
    ("record='true' recordingTrack='inbound' trim='trim-silence'",
     replace(PLAN, recording=replace(RECORDING, track="inbound", trim=True))),
    ("record='true' recordingStatusCallback='/cb'",
     replace(PLAN, recording=replace(RECORDING, callback=CALLBACK))),
    ("recordingStatusCallback='/cb'", PLAN),
    ("referUrl='/r'", replace(PLAN, refer=("http://app.example/r", "POST"))),
    ("referUrl='/r' referMethod='GET'", replace(PLAN, refer=("http://app.example/r", "GET"))),
]  # fmt: skip


@pytest.mark.parametrize(("attributes", "plan"), ATTRIBUTES)
async def test_attributes(attributes, plan):
    assert await plan_of(f"<Dial {attributes}>+4930123</Dial>") == plan


@pytest.mark.parametrize(
    ("attribute", "code"),
    [
        ("timeout='4'", 13212),
        ("timeout='601'", 13212),
        ("timeLimit='0'", 13216),
        ("hangupOnStar='1'", 13213),
        ("record='x'", 13217),
        ("sequential='x'", 13218),
        ("answerOnBridge='x'", 13219),
        ("ringTone='xx'", 13220),
        ("recordingTrack='x'", 13622),
        ("method='PUT'", 13210),
    ],
)
async def test_a_bad_attribute_is_told_and_the_default_used(attribute, code):
    world = one_document(f"<Dial {attribute}>+4930123</Dial>")
    await world.run()
    assert world.notes == [(code, "warning")]
    assert world.plans == [PLAN]


NOUNS = [
    ("<Number>+4930123</Number>", PHONE),
    ("<Number sendDigits='12w#'>+4930123</Number>", replace(PHONE, send_digits="12w#")),
    ("<Number url='/s'>+4930123</Number>",
     replace(PHONE, screening=("http://app.example/s", "POST"))),
    ("<Number url='/s' method='GET'>+4930123</Number>",
     replace(PHONE, screening=("http://app.example/s", "GET"))),
    ("<Number statusCallback='/cb'>+4930123</Number>", replace(PHONE, callback=CALLBACK)),
    ("<Number statusCallback='/cb' statusCallbackEvent='initiated ringing answered completed'>"
     "+4930123</Number>",
     replace(PHONE, callback=replace(
         CALLBACK, events=("initiated", "ringing", "answered", "completed")))),
    ("<Sip>sip:a@b?x-c=1</Sip>", DialTarget("sip", "sip:a@b?x-c=1", (DialUri("sip:a@b?x-c=1"),))),
    ("<Sip username='u' password='p'>sip:a@b</Sip>",
     DialTarget("sip", "sip:a@b", (DialUri("sip:a@b", "u", "p"),))),
    ("<Sip><Uri priority='2' weight='3' username='u' password='p'>sip:a@b</Uri><Uri>sip:c@d</Uri>"
     "<Headers><Header name='X-A' value='1'/><Header name='User-to-User' value='2'/></Headers>"
     "</Sip>",
     DialTarget("sip", "sip:a@b", (DialUri("sip:a@b", "u", "p", 2, 3), DialUri("sip:c@d")),
                headers=(("X-A", "1"), ("User-to-User", "2")))),
    ("<Sip url='/s' statusCallback='/cb'>sip:a@b</Sip>",
     DialTarget("sip", "sip:a@b", (DialUri("sip:a@b"),), callback=CALLBACK,
                screening=("http://app.example/s", "POST"))),
    ("<Client>bob</Client>", DialTarget("client", "bob")),
    ("<Client url='/s' statusCallback='/cb'>bob</Client>",
     DialTarget("client", "bob", callback=CALLBACK, screening=("http://app.example/s", "POST"))),
    ("<Client><Identity>bob</Identity><Parameter name='order' value='7'/>"
     "<Parameter name='X-Kind' value='a b'/></Client>",
     DialTarget("client", "bob", headers=(("X-order", "7"), ("X-Kind", "a b")))),
]  # fmt: skip


@pytest.mark.parametrize(("noun", "target"), NOUNS, ids=[noun for noun, _ in NOUNS])
async def test_nouns(noun, target):
    assert (await plan_of(f"<Dial>{noun}</Dial>")).targets == (target,)


async def test_several_nouns_keep_their_order():
    nouns = "<Number>+1</Number><Sip>sip:a@b</Sip><Client>c</Client>"
    plan = await plan_of(f"<Dial sequential='true'>{nouns}</Dial>")
    assert [target.kind for target in plan.targets] == ["number", "sip", "client"]
    assert plan.sequential


async def test_at_most_ten_nouns():
    world = one_document(f"<Dial>{'<Client>c</Client>' * 11}</Dial>")
    await world.run()
    assert len(world.plans[0].targets) == 10
    assert world.notes == [(13215, "warning")]


LEFT_OUT = [
    ("<Number byoc='BY1'>+1</Number>", "number", "byoc of <Number> is not supported"),
    ("<Number machineDetection='Enable'>+1</Number>", "number",
     "machineDetection of <Number> is not supported"),
    ("<Sip machineDetection='DetectMessageEnd'>sip:a@b</Sip>", "sip",
     "machineDetection of <Sip> is not supported"),
]  # fmt: skip


@pytest.mark.parametrize(("noun", "kind", "message"), LEFT_OUT)
async def test_what_is_not_supported_of_a_noun_is_told_and_it_is_dialled(noun, kind, message):
    world = one_document(f"<Dial>\n{noun}</Dial>")
    await world.run()
    assert [target.kind for target in world.plans[0].targets] == [kind]
    assert world.notes == [(59900, "warning")]
    assert world.messages[0].startswith(f"line 2: {message}")


BAD_HEADERS = [
    ("<Client>b<Parameter name='a b' value='1'/></Client>", 32111),
    ("<Client>b<Parameter name='a' value='1&#10;Via: x'/></Client>", 32112),
    ("<Sip><Uri>sip:a@b</Uri><Headers><Header name='X-A' value='1&#13;&#10;Via: x'/></Headers>"
     "</Sip>", 32112),
    (f"<Client>b<Parameter name='a' value='{'1' * 1024}'/></Client>", 13253),
    ("<Client>b" + "<Parameter name='a' value='1'/>" * 21 + "</Client>", 13253),
]  # fmt: skip


@pytest.mark.parametrize(("noun", "code"), BAD_HEADERS)
async def test_a_header_that_cannot_be_sent_is_left_out(noun, code):
    world = one_document(f"<Dial>{noun}</Dial>")
    await world.run()
    assert world.plans[0].targets[0].headers == ()
    assert world.notes == [(code, "warning")]


# --- nobody to dial -----------------------------------------------------------------------------

NOBODY = [
    ("", 13215),
    ("<Number/>", 13223),
    ("<Sip>sip: a@b</Sip>", 13243),
    ("<Client/>", 12200),
    ("<Conference>room</Conference>", 59900),
    ("<Queue>q</Queue>", 59900),
    ("<Application>AP1</Application>", 59900),
    ("<Sim>DE1</Sim>", 59900),
    ("<WhatsApp>+1</WhatsApp>", 59900),
]


@pytest.mark.parametrize(("nouns", "code"), NOBODY)
async def test_nobody_to_dial_fails_at_once(nouns, code):
    world = world_of(f"<Dial action='/action'>{nouns}</Dial>")
    assert await world.run() == Completed()
    assert world.plans == []
    assert world.requests[1].report == (("DialCallStatus", "failed"), ("DialBridged", "false"))
    assert (code, "warning") in world.notes


@pytest.mark.parametrize("nouns", [row[0] for row in NOBODY])
async def test_nobody_to_dial_and_no_action_goes_on(nouns):
    world = world_of(f"<Dial>{nouns}</Dial>")
    assert await world.run() == Completed()
    assert world.ladder[-1] == "say next"


async def test_a_noun_that_names_nobody_does_not_hinder_the_others():
    world = one_document("<Dial><Sip>sip: a@b</Sip><Sim>DE1</Sim><Client>c</Client></Dial>")
    await world.run()
    assert world.plans[0].targets == (DialTarget("client", "c"),)
    assert world.notes == [(13243, "warning"), (59900, "warning")]


async def test_conference_wins_over_number():
    world = world_of("<Dial><Number>+1</Number><Conference>room</Conference></Dial>")
    await world.run()
    assert world.plans == []
    assert world.notes == [(13000, "warning"), (59900, "warning")]


# --- outcomes -----------------------------------------------------------------------------------

COMPLETED = {
    "DialCallStatus": "completed",
    "DialCallSid": "CA2",
    "DialCallDuration": "7",
    "DialBridged": "true",
}
SIP_PART = {"DialSipCallId": "c2", "DialSipResponseCode": "200"}
PLAIN = replace(DIALLED, kind="number")
REPORTS = [
    ("completed", PLAIN, COMPLETED),
    ("completed, Client", replace(DIALLED, kind="client"), COMPLETED),
    ("completed, Sip", DIALLED, COMPLETED | SIP_PART),
    ("recorded", replace(PLAIN, recording_url="http://r/RE1"),
     COMPLETED | {"RecordingUrl": "http://r/RE1"}),
    ("Sip headers", replace(DIALLED, headers=(("X-Why", "done"), ("Reason", "x"))),
     COMPLETED | SIP_PART | {"DialSipHeader_X-Why": "done"}),
    ("screened away", replace(PLAIN, bridged=False), COMPLETED | {"DialBridged": "false"}),
    *[
        (f"{status}, Sip {code}",
         Dialled(status, "CA2", sip_call_id="c2", sip_status=code, kind="sip"),
         {"DialCallStatus": status, "DialCallSid": "CA2", "DialCallDuration": "0",
          "DialBridged": "false", "DialSipCallId": "c2", "DialSipResponseCode": str(code)})
        for status, code in [("busy", 486), ("no-answer", 487), ("failed", 404), ("canceled", 487)]
    ],
    ("no leg could start", Dialled("failed", kind="sip"),
     {"DialCallStatus": "failed", "DialBridged": "false"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("dialled", "report"), [row[1:] for row in REPORTS], ids=[row[0] for row in REPORTS]
)
async def test_the_action_is_told(dialled, report):
    world = world_of("<Dial action='/action' method='GET'>+1</Dial>", dialled=dialled)
    assert await world.run() == Completed()
    request = world.requests[1]
    assert (request.url, request.method, request.why) == (ACTION, "GET", "dial-action")
    assert dict(request.report) == report
    assert world.ladder[-1] == "say done"


@pytest.mark.parametrize("dialled", [row[1] for row in REPORTS], ids=[row[0] for row in REPORTS])
async def test_without_action_the_next_verb_follows(dialled):
    world = world_of("<Dial>+1</Dial>", dialled=dialled)
    assert await world.run() == Completed()
    assert world.ladder[-1] == "say next"
    assert len(world.requests) == 1


async def test_a_caller_who_hangs_up_is_reported_and_nothing_is_played():
    world = world_of("<Dial action='/action'>+1</Dial>", hangs_up_at=4.0)
    assert await world.run() == HungUp("peer-gone")
    assert world.requests[1].parting
    assert dict(world.requests[1].report)["DialCallStatus"] == "completed"
    assert not any(line.startswith("say") for line in world.ladder)


async def test_a_caller_who_hangs_up_without_action_ends_quietly():
    world = world_of("<Dial>+1</Dial>", hangs_up_at=4.0)
    assert await world.run() == HungUp("peer-gone")
    assert len(world.requests) == 1
    assert world.verbs[-1] == "0 Dial: call-ended"


async def test_a_caller_who_gives_up_unanswered_with_answer_on_bridge():
    world = world_of(
        "<Dial action='/action' answerOnBridge='true'>+1</Dial>",
        dialled=replace(NO_ANSWER, status="canceled"),
        hangs_up_at=4.0,
    )
    assert await world.run() == HungUp("peer-gone")
    assert not world.answered
    assert dict(world.requests[1].report)["DialCallStatus"] == "canceled"


async def test_an_accepted_refer_leads_to_its_document():
    site = {
        BASE: twiml("<Dial referUrl='/r' referMethod='GET' action='/action'>+1</Dial>"),
        "http://app.example/r": twiml("<Say>transferred</Say>"),
    }
    world = World(site, dialled=replace(DIALLED, refer_target="<sip:c@d?X=1>"))
    assert await world.run() == Completed()
    request = world.requests[1]
    assert (request.url, request.method, request.why) == (
        "http://app.example/r",
        "GET",
        "refer-url",
    )
    assert request.report == (("ReferTransferTarget", "<sip:c@d?X=1>"),)
    assert len(world.requests) == 2
    assert world.ladder[-1] == "say transferred"


async def test_a_call_that_was_handed_over_ends_its_program():
    world = world_of(
        "<Dial referUrl='/r' action='/action'>+1</Dial>", dialled=replace(DIALLED, replaced=True)
    )
    assert await world.run() == HungUp("transferred")
    assert len(world.requests) == 1


# --- answering, keys, URLs ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attribute", "dialled", "answered"),
    [
        ("", NO_ANSWER, True),
        ("answerOnBridge='false'", NO_ANSWER, True),
        ("answerOnBridge='true'", NO_ANSWER, False),
        ("answerOnBridge='true'", DIALLED, True),
    ],
)
async def test_when_the_caller_is_answered(attribute, dialled, answered):
    world = one_document(f"<Dial {attribute}>+1</Dial><Reject/>", dialled=dialled)
    await world.run()
    assert world.answered is answered


async def test_unanswered_the_next_document_decides():
    site = {
        BASE: twiml("<Dial action='/action' answerOnBridge='true'>+1</Dial>"),
        ACTION: twiml("<Reject reason='busy'/>"),
    }
    world = World(site, dialled=NO_ANSWER)
    await world.run()
    assert not world.answered
    assert world.verbs[-1] == "0 Reject: reject"


async def test_a_star_pressed_before_does_not_hang_up():
    world = one_document("<Pause/><Dial hangupOnStar='true'>+1</Dial>", keys=pressed("*"))
    await world.run()
    assert await world.next_digit(0) is None


@pytest.mark.parametrize(
    "dial",
    [
        "<Dial action='/a'>+1</Dial>",
        "<Dial referUrl='/a'>+1</Dial>",
        "<Dial><Number url='/a'>+1</Number></Dial>",
        "<Dial><Sip url='/a'>sip:a@b</Sip></Dial>",
    ],
)
async def test_a_relative_url_in_an_inline_document_fails(dial):
    world = World(answered=True)
    end = await world.run(parse(twiml(dial).encode()))
    assert isinstance(end, ApplicationError)
    assert end.code == 15004


async def test_a_relative_callback_in_an_inline_document_is_left_out():
    world = World(answered=True)
    inner = "<Dial><Number statusCallback='/a'>+4930123</Number></Dial>"
    assert await world.run(parse(twiml(inner).encode())) == Completed()
    assert world.notes == [(15004, "warning")]
    assert world.plans == [PLAN]


async def test_a_dial_that_fails_at_once_does_not_go_round_for_ever():
    world = one_document("<Dial action='/voice'/>")
    end = await world.run()
    assert isinstance(end, ApplicationError)
    assert end.code == 59904


async def test_the_log_shows_who_is_dialled_and_no_secrets():
    noun = "<Sip username='secret' password='secret'>sip:a:secret@b</Sip>"
    world = one_document(f"<Dial><Number sendDigits='4711'>+1</Number>{noun}</Dial>")
    await world.run()
    assert world.verbs[1] == '0 Dial Number "+1", Sip "sip:a:…@b"'
    assert "secret" not in repr((world.verbs, world.messages))
    assert "4711" not in repr((world.verbs, world.messages))
