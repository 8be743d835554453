"""Offer and answer: RFC 3264, RFC 3605, RFC 4733, sip-domain.md sections 4, 9, 10 and 11."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipserver.sdp.codecs import PCMA, PCMU
from sipserver.sdp.description import SdpError, SessionDescription
from sipserver.sdp.negotiate import (
    Answer,
    Capabilities,
    LocalMedia,
    Refusal,
    accept_answer,
    make_offer,
    negotiate,
)

LOCAL = LocalMedia("198.51.100.9", 20000, 77, 3)
SESSION = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
DTMF = "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\n"
AUDIO = "m=audio 4000 RTP/AVP 0 8 101\r\n" + DTMF


def answer_to(text, capabilities=None, local=LOCAL):
    offer = SessionDescription.parse(text.encode())
    return negotiate(offer, capabilities or Capabilities(), local)


def test_plain_offer_gets_one_codec_and_events():
    answer = answer_to(SESSION + AUDIO + "a=ptime:20\r\na=sendrecv\r\n")
    assert answer == Answer(
        sdp=(
            b"v=0\r\no=- 77 3 IN IP4 198.51.100.9\r\ns=-\r\nc=IN IP4 198.51.100.9\r\nt=0 0\r\n"
            b"m=audio 20000 RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\n"
            b"a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n"
        ),
        remote=("192.0.2.1", 4000),
        codec="PCMU",
        payload_type=0,
        dtmf_payload=101,
        ptime_ms=20,
        direction="sendrecv",
        rtcp=("192.0.2.1", 4001),
        rtcp_mux=False,
    )


CHOICES = [
    # m= line and attributes; codec, payload type, DTMF payload type
    ("m=audio 4000 RTP/AVP 0 8", "PCMU", 0, None),
    ("m=audio 4000 RTP/AVP 8 0", "PCMA", 8, None),
    ("m=audio 4000 RTP/AVP 9 3 18 8 0", "PCMA", 8, None),
    ("m=audio 4000 RTP/AVP 96 0\r\na=rtpmap:96 opus/48000/2", "PCMU", 0, None),
    ("m=audio 4000 RTP/AVP 97 0\r\na=rtpmap:97 pcma/8000", "PCMA", 97, None),
    ("m=audio 4000 RTP/AVP 98\r\na=rtpmap:98 PCMU/8000/1", "PCMU", 98, None),
    ("m=audio 4000 RTP/AVP 98 8\r\na=rtpmap:98 PCMU/16000", "PCMA", 8, None),
    ("m=audio 4000 RTP/AVP 98 8\r\na=rtpmap:98 PCMU/8000/2", "PCMA", 8, None),
    ("m=audio 4000 RTP/AVP 0 8\r\na=rtpmap:0 G729/8000", "PCMA", 8, None),
    ("m=audio 4000 RTP/AVP 0 96\r\na=rtpmap:96 TELEPHONE-EVENT/8000", "PCMU", 0, 96),
    ("m=audio 4000 RTP/AVP 96 97 0\r\na=rtpmap:96 telephone-event/48000\r\n"
     "a=rtpmap:97 telephone-event/8000", "PCMU", 0, 97),
    ("m=audio 4000/2 RTP/AVP 0", "PCMU", 0, None),
    ("m=audio 4000 RTP/AVPF 0", "PCMU", 0, None),
    ("m=audio 4000 RTP/AVP x 300 8", "PCMA", 8, None),
    ("m=audio 4000 RTP/AVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x", "PCMU", 0, None),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "codec", "payload_type", "dtmf"), CHOICES)
def test_codec_and_payload_types_are_those_of_the_offer(lines, codec, payload_type, dtmf):
    answer = answer_to(f"{SESSION}{lines}\r\n")
    assert (answer.codec, answer.payload_type, answer.dtmf_payload) == (codec, payload_type, dtmf)
    medium = SessionDescription.parse(answer.sdp).media[0]
    wanted = [payload_type] if dtmf is None else [payload_type, dtmf]
    assert medium.formats == tuple(str(number) for number in wanted)
    assert medium.mapped("rtpmap")[str(payload_type)] == f"{codec}/8000"
    assert medium.protocol == lines.split()[2]


def test_capabilities_limit_the_choice():
    only_pcma = Capabilities(codecs=(PCMA,), dtmf=False)
    answer = answer_to(SESSION + AUDIO, only_pcma)
    assert (answer.codec, answer.dtmf_payload) == ("PCMA", None)
    assert "telephone-event" not in answer.sdp.decode()


HOLDS = [
    # session attribute, media attribute, connection; our direction
    ("", "", "192.0.2.1", "sendrecv"),
    ("", "sendrecv", "192.0.2.1", "sendrecv"),
    ("", "sendonly", "192.0.2.1", "recvonly"),
    ("", "recvonly", "192.0.2.1", "sendonly"),
    ("", "inactive", "192.0.2.1", "inactive"),
    ("sendonly", "", "192.0.2.1", "recvonly"),
    ("inactive", "sendrecv", "192.0.2.1", "sendrecv"),
    ("", "", "0.0.0.0", "recvonly"),
    ("", "sendonly", "0.0.0.0", "recvonly"),
    ("", "recvonly", "0.0.0.0", "inactive"),
    ("", "inactive", "0.0.0.0", "inactive"),
]


@pytest.mark.parametrize(("session", "media", "address", "direction"), HOLDS)
def test_hold_in_all_its_forms(session, media, address, direction):
    text = SESSION.replace("c=IN IP4 192.0.2.1", f"c=IN IP4 {address}")
    text += f"a={session}\r\n" if session else ""
    text += AUDIO + (f"a={media}\r\n" if media else "")
    answer = answer_to(text)
    assert answer.direction == direction
    assert SessionDescription.parse(answer.sdp).media[0].direction == direction
    assert answer.remote == (address, 4000)


def test_other_media_are_refused_in_their_place():
    answer = answer_to(
        SESSION + "m=video 5000 RTP/AVP 31 34\r\na=rtpmap:31 H261/90000\r\n" + AUDIO
        + "m=audio 6000 RTP/AVP 8\r\nm=image 7000 udptl t38\r\nm=audio 0 RTP/AVP 0\r\n"
    )  # fmt: skip
    media = SessionDescription.parse(answer.sdp).media
    assert [(medium.media, medium.port, medium.protocol) for medium in media] == [
        ("video", 0, "RTP/AVP"),
        ("audio", 20000, "RTP/AVP"),
        ("audio", 0, "RTP/AVP"),
        ("image", 0, "udptl"),
        ("audio", 0, "RTP/AVP"),
    ]
    assert media[0].formats == ("31", "34")


def test_second_audio_is_taken_when_the_first_one_is_secure():
    answer = answer_to(SESSION + "m=audio 1 RTP/SAVP 0\r\nm=audio 4 RTP/AVP 0\r\n")
    assert answer.remote == ("192.0.2.1", 4)
    assert [medium.port for medium in SessionDescription.parse(answer.sdp).media] == [0, 20000]


def test_timing_of_the_offer_is_repeated():
    answer = answer_to(SESSION.replace("t=0 0", "t=5 6\r\nt=7 8") + AUDIO)
    assert SessionDescription.parse(answer.sdp).timing == ["5 6", "7 8"]
    answer = answer_to(SESSION.replace("t=0 0\r\n", "") + AUDIO)
    assert SessionDescription.parse(answer.sdp).timing == ["0 0"]


def test_ipv6_on_both_sides():
    answer = answer_to(
        SESSION.replace("IP4 192.0.2.1", "IP6 2001:db8::1") + AUDIO,
        local=LocalMedia("2001:db8::9", 20000, 1, 1),
    )
    assert answer.remote == ("2001:db8::1", 4000)
    assert b"c=IN IP6 2001:db8::9\r\n" in answer.sdp


def test_connection_of_the_medium_wins():
    answer = answer_to(SESSION + AUDIO + "c=IN IP4 192.0.2.7\r\n")
    assert answer.remote == ("192.0.2.7", 4000)


@pytest.mark.parametrize(
    ("attributes", "capable", "rtcp", "mux"),
    [
        ("", True, ("192.0.2.1", 4001), False),
        ("a=rtcp:53020\r\n", True, ("192.0.2.1", 53020), False),
        ("a=rtcp:53020 IN IP4 192.0.2.8\r\n", True, ("192.0.2.8", 53020), False),
        ("a=rtcp-mux\r\n", False, ("192.0.2.1", 4001), False),
        ("a=rtcp-mux\r\na=rtcp:53020\r\n", True, ("192.0.2.1", 4000), True),
    ],
)
def test_rtcp_address(attributes, capable, rtcp, mux):
    answer = answer_to(SESSION + AUDIO + attributes, Capabilities(rtcp_mux=capable))
    assert (answer.rtcp, answer.rtcp_mux) == (rtcp, mux)
    assert (b"a=rtcp-mux" in answer.sdp) == mux


@pytest.mark.parametrize(
    ("attribute", "ptime"),
    [("", 20), ("a=ptime:30\r\n", 30), ("a=ptime:60\r\n", 20), ("a=ptime:x\r\n", 20)],
)
def test_packet_time_is_the_peers_wish_if_we_can(attribute, ptime):
    answer = answer_to(SESSION + AUDIO + attribute, Capabilities(ptimes_ms=(20, 30)))
    assert answer.ptime_ms == ptime
    assert f"a=ptime:{ptime}\r\n".encode() in answer.sdp


SECURE = Capabilities(srtp_required=True)
REFUSALS = [
    # offer, capabilities, status, code
    (SESSION, None, 488, 32102),
    (SESSION + "m=video 5000 RTP/AVP 31\r\n", None, 488, 32102),
    (SESSION + "m=audio 0 RTP/AVP 0\r\n", None, 488, 32102),
    (SESSION + "m=audio 4000 RTP/AVP 9 18\r\n", None, 488, 32102),
    (SESSION + "m=audio 4000 RTP/AVP 101\r\n" + DTMF, None, 488, 32102),
    (SESSION + "m=audio 4000 TCP/MRCPv2 0\r\n", None, 488, 32102),
    (SESSION + "m=audio 4000 RTP/SAVP 0\r\n", None, 488, 32207),
    (SESSION + "m=audio 4000 UDP/TLS/RTP/SAVPF 0\r\n", None, 488, 32207),
    (SESSION + "m=audio 4000 RTP/SAVP 0\r\nm=audio 4002 RTP/AVP 18\r\n", None, 488, 32102),
    (SESSION + AUDIO, SECURE, 488, 32208),
    (SESSION + "m=audio 4000 RTP/SAVP 0\r\n", SECURE, 488, 32207),
    (SESSION.replace("c=IN IP4 192.0.2.1\r\n", "") + AUDIO, None, 400, 32102),
    (SESSION.replace("192.0.2.1\r\nt", "host.example.net\r\nt") + AUDIO, None, 400, 32102),
    (SESSION + AUDIO + "c=IN IP4 224.1.1.1/127\r\n", None, 400, 32102),
    (SESSION + AUDIO + "a=rtcp:x\r\n", None, 400, 32102),
    (SESSION + AUDIO + "a=rtcp:1 IN IP4 h\r\n", None, 400, 32102),
]  # fmt: skip


@pytest.mark.parametrize(("text", "capabilities", "status", "code"), REFUSALS)
def test_refusals(text, capabilities, status, code):
    refusal = answer_to(text, capabilities)
    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.code) == (status, code)
    assert refusal.reason


def test_our_offer():
    assert make_offer(Capabilities(), LOCAL) == (
        b"v=0\r\no=- 77 3 IN IP4 198.51.100.9\r\ns=-\r\nc=IN IP4 198.51.100.9\r\nt=0 0\r\n"
        b"m=audio 20000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n"
        b"a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n"
    )


def test_two_of_us_agree():
    offer = make_offer(Capabilities(codecs=(PCMA, PCMU), rtcp_mux=True), LOCAL)
    other = LocalMedia("198.51.100.10", 30000, 1, 1)
    theirs = answer_to(offer.decode(), Capabilities(rtcp_mux=True), other)
    ours = accept_answer(offer, theirs.sdp)
    assert ours.sdp == offer
    assert (ours.codec, ours.payload_type, ours.dtmf_payload) == ("PCMA", 8, 101)
    assert ours.remote == ("198.51.100.10", 30000)
    assert theirs.remote == ("198.51.100.9", 20000)
    assert ours.rtcp_mux
    assert theirs.rtcp_mux


@pytest.mark.parametrize(
    ("media", "direction"),
    [("sendonly", "recvonly"), ("recvonly", "sendonly"), ("inactive", "inactive")],
)
def test_direction_of_the_answer_is_mirrored(media, direction):
    offer = make_offer(Capabilities(), LOCAL)
    answer = accept_answer(offer, (SESSION + AUDIO + f"a={media}\r\n").encode())
    assert answer.direction == direction


def test_answer_takes_only_what_was_offered():
    offer = make_offer(Capabilities(codecs=(PCMA,), dtmf=False), LOCAL)
    answer = accept_answer(offer, (SESSION + AUDIO).encode())
    assert (answer.codec, answer.dtmf_payload) == ("PCMA", None)
    refusal = accept_answer(offer, (SESSION + "m=audio 4000 RTP/AVP 0\r\n").encode())
    assert (refusal.status, refusal.code) == (488, 32102)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"garbage", 400),
        (SESSION.encode(), 488),
        (SESSION.encode() + b"m=audio 0 RTP/AVP 0\r\n", 488),
    ],
)
def test_bad_answers(body, status):
    refusal = accept_answer(make_offer(Capabilities(), LOCAL), body)
    assert isinstance(refusal, Refusal)
    assert refusal.status == status


ROWS = [
    "m=audio 4000 RTP/AVP 0 101",
    "m=audio 1 RTP/SAVP 0",
    "m=video 1 RTP/AVP 31",
    "a=rtcp:9",
    "a=rtcp-mux",
    "a=ptime:20",
    "a=inactive",
    "a=rtpmap:",
    "a=rtpmap:0",
    "a=rtpmap:0 PCMU/8000",
    "a=rtpmap:101 telephone-event/8000",
    "c=IN IP4 1.2.3.4",
    "c=IN IP6 ::",
]
fragments = st.lists(
    st.one_of(st.sampled_from(ROWS), st.text(max_size=10).map(lambda tail: f"a={tail}")), max_size=8
)


@given(fragments)
def test_whatever_is_offered_gets_an_answer_that_fits(rows):
    try:
        offer = SessionDescription.parse((SESSION + "\r\n".join(rows)).encode("utf-8", "replace"))
    except SdpError:
        return
    answer = negotiate(offer, Capabilities(), LOCAL)
    if isinstance(answer, Refusal):
        assert answer.status in (400, 488)
        return
    again = SessionDescription.parse(answer.sdp)
    assert [medium.media for medium in again.media] == [medium.media for medium in offer.media]
    assert sum(1 for medium in again.media if medium.port) == 1
