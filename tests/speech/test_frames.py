import asyncio
import json
import subprocess
import sys

import pytest

from twimlrunner.speech.config import PromptConfig, SiteEngine
from twimlrunner.speech.frames import MAX_FRAME, FrameError, chunk_from_json, decode, encode, read


def fed(data):
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return reader


async def test_frames_follow_one_another():
    reader = fed(encode({"id": 1, "text": "grüße"}) + encode({"id": 2}))
    assert await read(reader) == {"id": 1, "text": "grüße"}
    assert await read(reader) == {"id": 2}
    with pytest.raises(asyncio.IncompleteReadError):
        await read(reader)


async def test_a_cut_frame_is_the_end():
    with pytest.raises(asyncio.IncompleteReadError):
        await read(fed(encode({"id": 1})[:-1]))


@pytest.mark.parametrize("data", [b"\xff\xff\xff\xff", b"\0\0\0\1{", b"\0\0\0\2[]", b"\0\0\0\0"])
async def test_bad_frames_are_refused(data):
    with pytest.raises(FrameError):
        await read(fed(data))


def test_too_large_a_frame_is_refused():
    with pytest.raises(FrameError):
        encode({"text": "x" * MAX_FRAME})


@pytest.mark.parametrize(
    "data", [{}, {"key": "k"}, {"key": "k", "parts": [["x"]]}, {"key": "k", "parts": 7}]
)
def test_bad_chunks_are_refused(data):
    with pytest.raises(FrameError):
        chunk_from_json(data)


def test_decode_wants_an_object():
    with pytest.raises(FrameError):
        decode(b"7")


@pytest.mark.integration
@pytest.mark.parametrize(
    "first", [encode({"v": 99, "op": "hello"}), b"\xff\xff\xff\xffgarbage", b""]
)
def test_a_worker_that_is_not_greeted_properly_ends(first):
    import socket

    ours, theirs = socket.socketpair()
    with ours, theirs:
        number = str(theirs.fileno())
        command = [sys.executable, "-m", "twimlrunner.speech.worker", number]
        worker = subprocess.Popen(command, pass_fds=[theirs.fileno()], stderr=subprocess.DEVNULL)
        theirs.close()
        ours.sendall(first)
        if not first:
            ours.close()
        assert worker.wait(10) == 1


def test_the_configuration_travels_as_json():
    config = PromptConfig(
        "/x",
        allow_networks=("10.0.0.0/8",),
        site_engines={"acme": SiteEngine("a:B", "1", {"en": "x"})},
        environment=("KEY",),
    )
    assert PromptConfig.from_json(decode(json.dumps(config.to_json()).encode())) == config
