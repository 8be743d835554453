"""Recordings that REST asks for, over fake ports (rest-api.md section 3, webhooks.md 4.3)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from sipdomains.contracts import CallbackPromised, CallClosed, LogRecord, RecordingStarted
from sipserver.calls import api_recording
from sipserver.calls.api_recording import Refused
from sipserver.calls.ports import FinishedRecording
from sipserver.calls.session import CallSession
from sipserver.mediapool.recording import RecordEnd
from sipserver.sip.events import Ended
from tests.calls.scenes import PLAIN, all_ended, bridged, parameters
from tests.fakes.calls import POLICY, World, answered, incoming
from tests.fakes.media import FakeRecording
from twimlrunner.engine.interrupts import Redirected
from twimlrunner.engine.ports import DocumentRequest

PAUSING = "<Response><Say>Hello</Say><Pause length='60'/></Response>"
RECORD = '<Response><Record action="/done" finishOnKey="#" maxLength="20"/></Response>'
FIRST = f"RE{1:032x}"
CURRENT = api_recording.CURRENT


def leg(world: World) -> CallSession:
    session = world.manager.session_of(1)
    assert session is not None
    return session


async def talking(document: str = PAUSING, **settings: Any) -> tuple[World, CallSession]:
    world = World(**settings)
    await answered(world, document)
    session = leg(world)
    await world.until(lambda: session.media is not None and bool(session.media.connected))
    return world, session


def sounds(world: World) -> list[FakeRecording]:
    return world.media.sessions[0].recordings


def story(world: World) -> list[str]:
    return [event.data["what"] for event in world.log.events("recording")]


async def update(session: CallSession, sid: str, status: str, **more: str) -> dict[str, Any]:
    given = {"recording_sid": sid, "status": status, **more}
    return await api_recording.update(session, given)


async def hang_up(world: World) -> None:
    world.events(Ended(1, "bye"))
    await all_ended(world)


# --- starting -----------------------------------------------------------------------------------


async def test_the_row_comes_before_the_sound_and_says_what_was_asked_for() -> None:
    world, session = await talking()
    callback = {"url": "http://app.example.net/told", "method": "GET", "events": ["in-progress"]}
    wish = {"channels": 2, "track": "inbound", "trim": True, "callback": callback}
    result = await api_recording.start(session, wish)
    assert result == {"recording_sid": FIRST, "status": "in-progress"}
    [row] = [r for r in world.log.records if isinstance(r, RecordingStarted)]
    assert (row.source, row.channels, row.track, row.trim, row.callback) == (
        "StartCallRecordingAPI", 2, "inbound", True, callback,
    )  # fmt: skip
    [sound] = sounds(world)
    assert (sound.spec.channels, sound.spec.track, sound.spec.finish_on) == (2, "inbound", "")
    assert (sound.spec.silence_seconds, sound.spec.beep) == (0.0, False)
    await hang_up(world)


async def test_defaults_are_those_of_the_resource() -> None:
    world, session = await talking()
    await api_recording.start(session, {})
    [row] = [r for r in world.log.records if isinstance(r, RecordingStarted)]
    assert (row.channels, row.track, row.trim, row.callback) == (1, "both", False, {})
    await hang_up(world)


@pytest.mark.parametrize(
    "wish",
    [
        {"channels": 3},
        {"channels": "dual"},
        {"track": "up"},
        {"trim": "yes"},
        {"source": "RecordVerb"},
        {"callback": "http://app.example.net/"},
        {"callback": {"method": "POST"}},
        {"callback": {"url": "http://app.example.net/", "method": "PUT"}},
        {"callback": {"url": "http://app.example.net/", "events": ["paused"]}},
    ],
)
async def test_a_wish_that_cannot_be_read_is_refused(wish: dict[str, Any]) -> None:
    world, session = await talking()
    with pytest.raises(Refused) as refused:
        await api_recording.start(session, wish)
    assert refused.value.code == 20422
    assert sounds(world) == []
    await hang_up(world)


async def test_only_a_call_in_progress_is_recorded() -> None:
    world = World()
    world.document("<Response><Pause length='9'/></Response>")
    world.webhooks.hold.add("http://app.example.net/voice")
    world.events(incoming())
    await world.ladder_has("fetch voice")
    session = leg(world)
    with pytest.raises(Refused) as refused:  # it still rings
        await api_recording.start(session, {})
    assert refused.value.code == 21220
    world.events(Ended(1, "bye"))
    await all_ended(world)
    with pytest.raises(Refused) as refused:
        await api_recording.start(session, {})
    assert refused.value.code == 21220


async def test_without_a_row_there_is_no_sound() -> None:
    world, session = await talking()
    world.log.unavailable = True
    with pytest.raises(Refused) as refused:
        await api_recording.start(session, {})
    assert refused.value.code == 20500
    assert sounds(world) == []
    await hang_up(world)


async def test_several_at_once_but_not_without_end() -> None:
    world, session = await talking()
    many = [api_recording.start(session, {}) for _ in range(api_recording.MAX_AT_ONCE + 2)]
    results = await asyncio.gather(*many, return_exceptions=True)
    refused = [one for one in results if isinstance(one, Refused)]
    assert [one.code for one in refused] == [20409, 20409]
    assert len(sounds(world)) == api_recording.MAX_AT_ONCE
    await update(session, FIRST, "stopped")
    await api_recording.start(session, {})  # there is room again
    await hang_up(world)
    assert len(world.recordings.finished) == api_recording.MAX_AT_ONCE + 1


# --- how it ends --------------------------------------------------------------------------------


async def test_hang_up_ends_it_before_the_row_of_the_call_is_final() -> None:
    world, session = await talking()
    await api_recording.start(session, {})
    await hang_up(world)
    [(sid, how)] = world.recordings.finished
    assert (sid, how["ended_by"], how["heard"], how["failed"]) == (FIRST, "hangup", True, False)
    assert world.ladder.index("recorded hangup") < len(world.ladder) - 1
    assert world.ladder[-1].startswith("closed")
    assert story(world) == ["started", "ended"]


async def test_it_ends_with_the_call_that_the_program_ends() -> None:
    world, session = await talking("<Response><Say>Hello</Say><Pause/><Hangup/></Response>")
    await api_recording.start(session, {})
    await all_ended(world)
    [(_, how)] = world.recordings.finished
    assert how["ended_by"] == "hangup"


async def test_it_ends_while_it_is_paused() -> None:
    world, session = await talking()
    await api_recording.start(session, {})
    await update(session, FIRST, "paused")
    await hang_up(world)
    assert [how["ended_by"] for _, how in world.recordings.finished] == ["hangup"]


async def test_a_live_update_of_the_call_does_not_end_it() -> None:
    world, session = await talking()
    world.document(PAUSING, "update")
    await api_recording.start(session, {})
    request = DocumentRequest("http://app.example.net/update", "POST", "live-update")
    session.interrupt(Redirected(request))
    await world.ladder_has("fetch update")
    await asyncio.sleep(0.01)
    assert world.recordings.finished == []
    assert not sounds(world)[0].ended.done()
    assert (await update(session, FIRST, "paused"))["status"] == "paused"
    await hang_up(world)
    assert len(world.recordings.finished) == 1


async def test_the_death_of_the_worker_makes_it_final() -> None:
    world, session = await talking()
    await api_recording.start(session, {})
    sounds(world)[0].end(RecordEnd("lost"))
    world.media.sessions[0].listener("lost", {})
    await all_ended(world)
    [(_, how)] = world.recordings.finished
    assert (how["ended_by"], how["failed"]) == ("lost", True)


async def test_a_slow_storage_does_not_keep_the_call_open(monkeypatch: pytest.MonkeyPatch) -> None:
    world, session = await talking(cleanup_seconds=0.05)
    stored, finish = asyncio.Event(), world.recordings.finish

    async def slowly(sid: str, **how: Any) -> FinishedRecording:
        await stored.wait()
        return await finish(sid, **how)

    monkeypatch.setattr(world.recordings, "finish", slowly)
    await api_recording.start(session, {})
    await hang_up(world)
    assert world.recordings.finished == []
    stored.set()
    await world.until(lambda: bool(world.recordings.finished))


async def test_storing_it_does_not_lengthen_a_call_that_we_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, session = await talking("<Response><Say>Hello</Say><Pause/><Hangup/></Response>")
    began, finish = world.clock.now, world.recordings.finish

    async def slowly(sid: str, **how: Any) -> FinishedRecording:
        world.clock.now += 10
        return await finish(sid, **how)

    monkeypatch.setattr(world.recordings, "finish", slowly)
    await api_recording.start(session, {})
    await all_ended(world)
    assert world.log.closed.at == began


async def test_hang_up_while_the_row_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    world, session = await talking()
    written, opened = asyncio.Event(), world.log.open

    async def slowly(record: LogRecord) -> None:
        await written.wait()
        await opened(record)

    monkeypatch.setattr(world.log, "open", slowly)
    starting = asyncio.ensure_future(api_recording.start(session, {}))
    await asyncio.sleep(0.01)
    world.events(Ended(1, "bye"))
    await all_ended(world)
    written.set()
    await starting
    await world.until(lambda: bool(world.recordings.finished))
    assert session.recordings.under_way == {}


# --- changes ------------------------------------------------------------------------------------


async def test_paused_resumed_and_stopped() -> None:
    world, session = await talking()
    await api_recording.start(session, {})
    assert await update(session, FIRST, "paused", pause_behavior="skip") == {
        "recording_sid": FIRST,
        "status": "paused",
    }
    await update(session, FIRST, "in-progress")
    await update(session, FIRST, "paused")
    await update(session, FIRST, "in-progress")
    await update(session, FIRST, "stopped")
    [sound] = sounds(world)
    assert sound.changes == ["skip", "resume", "silence", "resume"]
    assert [paused for _, paused in world.recordings.marks] == [True, False, True, False]
    await world.until(lambda: bool(world.recordings.finished))
    assert world.recordings.finished[0][1]["ended_by"] == "api"
    assert story(world) == ["started", "paused", "resumed", "paused", "resumed", "ended"]
    await hang_up(world)
    assert len(world.recordings.finished) == 1


async def test_what_is_so_already_stays_so() -> None:
    world, session = await talking()
    await api_recording.start(session, {})
    await update(session, FIRST, "in-progress")
    await update(session, FIRST, "paused")
    await update(session, FIRST, "paused")
    assert world.recordings.marks == [(FIRST, True)]
    assert story(world) == ["started", "paused"]
    await hang_up(world)


@pytest.mark.parametrize(
    ("sid", "status", "behavior", "code"),
    [
        ("RE" + "f" * 32, "paused", "skip", 20404),
        (FIRST, "completed", "skip", 20422),
        (FIRST, "paused", "loud", 20422),
        ("", "paused", "skip", 20404),
        (None, "paused", "skip", 20404),
    ],
)
async def test_changes_that_are_refused(sid: Any, status: str, behavior: str, code: int) -> None:
    world, session = await talking()
    await api_recording.start(session, {})
    with pytest.raises(Refused) as refused:
        await update(session, sid, status, pause_behavior=behavior)
    assert refused.value.code == code
    await hang_up(world)


async def test_what_has_ended_is_not_changed() -> None:
    world, session = await talking()
    await api_recording.start(session, {})
    await update(session, FIRST, "stopped")
    for status in ("paused", "in-progress", "stopped"):
        with pytest.raises(Refused) as refused:
            await update(session, FIRST, status)
        assert refused.value.code == 21220
    await hang_up(world)


async def test_one_that_ends_while_it_is_changed_is_told() -> None:
    world, session = await talking()
    await api_recording.start(session, {})
    sounds(world)[0].end(RecordEnd("failed"))
    with pytest.raises(Refused) as refused:
        await update(session, FIRST, "paused")
    assert refused.value.code == 21220
    await hang_up(world)


async def test_the_current_one_is_the_only_one() -> None:
    world, session = await talking()
    with pytest.raises(Refused) as refused:
        await update(session, CURRENT, "paused")
    assert refused.value.code == 20404
    await api_recording.start(session, {})
    assert (await update(session, CURRENT, "paused"))["recording_sid"] == FIRST
    await api_recording.start(session, {})
    with pytest.raises(Refused) as refused:
        await update(session, CURRENT, "paused")
    assert refused.value.code == 16108
    await update(session, FIRST, "stopped")
    assert (await update(session, CURRENT, "stopped"))["recording_sid"] == f"RE{2:032x}"
    await hang_up(world)


# --- recordings of verbs --------------------------------------------------------------------------


async def test_record_is_paused_and_its_keys_wait() -> None:
    world, session = await talking(RECORD)
    world.document("<Response/>", "done")
    await world.until(lambda: bool(sounds(world)))
    await update(session, CURRENT, "paused")
    session.key_pressed("#")
    await asyncio.sleep(0.01)
    assert not sounds(world)[0].ended.done()
    await update(session, CURRENT, "in-progress")
    session.key_pressed("#")
    await all_ended(world)
    assert parameters(world)["Digits"] == "#"


async def test_record_is_stopped_and_the_program_goes_on() -> None:
    world, session = await talking(RECORD)
    world.document("<Response><Say>thanks</Say></Response>", "done")
    await world.until(lambda: bool(sounds(world)))
    await update(session, CURRENT, "stopped")
    await all_ended(world)
    told = parameters(world)
    assert told.get("Digits", "") == ""
    assert told["RecordingUrl"].endswith(FIRST)
    assert "played speech:thanks" in world.ladder
    assert [how["ended_by"] for _, how in world.recordings.finished] == ["api"]


async def test_one_of_dial_and_one_by_rest_do_not_disturb_each_other() -> None:
    document = PLAIN.replace("<Dial", '<Dial action="/done" record="record-from-answer-dual"')
    world = await bridged(document)
    await world.until(lambda: bool(sounds(world)))
    session = leg(world)
    await api_recording.start(session, {"channels": 2})
    await update(session, FIRST, "stopped")  # Dial's
    assert [one.ended.done() for one in sounds(world)] == [True, False]
    world.events(Ended(101, "bye"))
    await world.ladder_has("fetch done")
    assert parameters(world)["RecordingUrl"].endswith(FIRST)
    await all_ended(world)
    assert len(world.recordings.finished) == 2


# --- calls that REST creates ----------------------------------------------------------------------


async def test_record_of_a_call_is_told_with_its_end() -> None:
    world = World(replace(POLICY, status_callback_url="http://app.example.net/told"))
    await answered(world, PAUSING)
    session = leg(world)
    await world.until(lambda: session.media is not None)
    await api_recording.record_call(session, {"channels": 2, "trim": True})
    [row] = [r for r in world.log.records if isinstance(r, RecordingStarted)]
    assert row.source == "OutboundAPI"
    await hang_up(world)
    [promise] = [r for r in world.log.records if isinstance(r, CallbackPromised)]
    told = dict(promise.parameters)
    assert (told["RecordingSid"], told["RecordingDuration"]) == (FIRST, "5")
    assert told["RecordingUrl"].endswith(FIRST)
    assert any(isinstance(r, CallClosed) for r in world.log.records)


async def test_a_call_that_cannot_be_recorded_goes_on() -> None:
    world, session = await talking()
    world.log.unavailable = True
    await api_recording.record_call(session, {})
    world.log.unavailable = False
    assert world.log.notified() == [12400]
    assert not session.over.done()
    await hang_up(world)
