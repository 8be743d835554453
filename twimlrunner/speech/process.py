"""The worker as the node sees it: spawned, asked, watched, spawned again."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

from twimlrunner.speech import frames
from twimlrunner.speech.config import PromptConfig
from twimlrunner.speech.ports import PromptError
from twimlrunner.speech.tables import word_set

log = logging.getLogger(__name__)

INTERNAL = 12400
HELLO_SECONDS = 10.0
READY_SECONDS = 5.0
"""How long a request waits for a worker to be there."""

BACKOFF_SECONDS = (0.05, 0.2, 1.0, 3.0, 10.0)
STABLE_SECONDS = 30.0
_ROOT = Path(__file__).resolve().parents[2]
_ENVIRONMENT = word_set(
    "PATH HOME LANG LC_ALL LC_CTYPE TZ TMPDIR VIRTUAL_ENV PYTHONPATH PYTHONHOME LD_LIBRARY_PATH"
    " SSL_CERT_FILE SSL_CERT_DIR"
)
"""All that the worker gets to see: it decodes foreign files and needs none of our secrets."""


class WorkerLost(Exception):
    """The worker died before it answered."""


class WorkerProcess:
    """Keeps one worker alive and asks it. For the event loop's thread only."""

    def __init__(self, config: PromptConfig) -> None:
        self._config = config
        self._ids = itertools.count(1)
        self._replies: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._ready = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._last_reply = 0.0

    @property
    def pid(self) -> int | None:
        """Of the worker that said hello, None while there is none."""
        return self._process.pid if self._process and self._writer else None

    async def start(self) -> None:
        """Raises OSError if the cache folder cannot be made."""
        os.makedirs(self._config.folder, mode=0o700, exist_ok=True)
        self._ready.clear()
        self._keeper = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """Requests fail from now on. Safe to call twice."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
            self._ready.set()  # nobody waits for a worker any more

    async def ask(self, request: dict[str, Any], timeout: float) -> str:
        """The path that the worker answers with; asks once more if it dies meanwhile. Raises
        PromptError."""
        for last in (False, True):
            try:
                reply = await self._ask_once(request, timeout)
            except WorkerLost:
                if last:
                    raise PromptError(INTERNAL, "the prompt worker died twice") from None
                continue
            if "path" in reply:
                return str(reply["path"])
            raise PromptError(reply["code"], reply["message"])
        raise AssertionError("unreachable")

    async def _ask_once(self, request: dict[str, Any], timeout: float) -> dict[str, Any]:
        try:
            async with asyncio.timeout(READY_SECONDS):
                await self._ready.wait()
        except TimeoutError:
            raise PromptError(INTERNAL, "no prompt worker") from None
        if self._keeper is None:
            raise PromptError(INTERNAL, "prompts are not running")
        if self._writer is None:
            raise WorkerLost
        number = next(self._ids)
        try:
            frame = frames.encode({"id": number, **request})
        except frames.FrameError as error:
            raise PromptError(INTERNAL, str(error)) from error
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._replies[number] = future
        asked = time.monotonic()
        self._writer.write(frame)
        try:
            async with asyncio.timeout(timeout):
                return await future
        except TimeoutError:
            if self._last_reply < asked:
                self._kill("silent")
            raise PromptError(INTERNAL, f"no prompt within {timeout:g} s") from None
        finally:
            self._replies.pop(number, None)

    async def _keep(self) -> None:
        """Run workers one after the other until cancelled."""
        failures = 0
        while True:
            started = time.monotonic()
            try:
                await self._run()
            except (OSError, TimeoutError, frames.FrameError, asyncio.IncompleteReadError) as error:
                log.warning("prompt worker lost: %s", type(error).__name__)
            if time.monotonic() - started > STABLE_SECONDS:
                failures = 0
            await asyncio.sleep(BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)])
            failures += 1

    async def _run(self) -> None:
        """One worker from its start to its end."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            reader, writer = await asyncio.open_connection(sock=ours)
            try:
                self._process = await self._spawn(theirs.fileno())
            except (OSError, asyncio.CancelledError):
                writer.close()
                raise
        try:
            config = self._config.to_json()
            writer.write(frames.encode({"v": frames.VERSION, "op": "hello", "config": config}))
            async with asyncio.timeout(HELLO_SECONDS):
                hello = await frames.read(reader)
            if hello.get("op") != "hello" or hello.get("v") != frames.VERSION:
                raise frames.FrameError(f"worker of version {hello.get('v')!r}")
            self._writer = writer
            self._ready.set()
            while True:
                self._take(await frames.read(reader))
        finally:
            self._writer = None
            self._ready.clear()
            writer.close()
            self._lose_all()
            await self._reap()

    async def _spawn(self, descriptor: int) -> asyncio.subprocess.Process:
        names = _ENVIRONMENT.union(self._config.environment)
        environment = {name: os.environ[name] for name in names if name in os.environ}
        environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "twimlrunner.speech.worker",
            str(descriptor),
            pass_fds=(descriptor,),
            stdin=asyncio.subprocess.DEVNULL,
            cwd=_ROOT,
            env=environment,
            start_new_session=True,  # Ctrl-C is the node's to handle
        )

    def _take(self, reply: dict[str, Any]) -> None:
        match reply:
            case {"id": int(number), "path": str()} | {
                "id": int(number),
                "code": int(),
                "message": str(),
            }:
                self._last_reply = time.monotonic()
                future = self._replies.get(number)
                if future is not None and not future.done():
                    future.set_result(reply)
            case _:
                raise frames.FrameError("not a reply")

    def _lose_all(self) -> None:
        for future in self._replies.values():
            if not future.done():
                future.set_exception(WorkerLost())

    def _kill(self, why: str) -> None:
        process = self._process
        if process is not None and process.returncode is None:
            log.warning("prompt worker %d is %s: killed", process.pid, why)
            process.kill()

    async def _reap(self) -> None:
        """The closed socket ends a healthy worker at once; a stuck one is killed."""
        process = self._process
        if process is None:
            return
        try:
            async with asyncio.timeout(1.0):
                await process.wait()
        except TimeoutError:
            self._kill("not ending")
            await process.wait()
        finally:
            if process.returncode is None:  # cancelled once more while waiting
                process.kill()
