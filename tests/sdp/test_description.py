"""Session descriptions: RFC 8866."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipserver.sdp import limits
from sipserver.sdp.description import SdpError, SessionDescription, parse_connection

FULL = (
    b"v=0\r\n"
    b"o=jdoe 3724394400 3724394405 IN IP4 198.51.100.1\r\n"
    b"s=Call to J\xf6hn \xff\r\n"
    b"i=info\r\nu=http://example.com/\r\ne=a@b\r\np=+1\r\n"
    b"c=IN IP4 198.51.100.1\r\n"
    b"b=AS:64\r\n"
    b"t=3724394400 3724398000\r\n"
    b"r=604800 3600 0 90000\r\n"
    b"k=prompt\r\n"
    b"x=unknown\r\n"
    b"a=sendonly\r\n"
    b"a=group:BUNDLE 1 2\r\n"
    b"m=audio 49170/2 RTP/AVP 0 8 97 101\r\n"
    b"i=audio\r\n"
    b"c=IN IP6 2001:db8::1\r\n"
    b"a=rtpmap:97 iLBC/8000\r\n"
    b"a=rtpmap:101 telephone-event/8000\r\n"
    b"a=fmtp:101 0-15\r\n"
    b"a=recvonly\r\n"
    b"a=candidate:1 1 UDP 2130706431 203.0.113.141 8998 typ host\r\n"
    b"a=candidate:2 1 UDP 1694498815 192.0.2.3 45664 typ srflx\r\n"
    b"a=\r\n"
    b"m=image 0 udptl t38\r\n"
)
SHORT = b"v=0\r\no=- 1 2 IN IP4 h\r\ns=-\r\nt=0 0\r\n"


def test_everything_is_read_and_kept():
    description = SessionDescription.parse(FULL)
    assert bytes(description) == FULL
    assert description.origin == ("jdoe", 3724394400, 3724394405, "198.51.100.1")
    assert description.connection == "198.51.100.1"
    assert description.direction == "sendonly"
    assert description.timing == ["3724394400 3724398000"]
    assert description.attribute("group") == "BUNDLE 1 2"
    assert description.attribute("sendonly") == ""
    assert description.attribute("nothing") is None
    audio, image = description.media
    assert (audio.media, audio.port, audio.port_count, audio.protocol) == (
        "audio",
        49170,
        2,
        "RTP/AVP",
    )
    assert audio.formats == ("0", "8", "97", "101")
    assert audio.connection == "2001:db8::1"
    assert audio.direction == "recvonly"
    assert audio.mapped("rtpmap") == {"97": "iLBC/8000", "101": "telephone-event/8000"}
    assert audio.mapped("fmtp") == {"101": "0-15"}
    assert len(audio.attributes("candidate")) == 2
    assert audio.attribute("ptime") is None
    assert (image.port, image.connection, image.direction) == (0, None, None)


def test_blanks_too_many_are_forgiven():
    loose = SHORT.replace(b"o=-", b"o=Two Words") + b"m=audio  1 RTP/AVP 0 8 \r\n"
    description = SessionDescription.parse(loose)
    assert description.origin.username == "Two Words"
    assert description.media[0].formats == ("0", "8")


def test_lf_line_ends_and_a_missing_last_one_are_accepted():
    loose = FULL.replace(b"\r\n", b"\n")[:-1]
    assert bytes(SessionDescription.parse(loose)) == FULL


BAD = [
    b"", b"\r\n", b"v=1\r\n", b"hello", b"o=- 1 1 IN IP4 h\r\nv=0\r\n", b"v=0\r\n",
    b"v=0\r\no=- 1 1 IN IP4\r\n", b"v=0\r\no=- x 1 IN IP4 h\r\n", b"v=0\r\no=- 1 -1 IN IP4 h\r\n",
    SHORT + b"nonsense\r\n", SHORT + b"\r\na=x\r\n", SHORT + b"A=b\r\n", SHORT + b"a\r\n",
    SHORT + b"a=\0\r\n", SHORT + b"a=b\rc\r\n", SHORT + b"m=audio\r\n",
    SHORT + b"m=audio 1 RTP/AVP\r\n",
    SHORT + b"m=audio x RTP/AVP 0\r\n", SHORT + b"m=audio 65536 RTP/AVP 0\r\n",
    SHORT + b"m=audio -1 RTP/AVP 0\r\n", SHORT + b"m=audio 1/x RTP/AVP 0\r\n",
    SHORT + b"a=x\r\n" * limits.MAX_LINES, SHORT + b"a=" + b"x" * limits.MAX_LINE_SIZE,
    SHORT + b"m=audio 1 RTP/AVP 0\r\n" * (limits.MAX_MEDIA + 1),
    SHORT + b"m=audio 1 RTP/AVP" + b" 0" * (limits.MAX_FORMATS + 1), b"v=0\r\n" * 5000,
]  # fmt: skip


@pytest.mark.parametrize("body", BAD, ids=[f"{number}" for number in range(len(BAD))])
def test_bad_descriptions_are_refused(body):
    with pytest.raises(SdpError):
        SessionDescription.parse(body)


@pytest.mark.parametrize(
    ("value", "address"),
    [("IN IP4 192.0.2.1", "192.0.2.1"), ("IN IP6 2001:DB8::1", "2001:db8::1"),
     ("in ip4 0.0.0.0", "0.0.0.0")],
)  # fmt: skip
def test_connection_addresses(value, address):
    assert parse_connection(value) == address


@pytest.mark.parametrize(
    "value",
    ["", "IN IP4", "IN IP4 host.example.net", "IN IP4 224.2.1.1/127", "IN IP4 224.2.1.1",
     "IN IP6 ff02::1", "IN IP6 192.0.2.1", "IN IP4 ::1", "ATM X y", "IN IP6 fe80::1%eth0",
     "IN IP4 1.2.3.4 5"],
)  # fmt: skip
def test_unusable_connection_addresses_are_refused(value):
    with pytest.raises(SdpError):
        parse_connection(value)


text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"), max_size=20)
lines = st.lists(st.tuples(st.sampled_from("abciktrxz"), text), max_size=6)


@given(lines, st.lists(st.tuples(st.integers(0, 65535), lines), max_size=3))
def test_any_description_survives_the_round_trip(session, media):
    rows = ["v=0", "o=- 1 2 IN IP4 h", *(f"{kind}={value}" for kind, value in session)]
    for port, rest in media:
        rows += [f"m=audio {port} RTP/AVP 0", *(f"{kind}={value}" for kind, value in rest)]
    body = "".join(f"{row}\r\n" for row in rows).encode()
    assert bytes(SessionDescription.parse(body)) == body


@given(st.one_of(st.binary(max_size=100), st.binary(max_size=100).map(lambda tail: SHORT + tail)))
def test_no_octets_break_the_parser(body):
    try:
        description = SessionDescription.parse(body)
    except SdpError:
        return
    bytes(description)
    for medium in description.media:
        _ = medium.direction, medium.mapped("rtpmap")
        try:
            _ = medium.connection
        except SdpError:
            pass
