"""Calls that REST creates, over fake ports: where they lead, what runs when, how they end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from sipdomains.contracts import CallbackPromised, RecordingStarted, RecordingWish
from sipdomains.policy import OutgoingLimit, RegisteredContact
from sipserver.calls import originate
from sipserver.sip.events import Ended
from tests.calls.scenes import (
    ACCOUNT,
    PLAN,
    SID,
    URL,
    all_ended,
    answers,
    leg,
    order,
    placed,
    refuses,
    rings,
)
from tests.fakes.calls import POLICY, World

ALL = ("initiated", "ringing", "answered", "completed")


def invite(world: World) -> dict[str, Any]:
    return world.sip.invites[101]


async def test_an_answered_call_runs_its_document_and_ends() -> None:
    world = await placed()
    assert invite(world)["target_uri"] == "sip:bob@far.example"
    assert invite(world)["from_"] == "<sip:+4930123@192.0.2.1>"
    assert invite(world)["call_id"] == "sip-call-id"
    headers = dict(invite(world)["headers"])
    assert (headers["X-Tag"], headers["X-Twilio-CallSid"]) == ("7", SID)
    world.events(rings(101), answers(101))
    await all_ended(world)
    assert world.ladder[-1] == "closed completed document-ended"
    assert "played speech:Hello" in world.ladder
    [(url, method, told)] = world.webhooks.requests
    assert (url, method) == (URL, "POST")
    assert (told["Direction"], told["CallStatus"]) == ("outbound-api", "in-progress")
    assert (told["From"], told["To"]) == ("+4930123", PLAN.to)
    assert "SipDomain" not in told
    assert world.log.closed.sip_status == 200
    assert world.manager.find(SID) is None


async def test_nothing_is_asked_before_the_answer() -> None:
    world = await placed()
    world.events(rings(101))
    await world.until(lambda: leg(world).rings)
    assert world.webhooks.requests == []
    world.events(refuses(101, 486))
    await all_ended(world)
    assert world.webhooks.requests == []


@pytest.mark.parametrize(
    ("status", "said", "cause"),
    [(486, "busy", "callee-busy"), (480, "no-answer", "callee-no-answer"),
     (603, "failed", "callee-declined"), (404, "failed", "callee-failed")],
)  # fmt: skip
async def test_refusals(status: int, said: str, cause: str) -> None:
    world = await placed()
    world.events(refuses(101, status))
    await all_ended(world)
    assert (world.log.closed.status, world.log.closed.cause) == (said, cause)
    assert world.log.closed.sip_status == status


async def test_nobody_answers_in_time() -> None:
    world = await placed(World(ring_grace_seconds=-59.9))
    world.events(rings(101))
    await all_ended(world)
    assert "CANCEL 101" in world.ladder
    assert (world.log.closed.status, world.log.closed.sip_status) == ("no-answer", 487)


async def test_nothing_rings_out_in_a_call_that_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its row is closed: no event may come after that."""
    world, timers = World(), []
    later = world.manager.later

    def spy(seconds: float, action: Callable[[], None]) -> asyncio.TimerHandle:
        timers.append(later(seconds, action))
        return timers[-1]

    monkeypatch.setattr(world.manager, "later", spy)
    await placed(world)
    world.events(refuses(101, 486))
    await all_ended(world)
    assert timers
    assert all(timer.cancelled() for timer in timers)


async def test_the_row_exists_and_its_events_are_numbered_after_those_of_the_queue() -> None:
    world = await placed()
    world.events(answers(101))
    await all_ended(world)
    assert "row" not in world.ladder
    assert not [record for record in world.log.records if record.KIND == "call_opened"]
    assert min(record.seq for record in world.log.events("initiated")) >= 1000


async def test_progress_is_told_in_order() -> None:
    callback = {"url": "http://app.example.net/told", "method": "GET", "events": list(ALL)}
    world = await placed(callback=callback)
    world.events(rings(101), answers(101))
    await all_ended(world)
    told = [record for record in world.log.records if isinstance(record, CallbackPromised)]
    assert [dict(one.parameters)["CallStatus"] for one in told] == [
        "initiated", "ringing", "in-progress", "completed",
    ]  # fmt: skip
    assert [one.position for one in told] == [0, 1, 2, 3]
    assert {one.method for one in told} == {"GET"}


async def test_digits_go_out_after_the_answer_and_before_the_document() -> None:
    world = await placed(send_digits="ww1#")
    world.events(answers(101))
    await all_ended(world)
    assert world.ladder.index("digits ww1#") < world.ladder.index("fetch hello")


async def test_it_is_recorded_from_the_answer_on() -> None:
    wish = RecordingWish(2, callback={"url": "http://r/", "method": "GET", "events": ["absent"]})
    world = await placed(recording=wish)
    world.events(answers(101))
    await all_ended(world)
    [row] = [record for record in world.log.records if isinstance(record, RecordingStarted)]
    assert (row.source, row.channels, row.trim) == ("OutboundAPI", 2, True)
    assert row.callback == wish.callback
    kinds = [getattr(record, "kind", "") for record in world.log.records]
    assert kinds.index("recording") < kinds.index("webhook")


async def test_fallback_of_the_order() -> None:
    world = World()
    world.document("<Response><Say>instead</Say></Response>", "fallback")
    await placed(
        world, url="http://app.example.net/broken", fallback_url=URL.replace("hello", "fallback")
    )
    world.events(answers(101))
    await all_ended(world)
    assert "played speech:instead" in world.ladder
    assert world.webhooks.requests[1][2]["ErrorCode"] == "11200"


async def test_inline_document() -> None:
    twiml = "<Response><Say>Inline</Say></Response>"
    world = await placed(url="", twiml=twiml)
    world.events(answers(101))
    await all_ended(world)
    assert "played speech:Inline" in world.ladder
    assert world.webhooks.requests == []
    assert world.log.events("document")[0].data["body"] == twiml


@pytest.mark.parametrize(
    "verb", ["<Redirect>/next</Redirect>", '<Gather timeout="1" actionOnEmptyResult="true"/>']
)
async def test_relative_urls_of_an_inline_document_lead_nowhere(verb: str) -> None:
    world = await placed(url="", twiml=f"<Response>{verb}</Response>")
    world.events(answers(101))
    await all_ended(world)
    assert 15004 in world.log.notified()
    assert world.log.closed.cause == "application-error"


async def test_broken_inline_document_asks_the_fallback() -> None:
    world = World()
    world.document("<Response><Say>instead</Say></Response>", "fallback")
    await placed(world, url="", twiml="<Response", fallback_url="http://app.example.net/fallback")
    world.events(answers(101))
    await all_ended(world)
    assert world.webhooks.requests[0][2]["ErrorCode"] == "12100"
    assert "played speech:instead" in world.ladder


async def test_time_limit_of_the_order() -> None:
    world = await placed(url="", twiml='<Response><Pause length="60"/></Response>', time_limit=0)
    world.events(answers(101))
    await all_ended(world)
    assert world.log.closed.cause == "max-duration"


# --- where it leads, and in whose name ----------------------------------------------------------


async def test_credentials_answer_a_challenge() -> None:
    world = await placed(username="u", password="p")
    challenge = 'Proxy-Authenticate: Digest realm="far", nonce="n1", qop="auth", algorithm=MD5'
    world.events(refuses(101, 407, headers=(challenge,)))
    await world.ladder_has("INVITE again 101")
    [(name, value)] = world.sip.headers["INVITE again 101"]
    assert name == "Proxy-Authorization"
    assert 'username="u"' in value
    world.events(answers(101))
    await all_ended(world)
    assert "'p'" not in str(world.log.records)


@pytest.mark.parametrize(
    "to", ["client:bob", "client:bob@pbx.example.net", "sip:bob@pbx.example.net"]
)
async def test_registered_phones(to: str) -> None:
    world = World()
    world.directory.registered["bob"] = (
        RegisteredContact(
            POLICY.domain_sid, "bob", "sip:bob@192.0.2.77:5062", 1.0, "udp", ("192.0.2.77", 5062),
            ("192.0.2.1", 5060), 0, "node1", 9e9,
        ),
    )  # fmt: skip
    await placed(world, to=to, policy=replace(ACCOUNT, only_domain="pbx.example.net"))
    assert invite(world)["target_uri"] == "sip:bob@192.0.2.77:5062"
    assert invite(world)["to"] == "<sip:bob@pbx.example.net>"
    world.events(answers(101))
    await all_ended(world)


async def test_a_client_of_nobody_knows_which_domain() -> None:
    world = await placed(to="client:bob")
    assert not world.sip.invites
    assert (world.log.closed.status, world.log.closed.cause) == ("failed", "undialable")


async def test_a_number_without_a_trunk_fails_visibly() -> None:
    world = await placed(to="+4930999")
    await all_ended(world)
    assert world.log.closed.cause == "undialable"
    assert world.log.notified()


async def test_a_suspended_account_places_no_call() -> None:
    world = await placed(policy=replace(ACCOUNT, account_active=False))
    await all_ended(world)
    assert not world.sip.invites
    assert 10001 in world.log.notified()


async def test_the_limits_of_outgoing_calls_hold() -> None:
    world = World()
    policy = replace(ACCOUNT, outgoing_limits=(OutgoingLimit(ACCOUNT.account_sid, 0, 1),))
    await placed(world, policy=policy)
    world.events(answers(101))
    await all_ended(world)
    world.log.records.clear()
    world.manager.originate(order(policy=policy))
    await all_ended(world)
    assert (world.log.closed.cause, world.log.closed.status) == ("outgoing-limit", "failed")
    assert len(world.sip.invites) == 1


@pytest.mark.parametrize(
    ("from_", "caller_id", "shown"),
    [
        ("+49 (30) 123", "", "+4930123@192.0.2.1"),
        ("+4930123", "+4930555", "+4930555@192.0.2.1"),
        ("sip:alice@pbx.example.net", "", "alice@pbx.example.net"),
        ("client:alice@pbx.example.net", "", "alice@pbx.example.net"),
        ("sip:alice@bank.example", "", "alice@192.0.2.1"),  # not ours: not in its name
        ("Büro", "", "anonymous@192.0.2.1"),
    ],
)
async def test_what_the_callee_sees(from_: str, caller_id: str, shown: str) -> None:
    world = await placed(from_=from_, caller_id=caller_id)
    assert invite(world)["from_"] == f"<sip:{shown}>"
    assert (13214 in world.log.notified()) == shown.startswith("anonymous")
    world.events(refuses(101, 486))
    await all_ended(world)


async def test_a_password_in_the_uri_is_shown_nowhere() -> None:
    world = await placed(to="sip:bob:secret@far.example")
    world.events(answers(101))
    await all_ended(world)
    assert world.log.events("initiated")[0].data == {"target": "sip:bob:…@far.example"}
    assert "secret" not in str(world.log.records)


# --- what happens on the way --------------------------------------------------------------------


async def test_the_callee_hangs_up() -> None:
    world = await placed(url="", twiml='<Response><Pause length="60"/></Response>')
    world.events(answers(101))
    await world.until(lambda: bool(world.log.events("verb-started")))
    world.events(Ended(101, "bye"))
    await all_ended(world)
    assert (world.log.closed.status, world.log.closed.cause) == ("completed", "callee-hangup")


async def test_the_callee_hangs_up_while_digits_go_out() -> None:
    world = World()
    world.media.endless_digits = True
    await placed(world, send_digits="1")
    world.events(answers(101))
    await world.ladder_has("digits 1")
    world.events(Ended(101, "bye"))
    await all_ended(world)
    assert world.log.closed.cause == "callee-hangup"


async def test_its_document_may_dial() -> None:
    dial = "<Response><Dial><Sip>sip:carol@far.example</Sip></Dial></Response>"
    world = await placed(url="", twiml=dial)
    world.events(answers(101))
    await world.until(lambda: 102 in world.sip.invites)
    world.events(answers(102))
    await world.ladder_has("bridged")
    world.events(Ended(102, "bye"))
    await all_ended(world)
    assert world.ladder[-1] == "closed completed document-ended"


async def test_a_node_that_stops_ends_it() -> None:
    world = await placed()
    world.events(rings(101))
    await world.manager.drain(0)
    assert world.log.closed.cause == "node-stopped"


@pytest.mark.parametrize(
    ("to", "phone"),
    [
        ("sip:bob@pbx.example.net", ("bob", "pbx.example.net")),
        ("sips:b%20b:pw@pbx.example.net:5061;transport=tcp?X-Tag=7", ("b b", "pbx.example.net")),
        ("client:bob@pbx.example.net", ("bob", "pbx.example.net")),
        ("client:bob", ("bob", "only.example.net")),
        ("sip:pbx.example.net", None),
        ("sip:", None),
        ("+4930123", None),
    ],
)
def test_the_registered_user_that_an_order_may_be_for(
    to: str, phone: tuple[str, str] | None
) -> None:
    policy = replace(ACCOUNT, only_domain="only.example.net")
    assert originate.phone_of(order(to=to, policy=policy)) == phone


def test_a_client_of_an_account_with_several_domains_is_nobody() -> None:
    assert originate.phone_of(order(to="client:bob")) is None
