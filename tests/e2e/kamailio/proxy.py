"""Kamailio as a record-routing proxy in front of a node, by ``proxy.cfg``."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from pathlib import Path

from tests.e2e.server import Server, wait_for
from tests.ports import free_port

CONFIG = Path(__file__).with_name("proxy.cfg")
PROGRAM = "/usr/sbin/kamailio"  # not on every user's PATH


class Proxy:
    """Listens with UDP and TCP on 127.0.0.1 at ``sip_port``, so that a phone takes it for a server;
    its children are in a process group of their own."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.sip_port = free_port()
        self._output = folder / "kamailio.log"
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [PROGRAM, "-DD", "-E", "-f", str(CONFIG), "-m", "16", "-M", "4",
                 "-Y", str(folder), "-w", str(folder),
                 "-A", f'NODE="sip:127.0.0.1:{server.sip_port}"',
                 "-l", f"udp:127.0.0.1:{self.sip_port}", "-l", f"tcp:127.0.0.1:{self.sip_port}"],
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
        wait_for("Kamailio listens", self._relays)

    def _relays(self) -> bool:
        """Whether an OPTIONS comes back from the node."""
        assert self._process.poll() is None, self.output
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            probe.settimeout(0.5)
            port = probe.getsockname()[1]
            lines = (
                f"OPTIONS sip:127.0.0.1:{self.sip_port} SIP/2.0",
                f"Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK-probe-{port}",
                "From: <sip:probe@127.0.0.1>;tag=1", "To: <sip:probe@127.0.0.1>",
                f"Call-ID: probe-{port}", "CSeq: 1 OPTIONS", "Max-Forwards: 5",
                "Content-Length: 0", "", "",
            )  # fmt: skip
            probe.sendto("\r\n".join(lines).encode(), ("127.0.0.1", self.sip_port))
            try:
                return probe.recv(4096).decode().startswith("SIP/2.0 200 ")
            except (TimeoutError, ConnectionRefusedError):
                return False

    @property
    def output(self) -> str:
        return self._output.read_text("utf-8", "replace")

    def is_top_via_of(self, message: str) -> bool:
        """Whether a request came from here."""
        via = next(line for line in message.splitlines() if line.lower().startswith("via:"))
        return f" 127.0.0.1:{self.sip_port};" in via

    def close(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(10)
