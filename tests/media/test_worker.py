"""A real worker process over loopback."""

import asyncio
import random
from itertools import pairwise

import numpy as np
import pytest

from sipserver.mediapool import MediaPool
from sipserver.rtp import g711, rtcp, tone
from sipserver.rtp.packet import RtpPacket
from sipserver.rtp.telephone_event import TelephoneEventDecoder, paced
from tests.media.conftest import CONFIG, Events, Parameters, Peer, write_wav

pytestmark = pytest.mark.integration


def frequency(packets, codec):
    pcm = g711.decode(b"".join(packet.payload for packet in packets), codec)
    samples = np.frombuffer(pcm, dtype="<i2").astype(float)
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 8000))
    return int(spectrum.argmax())


def contiguous(packets, step=160):
    """One after another. A worker that had to wait for a tenth of a second says so in the
    timestamp, for that is the time; but not in each packet."""
    steps = [(b.timestamp - a.timestamp) & 0xFFFFFFFF for a, b in pairwise(packets)]
    return (
        all((b.sequence - a.sequence) & 0xFFFF == 1 for a, b in pairwise(packets))
        and all(one > 0 and one % 8 == 0 for one in steps)
        and steps.count(step) >= len(steps) - 3
    )


def dtmf(peer, port, digits, *, sequence, timestamp=0):
    """Send ``digits`` as events without pacing; returns the next sequence number."""
    start = timestamp
    for tick, step in enumerate(paced(digits, 20)):
        if step is None:
            continue
        if step.first:
            start = timestamp + tick * 160
        peer.send(port, sequence, payload=step.payload, payload_type=101, timestamp=start)
        sequence += 1
    return sequence


@pytest.mark.parametrize(("codec", "payload_type"), [("PCMU", 0), ("PCMA", 8)])
async def test_a_tone_is_heard(pool, peer, wav, codec, payload_type):
    session = await pool.open("ip4", Events())
    await session.connect(Parameters(peer.address, codec=codec, payload_type=payload_type))
    assert await session.play([wav(4000, 620)]).wait() == "end"
    packets = await peer.count(25)
    assert len(packets) == 25
    assert frequency(packets, codec) == 620
    assert contiguous(packets)
    assert [packet.marker for packet in packets] == [True] + [False] * 24
    assert {packet.payload_type for packet in packets} == {payload_type}
    assert len({packet.ssrc for packet in packets}) == 1
    stats = await session.close()
    assert (stats["packets_sent"], stats["bytes_sent"]) == (25, 4000)


async def test_audio_over_ip6(pool, wav):
    peer = Peer("::1")
    session = await pool.open("ip6", Events())
    await session.connect(Parameters(peer.address))
    peer.send(session.port, 1)
    ended = await session.play([wav(800)]).wait()
    await peer.count(5)
    stats = await session.close()
    peer.close()
    assert ended == "end"
    assert stats["remote"] == list(peer.address)
    assert stats["packets_received"] == 1


async def test_speech_begins_with_its_first_sentence(leg, peer, wav):
    session, _ = leg
    speech = session.play([wav(800)], more=True)
    await peer.count(5)
    speech.extend([wav(1600, 600)], more=True)
    await peer.count(15)
    waiting = asyncio.create_task(speech.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    speech.extend([], more=False)
    assert await waiting == "end"
    assert len(peer.packets) == 15


async def test_stop_in_mid_play_and_the_next_prompt_follows(leg, peer, wav):
    session, _ = leg
    first, second = session.play([wav(80000)]), session.play([wav(320, 900)])
    await peer.count(5)
    first.stop()
    assert await first.wait() == "stopped"
    assert await second.wait() == "end"
    assert len(peer.packets) < 400  # of 502
    first.stop()
    first.extend([wav(320)], more=False)
    assert await first.wait() == "stopped"


async def test_a_missing_file_fails(leg, tmp_path, wav):
    session, _ = leg
    stereo = write_wav(tmp_path / "fast.wav", [0] * 100, rate=16000)
    assert await session.play([str(tmp_path / "none.wav")]).wait() == "failed"
    assert await session.play([wav(160), stereo]).wait() == "failed"
    assert await session.play([wav(160)]).wait() == "end"


async def test_hold_and_resume(leg, peer, wav):
    session, _ = leg
    play = session.play([wav(80000)])
    await peer.count(5)
    await session.connect(Parameters(peer.address, direction="recvonly"))
    await peer.settled()  # what was on its way when the hold began
    held = len(peer.packets)
    await asyncio.sleep(0.1)
    assert len(peer.packets) == held
    await session.connect(Parameters(peer.address))
    await peer.count(held + 5)
    before, after = peer.packets[held - 1], peer.packets[held]
    assert after.marker
    assert (after.sequence - before.sequence) & 0xFFFF == 1
    assert (after.timestamp - before.timestamp) & 0xFFFFFFFF >= 100 * 8
    play.stop()
    assert await play.wait() == "stopped"


async def test_digits_are_received(leg, peer):
    session, events = leg
    sequence = dtmf(peer, session.port, "12#A", sequence=1)
    peer.send(session.port, sequence, timestamp=10**6)
    found = await events.wait("digit", 4)
    assert found == [{"digit": digit} for digit in "12#A"]
    assert (await session.close())["digits"] == 4


async def test_a_digit_is_told_when_its_key_goes_down(leg, peer):
    session, events = leg
    peer.send(session.port, 1, payload=bytes.fromhex("050a00a0"), payload_type=101)
    assert await events.wait("digit") == [{"digit": "5"}]


async def test_digits_are_sent(leg, peer):
    session, _ = leg
    assert await session.send_digits("9w#") == "end"
    decoder = TelephoneEventDecoder()
    packets = await peer.count(14)
    digits = [decoder.feed(packet.timestamp, packet.payload) for packet in packets]
    assert digits == ["9", *[""] * 6, "#", *[""] * 6]
    assert [packet.payload[2:].hex() for packet in packets[6::7]] == ["0320", "0320"]  # 100 ms
    assert {packet.payload_type for packet in peer.packets} == {101}


async def test_digits_are_sent_as_tones_to_who_knows_no_events(pool, peer):
    session = await pool.open("ip4", Events())
    await session.connect(Parameters(peer.address, dtmf_payload=None))
    assert await session.send_digits("7") == "end"
    packets = (await peer.count(10))[:5]
    assert frequency(packets, "PCMU") in [
        pytest.approx(wanted, abs=5) for wanted in tone.FREQUENCIES["7"]
    ]
    await session.close()


async def test_wrong_digits_fail(leg):
    session, _ = leg
    assert await session.send_digits("1x") == "failed"


async def test_digits_can_be_cancelled(leg, peer, wav):
    session, _ = leg
    sending = asyncio.create_task(session.send_digits("W" * 60 + "1"))
    await asyncio.sleep(0.01)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert await session.play([wav(160)]).wait() == "end"


async def test_the_first_packet_is_told_once(leg, peer):
    session, events = leg
    for sequence in range(3):
        peer.send(session.port, sequence)
    (first,) = await events.wait("first_packet")
    assert first["remote"] == list(peer.address)
    await session.send_digits("1")  # time to read the others
    stats = await session.close()
    assert stats["packets_received"] == 3
    assert len(events.named("first_packet")) == 1


async def test_a_peer_behind_nat_is_followed_and_others_are_not(leg, peer, wav):
    session, events = leg
    nat, stranger = Peer(), Peer()
    nat.send(session.port, 10)
    nat.send(session.port, 11)
    await events.wait("first_packet")
    for sequence in range(5):
        stranger.send(session.port, sequence, ssrc=5)
    nat.send(session.port, 12)
    assert await session.play([wav(800)]).wait() == "end"
    await nat.count(5)
    assert peer.packets == stranger.packets == []
    stats = await session.close()
    assert stats["packets_received"] == 2
    assert stats["remote"] == list(nat.address)
    nat.close()
    stranger.close()


async def test_what_strangers_sent_before_the_source_was_known_is_dropped(pool, peer):
    session, stranger = await pool.open("ip4", Events()), Peer()
    peer.send(session.port, 1)
    for sequence in range(4):
        stranger.send(session.port, sequence, ssrc=5)
    peer.send(session.port, 2)
    await session.connect(Parameters(peer.address))
    await session.send_digits("1")
    stats = await session.close()
    stranger.close()
    assert (stats["packets_received"], stats["foreign"], stats["source_changes"]) == (2, 4, 0)


async def test_a_silent_source_may_be_replaced(leg, peer, wav):
    session, events = leg
    other = Peer()
    peer.send(session.port, 1)
    await events.wait("first_packet")
    play = session.play([wav(80000)])
    await peer.count(1)
    sequence = 100
    async with asyncio.timeout(30):
        while not other.packets:
            other.send(session.port, sequence, ssrc=9)
            sequence += 1
            await asyncio.sleep(0.02)
    play.stop()
    stats = await session.close()
    assert stats["source_changes"] == 2  # address and SSRC
    other.close()


async def test_a_new_offer_moves_the_stream(leg, peer, wav):
    session, events = leg
    other = Peer()
    peer.send(session.port, 1)
    await events.wait("first_packet")
    play = session.play([wav(80000)])
    await peer.count(3)
    await session.connect(Parameters(other.address))
    await other.count(3)
    play.stop()
    other.close()


async def test_losses_duplicates_and_disorder_are_counted(leg, peer):
    session, events = leg
    for sequence in (1, 2, 2, 4, 7, 6, 8):
        peer.send(session.port, sequence)
    await events.wait("first_packet")
    await session.send_digits("1")
    stats = await session.close()
    assert stats["packets_received"] == 6
    assert (stats["lost"], stats["duplicates"], stats["out_of_order"]) == (2, 1, 1)
    assert stats["mos"] < 4


async def test_silence_of_the_peer_is_told_but_not_on_hold(peer):
    pool = MediaPool(CONFIG.__class__(**{**CONFIG.to_json(), "rtp_timeout_s": 0.2}), workers=1)
    await pool.start()
    events, held = Events(), Events()
    session, quiet = await pool.open("ip4", events), await pool.open("ip4", held)
    await quiet.connect(Parameters(peer.address, direction="sendonly"))
    await session.connect(Parameters(peer.address))
    (timeout,) = await events.wait("rtp_timeout")
    assert timeout["silence_s"] >= 0.2
    assert held.all == []
    await pool.stop()


async def test_reports_go_both_ways(leg, peer, wav):
    session, _ = leg
    peer.send(session.port, 1)
    play = session.play([wav(80000)])

    def of_a_sender():  # one that comes before the sound has none to tell of
        reports = [one for data in peer.reports for one in rtcp.parse(data)]
        return [one for one in reports if isinstance(one, rtcp.Report) and one.sender]

    await peer.until(lambda: peer.packets and of_a_sender())
    report = of_a_sender()[0]
    ours = peer.packets[0].ssrc
    assert report.ssrc == ours
    await peer.count(report.sender.packets)
    assert 0 < report.sender.packets < 500
    assert [block.ssrc for block in report.blocks] == [77]
    answer = rtcp.ReportBlock(ours, 64, 3, 70001, 80, report.sender.ntp >> 16 & 0xFFFFFFFF, 0)
    data = rtcp.build(rtcp.Report(77, None, (answer,)), b"peer")
    peer.rtcp.sendto(data, ("127.0.0.1", session.port + 1))
    await peer.count(len(peer.packets) + 3)
    play.stop()
    stats = await session.close()
    assert stats["remote_lost"] == 3
    assert stats["remote_jitter_ms"] == 10
    assert (stats["remote_reports"], stats["remote_fraction"]) == (1, 25.0)
    assert stats["remote_highest"] == 70001
    assert 0 <= stats["rtt_ms"] < 30000
    assert stats["remote_mos"] > 1
    await peer.until(lambda: any(rtcp.Bye((ours,)) in rtcp.parse(data) for data in peer.reports))


async def test_reports_share_the_port_if_agreed(pool, peer, wav):
    session = await pool.open("ip4", Events())
    await session.connect(Parameters(peer.address, rtcp_mux=True))
    peer.send(session.port, 1)
    play = session.play([wav(80000)])
    await peer.until(lambda: len(peer.reports) >= 1)
    (report, *_) = rtcp.parse(peer.reports[0])
    answer = rtcp.ReportBlock(report.ssrc, 0, 5, 1, 0, 0, 0)
    peer.rtp.sendto(
        rtcp.build(rtcp.Report(77, None, (answer,)), b"peer"), ("127.0.0.1", session.port)
    )
    await peer.count(len(peer.packets) + 3)
    play.stop()
    assert (await session.close())["remote_lost"] == 5


async def test_hostile_packets_do_no_harm(leg, peer, wav):
    session, events = leg
    chance = random.Random(7)
    peer.send(session.port, 1)
    await events.wait("first_packet")
    for n in range(400):
        data = chance.randbytes(chance.randint(0, 60))
        if n % 2:
            head = RtpPacket(chance.choice((0, 8, 13, 101)), n, n * 160, 77, b"").build()
            data = bytes((0x80 | chance.randrange(64),)) + head[1:] + data
        peer.rtp.sendto(data, ("127.0.0.1", session.port))
        peer.rtcp.sendto(b"\x81\xc8" + data, ("127.0.0.1", session.port + 1))
    assert await session.play([wav(4000)]).wait() == "end"
    assert (await session.close())["malformed"] > 50


async def test_parameters_of_another_family_are_refused(pool):
    session = await pool.open("ip4", Events())
    for wrong in (
        Parameters(("::1", 4000)),
        Parameters(("example.com", 4000)),
        Parameters(("127.0.0.1", 70000)),
        Parameters(("127.0.0.1", 4000), codec="G729"),
        Parameters(("127.0.0.1", 4000), payload_type=200),
        Parameters(("127.0.0.1", 4000), direction="up"),
    ):
        with pytest.raises(ValueError, match="refused"):
            await session.connect(wrong)
    await session.close()
