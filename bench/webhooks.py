"""Cost and latency of the webhook detour: node -> Celery on Redis -> HTTP -> reply at the node.

Starts a private Redis, one Celery worker process with an SQLite database of its own (attempt rows
are really written), and a trivial HTTP application, all on loopback; this process plays the node.
CPU is user + system time of each process from /proc, per fetch; the application is not counted.

    python bench/webhooks.py [--seconds 5] [--workers 1] [--json FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import uvloop

ROOT = Path(__file__).resolve().parent.parent
TICK = os.sysconf("SC_CLK_TCK")
BODY = b'<?xml version="1.0" encoding="UTF-8"?><Response><Say>Hello</Say><Hangup/></Response>'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n%s" % (
    len(BODY),
    BODY,
)
PARAMETERS = [
    ("CallSid", "CA00000000000000000000000000000002"),
    ("AccountSid", "AC00000000000000000000000000000001"),
    ("ApiVersion", "2010-04-01"),
    ("From", "sip:alice@pbx.example.net"),
    ("To", "sip:100@pbx.example.net"),
    ("Caller", "sip:alice@pbx.example.net"),
    ("Called", "sip:100@pbx.example.net"),
    ("CallStatus", "ringing"),
    ("Direction", "inbound"),
    ("SipDomain", "pbx.example.net"),
    ("SipDomainSid", "SD00000000000000000000000000000003"),
    ("SipUsername", "alice"),
    ("SipCallId", "a84b4c76e66710@192.0.2.10"),
    ("SipSourceIp", "192.0.2.10"),
    ("SipHeader_X-Customer", "42"),
]


class Application(asyncio.Protocol):
    """Answers each POST with the same document, without delay."""

    def __init__(self) -> None:
        self.buffer = b""

    def connection_made(self, transport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while True:
            head, separator, rest = self.buffer.partition(b"\r\n\r\n")
            if not separator:
                return
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            if len(rest) < length:
                return
            self.buffer = rest[length:]
            self.transport.write(ANSWER)


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Application, "127.0.0.1", port)
    await server.serve_forever()


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def wait_for_port(port: int) -> None:
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise TimeoutError(f"nothing listens on port {port}")


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def start(stack: ExitStack, command: list[str], **options) -> int:
    process = subprocess.Popen(command, cwd=ROOT, **options)

    def stop() -> None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    stack.callback(stop)
    return process.pid


class Rig:
    """Everything that runs, and the node's end of it."""

    def __init__(self, stack: ExitStack, workers: int) -> None:
        home = tempfile.mkdtemp(prefix="bench-webhooks-")
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        redis_port, self.port = free_port(), free_port()
        url = f"redis://127.0.0.1:{redis_port}/0"
        os.environ.update(
            SIPDOMAINS_ENV_FILE=os.devnull,
            SIPDOMAINS_HOME=home,
            DATABASE_URL=f"sqlite:///{home}/db.sqlite3",
            CELERY_BROKER_URL=url,
            BUS_URL=url,
            DJANGO_SETTINGS_MODULE="sipdomains.settings",
            PYTHONPATH=str(ROOT),
        )
        redis = start(
            stack,
            ["redis-server", "--port", str(redis_port), "--save", "", "--appendonly", "no"],
            stdout=subprocess.DEVNULL,
        )
        start(stack, [sys.executable, __file__, "--serve", str(self.port)])
        sys.path.insert(0, str(ROOT))
        import django

        django.setup()
        from django.core.management import call_command

        from sipdomains.models import Account

        call_command("migrate", verbosity=0)
        self.account = Account.objects.create(friendly_name="bench").sid
        wait_for_port(redis_port)
        wait_for_port(self.port)
        command = ["-A", "sipdomains.celery", "worker", "-P", "threads", "-c", "4", "-Q", "twiml"]
        command += ["-l", "WARNING", "--without-gossip", "--without-mingle", "--without-heartbeat"]
        self.pids = {"redis": [redis], "client": [os.getpid()], "worker": []}
        for number in range(workers):
            self.pids["worker"].append(
                start(stack, [sys.executable, "-m", "celery", *command, "-n", f"w{number}@bench"])
            )

    async def connect(self) -> None:
        self.failures = 0
        from sipdomains.bus import default_bus
        from sipdomains.celery import publish_fetches
        from sipserver.adapters.nodebus import NodeBus
        from sipserver.adapters.webhook_gateway import CeleryWebhookGateway

        bus = default_bus()
        self.gateway = CeleryWebhookGateway("bench-node", bus, publish_fetches)
        self.nodebus = NodeBus(
            bus,
            "bench-node",
            on_reply=self.gateway.receive,
            on_directory_changed=lambda domain: None,
        )
        await self.nodebus.start()

    async def close(self) -> None:
        await self.nodebus.stop()
        await asyncio.to_thread(self.gateway.close)

    async def fetch(self) -> float:
        began = time.perf_counter()
        reply = await self.gateway.fetch(
            call_sid="CA00000000000000000000000000000002",
            account_sid=self.account,
            url=f"http://127.0.0.1:{self.port}/voice?tenant=7",
            method="POST",
            parameters=PARAMETERS,
            session={},
            verify_tls=True,
        )
        if reply.error_code:
            self.failures += 1
        return time.perf_counter() - began

    def cpu(self) -> dict[str, float]:
        return {name: sum(map(cpu_seconds, pids)) for name, pids in self.pids.items()}


async def closed_loop(rig: Rig, concurrency: int, seconds: float) -> list[float]:
    until = time.perf_counter() + seconds

    async def one() -> list[float]:
        found = []
        while time.perf_counter() < until:
            found.append(await rig.fetch())
        return found

    return [
        item for part in await asyncio.gather(*(one() for _ in range(concurrency))) for item in part
    ]


async def open_loop(rig: Rig, rate: float, seconds: float) -> list[float]:
    """Poisson arrivals; lateness of our own timer counts as latency of nobody."""
    loop = asyncio.get_running_loop()
    chance = random.Random(7)
    due = loop.time()
    until = due + seconds
    tasks = []
    while due < until:
        await asyncio.sleep(max(0.0, due - loop.time()))
        tasks.append(loop.create_task(rig.fetch()))
        due += chance.expovariate(rate)
    return list(await asyncio.gather(*tasks))


async def measure(rig: Rig, name: str, work) -> dict[str, float | str]:
    tasks, failures = rig.gateway.counters["published"], rig.failures
    before, began = rig.cpu(), time.perf_counter()
    latencies = sorted(await work)
    elapsed = time.perf_counter() - began
    await asyncio.sleep(0.5)  # rows are written behind
    after = rig.cpu()
    count = len(latencies)
    cost = {key: (after[key] - before[key]) / count * 1000 for key in after}
    cuts = statistics.quantiles(latencies, n=100) if count > 1 else latencies * 99
    return {
        "case": name,
        "fetches": count,
        "failed": rig.failures - failures,
        "per_second": round(count / elapsed),
        "per_task": round(count / (rig.gateway.counters["published"] - tasks), 1),
        "p50_ms": round(cuts[49] * 1000, 2),
        "p95_ms": round(cuts[94] * 1000, 2),
        "p99_ms": round(cuts[98] * 1000, 2),
        **{f"{key}_cpu_ms": round(value, 3) for key, value in cost.items()},
        "total_cpu_ms": round(sum(cost.values()), 3),
    }


async def run(rig: Rig, seconds: float) -> list[dict[str, float | str]]:
    await rig.connect()
    try:
        await closed_loop(rig, 50, 1.5)  # warm: imports, connections, caches
        results = [
            await measure(rig, f"{n} at a time", closed_loop(rig, n, seconds))
            for n in (1, 20, 100, 300)
        ]
        results += [
            await measure(rig, f"{rate}/s", open_loop(rig, rate, seconds))
            for rate in (50, 200, 400, 600, 800)
        ]
    finally:
        await rig.close()
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=5.0, help="per case")
    parser.add_argument("--workers", type=int, default=1, help="worker processes")
    parser.add_argument("--json", type=Path, help="write the results here as well")
    options = parser.parse_args()
    if options.serve:
        uvloop.run(serve(options.serve))
        return
    with ExitStack() as stack:
        rig = Rig(stack, options.workers)
        results = uvloop.run(run(rig, options.seconds))
    columns = list(results[0])
    print(" | ".join(columns))
    for row in results:
        print(" | ".join(str(row[name]).rjust(len(name)) for name in columns))
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
