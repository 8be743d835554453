"""CPU, delay and timing of bridged pairs in one media worker:
``python bench/bridges.py [--pairs 50,150,300] [--transcode] [-r RUNS]``.

Each pair is two legs that send 50 packets a second; the worker relays them both ways, with
--transcode from PCMU to PCMA and back. The peers are one C program (rtp_load.c, compiled on the
fly; needs a C compiler). Each packet carries the time at which it was sent. "waited" is as in
media.py.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.media import Parameters, seconds
from sipserver.mediapool import MediaPool, WorkerConfig
from sipserver.rtp.g711 import TRANSCODING

HERE = Path(__file__).resolve().parent
LETTERS = bytes(range(0x81, 0xF2, 7))[:16]  # of PCMU, far enough apart for both tables


def alphabets(codecs: tuple[str, str]) -> list[str]:
    """What the left and right legs send and receive."""
    to_right, to_left = TRANSCODING.get(codecs), TRANSCODING.get(codecs[::-1])
    left = LETTERS
    right = left.translate(to_right)
    heard = right.translate(to_left)
    assert len(set(right)) == len(set(heard)) == 16
    return [letters.hex() for letters in (left, right, heard, right)]


async def measure(pairs: int, folder: str, options: argparse.Namespace) -> dict:
    config = WorkerConfig(
        port_min=20000, port_max=29999, bind_ip4="127.0.0.1", bind_ip6="", nice=options.nice
    )
    codecs = ("PCMU", "PCMA") if options.transcode else ("PCMU", "PCMU")
    types = [0 if codec == "PCMU" else 8 for codec in codecs]
    pool = MediaPool(config, workers=1)
    await pool.start()
    sessions = [await pool.open("ip4", lambda event, data: None) for _ in range(2 * pairs)]
    load = await asyncio.create_subprocess_exec(
        f"{folder}/rtp_load",
        *(str(2 * pairs), str(options.warmup), str(options.seconds), "1"),
        *(*map(str, types), *alphabets(codecs)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        limit=1 << 20,
    )
    ports = [int(port) for port in (await load.stdout.readline()).split()]
    for index, (session, port) in enumerate(zip(sessions, ports, strict=True)):
        side = index % 2
        await session.connect(
            Parameters(("127.0.0.1", port), codec=codecs[side], payload_type=types[side])
        )
        if side:
            await sessions[index - 1].bridge(session)
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
    stats = [await session.close() for session in sessions]
    await pool.stop()
    return {
        "pairs": pairs,
        "cpu_ms_per_pair_second": round(1000 * used / pairs, 3),
        "cpu_us_per_packet": round(1e6 * used / (pairs * 100), 2),
        "pairs_per_core": int(pairs / used),
        "core_share": round(used, 3),
        "waited_share": round(waited, 3),
        "packets_per_second": round(figures["received"] / options.seconds),
        "server_lost": sum(stat["lost"] for stat in stats),
        "server_sent": sum(stat["packets_sent"] for stat in stats),
        "server_received": sum(stat["packets_received"] for stat in stats),
        **figures,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-p", "--pairs", default="50,150,300")
    parser.add_argument("-t", "--transcode", action="store_true")
    parser.add_argument("-s", "--seconds", type=float, default=10)
    parser.add_argument("-w", "--warmup", type=float, default=3)
    parser.add_argument("-r", "--repeat", type=int, default=1)
    parser.add_argument("--nice", type=int, default=0, help="priority of the worker")
    options = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["cc", "-O2", "-o", f"{folder}/rtp_load", HERE / "rtp_load.c"], check=True)
        print(
            "pairs  packets/s  ms CPU/pair-s  us/packet  pairs/core  "
            "deviation p50    p99    max  delay p50    p99    max (ms)  lost  waited"
        )
        for pairs in [int(n) for n in options.pairs.split(",")] * options.repeat:
            result = asyncio.run(measure(pairs, folder, options))
            results.append(result)
            print(
                f"{pairs:5}  {result['packets_per_second']:9}  "
                f"{result['cpu_ms_per_pair_second']:13.3f}  {result['cpu_us_per_packet']:9.1f}  "
                f"{result['pairs_per_core']:10}  {result['p50']:13.2f}  {result['p99']:5.2f}  "
                f"{result['max']:5.2f}  {result['delay_p50']:9.2f}  {result['delay_p99']:5.2f}  "
                f"{result['delay_max']:5.2f}       {result['lost']:4}  "
                f"{result['waited_share']:6.1%}",
                flush=True,
            )
    print(json.dumps(results))


if __name__ == "__main__":
    main()
