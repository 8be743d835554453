#!/usr/bin/env python
"""The main job: INVITE, 407, INVITE, webhook, 200, ACK, BYE, at several rates of calls.

Starts everything as production does (node, Celery worker, Redis, SQLite or DATABASE_URL) beside a
trivial HTTP application, and lets SIPp, a C program, place the calls. Prints CPU milliseconds per
call and process, calls per core, and latencies INVITE to 180 and 180 to 200.

    python bench/calls.py --rates 20,50,100,200 --seconds 15
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DOMAIN, USER, PASSWORD = "bench.example.net", "bench", "Bench9Password"
DOCUMENT = b"<Response><Hangup/></Response>"


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# --- the application -----------------------------------------------------------------------


class _Answer(asyncio.Protocol):
    """Answers every request on a kept connection with the same document."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while b"\r\n\r\n" in self.buffer:
            head, _, rest = self.buffer.partition(b"\r\n\r\n")
            length = 0
            for line in head.split(b"\r\n"):
                if line[:15].lower() == b"content-length:":
                    length = int(line[15:])
            if len(rest) < length:
                return
            self.buffer = rest[length:]
            self.transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n%b"
                % (len(DOCUMENT), DOCUMENT)
            )


def serve_application(port: int) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(_Answer, "127.0.0.1", port)
        await server.serve_forever()

    asyncio.run(main())


# --- processes ----------------------------------------------------------------------------


def cpu_seconds(pid: int) -> float:
    """Of all threads, by the scheduler's own clock: ``stat`` counts ticks, which short wake-ups at
    a steady rhythm fool."""
    total = 0
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
    except (OSError, ValueError):
        pass  # it has just ended
    return total / 1e9


def children(pid: int) -> dict[str, int]:
    """Media and prompt workers of the node, by name."""
    found: dict[str, int] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            command = (entry / "cmdline").read_text()
        except (OSError, ValueError):
            continue
        if parent == pid:
            name = "media" if "media.worker" in command else "prompts"
            found[f"{name}-{len(found)}"] = int(entry.name)
    return found


class Stand:
    """All processes of one bench run, with a data folder of their own."""

    def __init__(self, workers: int) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="sipdomains-bench-"))
        self.redis_port, self.app_port = free_port(), free_port()
        self.sip_port = free_port(socket.SOCK_DGRAM)
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "sipdomains.settings",
            "SIPDOMAINS_HOME": str(self.home),
            "SIPDOMAINS_ENV_FILE": os.devnull,
            "CELERY_BROKER_URL": f"redis://127.0.0.1:{self.redis_port}/0",
            "SIP_LISTEN": f"udp:127.0.0.1:{self.sip_port}",
            "RTP_PORT_RANGE": "10000-29999",
            "MEDIA_WORKERS": "1",
            "LOG_LEVEL": "WARNING",
            "MAX_CONCURRENT_CALLS": "5000",
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.workers = workers

    def spawn(self, name: str, *command: str) -> None:
        log = (self.home / f"{name}.log").open("wb")
        self.processes[name] = subprocess.Popen(
            command, cwd=ROOT, env=self.environment, stdout=log, stderr=subprocess.STDOUT
        )

    def manage(self, *arguments: str) -> None:
        subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT, env=self.environment, check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip

    def start(self) -> None:
        self.spawn(
            "redis", "redis-server", "--port", str(self.redis_port), "--save", "",
            "--dir", str(self.home),
        )  # fmt: skip
        self.spawn("application", sys.executable, __file__, "--application", str(self.app_port))
        self.manage("migrate", "--verbosity", "0")
        self.manage(
            "createdomain", DOMAIN, "--voice-url", f"http://127.0.0.1:{self.app_port}/voice",
            "--username", USER, "--password", PASSWORD,
        )  # fmt: skip
        for number in range(self.workers):
            self.spawn(
                f"celery-{number}", sys.executable, "-m", "celery", "-A", "sipdomains.celery",
                "worker", "-P", "threads", "-c", "4", "-Q", "twiml", "-l", "WARNING",
                "-n", f"bench{number}@localhost", "--without-mingle", "--without-gossip",
                "--without-heartbeat",
            )  # fmt: skip
        self.spawn("node", sys.executable, "manage.py", "runsipserver", "--drain", "0")
        deadline = time.monotonic() + 60
        while b"ready" not in (self.home / "node.log").read_bytes():
            if time.monotonic() > deadline or self.processes["node"].poll() is not None:
                raise SystemExit((self.home / "node.log").read_text())
            time.sleep(0.1)

    def cpu(self) -> dict[str, float]:
        pids = {name: process.pid for name, process in self.processes.items()}
        pids.update(children(pids["node"]))
        return {name: cpu_seconds(pid) for name, pid in pids.items()}

    def stop(self) -> None:
        for name in reversed(list(self.processes)):
            self.processes[name].send_signal(signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
        shutil.rmtree(self.home, ignore_errors=True)


# --- load ---------------------------------------------------------------------------------


def run_sipp(stand: Stand, rate: int, seconds: float) -> dict[str, Any]:
    folder = Path(tempfile.mkdtemp(dir=stand.home))
    users = folder / "users.csv"
    users.write_text(
        f"SEQUENTIAL\n{USER};[authentication username={USER} password={PASSWORD}];{DOMAIN}\n"
    )
    calls = int(rate * seconds)
    subprocess.run(
        [
            "sipp", f"127.0.0.1:{stand.sip_port}", "-sf", str(ROOT / "bench/sipp/call.xml"),
            "-inf", str(users), "-r", str(rate), "-m", str(calls), "-l", "4000",
            "-i", "127.0.0.1", "-p", str(free_port(socket.SOCK_DGRAM)), "-mp", "50000",
            "-trace_rtt", "-rtt_freq", "1", "-trace_stat", "-fd", "1", "-nostdin",
            "-timeout", str(int(seconds * 3 + 30)),
        ],
        cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    times: dict[str, list[float]] = {}
    for path in folder.glob("*_rtt.csv"):
        with path.open() as file:
            for row in csv.reader(file, delimiter=";"):
                if len(row) >= 3 and row[0][:1].isdigit():
                    times.setdefault(row[2], []).append(float(row[1]))
    stats: dict[str, str] = {}
    for path in folder.glob("*_.csv"):
        with path.open() as file:
            for line in csv.DictReader(file, delimiter=";"):
                stats = line
    return {
        "calls": calls,
        "succeeded": int(stats.get("SuccessfulCall(C)", 0)),
        "failed": int(stats.get("FailedCall(C)", 0)),
        "retransmissions": int(stats.get("Retransmissions(C)", 0) or 0),
        "invite_to_180_ms": percentiles(times.get("1", [])),
        "180_to_200_ms": percentiles(times.get("2", [])),
    }


def percentiles(values: list[float]) -> dict[str, float]:
    if not values:
        return {}
    ordered = sorted(values)
    return {
        name: round(ordered[min(len(ordered) - 1, int(len(ordered) * share))], 2)
        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
    }


def measure(stand: Stand, rate: int, seconds: float) -> dict[str, Any]:
    before, started = stand.cpu(), time.monotonic()
    result = run_sipp(stand, rate, seconds)
    elapsed = time.monotonic() - started
    time.sleep(1.0)  # what was deferred (log records) belongs to the calls
    after = stand.cpu()
    done = max(1, result["succeeded"])
    spent = {name.partition("-")[0]: 0.0 for name in after if name != "application"}
    for name, value in after.items():
        if name != "application":
            spent[name.partition("-")[0]] += 1000 * (value - before.get(name, 0.0)) / done
    total = sum(spent.values())
    return {
        "rate": rate,
        **result,
        "seconds": round(elapsed, 1),
        "cpu_ms_per_call": {name: round(value, 2) for name, value in spent.items()},
        "cpu_ms_total": round(total, 2),
        "calls_per_second_per_core": round(1000 / total) if total else 0,
    }


def table(results: list[dict[str, Any]]) -> str:
    names = list(results[0]["cpu_ms_per_call"])
    lines = [
        "rate  done  fail  retr | "
        + "  ".join(f"{name:>7}" for name in names)
        + "   total ms/call | 180 p50/p95/p99 ms      200 p50/p95/p99 ms"
    ]
    for row in results:
        cpu = "  ".join(f"{row['cpu_ms_per_call'][name]:7.2f}" for name in names)
        ringing, answer = (
            "/".join(f"{row[key].get(p, 0):g}" for p in ("p50", "p95", "p99"))
            for key in ("invite_to_180_ms", "180_to_200_ms")
        )
        lines.append(
            f"{row['rate']:4d} {row['succeeded']:5d} {row['failed']:5d} "
            f"{row['retransmissions']:5d} | {cpu}   {row['cpu_ms_total']:13.2f} | "
            f"{ringing:22}  {answer}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", default="20,50,100,200", help="calls per second, one run each")
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--workers", type=int, default=1, help="Celery worker processes")
    parser.add_argument("--json", type=Path, help="write the results there")
    parser.add_argument("--application", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.application:
        serve_application(options.application)
        return
    stand = Stand(options.workers)
    try:
        stand.start()
        measure(stand, 20, 3)  # warm caches and connections
        results = [measure(stand, int(rate), options.seconds) for rate in options.rates.split(",")]
    finally:
        stand.stop()
    print(table(results))
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
