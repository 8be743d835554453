"""The life of a call over fake ports. Every ending leaves: the dialog ended, the port returned,
the row final with a reason (sip-domain.md sections 3-5; architecture section 6)."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from sipdomains.contracts import CallOpened
from sipdomains.policy import DomainPolicy
from sipserver.calls.ports import LogUnavailable
from sipserver.sip.events import Acknowledged, Cancelled, Ended
from tests.fakes.calls import POLICY, SAY, World, answered, incoming


async def test_say_then_goodbye() -> None:
    world = await answered(World())
    await world.ended()
    assert world.ladder == [
        "row", "180", "fetch voice", "200", "played speech:Hello", "BYE", "port freed",
        "closed completed document-ended",
    ]  # fmt: skip
    assert world.media.open_ports == 0
    assert world.log.closed.sip_status == 200
    assert world.log.closed.media == {"packets_sent": 1}


async def test_row_is_committed_before_180_and_180_before_the_webhook() -> None:
    world = await answered(World())
    assert world.ladder[:3] == ["row", "180", "fetch voice"]


async def test_first_request_carries_the_seed_parameters() -> None:
    world = World()
    world.document(SAY)
    world.events(incoming(headers=["X-Customer: 42", "x-inin-cnv: a;b=c", "Diversion: <sip:x@y>"]))
    await world.ladder_has("fetch voice")
    _, method, parameters = world.webhooks.requests[0]
    assert method == "POST"
    assert parameters == {
        "CallSid": f"CA{1:032x}",
        "AccountSid": POLICY.account_sid,
        "ApiVersion": "2010-04-01",
        "From": "sip:alice@pbx.example.net",
        "To": "sip:100@pbx.example.net",
        "Caller": "sip:alice@pbx.example.net",
        "Called": "sip:100@pbx.example.net",
        "CallStatus": "ringing",
        "Direction": "inbound",
        "SipDomain": "pbx.example.net",
        "SipDomainSid": POLICY.domain_sid,
        "SipCallId": "call-1",
        "SipSourceIp": "192.0.2.10",
        "SipHeader_X-Customer": "42",
        "SipHeader_x-inin-cnv": "a;b=c",
    }


@pytest.mark.parametrize(
    ("document", "steps"),
    [
        ('<Response><Reject reason="busy"/></Response>', ["486", "closed busy reject-busy"]),
        ("<Response><Reject/></Response>", ["404", "closed no-answer reject"]),
        (
            '<Response><Pause length="1"/><Reject/></Response>',
            ["404", "closed no-answer reject"],
        ),
    ],
)
async def test_reject_never_answers(document: str, steps: list[str]) -> None:
    world = World()
    world.document(document)
    world.events(incoming())
    await world.ended()
    assert world.ladder == ["row", "180", "fetch voice", *steps]


@pytest.mark.parametrize(
    ("document", "cause"),
    [
        ("<Response/>", "document-ended"),
        ("<Response><Hangup/></Response>", "hangup-verb"),
    ],
)
async def test_only_reject_avoids_the_answer(document: str, cause: str) -> None:
    world = await answered(World(), document)
    await world.ended()
    assert world.ladder[3:] == ["200", "BYE", "port freed", f"closed completed {cause}"]


async def test_redirect_stays_in_180() -> None:
    world = World()
    world.document("<Response><Redirect>/b</Redirect><Say>x</Say></Response>")
    world.document("<Response><Reject/></Response>", "b")
    world.events(incoming())
    await world.ended()
    assert world.ladder == [
        "row", "180", "fetch voice", "fetch b", "404", "closed no-answer reject",
    ]  # fmt: skip


@pytest.mark.parametrize("stage", ["fetch", "answered"])
async def test_call_status_follows_the_answer(stage: str) -> None:
    world = World()
    world.document("<Response><Say>a</Say><Redirect>/b</Redirect></Response>")
    world.document("<Response/>", "b")
    world.events(incoming())
    await world.ladder_has("200")
    world.events(Acknowledged(1, b""))
    await world.ended()
    statuses = [parameters["CallStatus"] for _, _, parameters in world.webhooks.requests]
    assert statuses == ["ringing", "in-progress"]


async def test_webhook_failure_apologises_and_hangs_up() -> None:
    world = World()
    world.events(incoming())
    await world.ladder_has("200")
    world.events(Acknowledged(1, b""))
    await world.ended()
    assert world.ladder[:4] == ["row", "180", "fetch voice", "200"]
    assert world.ladder[4].startswith("played speech:We are sorry")
    assert world.ladder[-1] == "closed completed application-error"
    assert world.log.notified() == [11200]
    assert "11200" in world.log.closed.reason


async def test_webhook_failure_may_answer_503_instead() -> None:
    world = World(replace(POLICY, fail_with_503=True))
    world.events(incoming())
    await world.ended()
    assert world.ladder[2:] == ["fetch voice", "503", "closed failed application-error-503"]


async def test_fallback_learns_what_failed() -> None:
    world = World(replace(POLICY, voice_fallback_url="http://app.example.net/fallback"))
    world.document("<Response><Reject/></Response>", "fallback")
    world.events(incoming())
    await world.ended()
    _, _, parameters = world.webhooks.requests[1]
    assert parameters["ErrorCode"] == "11200"
    assert parameters["ErrorUrl"] == "http://app.example.net/voice"
    assert world.ladder[-2:] == ["404", "closed no-answer reject"]


async def test_domain_without_voice_url_says_so() -> None:
    world = World(replace(POLICY, voice_url="", fail_with_503=True))
    world.events(incoming())
    await world.ended()
    assert world.log.notified() == [11100]
    assert world.ladder[-1] == "closed failed application-error-503"


async def test_cancel_during_the_fetch_aborts_it() -> None:
    world = World()
    world.webhooks.hold.add("http://app.example.net/voice")
    world.events(incoming())
    await world.ladder_has("fetch voice")
    world.events(Cancelled(1, incoming().request))
    await world.ended()
    assert world.webhooks.aborted == ["http://app.example.net/voice"]
    assert world.ladder == ["row", "180", "fetch voice", "closed canceled canceled"]
    assert world.log.closed.sip_status == 487


async def test_cancel_before_the_row_still_leaves_one() -> None:
    world = World()
    world.events(incoming(), Cancelled(1, incoming().request))
    await world.ended()
    assert world.ladder == ["closed canceled canceled"]
    assert isinstance(world.log.records[0], CallOpened)


async def test_hangup_in_mid_play() -> None:
    world = World()
    world.media.endless = True
    await answered(world)
    await world.playing()
    world.events(Ended(1, "bye"))
    await world.ended()
    assert world.ladder[-3:] == ["stop", "port freed", "closed completed caller-hangup"]
    assert "BYE" not in world.ladder
    assert world.media.open_ports == 0


async def test_hangup_during_a_later_fetch_aborts_it() -> None:
    world = World()
    world.webhooks.hold.add("http://app.example.net/b")
    await answered(world, "<Response><Say>a</Say><Redirect>/b</Redirect></Response>")
    await world.ladder_has("fetch b")
    world.events(Ended(1, "bye"))
    await world.ended()
    assert world.webhooks.aborted == ["http://app.example.net/b"]
    assert world.ladder[-1] == "closed completed caller-hangup"


async def test_no_ack_ends_the_call() -> None:
    world = World()
    world.document(SAY)
    world.events(incoming())
    await world.ladder_has("200")
    world.events(Ended(1, "ack-timeout"))
    await world.ended()
    assert world.ladder[-2:] == ["port freed", "closed failed ack-timeout"]
    assert world.log.notified() == [32022]


async def test_media_worker_death_hangs_up() -> None:
    world = World()
    world.media.endless = True
    await answered(world)
    await world.playing()
    world.media.sessions[0].listener("lost", {})
    await world.ended()
    assert "BYE" in world.ladder
    assert world.ladder[-1] == "closed failed media-lost"


async def test_no_port_free_answers_500_class_and_says_why() -> None:
    world = World()
    world.media.none = True
    world.document(SAY)
    world.events(incoming())
    await world.ended()
    assert world.ladder[-2:] == ["503", "closed failed media-unavailable"]


async def test_database_down_refuses_before_ringing() -> None:
    world = World()
    world.log.unavailable = True
    world.events(incoming())
    await world.ended()
    assert world.ladder == ["503", "closed failed database-unavailable"]
    assert ("Retry-After", "10") in world.sip.headers["503"]


async def test_maximum_length() -> None:
    world = World(replace(POLICY, max_call_seconds=0.05))  # type: ignore[arg-type]
    world.media.endless = True
    await answered(world)
    await world.ended()
    assert world.ladder[-3:] == ["BYE", "port freed", "closed completed max-duration"]


async def test_drain_lets_calls_end_then_ends_them() -> None:
    world = World()
    world.media.endless = True
    await answered(world)
    await world.playing()
    await world.manager.drain(0.05)
    assert world.ladder[-4:] == ["stop", "BYE", "port freed", "closed completed node-stopped"]
    world.events(incoming(usage=2, call_id="call-2"))
    await world.ladder_has("503")


async def test_a_program_that_fails_inside_is_logged_and_closed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    world.webhooks.answers["http://app.example.net/voice"] = object()  # type: ignore[assignment]
    world.events(incoming())
    await world.ended()
    assert world.ladder[-2:] == ["500", "closed failed internal-error"]
    assert "failed inside" in caplog.text


async def test_the_live_counters_return_to_zero() -> None:
    world = await answered(World())
    assert world.manager.live == {POLICY.domain_sid: 1, POLICY.account_sid: 1}
    await world.ended()
    await world.until(lambda: not world.manager.live)


async def test_prompt_that_cannot_be_had_goes_to_the_fallback() -> None:
    world = World(replace(POLICY, voice_fallback_url="http://app.example.net/fallback"))
    world.document("<Response><Hangup/></Response>", "fallback")
    world.prompts.failing.add("http://app.example.net/a.wav")
    await answered(world, "<Response><Play>/a.wav</Play></Response>")
    await world.ended()
    assert world.log.notified() == [11200]
    assert world.webhooks.requests[1][2]["ErrorUrl"] == "http://app.example.net/a.wav"
    assert world.ladder[-1] == "closed completed hangup-verb"


async def test_unanswered_calls_that_we_end_are_not_completed() -> None:
    world = World(replace(POLICY, max_call_seconds=0))
    world.webhooks.hold.add("http://app.example.net/voice")
    world.events(incoming())
    await world.ended()
    assert world.ladder[-2:] == ["480", "closed failed max-duration"]
    assert world.log.closed.sip_status == 480


async def test_drain_of_a_ringing_call() -> None:
    world = World()
    world.webhooks.hold.add("http://app.example.net/voice")
    world.events(incoming())
    await world.ladder_has("fetch voice")
    await world.manager.drain(0)
    assert world.ladder[-2:] == ["503", "closed failed node-stopped"]
    assert world.log.closed.sip_status == 503


async def test_drain_adds_nothing_to_calls_that_have_just_ended() -> None:
    world = await answered(World())
    await world.ended()
    await world.manager.drain(0)
    assert world.log.events("interrupt") == []


@pytest.mark.parametrize(
    ("policy", "source"),
    [
        (POLICY, "198.51.100.7"),
        (replace(POLICY, has_acl=False, acl_networks=(), has_credentials=True), "192.0.2.10"),
    ],
)
async def test_cancel_beats_a_refusal_and_a_challenge(policy: DomainPolicy, source: str) -> None:
    """The engine has answered 487 by then: the row must not tell of another answer."""
    world = World(policy)
    world.events(incoming(source=source), Cancelled(1, incoming().request))
    await world.ended()
    assert world.ladder == ["closed canceled canceled"]
    assert world.log.closed.sip_status == 487


async def test_a_fault_of_ours_before_the_row_is_answered_and_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world = World()

    async def broken(record: object) -> None:
        raise KeyError("of ours")

    monkeypatch.setattr(world.log, "open", broken)
    world.events(incoming())
    await world.ended()
    assert world.ladder == ["500", "closed failed internal-error"]
    assert "failed inside" in caplog.text
    assert world.manager.live == {}


async def test_cancel_while_the_row_is_written() -> None:
    world = World()
    world.log.unavailable = True
    writing = asyncio.Event()

    async def slow(record: object) -> None:
        writing.set()
        await asyncio.sleep(0.01)
        raise LogUnavailable("too slow")

    world.log.open = slow  # type: ignore[method-assign]
    world.events(incoming())
    await writing.wait()
    world.events(Cancelled(1, incoming().request))
    await world.ended()
    assert world.ladder == ["closed canceled canceled"]
