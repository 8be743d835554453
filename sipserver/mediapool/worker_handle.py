"""The node's end of one media worker: its process, its channel, the commands under way."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any, cast

from sipserver.media import protocol

logger = logging.getLogger(__name__)

_ROOT = str(Path(__file__).resolve().parents[2])
_HELLO_TIMEOUT = 10.0
_PING_INTERVAL = 1.0
_PONG_TIMEOUT = 5.0
_EXIT_TIMEOUT = 2.0

EventListener = Callable[[dict[str, Any]], None]


class WorkerLost(Exception):
    """The worker has died, or the channel to it is closed."""


class CommandFailed(Exception):
    """The worker refused; ``error`` as in ``sipserver.media.protocol``."""

    def __init__(self, error: str) -> None:
        super().__init__(error)
        self.error = error


class WorkerHandle(asyncio.Protocol):
    """One life of one worker. ``on_lost`` is called once if it ends after its start and
    without :meth:`stop`."""

    def __init__(
        self,
        config: protocol.WorkerConfig,
        on_event: EventListener,
        on_lost: Callable[[WorkerHandle], None],
    ) -> None:
        self._config = config
        self._on_event = on_event
        self._on_lost = on_lost
        self._reader = protocol.FrameReader()
        self._transport: asyncio.Transport | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._pending: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._last_id = 0
        self._pinger: asyncio.Task[None] | None = None
        self._stopping = False
        self._started = monotonic()
        self.lifetime = 0.0  # s, once it has died
        self.alive = False
        self.sessions = 0  # counted by the pool, between two reports of load
        self.load: dict[str, Any] = {}
        self.late_share = 0.0  # of the packets between the last two reports

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Returns when the worker has said hello. Raises WorkerLost, CommandFailed or OSError."""
        try:
            await self._spawn()
            async with asyncio.timeout(_HELLO_TIMEOUT):
                await self.call("hello", version=protocol.VERSION, config=self._config.to_json())
                await self._ping()
        except (TimeoutError, WorkerLost, CommandFailed) as error:
            await self.stop()
            raise WorkerLost("media worker did not start") from error
        except (asyncio.CancelledError, OSError):
            await self.stop()
            raise
        self._pinger = asyncio.create_task(self._keep_pinging())

    async def _spawn(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            ours.setblocking(False)
            # First of all: from now on closing the transport closes the socket, however this ends.
            await asyncio.get_running_loop().create_connection(lambda: self, sock=ours)
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "sipserver.media.worker",
                str(theirs.fileno()),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env=_environment(),
                start_new_session=True,  # Ctrl-C is for the node
            )

    async def stop(self) -> None:
        """Ends the worker and all that it plays, if it still lives, and reaps its process."""
        self._stopping = True
        if self._pinger is not None:
            self._pinger.cancel()
        if self._transport is not None:
            self._transport.close()
        if self._process is None:
            return
        try:
            async with asyncio.timeout(_EXIT_TIMEOUT):
                await self._process.wait()
        except TimeoutError:
            self.kill()
            await self._process.wait()

    def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    # --- commands ---------------------------------------------------------------------------

    def send(self, command: str, **arguments: Any) -> asyncio.Future[dict[str, Any]]:
        """Write a command at once; the future is its reply. Raises nothing: the future does
        (WorkerLost, CommandFailed)."""
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        if self._transport is None or self._transport.is_closing():
            future.set_exception(WorkerLost("media worker is gone"))
            return future
        self._last_id += 1
        message = {"id": self._last_id, "command": command, **arguments}
        try:
            frame = protocol.encode(message)
        except protocol.ProtocolError as error:
            future.set_exception(CommandFailed(str(error)))
            return future
        self._pending[self._last_id] = future
        self._transport.write(frame)
        return future

    async def call(self, command: str, **arguments: Any) -> dict[str, Any]:
        """Raises WorkerLost or CommandFailed."""
        return await self.send(command, **arguments)

    async def _ping(self) -> None:
        load = (await self.call("ping"))["load"]
        ticks = load["ticks"] - self.load.get("ticks", 0)
        late = load["late_ticks"] - self.load.get("late_ticks", 0)
        self.late_share = late / ticks if ticks else 0.0
        self.load = load

    async def _keep_pinging(self) -> None:
        """A worker that does not answer is as good as dead: killed, which is then noticed."""
        try:
            while True:
                await asyncio.sleep(_PING_INTERVAL)
                sent = monotonic()
                async with asyncio.timeout(_PONG_TIMEOUT):
                    await self._ping()
                if monotonic() - sent > _PING_INTERVAL:
                    logger.warning("media worker %s is slow to answer", self.pid)
        except TimeoutError:
            logger.error("media worker %s hangs, killing it", self.pid)
            self.kill()
        except WorkerLost:
            return

    # --- asyncio.Protocol -------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)
        self.alive = True

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._reader.feed(data):
                if "event" in message:
                    self._on_event(message)
                else:
                    self._settle(message)
        except protocol.ProtocolError:
            logger.exception("media worker %s speaks nonsense, killing it", self.pid)
            self.kill()

    def _settle(self, message: dict[str, Any]) -> None:
        future = self._pending.pop(message.get("id", 0), None)
        if future is None or future.done():
            return
        if message.get("ok"):
            future.set_result(message)
        else:
            future.set_exception(CommandFailed(str(message.get("error"))))

    def connection_lost(self, exc: Exception | None) -> None:
        self.alive = False
        self.lifetime = monotonic() - self._started
        pending, self._pending = self._pending, {}
        for future in pending.values():
            if not future.done():
                future.set_exception(WorkerLost("media worker died"))
        if self._pinger is not None and not self._stopping:
            self.kill()
            self._on_lost(self)


def _environment() -> dict[str, str]:
    """Ours, with this source tree importable wherever the node was started."""
    path = os.environ.get("PYTHONPATH")
    return {
        **os.environ,
        "PYTHONPATH": f"{_ROOT}{os.pathsep}{path}" if path else _ROOT,
        "OPENBLAS_NUM_THREADS": "1",  # numpy's: a worker has one core, and no large matrices
    }
