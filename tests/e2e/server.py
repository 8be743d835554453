"""A whole running server in a process of its own, and a real HTTP application beside it."""

from __future__ import annotations

import atexit
import functools
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

from twilio.request_validator import RequestValidator

from tests.ports import Block, free_port

ROOT = Path(__file__).resolve().parent.parent.parent
START_SECONDS = 120.0
USER, PASSWORD = "alice", "Correct9HorseX"
DOMAIN = "pbx.example.net"
DATABASE = "sipdomains.sqlite3"


def call_id_of(ladder: str) -> str:
    """The Call-ID of the first SIP message in a phone's output."""
    found = re.search(r"^Call-ID: *(\S+)", ladder, re.MULTILINE)
    assert found is not None, ladder
    return found[1]


def wait_for(what: str, condition: Callable[[], Any], seconds: float = 30.0) -> Any:
    """The first true value of ``condition``; fails the test when none comes in time."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.02)
    return value


def _environment(home: Path, **values: str) -> dict[str, str]:
    """Of a process of ours. It keeps bytecode: else each would compile all our modules anew."""
    own = {
        "DJANGO_SETTINGS_MODULE": "sipdomains.settings",
        "SIPDOMAINS_HOME": str(home),
        "SIPDOMAINS_ENV_FILE": os.devnull,
        **values,
    }
    left_out = (
        "SECRET_KEY",
        "FIELD_ENCRYPTION_KEYS",
        "SIP_NONCE_SECRET",
        "PYTHONDONTWRITEBYTECODE",
    )
    return {name: one for name, one in (os.environ | own).items() if name not in left_out}


@functools.cache
def _migrated_database() -> Path:
    """An empty one that a new home begins with: migrations are most of a server's first start."""
    home = Path(tempfile.mkdtemp(prefix="sipdomains-migrated-"))
    atexit.register(shutil.rmtree, home)
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
        cwd=ROOT, env=_environment(home), check=True, timeout=200,
    )  # fmt: skip
    assert not (home / f"{DATABASE}-wal").exists()
    return home / DATABASE


class Listening(Protocol):
    """What a phone sends to, at 127.0.0.1 or ::1."""

    sip_port: int


class Server:
    """``runsipserver`` with a data folder and ports of its own; ``embedded`` as ``make run``."""

    def __init__(
        self, home: Path, *, embedded: bool = True, migrated: bool = True, **environment: str
    ) -> None:
        """Not ``migrated``: from nothing, as an operator starts it for the first time."""
        self._options = ["--embedded"] if embedded else ["--drain", "0"]
        self.home = home
        self.sip_port = free_port()
        self.web_port = free_port()
        rtp_first, rtp_last = Block().rest()
        self.output = home / "server.log"
        home.mkdir(parents=True, exist_ok=True)
        if migrated:
            shutil.copyfile(_migrated_database(), home / DATABASE)
        own = {
            "SIP_LISTEN": ",".join(
                f"{transport}:{host}:{self.sip_port}"
                for host in ("127.0.0.1", "[::1]")
                for transport in ("udp", "tcp")
            ),
            "WEB_LISTEN": f"127.0.0.1:{self.web_port}",
            "RTP_PORT_RANGE": f"{rtp_first}-{rtp_last}",
            "SIP_REALM": "sip.example.net",
            "MEDIA_WORKERS": "1",
            "REFER_TIMEOUT": "5s",
            # A name that does not exist is soon known to, also where no name server answers.
            "RES_OPTIONS": "timeout:1 attempts:1",
        }
        self.environment = _environment(home, **(own | environment))
        self.process: subprocess.Popen[bytes] | None = None

    # --- the process ------------------------------------------------------------------------

    def start(self) -> None:
        with self.output.open("ab") as log:
            start = log.tell()
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "runsipserver", *self._options],
                cwd=ROOT, env=self.environment, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip

        def ready() -> bool:
            assert self.process is not None
            text = self.output.read_bytes()[start:]
            assert self.process.poll() is None, text.decode("utf-8", "replace")
            return b"\nready\n" in b"\n" + text

        wait_for("server ready", ready, START_SECONDS)

    def stop(self) -> int:
        """As Ctrl-C would; returns the exit code."""
        if self.process is None:
            return 0
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)

    def stop_in_order(self) -> None:
        """Stop; fails when that, or anything since the start, went wrong inside."""
        code, output = self.stop(), self.output.read_text()
        assert code == 0, output
        assert "Traceback" not in output, output

    def kill(self) -> None:
        """kill -9 of the node process only; its children must notice by themselves."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(30)

    def children(self, module: str) -> list[int]:
        """PIDs of child processes that run ``python -m module``."""
        assert self.process is not None
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                command = (entry / "cmdline").read_bytes().decode().split("\0")
            except (OSError, ValueError):
                continue
            if parent == self.process.pid and module in command:
                found.append(int(entry.name))
        return found

    # --- as an operator ---------------------------------------------------------------------

    def manage(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command; what it changed of the configuration is in force when this returns."""
        result = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT, env=self.environment, capture_output=True, text=True, check=check,
            timeout=200,
        )  # fmt: skip
        if self.process is not None and self.process.poll() is None:
            self.wait_for_configuration()
        return result

    def wait_for_configuration(self) -> None:
        """Until what any process changed so far is in force. (A phone that is refused meanwhile
        would not try again for a minute.)"""
        [row] = self.rows("SELECT version FROM sipdomains_configversion") or [{"version": 0}]

        def in_force() -> bool:
            told = re.findall(r"configuration (\d+) is in force", self.output.read_text())
            return bool(told) and int(told[-1]) >= row["version"]

        wait_for(f"configuration {row['version']} in force", in_force)

    def create_domain(self, name: str, voice_url: str, *options: str) -> dict[str, Any]:
        result = self.manage(
            "createdomain", name, "--voice-url", voice_url, "--json", "--show-token", *options
        )
        return dict(json.loads(result.stdout))

    # --- the record, read as any other program would ----------------------------------------

    def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        connection = sqlite3.connect(f"file:{self.home}/{DATABASE}?mode=ro", uri=True)
        connection.row_factory = sqlite3.Row
        try:
            return [dict(row) for row in connection.execute(query, values)]
        finally:
            connection.close()

    def call(self, sip_call_id: str, *, seconds: float = 30.0) -> dict[str, Any]:
        """The newest call of that Call-ID once its row is final."""
        query = "SELECT * FROM sipdomains_call WHERE sip_call_id = ? ORDER BY started_at DESC"

        def final() -> dict[str, Any] | None:
            rows = self.rows(query, sip_call_id)
            return rows[0] if rows and rows[0]["ended_at"] else None

        return dict(wait_for("final call row", final, seconds))

    def children_of(self, row: dict[str, Any], count: int) -> list[dict[str, Any]]:
        """Rows of the legs that a call has placed, in that order, once so many are final."""
        query = "SELECT * FROM sipdomains_call WHERE parent_id = ? ORDER BY started_at, sid"

        def final() -> list[dict[str, Any]] | None:
            rows = self.rows(query, row["sid"])
            ended = len(rows) == count and all(each["ended_at"] for each in rows)
            return rows if ended else None

        return list(wait_for(f"{count} child legs final", final))

    def happened(self, sip_call_id: str, kind: str, what: str = "") -> None:
        """Wait for an event of a call that is known by its Call-ID."""
        query = (
            "SELECT 1 FROM sipdomains_callevent JOIN sipdomains_call ON call_id = sid"
            " WHERE sip_call_id = ? AND kind = ? AND data LIKE ?"
        )
        told = f'%"{what}"%' if what else "%"
        wait_for(f"{kind} {what}", lambda: self.rows(query, sip_call_id, kind, told))

    def events(self, call_sid: str) -> list[dict[str, Any]]:
        rows = self.rows(
            "SELECT * FROM sipdomains_callevent WHERE call_id = ? ORDER BY seq", call_sid
        )
        return [{**row, "data": json.loads(row["data"])} for row in rows]

    def notifications(self, call_sid: str) -> list[int]:
        rows = self.rows("SELECT code FROM sipdomains_notification WHERE call_id = ?", call_sid)
        return [row["code"] for row in rows]

    def webhooks(self, call_sid: str) -> list[dict[str, Any]]:
        return self.rows(
            "SELECT * FROM sipdomains_webhookrequest WHERE call_id = ? ORDER BY id", call_sid
        )


@dataclass
class Hit:
    """One request that the application got."""

    method: str
    url: str
    headers: dict[str, str]
    parameters: list[tuple[str, str]]

    @property
    def values(self) -> dict[str, str]:
        return dict(self.parameters)

    @property
    def path(self) -> str:
        return urlsplit(self.url).path

    def is_signed(self, auth_token: str) -> bool:
        """Under the vendor's own library: the form of a POST, nothing but the URL of a GET."""
        form = self.values if self.method == "POST" else {}
        signature = self.headers.get("X-Twilio-Signature", "")
        return bool(RequestValidator(auth_token).validate(self.url, form, signature))


@dataclass
class Answer:
    body: bytes | str = ""
    content_type: str = "text/xml"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    gate: threading.Event | None = None  # the answer waits for it


class Application:
    """A customer's web application: answers by path, keeps what it was asked.

    The server caches audio, so each sound needs a path of its own.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Answer | list[Answer]] = {}  # a list: one by one, the last stays
        self.hits: list[Hit] = []
        application = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                application._serve(self, [])

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                application._serve(self, parse_qsl(body.decode(), keep_blank_values=True))

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _serve(self, handler: BaseHTTPRequestHandler, form: list[tuple[str, str]]) -> None:
        path = urlsplit(handler.path)
        parameters = form or parse_qsl(path.query, keep_blank_values=True)
        self.hits.append(
            Hit(
                handler.command,
                f"http://{handler.headers['Host']}{handler.path}",
                dict(handler.headers.items()),
                parameters,
            )
        )
        answer = self.answers.get(path.path, Answer(status=404))
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if answer.gate is not None:
            answer.gate.wait(90)
        body = answer.body.encode() if isinstance(answer.body, str) else answer.body
        try:
            handler.send_response(answer.status)
            if answer.content_type:
                handler.send_header("Content-Type", answer.content_type)
            for name, value in answer.headers.items():
                handler.send_header(name, value)
            handler.send_header("Content-Length", str(len(body)))
            handler.end_headers()
            handler.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the server gave up on us: that is what some tests are about

    def document(self, path: str, verbs: str, **options: Any) -> None:
        self.answers[path] = Answer(f"<Response>{verbs}</Response>", **options)

    def paths(self) -> list[str]:
        return [hit.path for hit in self.hits]

    def open_gates(self) -> None:
        for answer in self.answers.values():
            for one in answer if isinstance(answer, list) else [answer]:
                if one.gate is not None:
                    one.gate.set()

    def reset(self) -> None:
        self.open_gates()
        self.answers.clear()
        self.hits.clear()

    def close(self) -> None:
        self.reset()
        self._server.shutdown()
        self._server.server_close()
