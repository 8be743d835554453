"""SIPp as a caller, by the scenarios in ``tests/e2e/sipp``, and a receiver of RTP beside it."""

from __future__ import annotations

import re
import socket
import subprocess
import threading
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.e2e.server import PASSWORD, USER, Listening, wait_for
from tests.ports import free_port

SCENARIOS = Path(__file__).with_name("sipp")
PARTS = SCENARIOS / "parts"
SIGNAL = "X-Test-Signal"
OPEN_DOMAIN = "open.example.net"  # lets this machine in without a password
_INCLUDE = re.compile(r"^ *<include name=\"(\w+)\"/>$", re.MULTILINE)
_PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")
_MESSAGE = re.compile(
    r"-{30,} [^\n]*\n\w+ message (sent|received)[^\n]*:\n\n(.*?)(?=\n-{30,} |\Z)", re.DOTALL
)


@dataclass
class Result:
    """``messages``: (``sent`` or ``received``, text) as SIPp saw them. What was repeated, as over
    UDP whenever somebody is slow, counts once, but for those who look for just that in
    ``with_repeats``."""

    code: int
    call_id: str
    messages: list[tuple[str, str]]
    errors: str
    with_repeats: list[tuple[str, str]]

    @property
    def received(self) -> list[str]:
        return [text for direction, text in self.messages if direction == "received"]

    @property
    def statuses(self) -> list[int]:
        """Of the responses received."""
        return [int(text.split(" ", 2)[1]) for text in self.received if text.startswith("SIP/2.0")]

    def last(self, status: int) -> str:
        """The newest response of that status."""
        return [text for text in self.received if text.startswith(f"SIP/2.0 {status} ")][-1]


def header(message: str, name: str) -> str:
    """The value of the first header of that name, or empty."""
    found = re.search(rf"^{re.escape(name)}: *([^\r\n]*)", message, re.MULTILINE | re.IGNORECASE)
    return found.group(1) if found else ""


class Sipp:
    """One run of a scenario, in the background until :meth:`result`."""

    def __init__(self, server: Listening, folder: Path, scenario: str, *,
                 domain: str = OPEN_DOMAIN, transport: str = "u1", calls: int = 1,
                 host: str = "127.0.0.1", local: str = "", rtp_port: int = 9,
                 password: str = PASSWORD, seconds: int = 60, **values: str) -> None:  # fmt: skip
        """``local`` is the address of the phone, else it is ``host``, the server's."""
        self.name = f"{scenario}-{uuid.uuid4().hex[:8]}"
        self._files = folder / self.name
        self._address = local or host, free_port()
        target = f"[{host}]" if ":" in host else host
        file = self._files.with_suffix(".xml")
        file.write_text(_scenario(scenario, {"user": USER, "password": password, **values}))
        self._process = subprocess.Popen(
            ["sipp", f"{target}:{server.sip_port}", "-sf", str(file), "-t", transport,
             "-m", str(calls), "-l", str(calls), "-r", str(calls), "-rp", "500",
             "-i", local or host, "-p", str(self._address[1]), "-mi", local or host,
             "-s", "100", "-key", "domain", domain,
             "-key", "rtp", str(rtp_port), "-key", "ip", "6" if ":" in host else "4",
             "-cid_str", f"{self.name}-%u", "-nostdin", "-skip_rlimit",
             "-recv_timeout", f"{seconds * 1000}", "-timeout", f"{seconds + 5}s", "-timeout_error",
             "-trace_msg", "-message_file", f"{self._files}.log",
             "-trace_err", "-error_file", f"{self._files}.err"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._seconds = seconds
        self._signals = _Signals(Path(f"{self._files}.log"), self._address)

    def result(self) -> Result:
        _, complaint = self._process.communicate(timeout=self._seconds + 15)
        log, errors = Path(f"{self._files}.log"), Path(f"{self._files}.err")
        text = log.read_text("utf-8", "replace") if log.exists() else ""
        # A port may still get messages of the call that used it before.
        seen = [one for one in _messages(text) if self.name in one[1]]
        return Result(
            self._process.returncode,
            f"{self.name}-1",
            list(dict.fromkeys(seen)),
            complaint + (errors.read_text("utf-8", "replace") if errors.exists() else ""),
            seen,
        )

    def followed(self) -> Result:
        """The same; fails with SIPp's complaint when the scenario was not followed."""
        result = self.result()
        assert result.code == 0, f"{result.errors}\n" + "\n".join(
            f"--- {way}\n{text}" for way, text in result.with_repeats
        )
        return result

    def media_port(self) -> int:
        """Where the server takes RTP of this call, by the answer."""
        return _media_port(Path(f"{self._files}.log"), "SIP/2.0 200 ")

    def go_on(self) -> None:
        """The scenario has ``<include name="signal"/>``, over UDP: it waits there until now."""
        self._signals.send()

    def close(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
            self._process.communicate()

    def call_ids(self, calls: int) -> list[str]:
        return [f"{self.name}-{number}" for number in range(1, calls + 1)]


class Callee:
    """SIPp as a phone or PBX that is called, on a port of its own."""

    def __init__(self, folder: Path, scenario: str, *, transport: str = "u1", rtp_port: int = 9,
                 seconds: int = 60, **values: str) -> None:  # fmt: skip
        self.port = free_port()
        self._table = Path("/proc/net/udp" if transport.startswith("u") else "/proc/net/tcp")
        self._files = folder / f"{scenario}-{uuid.uuid4().hex[:8]}"
        file = self._files.with_suffix(".xml")
        file.write_text(_scenario(scenario, {"ring": "200", "payload": "0", **values}))
        self._process = subprocess.Popen(
            ["sipp", "-sf", str(file), "-t", transport, "-m", "1", "-p", str(self.port),
             "-i", "127.0.0.1", "-mi", "127.0.0.1", "-key", "rtp", str(rtp_port), "-key", "ip", "4",
             "-nostdin", "-skip_rlimit", "-recv_timeout", f"{seconds * 1000}",
             "-timeout", f"{seconds + 5}s", "-timeout_error",
             "-trace_msg", "-message_file", f"{self._files}.log",
             "-trace_err", "-error_file", f"{self._files}.err"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._seconds = seconds
        self._signals = _Signals(Path(f"{self._files}.log"), ("127.0.0.1", self.port))
        wait_for("SIPp listens", self._listening)

    @property
    def uri(self) -> str:
        return f"sip:callee@127.0.0.1:{self.port}"

    def _listening(self) -> bool:
        """Looked up, not tried out: who tries takes the port away from SIPp for that moment."""
        assert self._process.poll() is None, self._process.communicate()[1]
        return f"0100007F:{self.port:04X} " in self._table.read_text()

    def messages(self) -> list[tuple[str, str]]:
        """(``sent`` or ``received``, text) once the scenario has ended; fails if it was not
        followed."""
        _, complaint = self._process.communicate(timeout=self._seconds + 15)
        log, errors = Path(f"{self._files}.log"), Path(f"{self._files}.err")
        text = log.read_text("utf-8", "replace") if log.exists() else ""
        wrong = complaint + (errors.read_text("utf-8", "replace") if errors.exists() else "")
        assert self._process.returncode == 0, f"{wrong}\n{text}"
        return list(dict.fromkeys(_messages(text)))  # what was repeated counts once

    def media_port(self) -> int:
        """Where the server takes RTP of this call, by its offer."""
        return _media_port(Path(f"{self._files}.log"), "INVITE ")

    def go_on(self) -> None:
        """The scenario has ``<include name="signal"/>``, over UDP: it waits there until now."""
        self._signals.send()

    def close(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
            self._process.communicate()


def _messages(log: str) -> list[tuple[str, str]]:
    """(``sent`` or ``received``, text), without our signals to the scenario."""
    return [(way, text) for way, text in _MESSAGE.findall(log) if SIGNAL not in text]


def _media_port(log: Path, start: str) -> int:
    """The port in the first message that begins so and has been received."""

    def port() -> int:
        for way, text in _messages(log.read_text("utf-8", "replace") if log.exists() else ""):
            found = re.search(r"^m=audio (\d+)", text, re.MULTILINE)
            if way == "received" and text.startswith(start) and found:
                return int(found[1])
        return 0

    return int(wait_for(f"SDP in {start}", port))


class _Signals:
    """To a scenario that waits for one after each ACK of the call. A signal is a MESSAGE, of which
    SIPp asks for nothing but the Call-ID; each is another one, for two that are equal are a
    repetition."""

    def __init__(self, log: Path, address: tuple[str, int]) -> None:
        self._log, self._address = log, address
        self._sent = 0

    def send(self) -> None:
        self._sent += 1
        acks = wait_for("scenario waits for a signal", self._acks)
        one = uuid.uuid4().hex
        lines = (
            "MESSAGE sip:sipp@127.0.0.1 SIP/2.0",
            f"Via: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK{one}",
            f"From: <sip:test@127.0.0.1>;tag={one}", "To: <sip:sipp@127.0.0.1>",
            f"Call-ID: {header(acks[0], 'Call-ID')}", f"CSeq: {self._sent} MESSAGE",
            f"{SIGNAL}: {one}", "Content-Length: 0", "", "",
        )  # fmt: skip
        family = socket.AF_INET6 if ":" in self._address[0] else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sender:
            sender.sendto("\r\n".join(lines).encode(), self._address)

    def _acks(self) -> list[str] | None:
        log = self._log.read_text("utf-8", "replace") if self._log.exists() else ""
        acks = [text for _, text in dict.fromkeys(_messages(log)) if text.startswith("ACK ")]
        return acks if len(acks) >= self._sent else None


def run(server: Listening, folder: Path, scenario: str, **options: Any) -> Result:
    """Run it to its end; fails with SIPp's complaint when the scenario was not followed."""
    return Sipp(server, folder, scenario, **options).followed()


def _scenario(name: str, values: dict[str, str]) -> str:
    """The file with ``<include name="part"/>`` and ``{{value}}`` put in."""
    text = (SCENARIOS / f"{name}.xml").read_text("utf-8")
    text = _INCLUDE.sub(lambda found: (PARTS / f"{found[1]}.xml").read_text("utf-8"), text)
    return _PLACEHOLDER.sub(lambda found: values.get(found[1], ""), text)


class RtpReceiver:
    """A bound port that keeps the G.711 it gets, and sends every packet back."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.bind((host, 0))
        self._socket.settimeout(0.1)
        self.port = int(self._socket.getsockname()[1])
        self._packets: list[bytes] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                packet, peer = self._socket.recvfrom(2048)
            except TimeoutError:
                if self._stop.is_set():
                    return  # nothing waits to be heard
                continue
            self._packets.append(packet)
            try:
                self._socket.sendto(packet, peer)
            except OSError:
                pass  # the call is over: its port is closed

    @property
    def count(self) -> int:
        return len(self._packets)

    def samples(self) -> np.ndarray[Any, Any]:
        """What was heard, 8 kHz, in the order of arrival."""
        import audioop

        decode = {0: audioop.ulaw2lin, 8: audioop.alaw2lin}
        linear = [decode[p[1] & 0x7F](p[12:], 2) for p in self._packets if p[1] & 0x7F in decode]
        return np.frombuffer(b"".join(linear), "<i2").astype(float)

    def __enter__(self) -> RtpReceiver:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()
        self._socket.close()
