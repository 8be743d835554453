"""Workers as processes: placement, ports, death on either side."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sipserver.media import protocol
from sipserver.mediapool import MediaPool, NoMedia, worker_handle
from tests.media.conftest import CONFIG, Events, Parameters

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]


def gone(pid):
    """The process has ended (or is a zombie nobody has reaped)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


async def until(condition, timeout=30.0):
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_killed_worker_loses_its_sessions_and_is_replaced(leg, pool, peer, wav):
    session, events = leg
    first = pool.details[0]["pid"]
    play, queued = session.play([wav(80000)]), session.play([wav(80000)])
    digits = asyncio.create_task(session.send_digits("1"))
    await peer.count(2)
    os.kill(first, signal.SIGKILL)
    assert [await play.wait(), await queued.wait(), await digits] == ["lost"] * 3
    assert events.named("lost") == [{}]
    assert await session.close() == {}
    assert await session.play([wav(160)]).wait() == "lost"
    with pytest.raises(NoMedia):
        await session.connect(Parameters(peer.address))
    await until(lambda: pool.load.workers == 1)
    assert pool.details[0]["pid"] != first
    assert pool.restarts == 1
    again = await pool.open("ip4", Events())
    await again.connect(Parameters(peer.address))
    assert await again.play([wav(160)]).wait() == "end"


async def test_a_dying_worker_fails_what_is_being_opened(pool):
    os.kill(pool.details[0]["pid"], signal.SIGSTOP)
    opening = asyncio.create_task(pool.open("ip4", Events()))
    await asyncio.sleep(0)
    os.kill(pool.details[0]["pid"], signal.SIGKILL)
    with pytest.raises(NoMedia):
        await opening
    with pytest.raises(NoMedia):
        await pool.open("ip4", Events())


async def test_a_hanging_worker_is_killed(monkeypatch):
    monkeypatch.setattr(worker_handle, "_PING_INTERVAL", 0.05)
    monkeypatch.setattr(worker_handle, "_PONG_TIMEOUT", 2.0)
    pool = MediaPool(CONFIG, workers=1)
    await pool.start()
    events = Events()
    await pool.open("ip4", events)
    os.kill(pool.details[0]["pid"], signal.SIGSTOP)
    await events.wait("lost")
    await until(lambda: pool.restarts >= 1)
    await pool.stop()


async def test_restarting_is_tried_until_it_succeeds(pool, monkeypatch, caplog):
    monkeypatch.setattr(worker_handle.sys, "executable", "/bin/false")
    os.kill(pool.details[0]["pid"], signal.SIGKILL)
    await until(lambda: caplog.text.count("does not start") >= 2)
    monkeypatch.undo()
    await until(lambda: pool.load.workers == 1)
    assert pool.restarts == 1
    assert caplog.text.count("died with") == 1
    await (await pool.open("ip4", Events())).close()


async def test_a_worker_that_cannot_start_is_an_error(monkeypatch):
    monkeypatch.setattr(worker_handle.protocol, "VERSION", 99)
    pool = MediaPool(CONFIG, workers=1)
    with pytest.raises(worker_handle.WorkerLost):
        await pool.start()
    assert pool.load.workers == 0


async def test_stop_ends_the_workers_and_what_they_play(peer, wav):
    pool = MediaPool(CONFIG, workers=2)
    await pool.start()
    pids = [worker["pid"] for worker in pool.details]
    events = Events()
    session = await pool.open("ip4", events)
    await session.connect(Parameters(peer.address))
    play = session.play([wav(80000)])
    await pool.stop()
    assert await play.wait() == "lost"
    assert all(gone(pid) for pid in pids)
    with pytest.raises(NoMedia):
        await pool.open("ip4", Events())


async def test_sessions_are_spread_over_the_workers():
    pool = MediaPool(CONFIG, workers=2)
    await pool.start()
    sessions = [await pool.open("ip4", Events()) for _ in range(6)]
    middle = (CONFIG.port_min + CONFIG.port_max + 1) // 2
    assert sum(session.port < middle for session in sessions) == 3
    assert all(session.port % 2 == 0 for session in sessions)
    assert pool.load.sessions == 6
    for session in sessions:
        await session.close()
    assert pool.load.sessions == 0
    await pool.stop()


async def test_ports_return_after_close_and_nothing_leaks():
    pool = MediaPool(replace(CONFIG, port_max=CONFIG.port_min + 9), workers=1)
    await pool.start()
    descriptors = Path(f"/proc/{pool.details[0]['pid']}/fd")
    seen = set()
    for turn in range(1000):
        session = await pool.open("ip4", Events())
        await session.connect(Parameters(("127.0.0.1", 9)))
        seen.add(session.port)
        await session.close()
        if turn == 20:
            before = len(list(descriptors.iterdir()))
    assert len(list(descriptors.iterdir())) == before
    assert len(seen) <= 5
    everything = [await pool.open("ip4", Events()) for _ in range(5)]
    with pytest.raises(NoMedia, match="no-port"):
        await pool.open("ip4", Events())
    await everything[0].close()
    assert (await pool.open("ip4", Events())).port == everything[0].port
    assert (await pool.open("ip6", Events())).port in range(CONFIG.port_min, CONFIG.port_min + 10)
    await pool.stop()


async def test_a_port_rests_before_it_is_used_again():
    pool = MediaPool(replace(CONFIG, port_max=CONFIG.port_min + 1, port_cooldown_s=2.0), workers=1)
    await pool.start()
    await (await pool.open("ip4", Events())).close()
    with pytest.raises(NoMedia):
        await pool.open("ip4", Events())

    async def reopen():
        while True:
            try:
                return await pool.open("ip4", Events())
            except NoMedia:
                await asyncio.sleep(0.02)

    async with asyncio.timeout(30):
        assert (await reopen()).port == CONFIG.port_min
    await pool.stop()


async def test_a_reused_port_knows_nothing_of_the_call_before(peer, wav):
    pool = MediaPool(replace(CONFIG, port_max=CONFIG.port_min + 1), workers=1)
    await pool.start()
    first_events, events = Events(), Events()
    first = await pool.open("ip4", first_events)
    await first.connect(Parameters(peer.address))
    peer.send(first.port, 1)
    await first_events.wait("first_packet")
    await first.close()
    peer.send(first.port, 2)
    second = await pool.open("ip4", events)
    await second.connect(Parameters(peer.address))
    assert await second.play([wav(160)]).wait() == "end"
    assert events.all == []
    assert (await second.close())["packets_received"] == 0
    await pool.stop()


async def test_ports_that_others_hold_are_passed_over():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", CONFIG.port_min + 1))
        pool = MediaPool(replace(CONFIG, port_max=CONFIG.port_min + 3), workers=1)
        await pool.start()
        assert (await pool.open("ip4", Events())).port == CONFIG.port_min + 2
        with pytest.raises(NoMedia):
            await pool.open("ip4", Events())
        await pool.stop()


async def test_a_family_not_bound_is_not_offered():
    pool = MediaPool(replace(CONFIG, bind_ip6=""), workers=1)
    await pool.start()
    with pytest.raises(NoMedia):
        await pool.open("ip6", Events())
    await pool.stop()


async def test_close_twice_gives_the_same_statistics(pool, peer, wav):
    session = await pool.open("ip4", Events())
    await session.connect(Parameters(peer.address))
    play = session.play([wav(80000)])
    await peer.count(3)
    first, second = await asyncio.gather(session.close(), session.close())
    assert first == second == await session.close()
    assert set(first) == set(protocol.STATS_FIELDS)
    assert await play.wait() == "stopped"
    assert await session.play([wav(160)]).wait() == "stopped"


async def test_load_is_reported(pool):
    assert set(pool.details[0]) == {"pid", *protocol.LOAD_FIELDS}
    load = pool.load
    assert (load.workers, load.sessions, load.late) == (1, 0, 0.0)
    assert load.free_ports == 100


NODE = """
import asyncio, sys
from sipserver.mediapool import MediaPool, WorkerConfig

async def main():
    pool = MediaPool(WorkerConfig(port_min=41000, port_max=41010, nice=0), workers=1)
    await pool.start()
    print(pool.details[0]["pid"], flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_a_worker_leaves_when_its_node_is_killed():
    node = subprocess.Popen([sys.executable, "-c", NODE], cwd=ROOT, stdout=subprocess.PIPE)
    worker = int(node.stdout.readline())
    assert not gone(worker)
    node.kill()
    node.wait()
    node.stdout.close()
    await until(lambda: gone(worker))


class Channel:
    """The node's end of the channel, by hand."""

    def __init__(self):
        self.sock, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "sipserver.media.worker", str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                cwd=ROOT,
                stderr=subprocess.PIPE,
            )
        self.sock.settimeout(30)
        self.reader = protocol.FrameReader()
        self.got = []

    def send(self, number, command, **arguments):
        message = {"id": number, "command": command, **arguments}
        self.sock.sendall(protocol.encode(message))

    def receive(self):
        while not self.got:
            self.got += self.reader.feed(self.sock.recv(65536))
        return self.got.pop(0)

    def ask(self, number, command, **arguments):
        self.send(number, command, **arguments)
        return self.receive()


@pytest.fixture
def channel():
    channel = Channel()
    yield channel
    channel.sock.close()
    channel.process.wait(30)
    channel.process.stderr.close()


CONNECT = {
    "host": "127.0.0.1",
    "port": 9,
    "codec": "PCMU",
    "payload_type": 0,
    "dtmf_payload": None,
    "ptime_ms": 20,
    "direction": "sendrecv",
}


def test_one_reply_for_each_command(channel, wav):
    failed = [
        channel.ask(1, "open", session=1, family="ip4"),  # before hello
        channel.ask(2, "hello", version=99, config={}),
        channel.ask(3, "hello", config={}),
    ]
    assert [reply["error"] for reply in failed] == ["bad-command", "version", "bad-command"]
    hello = channel.ask(4, "hello", version=protocol.VERSION, config=CONFIG.to_json())
    assert hello == {"id": 4, "ok": True, "version": 1, "pid": channel.process.pid}
    opened = channel.ask(5, "open", session=1, family="ip4")
    assert opened["ok"]
    assert channel.ask(5, "open", session=1, family="ip4") == opened  # repeated, not run again
    table = [
        ("open", {"session": 1, "family": "ip4"}, "bad-command"),
        ("open", {"session": 2, "family": "ip5"}, "no-port"),
        ("dance", {"session": 1}, "bad-command"),
        ("play", {"session": 9, "op": 1, "files": [], "more": False}, "no-session"),
        ("play", {"session": 1, "op": 1, "files": "x", "more": False}, "bad-command"),
        ("play", {"session": 1, "op": 1}, "bad-command"),
        ("stop", {"session": 1, "op": 7}, "no-operation"),
        ("extend", {"session": 1, "op": 7, "files": [], "more": False}, "no-operation"),
        ("send_digits", {"session": 1, "op": 2, "digits": "x"}, "bad-command"),
        ("send_digits", {"session": 1, "op": 2, "digits": "1" * 600}, "bad-command"),
        ("connect", {**CONNECT, "session": 1, "port": None}, "bad-command"),
        ("ringback", {"session": 1, "op": 3, "country": "xx"}, "bad-command"),
        ("bridge", {"session": 1, "other": 1, "swallow": ""}, "bad-command"),
        ("bridge", {"session": 1, "other": 9, "swallow": ""}, "no-session"),
        ("bridge", {"session": 9, "other": 1, "swallow": ""}, "no-session"),
        ("bridge", {"session": 1, "other": 1, "swallow": None}, "bad-command"),
        ("unbridge", {"session": 9}, "no-session"),
    ]
    for number, (command, arguments, error) in enumerate(table, 10):
        reply = channel.ask(number, command, **arguments)
        assert reply == {"id": number, "ok": False, "error": error}, command


def test_each_operation_ends_once_and_events_are_numbered(channel, wav):
    channel.ask(1, "hello", version=protocol.VERSION, config=CONFIG.to_json())
    channel.ask(2, "open", session=1, family="ip4")
    channel.ask(3, "connect", session=1, **CONNECT)
    channel.send(4, "play", session=1, op=1, files=["/missing"], more=False)
    channel.send(5, "play", session=1, op=2, files=[wav(160)], more=False)
    channel.send(6, "play", session=1, op=3, files=[wav(160)], more=True)
    channel.send(7, "play", session=1, op=4, files=[wav(160)], more=False)
    channel.send(8, "stop", session=1, op=4)
    messages = [channel.receive() for _ in range(8)]
    channel.send(9, "close", session=1)
    messages += [channel.receive() for _ in range(2)]
    events = [message for message in messages if "event" in message]
    assert [event["seq"] for event in events] == [1, 2, 3, 4]
    assert {event["op"]: event["cause"] for event in events} == {
        1: "failed",
        2: "end",
        3: "stopped",
        4: "stopped",
    }
    assert sorted(message["id"] for message in messages if "id" in message) == [4, 5, 6, 7, 8, 9]
    assert messages[-1]["id"] == 9  # the last word
    reply = channel.ask(10, "play", session=1, op=5, files=[], more=False)
    assert reply["error"] == "no-session"


@pytest.mark.parametrize("end", ["closed", "nonsense"])
def test_the_worker_leaves_with_the_channel(channel, end):
    channel.ask(1, "hello", version=protocol.VERSION, config=CONFIG.to_json())
    if end == "closed":
        channel.sock.close()
    else:
        channel.sock.sendall(b"\0\0\0\x02[]")
    assert channel.process.wait(30) == (0 if end == "closed" else 1)


def test_the_worker_ignores_the_signals_of_the_terminal(channel):
    channel.ask(1, "hello", version=protocol.VERSION, config=CONFIG.to_json())
    channel.process.send_signal(signal.SIGINT)
    channel.process.send_signal(signal.SIGTERM)
    assert channel.ask(2, "ping")["ok"]


def test_the_worker_loads_neither_django_nor_asyncio():
    code = "import sys, json, sipserver.media.worker; print(json.dumps(sorted(sys.modules)))"
    output = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)
    heavy = {"django", "asyncio", "logging", "sipserver.sip", "sipserver.calls"}
    assert not heavy & set(json.loads(output.stdout))
