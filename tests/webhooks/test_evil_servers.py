"""Servers that are slow, broken or hostile: each costs bounded time and memory, and has a code."""

import asyncio
import gzip
import time
import zlib

import pytest

from tests.webhooks.peers import (
    XML,
    Application,
    Caller,
    answer,
    listening,
    make_certificate,
    read_request,
    server_context,
)
from twimlrunner.webhooks.config import WebhookConfig


@pytest.fixture
async def caller():
    caller = Caller()
    yield caller
    await caller.client.aclose()


def raw(data: bytes, *, then_wait: bool = False):
    async def handler(reader, writer):
        await read_request(reader)
        writer.write(data)
        await writer.drain()
        if then_wait:
            await asyncio.sleep(30)

    return handler


def trickle(head: bytes, drop: bytes):
    async def handler(reader, writer):
        await read_request(reader)
        writer.write(head)
        while True:
            writer.write(drop)
            await writer.drain()
            await asyncio.sleep(0.02)

    return handler


HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", 11205),
        (b"HTTP/1.1 200", 11205),
        (HEAD + b"Content-Length: 100\r\n\r\nabc", 11205),
        (CHUNKED + b"5\r\nab", 11205),
        (b"SSH-2.0-OpenSSH_9.2\r\n", 11206),
        (b"\x16\x03\x01\x02\x00", 11206),
        (HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 11206),
        (HEAD + b"Content-Length: -1\r\n\r\n", 11206),
        (CHUNKED + b"zz\r\nab", 11206),
        (HEAD + b"Content-Encoding: br\r\nContent-Length: 1\r\n\r\nx", 11206),
        (HEAD + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello", 11206),
        (HEAD + b"X-A: " + b"a" * 40_000 + b"\r\nContent-Length: 0\r\n\r\n", 11251),
        (HEAD + b"X-A: 1\r\n" * 300 + b"Content-Length: 0\r\n\r\n", 11251),
        (b"HTTP/1.1 101 Go\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nabc", 11251),
        (CHUNKED + b"0\r\n\r\n", 11770),
        (HEAD + b"Content-Length: 65537\r\n\r\n" + b"x" * 65537, 11750),
        (CHUNKED + b"10001\r\n" + b"x" * 65537 + b"\r\n0\r\n\r\n", 11750),
        (HEAD + b"\r\n" + b"x" * 70_000, 11750),
    ],
)
async def test_broken_answers(caller, data, code):
    async with listening(raw(data)) as port:
        reply = await caller.fetch(f"http://127.0.0.1:{port}/#rc=0")
    assert (reply.error_code, reply.attempts) == (code, 1)
    assert caller.attempts[0].error_code == code


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (HEAD + b"\r\n" + XML, XML),  # ends with the connection
        (b"HTTP/1.0 200 OK\r\n\r\n" + XML, XML),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + answer(), XML),
        (CHUNKED + b"3\r\n<Re\r\n8\r\nsponse/>\r\n0\r\nX-Trailer: 1\r\n\r\n", XML),
        (answer(204, b""), b""),
        (answer(200, b""), b""),
        (answer(200, gzip.compress(XML), ("Content-Encoding", "gzip")), XML),
        (answer(200, zlib.compress(XML), ("Content-Encoding", "deflate")), XML),
        (answer(200, b"x" * 65536), b"x" * 65536),
        (answer(200, bytes(range(256))), bytes(range(256))),
        (answer() + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", XML),
        (answer() + b"garbage", XML),
    ],
)
async def test_unusual_but_right_answers(caller, data, body):
    async with listening(raw(data)) as port:
        replies = [await caller.fetch(f"http://127.0.0.1:{port}/") for _ in range(2)]
    assert [reply.error_code for reply in replies] == [0, 0]
    assert [reply.body.encode("latin-1") for reply in replies] == [body, body]


async def test_a_decompression_bomb_counts_decoded_bytes(caller):
    bomb = gzip.compress(b"\0" * 50_000_000)
    async with listening(raw(answer(200, bomb, ("Content-Encoding", "gzip")))) as port:
        reply = await caller.fetch(f"http://127.0.0.1:{port}/")
    assert reply.error_code == 11750


async def test_an_endless_body_is_cut(caller):
    async def endless(reader, writer):
        await read_request(reader)
        writer.write(HEAD + b"\r\n")
        while True:
            writer.write(b"x" * 10_000)
            await writer.drain()

    async with listening(endless) as port:
        reply = await caller.fetch(f"http://127.0.0.1:{port}/")
    assert reply.error_code == 11750


@pytest.mark.parametrize(
    ("handler", "fragment", "code"),
    [
        (raw(b"", then_wait=True), "rt=150", 11200),
        (raw(HEAD, then_wait=True), "rt=150", 11200),
        (trickle(HEAD, b"X-A: 1\r\n"), "rt=150", 11200),
        (trickle(HEAD + b"Content-Length: 5000\r\n\r\n", b"x"), "rt=1500&tt=2000", 11203),
        (raw(b"", then_wait=True), "tt=150", 11203),
        (raw(b"", then_wait=True), "rt=1000&rp=rt&rc=5&tt=2500", 11203),
    ],
)
async def test_slow_servers_are_left(caller, handler, fragment, code):
    began = time.monotonic()
    async with listening(handler) as port:
        reply = await caller.fetch(f"http://127.0.0.1:{port}/#{fragment}")
    assert reply.error_code == code
    assert time.monotonic() - began < 10  # 15 s by default
    assert caller.attempts[-1].error_code == code


async def test_the_deadline_of_the_call_bounds_everything(caller):
    async with listening(raw(b"", then_wait=True)) as port:
        reply = await caller.fetch(f"http://127.0.0.1:{port}/", seconds=0.2)
    assert reply.error_code == 11200


async def test_a_connection_that_never_opens_is_tried_twice(caller):
    async with listening(raw(b"", then_wait=True)) as port:  # accepts, but never speaks TLS
        reply = await caller.fetch(f"https://127.0.0.1:{port}/#ct=100")
    assert (reply.error_code, reply.attempts) == (11201, 2)


# --- TLS ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pki")
    root_path, root = make_certificate(folder)
    return {
        "ca": root_path,
        "good": make_certificate(folder, "localhost", issuer=root)[0],
        "address": make_certificate(folder, "127.0.0.1", issuer=root)[0],
        "name": make_certificate(folder, "other.example", issuer=root)[0],
        "expired": make_certificate(folder, "localhost", days=-1, issuer=root)[0],
        "self-signed": make_certificate(folder, "localhost")[0],
    }


@pytest.mark.parametrize(
    ("certificate", "host", "fragment", "code"),
    [
        ("good", "localhost", "", 0),
        ("good", "localhost", "#sni=n", 0),
        ("address", "127.0.0.1", "", 0),
        ("address", "127.0.0.1", "#sni=n", 0),
        ("name", "localhost", "", 11235),
        ("name", "localhost", "#sni=n", 11235),
        ("good", "127.0.0.1", "", 11235),
        ("expired", "localhost", "", 11236),
        ("self-signed", "localhost", "", 11237),
    ],
)
async def test_certificates(pki, certificate, host, fragment, code):
    caller = Caller(WebhookConfig(ca_file=str(pki["ca"])))
    context = server_context(pki[certificate])
    names = []
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    async with listening(Application(answer()), context) as port:
        reply = await caller.fetch(f"https://{host}:{port}/{fragment}")
        trusting = await caller.fetch(f"https://{host}:{port}/{fragment}", verify_tls=False)
    assert (reply.error_code, trusting.error_code) == (code, 0)
    expected = "localhost" if host == "localhost" and not fragment else None
    assert set(names) == {expected}
    await caller.client.aclose()


async def test_plain_http_on_an_https_url(caller):
    async def plain(reader, writer):
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    async with listening(plain) as port:
        reply = await caller.fetch(f"https://127.0.0.1:{port}/")
    assert reply.error_code == 11206


async def test_a_handshake_that_is_cut(caller):
    async def cut(reader, writer):
        await reader.read(10)

    async with listening(cut) as port:
        reply = await caller.fetch(f"https://127.0.0.1:{port}/")
    assert reply.error_code == 11220
