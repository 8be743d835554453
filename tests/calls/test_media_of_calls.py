"""Ports, late offers and offers within the call (sip-domain.md sections 10 and 11)."""

from __future__ import annotations

import asyncio

import pytest

from sipdomains.contracts import MediaMeasured
from sipserver.calls import leg_media
from sipserver.calls.ports import MediaListener
from sipserver.sip.events import Acknowledged, Ended, MessageTraced, SessionOffer
from tests.fakes.calls import OFFER, SAY, World, answered, incoming
from tests.fakes.media import FakeMediaSession
from twimlrunner.engine.interrupts import TimeLimit

LATE = {"body": ""}
ANSWER = OFFER.encode()


async def test_reinvite_on_the_heels_of_the_ack_of_a_late_offer() -> None:
    world = World()
    world.media.endless = True
    world.document(SAY)
    world.events(incoming(**LATE))
    await world.ladder_has("200")
    world.events(Acknowledged(1, ANSWER), SessionOffer(1, incoming().request, ANSWER))
    await world.until(lambda: len(world.media.sessions[0].connected) == 2)
    assert "200 re-INVITE" in world.ladder


async def test_ack_of_a_late_offer_without_an_answer_ends_the_call() -> None:
    world = World()
    world.document(SAY)
    world.events(incoming(**LATE))
    await world.ladder_has("200")
    world.events(Acknowledged(1, b""))
    await world.ended()
    assert world.ladder[-3:] == ["BYE", "port freed", "closed failed bad-sdp"]
    assert world.log.notified() == [32102]


async def test_offers_and_answers_within_the_call() -> None:
    world = World()
    world.media.endless = True
    await answered(world)
    await world.playing()
    connected = world.media.sessions[0].connected
    hold = OFFER.replace("m=audio", "a=sendonly\r\nm=audio").encode()
    world.events(SessionOffer(1, incoming().request, hold), Acknowledged(1, b""))
    await world.until(lambda: len(connected) == 2)
    assert connected[1].direction == "recvonly"
    world.events(SessionOffer(1, incoming().request, b""))
    await world.until(lambda: world.ladder.count("200 re-INVITE") == 2)
    world.events(Acknowledged(1, b"nonsense"))
    await world.until(lambda: 32102 in world.log.notified())
    world.events(SessionOffer(1, incoming().request, b"nonsense"))
    await world.ladder_has("488 re-INVITE")
    assert len(connected) == 2
    world.events(Ended(1, "bye"))
    await world.ended()


async def test_an_offer_that_we_fail_at_is_refused_and_the_call_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world = World()
    world.media.endless = True
    await answered(world)
    await world.playing()
    monkeypatch.setattr(leg_media, "negotiate", None)
    world.events(SessionOffer(1, incoming().request, ANSWER))
    await world.ladder_has("500 re-INVITE")
    assert "TypeError" in caplog.text
    world.events(Ended(1, "bye"))
    await world.ended()


@pytest.mark.parametrize("turns", range(6))
async def test_port_opened_at_the_moment_of_the_stop_is_returned(turns: int) -> None:
    """The worker's reply and the decision to stop meet in one turn of the loop."""
    world = World()
    world.document(SAY)
    real = world.media.open

    async def slow(
        family: str, listener: MediaListener, *, near: object = None
    ) -> FakeMediaSession:
        [entry] = world.manager._entries.values()
        entry.session.interrupt(TimeLimit())
        for _ in range(turns):
            await asyncio.sleep(0)
        return await real(family, listener)

    world.media.open = slow  # type: ignore[method-assign]
    world.events(incoming())
    await world.ended()
    assert world.media.open_ports == 0


async def test_address_of_the_other_ip_version_is_refused_before_the_answer() -> None:
    world = World()
    body = OFFER.replace("IP4 192.0.2.10", "IP6 2001:db8::1")
    world.events(incoming(body=body))
    await world.ended()
    assert world.ladder == ["488", "closed failed address-family"]


async def test_address_of_the_other_ip_version_in_a_reinvite_changes_nothing() -> None:
    world = World()
    world.media.endless = True
    await answered(world)
    await world.playing()
    body = OFFER.replace("IP4 192.0.2.10", "IP6 2001:db8::1").encode()
    world.events(SessionOffer(1, incoming().request, body))
    await world.ladder_has("488 re-INVITE")
    assert len(world.media.sessions[0].connected) == 1
    world.events(Ended(1, "bye"))
    await world.ended()
    assert world.ladder[-1] == "closed completed caller-hangup"


async def test_no_failure_is_notified_twice() -> None:
    world = World()
    world.media.none = True
    world.document(SAY)
    world.events(incoming())
    await world.ended()
    assert world.log.notified() == [59913]
    assert "no port" in world.log.closed.reason


async def test_a_peer_that_never_stops_talking_does_not_fill_the_log() -> None:
    world = World()
    world.media.endless = True
    await answered(world)
    await world.playing()
    flow = incoming().flow
    for _ in range(3000):
        world.events(MessageTraced(1, False, b"OPTIONS sip:x SIP/2.0\r\n\r\n", flow))
    assert len(world.log.events("sip")) == 1000
    world.events(Ended(1, "bye"))
    await world.ended()


# --- figures while the call goes on ---------------------------------------------------------------


def stats(seconds: float) -> dict[str, object]:
    return {
        "duration_s": seconds, "packets_received": int(50 * seconds), "lost": 0, "jitter_ms": 1.0,
        "rtt_ms": None, "codec": "PCMU",
    }  # fmt: skip


async def test_every_third_report_of_the_worker_goes_to_the_row_unless_the_log_is_behind() -> None:
    world = World()
    world.media.endless = True
    await answered(world)
    await world.playing()
    [media] = world.media.sessions
    for number in range(1, 7):
        media.listener("stats", stats(5.0 * number))
    told = [record for record in world.log.records if isinstance(record, MediaMeasured)]
    assert [record.media["duration_s"] for record in told] == [15.0, 30.0]
    assert told[0].media["series"]["at"] == [5, 10, 15]
    world.log.backlog = (500, 2.0)
    for number in range(7, 10):
        media.listener("stats", stats(5.0 * number))
    assert sum(isinstance(record, MediaMeasured) for record in world.log.records) == 2
    world.events(Ended(1, "bye"))
    await world.ended()
    assert len(world.log.closed.media["series"]["at"]) == 9
