"""The media worker process: ``python -m sipserver.media.worker FD``.

FD is a stream socket to the node, on which ``sipserver.media.protocol`` is spoken. One thread, one
loop: run the due slots of the pacer, take one packet from each readable socket, handle commands,
sleep to the next deadline. Under load it wakes at most once per millisecond, so that packets are
read in batches. It leaves when the channel ends, and ignores SIGINT and SIGTERM: the node decides.
"""

from __future__ import annotations

import gc
import os
import resource
import select
import signal
import socket
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from time import monotonic, process_time, time
from typing import Any

from sipserver.media import protocol
from sipserver.media.disk import Disk
from sipserver.media.pacer import Alarms, Pacer, summarize
from sipserver.media.ports import NoPort, PortPool
from sipserver.media.prompts import PromptCache
from sipserver.media.session import Session
from sipserver.rtp.ringing import RINGING
from sipserver.rtp.telephone_event import valid_digits

_BATCH = 0.001  # s between two reads of the RTP sockets
_IDLE = 0.25  # s
_REMEMBERED = 256  # replies kept for repeated commands
_MAX_UNSENT = 4 << 20  # bytes the node has not read: it hangs


class CommandError(Exception):
    """Becomes the ``error`` of the reply."""


class Worker:
    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._reader = protocol.FrameReader()
        self._unsent = bytearray()
        self._replies: OrderedDict[int, dict[str, Any]] = OrderedDict()
        self._sessions: dict[int, Session] = {}
        self._handlers: dict[int, Callable[[float], None]] = {}
        self._sockets = select.epoll()
        now = monotonic()
        self._epoch = time() - now
        self._pacer = Pacer()
        self._alarms = Alarms()
        self._disk = Disk()
        self._config: protocol.WorkerConfig | None = None
        self._read_at = 0.0
        self._cpu = (now, process_time())
        self._running = True

    # --- loop -------------------------------------------------------------------------------

    def run(self) -> None:
        """Until the channel ends."""
        poll = self._sockets.poll
        handlers = self._handlers
        while self._running:
            self._pacer.run()
            now = monotonic()
            ready = poll(0)
            if ready:
                self._read_at = now
                for descriptor, _ in ready:
                    handlers[descriptor](now)
            self._alarms.run(now)
            self._write()
            self._wait()

    def _wait(self) -> None:
        now = monotonic()
        deadline = min(
            self._pacer.next_deadline() or now + _IDLE, self._alarms.next_deadline() or now + _IDLE
        )
        writing = (self._channel,) if self._unsent else ()
        # After a read the sockets rest for a moment: whatever comes meanwhile is one batch.
        batch_end = self._read_at + _BATCH
        if now < batch_end:
            timeout = min(batch_end, deadline) - now
            sources: tuple[Any, ...] = (self._channel,)
        else:
            timeout = deadline - now
            sources = (self._channel, self._sockets)
        readable, _, _ = select.select(sources, writing, (), max(0.0, timeout))
        if self._channel in readable:
            self._read()

    def _read(self) -> None:
        try:
            data = self._channel.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._running = False
            return
        for message in self._reader.feed(data):
            self._reply(message)

    def _write(self) -> None:
        if not self._unsent:
            return
        try:
            sent = self._channel.send(self._unsent)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._running = False
            return
        del self._unsent[:sent]
        if len(self._unsent) > _MAX_UNSENT:
            log("node does not read its events: leaving")
            self._running = False

    # --- commands ---------------------------------------------------------------------------

    def _reply(self, message: dict[str, Any]) -> None:
        number = message.get("id")
        if not isinstance(number, int):
            log("command without id dropped")
            return
        reply = self._replies.get(number)
        if reply is None:
            reply = {"id": number, **self._execute(message)}
            self._replies[number] = reply
            if len(self._replies) > _REMEMBERED:
                self._replies.popitem(last=False)
        self._unsent += protocol.encode(reply)

    def _execute(self, message: dict[str, Any]) -> dict[str, Any]:
        command = message.get("command")
        try:
            if command == "hello":
                return {"ok": True, **self._hello(message)}
            if self._config is None:
                raise CommandError("bad-command")
            handler = _COMMANDS.get(str(command))
            if handler is None:
                raise CommandError("bad-command")
            return {"ok": True, **handler(self, message)}
        except CommandError as error:
            return {"ok": False, "error": str(error)}
        except NoPort as error:
            log(str(error))
            return {"ok": False, "error": "no-port"}
        except (KeyError, TypeError, ValueError) as error:
            log(f"command {command!r}: {error!r}")
            return {"ok": False, "error": "bad-command"}

    def _hello(self, message: dict[str, Any]) -> dict[str, Any]:
        if message["version"] != protocol.VERSION:
            raise CommandError("version")
        config = protocol.WorkerConfig.from_json(message["config"])
        try:
            os.setpriority(os.PRIO_PROCESS, 0, config.nice)
        except OSError:
            log(f"priority {config.nice} not permitted, going on without")
        self._config = config
        self._ports = PortPool(config)
        self._prompts = PromptCache(config.cache_bytes)
        return {"version": protocol.VERSION, "pid": os.getpid()}

    def _open(self, message: dict[str, Any]) -> dict[str, Any]:
        number = int(message["session"])
        if self._config is None or number in self._sessions:
            raise CommandError("bad-command")
        pair = self._ports.take(message["family"], monotonic())
        session = Session(
            pair,
            self._pacer,
            self._prompts,
            self._alarms,
            self._disk,
            self._config,
            epoch=self._epoch,
            emit=partial(self._emit, number, count(1)),
        )
        self._sessions[number] = session
        return {"port": pair.port}

    def _session(self, message: dict[str, Any]) -> Session:
        session = self._sessions.get(int(message["session"]))
        if session is None:
            raise CommandError("no-session")
        return session

    def _connect(self, message: dict[str, Any]) -> dict[str, Any]:
        session = self._session(message)
        session.connect(message, monotonic())
        pair = session.pair
        for sock, handler in (
            (pair.rtp, session.receiver.on_rtp),
            (pair.rtcp, session.on_rtcp),
        ):
            if sock.fileno() not in self._handlers:
                self._handlers[sock.fileno()] = handler
                self._sockets.register(sock.fileno(), select.EPOLLIN)
        return {}

    def _play(self, message: dict[str, Any]) -> dict[str, Any]:
        session = self._session(message)
        session.play(int(message["op"]), _files(message), more=bool(message["more"]))
        return {}

    def _extend(self, message: dict[str, Any]) -> dict[str, Any]:
        sender = self._session(message).sender
        if not sender.extend(int(message["op"]), _files(message), more=bool(message["more"])):
            raise CommandError("no-operation")
        return {}

    def _stop(self, message: dict[str, Any]) -> dict[str, Any]:
        if not self._session(message).stop(int(message["op"]), monotonic()):
            raise CommandError("no-operation")
        return {}

    def _send_digits(self, message: dict[str, Any]) -> dict[str, Any]:
        digits = message["digits"]
        if not isinstance(digits, str) or len(digits) > protocol.MAX_DIGITS:
            raise CommandError("bad-command")
        if not valid_digits(digits):
            raise CommandError("bad-command")
        self._session(message).sender.dial(int(message["op"]), digits)
        return {}

    def _record(self, message: dict[str, Any]) -> dict[str, Any]:
        session, other = self._session(message), None
        if message["other"] is not None:
            other = self._session({"session": message["other"]})
        session.record(int(message["op"]), message, other)
        return {}

    def _pause(self, message: dict[str, Any]) -> dict[str, Any]:
        session = self._session(message)
        if not session.pause(int(message["op"]), message["behavior"], monotonic()):
            raise CommandError("no-operation")
        return {}

    def _resume(self, message: dict[str, Any]) -> dict[str, Any]:
        if not self._session(message).resume(int(message["op"]), monotonic()):
            raise CommandError("no-operation")
        return {}

    def _ringback(self, message: dict[str, Any]) -> dict[str, Any]:
        country = message["country"]
        if country not in RINGING:
            raise CommandError("bad-command")
        self._session(message).sender.ring(int(message["op"]), country)
        return {}

    def _bridge(self, message: dict[str, Any]) -> dict[str, Any]:
        session, other = self._session(message), self._sessions.get(int(message["other"]))
        if other is None:
            raise CommandError("no-session")
        swallow = message["swallow"]
        if not isinstance(swallow, str):
            raise CommandError("bad-command")
        session.bridge(other, swallow)
        return {}

    def _unbridge(self, message: dict[str, Any]) -> dict[str, Any]:
        self._session(message).unbridge()
        return {}

    def _close(self, message: dict[str, Any]) -> dict[str, Any]:
        session = self._session(message)
        now = monotonic()
        stats = session.close(now)
        for sock in (session.pair.rtp, session.pair.rtcp):
            if self._handlers.pop(sock.fileno(), None) is not None:
                self._sockets.unregister(sock.fileno())
        self._ports.give_back(session.pair, now)
        del self._sessions[int(message["session"])]
        return {"stats": stats}

    def _ping(self, _: dict[str, Any]) -> dict[str, Any]:
        now, cpu = monotonic(), process_time()
        then, cpu_then = self._cpu
        self._cpu = (now, cpu)
        deviations = self._pacer.deviations
        load = {
            "sessions": len(self._sessions),
            "playing": self._pacer.active,
            "cpu": round((cpu - cpu_then) / max(now - then, 0.001), 3),
            "late_ticks": sum(deviations.late),
            "ticks": self._pacer.ticks,
            "skipped_ms": self._pacer.skipped_ms,
            "deviation_ms": summarize(deviations.total()),
            "free_ports": self._ports.free(now),
            "cache_bytes": self._prompts.held,
        }
        return {"load": load}

    def _emit(self, number: int, sequence: Iterator[int], event: str, data: dict[str, Any]) -> None:
        message = {"event": event, "session": number, "seq": next(sequence), **data}
        self._unsent += protocol.encode(message)


_COMMANDS: dict[str, Callable[[Worker, dict[str, Any]], dict[str, Any]]] = {
    "open": Worker._open,
    "connect": Worker._connect,
    "play": Worker._play,
    "extend": Worker._extend,
    "stop": Worker._stop,
    "send_digits": Worker._send_digits,
    "record": Worker._record,
    "pause": Worker._pause,
    "resume": Worker._resume,
    "ringback": Worker._ringback,
    "bridge": Worker._bridge,
    "unbridge": Worker._unbridge,
    "close": Worker._close,
    "ping": Worker._ping,
}


def _files(message: dict[str, Any]) -> list[str]:
    files = message["files"]
    if not isinstance(files, list) or not all(isinstance(path, str) for path in files):
        raise TypeError("files")
    return files


def log(text: str) -> None:
    """One line on standard error."""
    print(f"media worker {os.getpid()}: {text}", file=sys.stderr, flush=True)  # noqa: T201 - no logger here


def main(descriptor: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # two sockets for each call
    # The node may have thousands of descriptors: take a low number, select() wants it.
    channel = socket.socket(fileno=os.dup(descriptor))
    os.close(descriptor)
    channel.setblocking(False)
    worker = Worker(channel)
    gc.freeze()  # what has been loaded stays: keep it out of every collection
    try:
        worker.run()
    except protocol.ProtocolError as error:
        log(f"leaving: {error}")
        sys.exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]))
