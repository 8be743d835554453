"""Dial at the moments when two things happen at once."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from sipdomains.policy import RegisteredContact
from sipserver.sip.events import (
    Acknowledged,
    Cancelled,
    Ended,
    OutgoingAnswered,
    OutgoingProgress,
    SessionOffer,
)
from tests.calls.scenes import (
    ACTION,
    HANG_ON,
    ON_BRIDGE,
    PLAIN,
    WITH_REFER,
    all_ended,
    answers,
    child,
    dialling,
    parameters,
    refer,
    refuses,
    request,
    response,
    rings,
)
from tests.fakes.calls import OFFER, POLICY, World, answered, incoming
from twimlrunner.engine.interrupts import Redirected
from twimlrunner.engine.ports import DocumentRequest


def contact(host: int) -> RegisteredContact:
    return RegisteredContact(
        domain_sid=POLICY.domain_sid,
        username="bob",
        contact_uri=f"sip:bob@192.0.2.{host}",
        q=1.0,
        transport="udp",
        received=(f"192.0.2.{host}", 5060),
        local=("192.0.2.1", 5060),
        connection=0,
        node="node1",
        expires_at=2e9,
    )


async def test_callee_hangs_up_before_the_caller_is_connected() -> None:
    world = await dialling(ON_BRIDGE, up=False)
    world.events(answers(101))
    await world.ladder_has("200")
    world.events(Ended(101, "bye"))
    await world.ladder_has("closed completed callee-hangup")
    world.events(Acknowledged(1, b""))
    await all_ended(world)
    assert "bridged" not in world.ladder
    assert "played speech:after" in world.ladder
    assert world.ladder[-1] == "closed completed document-ended"


async def test_callee_hangs_up_in_the_moment_of_bridging() -> None:
    world = await dialling(PLAIN)
    world.events(answers(101))
    await asyncio.sleep(0)
    world.events(Ended(101, "bye"))
    await all_ended(world)
    assert world.ladder[-1] == "closed completed document-ended"
    assert child(world).cause == "callee-hangup"


async def test_legs_meet_on_one_media_worker_although_the_caller_is_answered_last() -> None:
    world = World()
    world.media.scattered = True
    world.document(ON_BRIDGE)
    world.events(incoming())
    await world.until(lambda: len(world.sip.invites) == 1)
    world.events(rings(101), answers(101))
    await world.ladder_has("200")
    world.events(Acknowledged(1, b""))
    await world.ladder_has("bridged")
    world.events(Ended(101, "bye"))
    await all_ended(world)


async def test_each_of_a_sequence_is_heard_before_it_answers() -> None:
    document = ON_BRIDGE.replace("answerOnBridge", 'sequential="true" answerOnBridge')
    document = document.replace("</Dial>", "<Sip>sip:carol@far.example</Sip></Dial>")
    world = await dialling(document, up=False)
    world.events(OutgoingProgress(101, response(183, body=OFFER)))
    await world.ladder_has("bridged")
    world.events(refuses(101, 486))
    await world.until(lambda: len(world.sip.invites) == 2)
    world.events(OutgoingProgress(102, response(183, body=OFFER)))
    await world.until(lambda: world.ladder.count("bridged") == 2)
    world.events(Cancelled(1, incoming().request))
    await all_ended(world)


async def test_screening_is_not_heard_by_the_caller() -> None:
    world = World()
    world.document("<Response><Say>press</Say></Response>", "screen")
    world.document(ON_BRIDGE.replace("<Sip>", '<Sip url="/screen">'))
    world.events(incoming())
    await world.until(lambda: len(world.sip.invites) == 1)
    world.events(OutgoingProgress(101, response(183, body=OFFER)))
    await world.ladder_has("bridged")
    world.events(answers(101))
    await world.ladder_has("200")
    assert world.ladder.index("unbridged") < world.ladder.index("played speech:press")
    world.events(Ended(1, "bye"))
    await all_ended(world)


async def test_phone_with_a_useless_answer_leaves_the_call_to_the_other() -> None:
    world = World(replace(POLICY, sip_registration=True))
    world.directory.registered["bob"] = (contact(1), contact(2))
    await answered(world, HANG_ON.format("", "<Client>bob</Client>"))
    await world.until(lambda: len(world.sip.invites) == 2)
    world.events(OutgoingAnswered(101, response(200)))
    await world.ladder_has("BYE")
    world.events(Ended(101, "bye"), answers(102))
    await world.ladder_has("bridged")
    world.events(Ended(102, "bye"))
    await all_ended(world)


async def test_leg_that_was_transferred_still_has_a_longest_time() -> None:
    world = World(replace(POLICY, max_call_seconds=0.2))
    world.document('<Response><Pause length="60"/></Response>', "refer")
    await answered(world, WITH_REFER)
    await world.until(lambda: len(world.sip.invites) == 1)
    world.events(answers(101))
    await world.ladder_has("bridged")
    world.events(refer(1))
    await world.ladder_has("closed completed transferred")
    await all_ended(world)
    assert child(world).cause == "max-duration"


async def test_drain_waits_for_legs_that_were_placed_meanwhile() -> None:
    world = World()
    world.document(PLAIN)
    world.webhooks.hold.add("http://app.example.net/voice")
    world.events(incoming())
    await world.ladder_has("fetch voice")
    session = world.manager.session_of(1)
    assert session is not None
    draining = asyncio.create_task(world.manager.drain(0.3))
    await asyncio.sleep(0)
    world.document(WITH_REFER, "update")
    world.document('<Response><Pause length="60"/></Response>', "refer")
    update = DocumentRequest("http://app.example.net/update", "POST", "live-update")
    session.interrupt(Redirected(update))
    await world.ladder_has("200")
    world.events(Acknowledged(1, b""))
    await world.until(lambda: len(world.sip.invites) == 1)
    world.events(answers(101))
    await world.ladder_has("bridged")
    world.events(refer(1))
    await world.ladder_has("closed completed transferred")
    await asyncio.sleep(0.05)
    assert not draining.done()
    await draining
    assert child(world).cause == "node-stopped"
    assert world.manager.load().calls == 0


async def test_redirect_while_the_database_is_away_is_a_refusal_like_others() -> None:
    world = await dialling(ACTION)
    world.directory.down = True
    world.events(refuses(101, 302))
    await all_ended(world)
    assert child(world).cause == "callee-failed"
    assert parameters(world)["DialSipResponseCode"] == "302"


async def test_offer_of_a_phone_that_is_not_heard_leaves_the_other_alone() -> None:
    world = World(replace(POLICY, sip_registration=True))
    world.directory.registered["bob"] = (contact(1), contact(2))
    await answered(world, HANG_ON.format("", "<Client>bob</Client>"))
    await world.until(lambda: len(world.sip.invites) == 2)
    world.events(OutgoingProgress(101, response(183, body=OFFER)))
    await world.until(lambda: any(session.connected for session in world.media.sessions[1:]))
    world.events(SessionOffer(102, request("UPDATE"), OFFER.encode()))
    await world.ladder_has("491 re-INVITE")
    world.events(Ended(1, "bye"))
    await all_ended(world)
