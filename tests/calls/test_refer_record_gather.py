"""Refer, Record and Gather of a live call over fake ports: what SIP and media say decides
(sip-domain.md section 12.1; webhooks.md section 4.1)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from sipdomains.contracts import (
    CallbackPromised,
    LogRecord,
    RecordingStarted,
    TransferChanged,
)
from sipserver.calls.ports import FinishedRecording
from sipserver.mediapool.recording import RecordEnd
from sipserver.sip.events import Ended, InDialogRequest, Notified
from sipserver.sip.message import Request, parse_datagram
from tests.calls.scenes import all_ended, parameters, request, response
from tests.fakes.calls import POLICY, World, answered
from twimlrunner.engine.interrupts import Redirected
from twimlrunner.engine.ports import DocumentRequest

REFER = '<Response><Refer action="/done"><Sip>sip:carol@pbx.example</Sip></Refer></Response>'
LAST = "<Response><Refer><Sip>sip:carol@pbx.example?Replaces=a%3Bb</Sip></Refer></Response>"


def notify(status: int, *, over: bool = False) -> Notified:
    body = f"SIP/2.0 {status} Whatever\r\n"
    text = (
        "NOTIFY sip:here SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.1;branch=z9hG4bKn\r\n"
        "From: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\nCall-ID: x\r\nCSeq: 9 NOTIFY\r\n"
        f"Content-Type: message/sipfrag\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    )
    message = parse_datagram(text.encode())
    assert isinstance(message, Request)
    return Notified(1, 1, message, over)


async def referring(document: str = REFER, **settings: float) -> World:
    world = World(**settings)
    world.document("<Response/>", "done")
    await answered(world, document)
    await world.until(lambda: bool(world.sip.referred))
    return world


def last_transfer(world: World) -> TransferChanged:
    return [r for r in world.log.records if isinstance(r, TransferChanged)][-1]


async def test_transferred() -> None:
    world = await referring()
    assert "REFER <sip:carol@pbx.example>" in world.ladder
    world.sip.referred[0](202, response(202))
    world.events(notify(100), notify(180), notify(200, over=True))
    await all_ended(world)
    told = parameters(world)
    assert told["ReferCallStatus"] == "in-progress"
    assert told["ReferSipResponseCode"] == "202"
    assert told["NotifySipResponseCode"] == "200"
    assert last_transfer(world).ended_by == "final"


async def test_target_busy() -> None:
    world = await referring()
    world.sip.referred[0](202, response(202))
    world.events(notify(486, over=True))
    await all_ended(world)
    told = parameters(world)
    assert (told["ReferCallStatus"], told["NotifySipResponseCode"]) == ("busy", "486")


@pytest.mark.parametrize("status", [405, 603])
async def test_refused(status: int) -> None:
    world = await referring()
    world.sip.referred[0](status, response(status))
    await all_ended(world)
    told = parameters(world)
    assert (told["ReferCallStatus"], told["ReferSipResponseCode"]) == ("failed", str(status))
    assert "NotifySipResponseCode" not in told


async def test_a_transfer_that_is_told_of_is_waited_for() -> None:
    world = await referring(refer_seconds=0.1)
    world.sip.referred[0](202, response(202))
    for _ in range(3):
        await asyncio.sleep(0.06)
        world.events(notify(180))
    world.events(notify(200, over=True))
    await all_ended(world)
    assert parameters(world)["ReferCallStatus"] == "in-progress"


async def test_silence_ends_by_timeout() -> None:
    world = await referring(refer_seconds=0.05)
    world.sip.referred[0](202, response(202))
    await all_ended(world)
    told = parameters(world)
    assert told["ReferSipResponseCode"] == "202"
    assert "ReferCallStatus" not in told


async def test_subscription_ends_without_a_final_status() -> None:
    world = await referring()
    world.sip.referred[0](202, response(202))
    world.events(notify(180, over=True))
    await all_ended(world)
    assert last_transfer(world).ended_by == "terminated"


async def test_peer_hangs_up_in_the_middle_and_the_outcome_is_still_watched() -> None:
    world = await referring()
    world.sip.referred[0](202, response(202))
    world.events(notify(180), Ended(1, "bye"))
    await world.until(lambda: world.manager.load().calls == 0)
    told = parameters(world)
    assert (told["ReferCallStatus"], told["NotifySipResponseCode"]) == ("canceled", "180")
    assert not last_transfer(world).ended_by
    world.events(notify(200, over=True))
    await world.until(lambda: bool(last_transfer(world).ended_by))
    assert last_transfer(world).notify_status == 200


async def test_refer_last_without_action_ends_the_leg() -> None:
    world = await referring(LAST)
    assert "REFER <sip:carol@pbx.example?Replaces=a%3Bb>" in world.ladder
    world.sip.referred[0](202, response(202))
    world.events(notify(486, over=True))
    await all_ended(world)
    assert world.ladder[-1] == "closed completed refer-last"
    assert "BYE" in world.ladder


# --- Record -------------------------------------------------------------------------------------

RECORD = (
    '<Response><Record action="/done" maxLength="20" finishOnKey="#" '
    'recordingStatusCallback="/told"/><Say>nothing</Say></Response>'
)


@pytest.mark.parametrize(
    ("end", "digits"),
    [(RecordEnd("key", 4.0, "#", 3.0, 9000), "#"), (RecordEnd("silence", 9.0, "", 3.0, 9000), "")],
)
async def test_recorded(end: RecordEnd, digits: str) -> None:
    world = World()
    world.document("<Response/>", "done")
    await answered(world, RECORD)
    await world.until(lambda: bool(world.media.sessions[0].recordings))
    active = world.media.sessions[0].recordings[0]
    assert (active.spec.max_seconds, active.spec.silence_seconds) == (20.0, 5.0)
    assert active.spec.beep
    active.end(end)
    await all_ended(world)
    told = parameters(world)
    assert told["RecordingDuration"] == str(round(end.seconds))
    assert told.get("Digits", "") == digits
    assert told["RecordingUrl"].endswith(f"RE{1:032x}")


async def test_hang_up_ends_the_recording_and_is_reported() -> None:
    world = World()
    await answered(world, RECORD)
    await world.until(lambda: bool(world.media.sessions[0].recordings))
    world.events(Ended(1, "bye"))
    await all_ended(world)
    told = parameters(world)
    assert (told["Digits"], told["CallStatus"]) == ("hangup", "completed")
    assert "recorded hangup" in world.ladder


async def test_a_finish_key_by_info_ends_the_recording() -> None:
    world = World()
    world.document("<Response/>", "done")
    await answered(world, RECORD)
    await world.until(lambda: bool(world.media.sessions[0].recordings))
    world.events(info("application/dtmf", "5"), info("application/dtmf", "#"))
    await all_ended(world)
    assert parameters(world)["Digits"] == "#"


async def test_what_is_reported_after_the_hang_up_does_not_lengthen_the_call() -> None:
    world = World(parting_seconds=0.1)
    await answered(world, RECORD)
    await world.until(lambda: bool(world.media.sessions[0].recordings))
    began = world.clock.now
    world.webhooks.hold.add("http://app.example.net/done")
    world.events(Ended(1, "bye"))
    await world.ladder_has("fetch done")
    world.clock.now += 10
    await all_ended(world)
    assert world.log.closed.at == began


async def test_row_of_the_recording_comes_before_its_sound() -> None:
    world = World()
    world.log.unavailable = False
    await answered(world, RECORD)
    await world.until(lambda: bool(world.media.sessions[0].recordings))
    assert [r.KIND for r in world.log.records].count("recording_started") == 1
    world.events(Ended(1, "bye"))
    await all_ended(world)


# --- Gather -------------------------------------------------------------------------------------

GATHER = '<Response><Gather action="/done" numDigits="2"><Say>menu</Say></Gather></Response>'


@pytest.mark.parametrize("way", ["rtp", "dtmf-relay", "dtmf"])
async def test_keys_by_any_way_stop_the_prompt_and_are_reported(way: str) -> None:
    world = World()
    world.media.endless = True
    world.document("<Response/>", "done")
    await answered(world, GATHER)
    await world.playing()
    for key in "42":
        if way == "rtp":
            world.media.sessions[0].listener("digit", {"digit": key})
        else:
            world.events(info(f"application/{way}", key))
    await all_ended(world)
    assert parameters(world)["Digits"] == "42"
    assert "stop" in world.ladder
    if way != "rtp":
        assert world.ladder.count("200 in-dialog") == 2


def info(content_type: str, key: str) -> InDialogRequest:
    body = f"Signal={key}\r\nDuration=160\r\n" if "relay" in content_type else key
    bare = request("INFO", f"Content-Type: {content_type}")
    return InDialogRequest(1, 5, Request(bare.method, bare.uri, bare.headers, body.encode()))


async def test_info_of_another_type_is_refused() -> None:
    world = World()
    world.media.endless = True
    await answered(world, GATHER)
    await world.playing()
    world.events(info("application/broadsoft", "x"))
    await world.ladder_has("415 in-dialog")
    world.events(Ended(1, "bye"))
    await all_ended(world)


# --- status callbacks -----------------------------------------------------------------------------


async def test_completed_is_promised_for_the_domain() -> None:
    world = World(replace(POLICY, status_callback_url="http://app.example.net/told"))
    await answered(world)
    await all_ended(world)
    [promise] = [r for r in world.log.records if isinstance(r, CallbackPromised)]
    told = dict(promise.parameters)
    assert told["CallStatus"] == "completed"
    assert told["SequenceNumber"] == "0"
    assert promise.stream == f"CA{1:032x}"


async def test_recording_that_is_interrupted_while_its_row_is_written_is_finished(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    world.document("<Response><Say>updated</Say></Response>", "update")
    written, opened = asyncio.Event(), world.log.open

    async def slowly(record: LogRecord) -> None:
        if isinstance(record, RecordingStarted):
            await written.wait()
        await opened(record)

    monkeypatch.setattr(world.log, "open", slowly)
    await answered(world, "<Response><Record/></Response>")
    session = world.manager.session_of(1)
    assert session is not None
    await asyncio.sleep(0.01)
    update = DocumentRequest("http://app.example.net/update", "POST", "live-update")
    session.interrupt(Redirected(update))
    await asyncio.sleep(0.01)
    written.set()
    await world.ladder_has("played speech:updated")
    assert [how["ended_by"] for _, how in world.recordings.finished] == ["redirected"]
    await all_ended(world)


async def test_recording_is_finished_although_the_call_cannot_wait_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(parting_seconds=0.05, cleanup_seconds=0.05)
    stored, finish = asyncio.Event(), world.recordings.finish

    async def slowly(sid: str, **how: Any) -> FinishedRecording:
        await stored.wait()
        return await finish(sid, **how)

    monkeypatch.setattr(world.recordings, "finish", slowly)
    await answered(world, "<Response><Record/></Response>")
    await world.until(lambda: bool(world.media.sessions[0].recordings))
    world.events(Ended(1, "bye"))
    await all_ended(world)
    stored.set()
    await world.until(lambda: bool(world.recordings.finished))
