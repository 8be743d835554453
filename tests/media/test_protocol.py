import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipserver.media.protocol import (
    MAX_FRAME,
    FrameReader,
    ProtocolError,
    WorkerConfig,
    encode,
)
from sipserver.mediapool.pool import slices

messages = st.lists(
    st.dictionaries(st.text(max_size=5), st.none() | st.integers() | st.text() | st.booleans()),
    max_size=6,
)


@given(messages, st.integers(1, 20))
def test_messages_survive_any_cutting_of_the_stream(sent, size):
    stream = b"".join(encode(message) for message in sent)
    reader = FrameReader()
    got = []
    for start in range(0, len(stream), size):
        got += reader.feed(stream[start : start + size])
    assert got == sent


@pytest.mark.parametrize(
    "stream",
    [
        (MAX_FRAME + 1).to_bytes(4, "big"),
        b"\0\0\0\x02xx",
        b"\0\0\0\x02[]",
        b"\0\0\0\x02\xff\xff",
        b"\0\0\0\0",
        (100000).to_bytes(4, "big") + b"[" * 100000,
    ],
)
def test_nonsense_is_an_error(stream):
    with pytest.raises(ProtocolError):
        FrameReader().feed(stream)


def test_a_frame_too_long_is_not_sent():
    with pytest.raises(ProtocolError):
        encode({"x": "y" * MAX_FRAME})


def test_config_survives_the_channel_and_unknown_keys():
    config = WorkerConfig(port_min=1000, rtp_timeout_s=3.5, bind_ip6="")
    assert WorkerConfig.from_json({**config.to_json(), "later": 1}) == config


@pytest.mark.parametrize(
    ("low", "high", "count", "expected"),
    [
        (10000, 10003, 1, [(10000, 10003)]),
        (10001, 10004, 1, [(10002, 10003)]),
        (10000, 10011, 3, [(10000, 10003), (10004, 10007), (10008, 10011)]),
        (10000, 10012, 2, [(10000, 10005), (10006, 10011)]),
    ],
)
def test_workers_get_disjoint_slices_of_whole_pairs(low, high, count, expected):
    found = slices(WorkerConfig(port_min=low, port_max=high), count)
    assert [(part.port_min, part.port_max) for part in found] == expected


def test_a_range_too_small_is_an_error():
    with pytest.raises(ValueError, match="too few"):
        slices(WorkerConfig(port_min=10000, port_max=10003), 3)
