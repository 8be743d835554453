"""Stream framing (RFC 3261 18.3, RFC 5626 3.5.1)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipserver.sip import limits
from sipserver.sip.errors import RemoteProtocolError
from sipserver.sip.framing import KeepAlive, StreamFramer

HEAD = (
    b"OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\nFrom: <sip:f@b>;tag=1\r\n"
    b"To: <sip:a@b>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\n"
)
EMPTY = HEAD + b"Content-Length: 0\r\n\r\n"
COMPACT = HEAD + b"l :\t5\r\n\r\nhello"
FOLDED = HEAD + b"CONTENT-LENGTH:\r\n 13 \r\nX: y\r\n\r\nA: b\r\n\r\nmore!"
LAST = b"SIP/2.0 200 OK\r\nContent-Length: 2\r\n\r\n\r\n"


def outcome(chunks):
    framer = StreamFramer()
    frames = []
    try:
        for chunk in chunks:
            frames += framer.feed(chunk)
        frames += framer.feed(b"")
    except RemoteProtocolError as error:
        return frames, (error.message, error.status_hint)
    return frames, None


def test_messages_and_pings_are_cut_out():
    stream = b"\r\n\r\n" + EMPTY + b"\r\n" + COMPACT + b"\r\n\r\n\r\n" + FOLDED + LAST + EMPTY
    frames, error = outcome([stream])
    assert error is None
    assert frames == [KeepAlive.PING, EMPTY, COMPACT, KeepAlive.PING, FOLDED, LAST, EMPTY]


pieces = st.one_of(
    st.sampled_from([EMPTY, COMPACT, FOLDED, LAST, b"\r\n", b"\r\n\r\n", b"\r\n\r\n\r\n", b"\r"]),
    st.sampled_from([HEAD + b"\r\n", HEAD + b"Content-Length: x\r\n\r\n", b"garbage\r\n\r\n"]),
    st.binary(max_size=10),
)


@given(st.lists(pieces, max_size=6).map(b"".join), st.lists(st.integers(1, 40), min_size=1))
def test_result_does_not_depend_on_the_chunks(stream, sizes):
    chunks, at, turn = [], 0, 0
    while at < len(stream):
        size = sizes[turn % len(sizes)]
        chunks.append(stream[at : at + size])
        at, turn = at + size, turn + 1
    whole = outcome([stream])
    assert outcome(chunks) == whole
    assert outcome([bytes([octet]) for octet in stream]) == whole


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (HEAD + b"\r\n", 400),
        (HEAD + b"Content-Length: -1\r\n\r\n", 400),
        (HEAD + b"Content-Length: 1x\r\n\r\n", 400),
        (HEAD + b"Content-Length:\r\n\r\n", 400),
        (HEAD + b"Content-Length: 999999999999999999999999\r\n\r\n", 400),
        (HEAD + b"Content-Length: 65535\r\n\r\n", 513),
    ],
)
def test_stream_without_usable_length_is_answered_and_given_up(head, status):
    framer = StreamFramer()
    with pytest.raises(RemoteProtocolError) as caught:
        framer.feed(head)
    assert caught.value.status_hint == status
    assert caught.value.request is not None
    assert framer.failed
    with pytest.raises(RemoteProtocolError):
        framer.feed(EMPTY)


def test_messages_before_the_bad_spot_are_not_lost():
    framer = StreamFramer()
    assert framer.feed(EMPTY + HEAD + b"\r\n") == [EMPTY]
    assert framer.failed
    with pytest.raises(RemoteProtocolError):
        framer.feed(b"")


def test_endless_head_is_cut_off():
    framer = StreamFramer()
    assert framer.feed(b"x" * limits.MAX_HEAD_SIZE) == []
    with pytest.raises(RemoteProtocolError):
        framer.feed(b"x" * 4)
    assert not framer.in_message


def test_in_message_tells_a_slow_sender_from_an_idle_one():
    framer = StreamFramer()
    assert not framer.in_message
    framer.feed(b"\r\n")
    assert not framer.in_message
    framer.feed(EMPTY[:9])
    assert framer.in_message
    framer.feed(EMPTY[9:])
    assert not framer.in_message


@given(st.binary(max_size=300))
def test_no_octets_break_the_framer(stream):
    outcome([stream])
