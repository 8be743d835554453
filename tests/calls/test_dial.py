"""Dial over fake ports: who is rung, who wins, how it ends (twiml-voice.md section 3,
sip-domain.md sections 8 and 12.2). The ladder is the assertion."""

from __future__ import annotations

import pytest

from sipdomains.contracts import CallClosed
from sipserver.sip.events import (
    Acknowledged,
    Cancelled,
    Ended,
    OutgoingAnswered,
    OutgoingProgress,
)
from tests.calls.scenes import (
    ACTION,
    HANG_ON,
    ON_BRIDGE,
    TWO,
    all_ended,
    answers,
    bridged,
    child,
    dialling,
    parameters,
    refuses,
    request,
    response,
    rings,
)
from tests.fakes.calls import OFFER, World, answered, incoming

# --- one leg ----------------------------------------------------------------------------------


async def test_callee_answers_and_hangs_up_then_the_next_verb_runs() -> None:
    world = await bridged()
    world.events(Ended(101, "bye"))
    await all_ended(world)
    assert "played speech:after" in world.ladder
    assert child(world).status == "completed"
    assert child(world).cause == "callee-hangup"
    assert world.ladder[-1] == "closed completed document-ended"


async def test_row_of_the_leg_is_committed_before_its_invite() -> None:
    world = await dialling()
    assert (
        world.ladder.index("INVITE sip:bob@far.example")
        > [position for position, step in enumerate(world.ladder) if step == "row"][1]
    )
    world.events(Ended(1, "bye"))
    await all_ended(world)


async def test_action_replaces_the_rest_of_the_document() -> None:
    world = await bridged(ACTION)
    world.events(Ended(101, "bye", request("BYE", "X-Reason: tired")))
    await all_ended(world)
    assert "played speech:after" not in world.ladder
    told = parameters(world)
    assert told["DialCallStatus"] == "completed"
    assert told["DialBridged"] == "true"
    assert told["DialSipResponseCode"] == "200"
    assert told["DialSipHeader_X-Reason"] == "tired"
    assert told["DialCallSid"] == child(world).call_sid


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (486, "busy"), (600, "busy"), (480, "no-answer"), (408, "no-answer"), (487, "no-answer"),
        (603, "failed"), (404, "failed"), (500, "failed"), (503, "failed"),
    ],
)  # fmt: skip
async def test_refusals_become_dial_call_status(status: int, said: str) -> None:
    world = await dialling(ACTION)
    world.events(refuses(101, status, headers=("X-Why: because",)))
    await all_ended(world)
    told = parameters(world)
    assert told["DialCallStatus"] == said
    assert told["DialSipResponseCode"] == str(status)
    assert told["DialSipHeader_X-Why"] == "because"
    assert told["DialBridged"] == "false"
    assert child(world).sip_status == status
    assert child(world).status == said


async def test_caller_hears_ringing_until_the_bridge() -> None:
    world = await bridged()
    assert world.ladder.index("ringback us") < world.ladder.index("stop")
    assert world.ladder.index("stop") < world.ladder.index("bridged")
    world.events(Ended(101, "bye"))
    await all_ended(world)


async def test_caller_hangs_up_while_it_rings() -> None:
    world = await dialling(ACTION)
    world.events(rings(101), Ended(1, "bye"))
    await all_ended(world)
    assert "CANCEL 101" in world.ladder
    assert child(world).status == "canceled"
    told = parameters(world)
    assert (told["DialCallStatus"], told["CallStatus"]) == ("canceled", "completed")
    assert "played speech:after" not in world.ladder


async def test_caller_hangs_up_when_bridged() -> None:
    world = await bridged(ACTION)
    world.events(Ended(1, "bye"))
    await all_ended(world)
    assert world.ladder.count("BYE") == 1  # to the callee
    assert child(world).cause == "released"
    assert parameters(world)["DialCallStatus"] == "completed"


async def test_nobody_answers_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(ring_grace_seconds=-4.9)
    world.document("<Response/>", "done")
    await answered(world, ACTION)
    await world.until(lambda: len(world.sip.invites) == 1)
    world.events(rings(101))
    await all_ended(world)
    assert "CANCEL 101" in world.ladder
    assert parameters(world)["DialCallStatus"] == "no-answer"
    assert child(world).cause == "ring-timeout"


async def test_media_worker_dies_under_the_bridge() -> None:
    world = await bridged()
    for session in world.media.sessions:
        session.listener("lost", {})
    await all_ended(world)
    assert world.ladder.count("BYE") == 2
    assert world.ladder[-1] == "closed failed media-lost"
    assert child(world).cause == "media-lost"


async def test_star_leaves_the_callee_and_goes_on() -> None:
    world = await bridged(HANG_ON.format(' hangupOnStar="true"', "<Sip>sip:bob@far.example</Sip>"))
    world.media.sessions[0].listener("digit", {"digit": "5"})
    world.media.sessions[0].listener("digit", {"digit": "*"})
    await all_ended(world)
    assert child(world).cause == "star-hangup"
    assert "played speech:after" in world.ladder


async def test_time_limit_ends_the_leg_only(monkeypatch: pytest.MonkeyPatch) -> None:
    world = await bridged(HANG_ON.format(' timeLimit="1"', "<Sip>sip:bob@far.example</Sip>"))
    await all_ended(world)
    assert child(world).cause == "time-limit"
    assert "played speech:after" in world.ladder


async def test_digest_challenge_is_answered_once() -> None:
    noun = '<Sip username="u" password="p">sip:bob@far.example</Sip>'
    world = await dialling(HANG_ON.format(' action="/done"', noun))
    challenge = 'WWW-Authenticate: Digest realm="far", nonce="n1", qop="auth", algorithm=MD5'
    world.events(refuses(101, 401, headers=(challenge,)))
    await world.ladder_has("INVITE again 101")
    [(name, value)] = world.sip.headers["INVITE again 101"]
    assert name == "Authorization"
    assert 'username="u"' in value
    world.events(refuses(101, 401, headers=(challenge,)))
    await all_ended(world)
    assert parameters(world)["DialCallStatus"] == "failed"
    assert world.ladder.count("INVITE again 101") == 1


@pytest.mark.parametrize("body", ["", "nonsense"])
async def test_an_answer_without_usable_sdp_is_hung_up(body: str) -> None:
    world = await dialling(ACTION)
    world.events(OutgoingAnswered(101, response(200, body=body)))
    await all_ended(world)
    assert world.ladder.index("ACK 101") < world.ladder.index("BYE")
    assert parameters(world)["DialCallStatus"] == "failed"


async def test_no_target_can_be_dialled() -> None:
    world = World()
    world.sip.unresolvable.add("far.example")
    world.document("<Response/>", "done")
    await answered(world, ACTION)
    await all_ended(world)
    assert not world.sip.invites
    assert parameters(world)["DialCallStatus"] == "failed"
    assert 13254 in world.log.notified()


async def test_own_headers_and_caller_id() -> None:
    world = await dialling(HANG_ON.format(' callerId="+4930123"', "<Sip>sip:bob@far.example</Sip>"))
    sent = world.sip.invites[101]
    assert sent["from_"].startswith("<sip:+4930123@")
    names = dict(sent["headers"])
    assert names["X-Twilio-CallSid"] == f"CA{2:032x}"
    assert names["X-Twilio-AccountSid"].startswith("AC")
    world.events(Ended(1, "bye"))
    await all_ended(world)


# --- several legs -----------------------------------------------------------------------------


async def test_first_answer_wins_and_the_others_are_cancelled() -> None:
    world = await dialling(TWO, legs=2)
    world.events(rings(101), rings(102), answers(102))
    await world.ladder_has("bridged")
    await world.ladder_has("CANCEL 101")
    world.events(Ended(102, "bye"))
    await all_ended(world)
    causes = {child(world, 0).cause, child(world, 1).cause}
    assert causes == {"dial-cancelled", "callee-hangup"}


async def test_two_answers_in_the_same_moment_bridge_one() -> None:
    world = await dialling(TWO, legs=2)
    world.events(answers(101), answers(102))
    await world.ladder_has("bridged")
    await world.until(lambda: sum(isinstance(r, CallClosed) for r in world.log.records) == 1)
    assert world.ladder.count("BYE") == 1
    assert world.ladder.count("bridged") == 1
    assert {"ACK 101", "ACK 102"} <= set(world.ladder)
    world.events(Ended(101, "bye"), Ended(102, "bye"))
    await all_ended(world)


async def test_all_refuse_and_the_last_noun_counts() -> None:
    world = await dialling(TWO.replace('timeout="5"', 'timeout="5" action="/done"'), legs=2)
    world.events(refuses(102, 486), refuses(101, 404))
    await all_ended(world)
    assert parameters(world)["DialCallStatus"] == "busy"


async def test_sequential_rings_one_after_the_other() -> None:
    document = TWO.replace('timeout="5"', 'timeout="5" sequential="true"')
    world = await dialling(document)
    world.events(refuses(101, 486))
    await world.until(lambda: len(world.sip.invites) == 2)
    world.events(answers(102))
    await world.ladder_has("bridged")
    world.events(Ended(102, "bye"))
    await all_ended(world)
    assert "played speech:after" in world.ladder


# --- answerOnBridge ---------------------------------------------------------------------------


async def test_answer_on_bridge_answers_with_the_callee() -> None:
    world = await dialling(ON_BRIDGE, up=False)
    assert "200" not in world.ladder
    world.events(rings(101), answers(101))
    await world.ladder_has("200")
    world.events(Acknowledged(1, b""))
    await world.ladder_has("bridged")
    assert not any(step.startswith("ringback") for step in world.ladder)
    world.events(Ended(101, "bye"))
    await all_ended(world)


async def test_early_media_is_passed_through() -> None:
    world = await dialling(ON_BRIDGE, up=False)
    world.events(OutgoingProgress(101, response(183, body=OFFER)))
    await world.ladder_has("bridged")
    assert "183" in world.ladder
    assert "200" not in world.ladder
    world.events(answers(101))
    await world.ladder_has("200")
    world.events(Acknowledged(1, b""))
    await world.until(lambda: world.ladder.count("bridged") == 2)
    world.events(Ended(1, "bye"))
    await all_ended(world)


async def test_answer_on_bridge_unanswered_leaves_the_decision_to_the_next_verb() -> None:
    document = ON_BRIDGE.replace("<Say>after</Say>", '<Reject reason="busy"/>')
    world = await dialling(document, up=False)
    world.events(refuses(101, 404))
    await all_ended(world)
    assert "486" in world.ladder
    assert "200" not in world.ladder


async def test_caller_cancels_while_it_rings_on_bridge() -> None:
    world = await dialling(ON_BRIDGE, up=False)
    world.events(rings(101), Cancelled(1, incoming().request))
    await all_ended(world)
    assert "CANCEL 101" in world.ladder
    assert child(world).status == "canceled"


# --- screening --------------------------------------------------------------------------------

SCREENED = HANG_ON.format(' action="/done"', '<Sip url="/screen">sip:bob@far.example</Sip>')


@pytest.mark.parametrize(
    ("screen", "connected"),
    [
        ("<Response><Say>press</Say></Response>", True),
        ("<Response><Hangup/></Response>", False),
        ("<Response><Dial>123</Dial></Response>", False),
    ],
)
async def test_screening_decides(screen: str, connected: bool) -> None:
    world = World()
    world.document("<Response/>", "done")
    world.document(screen, "screen")
    await answered(world, SCREENED)
    await world.until(lambda: len(world.sip.invites) == 1)
    world.events(answers(101, headers=("X-Desk: 7",)))
    if connected:
        await world.ladder_has("bridged")
        world.events(Ended(101, "bye"))
    await all_ended(world)
    told = parameters(world)
    assert told["DialCallStatus"] == "completed"
    assert told["DialBridged"] == ("true" if connected else "false")
    asked = parameters(world, "screen")
    assert asked["ParentCallSid"] == f"CA{1:032x}"
    assert asked["SipHeader_X-Desk"] == "7"
    assert asked["Direction"] == "outbound-dial"


async def test_caller_hangs_up_during_screening() -> None:
    world = World()
    world.media.endless = True
    world.document("<Response><Say>press</Say></Response>", "screen")
    await answered(world, SCREENED)
    await world.until(lambda: len(world.sip.invites) == 1)
    world.events(answers(101))
    await world.playing()
    world.events(Ended(1, "bye"))
    await all_ended(world)
    assert child(world).cause in ("caller-gone", "released")


# --- recording --------------------------------------------------------------------------------


async def test_recorded_from_answer() -> None:
    noun = "<Sip>sip:bob@far.example</Sip>"
    world = await bridged(HANG_ON.format(' record="record-from-answer-dual" action="/done"', noun))
    await world.until(lambda: bool(world.media.sessions[0].recordings))
    spec = world.media.sessions[0].recordings[0].spec
    assert (spec.channels, spec.track) == (2, "both")
    world.events(Ended(101, "bye"))
    await all_ended(world)
    assert parameters(world)["RecordingUrl"].endswith(f"RE{1:032x}")
