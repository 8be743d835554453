"""CPU and timing of one media worker: ``python bench/media.py [-n 50,100,200,400]`` calls.

Each call plays a prompt and, unless --one-way, receives 50 packets a second meanwhile. The peer is
a C program of its own (rtp_load.c, compiled on the fly; needs a C compiler). "waited" is the share
of time in which the worker was ready and other processes had the CPU: with more than a percent or
two, the deviations tell of them.
"""

from __future__ import annotations

import argparse
import array
import asyncio
import json
import math
import os
import subprocess
import sys
import tempfile
import wave
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sipserver.mediapool import MediaPool, WorkerConfig

HERE = Path(__file__).resolve().parent
PROMPT_S = 10


@dataclass(frozen=True)
class Parameters:
    remote: tuple[str, int]
    codec: str = "PCMU"
    payload_type: int = 0
    dtmf_payload: int | None = 101
    ptime_ms: int = 20
    direction: str = "sendrecv"


def seconds(pid: int) -> tuple[float, float]:
    """(on the CPU, ready but waiting for one) of the single-threaded process. Not from ``stat``:
    that is sampled by the tick, to which the worker's millisecond rhythm is in step."""
    running, waiting, _ = Path(f"/proc/{pid}/schedstat").read_text().split()
    return int(running) / 1e9, int(waiting) / 1e9


def write_prompt(path: str) -> None:
    samples = array.array(
        "h", (int(8000 * math.sin(math.tau * 440 * n / 8000)) for n in range(8000 * PROMPT_S))
    )
    with wave.open(path, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(samples.tobytes())


async def measure(calls: int, folder: str, options: argparse.Namespace) -> dict:
    prompt = f"{folder}/prompt.wav"
    config = WorkerConfig(
        port_min=20000, port_max=29999, bind_ip4="127.0.0.1", bind_ip6="", nice=options.nice
    )
    pool = MediaPool(config, workers=1)
    await pool.start()
    sessions = [await pool.open("ip4", lambda event, data: None) for _ in range(calls)]
    load = await asyncio.create_subprocess_exec(
        f"{folder}/rtp_load",
        str(calls),
        str(options.warmup),
        str(options.seconds),
        "0" if options.one_way else "1",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        limit=1 << 20,
    )
    ports = [int(port) for port in (await load.stdout.readline()).split()]
    repeats = math.ceil((options.warmup + options.seconds + 5) / PROMPT_S)
    for session, port in zip(sessions, ports, strict=True):
        await session.connect(Parameters(("127.0.0.1", port)))
        session.play([prompt] * repeats)
    load.stdin.write(" ".join(str(session.port) for session in sessions).encode() + b"\n")
    await load.stdin.drain()
    await asyncio.sleep(options.warmup)
    pid = pool.details[0]["pid"]
    before = seconds(pid)
    await asyncio.sleep(options.seconds - 0.5)
    used, waited = (
        (after - then) / (options.seconds - 0.5)
        for after, then in zip(seconds(pid), before, strict=True)
    )
    figures = json.loads(await load.stdout.readline())
    await load.wait()
    details = pool.details[0]
    resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    stats = [await session.close() for session in sessions]
    await pool.stop()
    return {
        "calls": calls,
        "cpu_ms_per_call_second": round(1000 * used / calls, 3),
        "calls_per_core": int(calls / used),
        "core_share": round(used, 3),
        "waited_share": round(waited, 3),
        "resident_mb": round(resident / 1e6, 1),
        "late_ticks": details["late_ticks"],
        "ticks": details["ticks"],
        "server_received": sum(stat["packets_received"] for stat in stats),
        "server_lost": sum(stat["lost"] for stat in stats),
        "server_jitter_ms": max(stat["jitter_ms"] for stat in stats),
        **figures,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", "--calls", default="50,100,200,400")
    parser.add_argument("-s", "--seconds", type=float, default=10)
    parser.add_argument("-w", "--warmup", type=float, default=3)
    parser.add_argument("-r", "--repeat", type=int, default=1)
    parser.add_argument("--one-way", action="store_true", help="the peers send nothing")
    parser.add_argument("--nice", type=int, default=0, help="priority of the worker")
    options = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as folder:
        write_prompt(f"{folder}/prompt.wav")
        subprocess.run(["cc", "-O2", "-o", f"{folder}/rtp_load", HERE / "rtp_load.c"], check=True)
        print("calls  ms CPU/call-s  calls/core  p50    p95    p99    max (ms)  lost  waited")
        for calls in [int(n) for n in options.calls.split(",")] * options.repeat:
            result = asyncio.run(measure(calls, folder, options))
            results.append(result)
            print(
                f"{calls:5}  {result['cpu_ms_per_call_second']:13.3f}  "
                f"{result['calls_per_core']:10}  {result['p50']:5.2f}  {result['p95']:5.2f}  "
                f"{result['p99']:5.2f}  {result['max']:5.2f}     {result['lost']:4}  "
                f"{result['waited_share']:6.1%}",
                flush=True,
            )
    print(json.dumps(results))


if __name__ == "__main__":
    main()
