"""The prompt process: ``python -m twimlrunner.speech.worker <fd>``, started by the node.

It speaks the frames of ``frames.py`` over the inherited socket and ends when that closes. Engines
hold the interpreter lock and decoders eat foreign bytes: here neither can hurt a call. It says
hello before it imports anything heavy.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import socket
import sys
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from twimlrunner.speech import frames
from twimlrunner.speech.cache import FileCache, clean
from twimlrunner.speech.config import PromptConfig
from twimlrunner.speech.ports import Chunk, PromptError, Utterance
from twimlrunner.speech.voices import HIBARI

if TYPE_CHECKING:
    from twimlrunner.audio.fetch import Fetcher
    from twimlrunner.speech.render import Renderer

log = logging.getLogger(__name__)

CLEAN_SECONDS = 600
INTERNAL = 12400
HELLO_SECONDS = 10
NICENESS = 5
"""Speech can wait for a moment, the RTP of running calls cannot."""


class Worker:
    """One connection to the node; lives as long as the process."""

    def __init__(self, config: PromptConfig, writer: asyncio.StreamWriter) -> None:
        self._config = config
        self._writer = writer
        self._speech = FileCache(f"{config.folder}/speech", ".wav")
        self._queue: asyncio.PriorityQueue[tuple[int, int, int, int, Chunk]]
        self._queue = asyncio.PriorityQueue()
        self._order = itertools.count()
        self._threads = ThreadPoolExecutor(config.threads, "speech")
        self._fetcher: Fetcher | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin to work on what comes in; warms the default voice in the background."""
        self._spawn(self._prepare())
        self._spawn(self._clean_forever())

    def receive(self, message: dict[str, Any]) -> None:
        """One request of the node. Raises FrameError for what is not one."""
        match message:
            case {"op": "speak", "id": int(request), "chunk": dict(chunk), "index": int(index)}:
                piece = frames.chunk_from_json(chunk)
                size = sum(len(p.text) for p in piece.parts if isinstance(p, Utterance))
                self._queue.put_nowait((index, size, next(self._order), request, piece))
            case {"op": "fetch", "id": int(request), "url": str(url), "verify_tls": bool(verify)}:
                self._spawn(self._fetch(request, url, verify))
            case _:
                raise frames.FrameError(f"unknown request {message.get('op')!r}")

    async def _prepare(self) -> None:
        loop = asyncio.get_running_loop()
        renderer = await loop.run_in_executor(self._threads, _new_renderer, self._config)
        for _ in range(self._config.threads):
            self._spawn(self._speak_forever(renderer))
        await loop.run_in_executor(None, _warm, renderer)

    async def _speak_forever(self, renderer: Renderer) -> None:
        loop = asyncio.get_running_loop()
        while True:
            *_, request, chunk = await self._queue.get()
            try:
                path = await loop.run_in_executor(self._threads, self._make, renderer, chunk)
            except Exception as error:  # noqa: BLE001 an engine may raise anything; the call is told
                _report("speech", error)
                self._fail(request, PromptError(INTERNAL, f"speech: {type(error).__name__}"))
            else:
                self._send({"id": request, "path": path})

    def _make(self, renderer: Renderer, chunk: Chunk) -> str:
        found = self._speech.find(chunk.key)  # another node's worker may have made it
        if found is not None:
            return found
        return self._speech.store(chunk.key, lambda path: renderer.write(chunk, path))

    async def _fetch(self, request: int, url: str, verify_tls: bool) -> None:
        try:
            path = await self._audio().fetch(url, verify_tls=verify_tls)
        except PromptError as error:
            self._fail(request, error)
        except Exception as error:  # noqa: BLE001 a bug here must not leave the call waiting
            _report("fetch", error)
            self._fail(request, PromptError(INTERNAL, f"fetch: {type(error).__name__}"))
        else:
            self._send({"id": request, "path": path})

    def _audio(self) -> Fetcher:
        if self._fetcher is None:
            from twimlrunner.audio.fetch import Fetcher  # heavy: when first needed

            self._fetcher = Fetcher(self._config)
        return self._fetcher

    async def _clean_forever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(CLEAN_SECONDS)
            config = self._config
            await loop.run_in_executor(None, clean, config.folder, config.cache_bytes, time.time())

    def _fail(self, request: int, error: PromptError) -> None:
        self._send({"id": request, "code": error.code, "message": error.message})

    def _send(self, message: dict[str, Any]) -> None:
        self._writer.write(frames.encode(message))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.critical("prompt worker gives up", exc_info=error)
            self._writer.transport.abort()  # the node starts another


def _report(what: str, error: Exception) -> None:
    """The text of an error may hold what was to be spoken: for debugging only."""
    log.warning("%s failed: %s", what, type(error).__name__)
    log.debug("%s failed", what, exc_info=error)


def _new_renderer(config: PromptConfig) -> Renderer:
    from twimlrunner.speech.render import Renderer  # heavy: after the hello

    return Renderer(config.site_engines)


def _warm(renderer: Renderer) -> None:
    try:
        renderer.engine(HIBARI)
    except Exception as error:
        log.warning("the default voice did not start", exc_info=error)


async def serve(connection: socket.socket) -> None:
    """Serve one node until it closes the connection. Raises FrameError if it does not keep to
    the protocol."""
    reader, writer = await asyncio.open_connection(sock=connection)
    async with asyncio.timeout(HELLO_SECONDS):
        hello = await frames.read(reader)
    if hello.get("op") != "hello" or hello.get("v") != frames.VERSION:
        raise frames.FrameError(f"version {hello.get('v')!r}, not {frames.VERSION}")
    worker = Worker(PromptConfig.from_json(hello["config"]), writer)
    writer.write(frames.encode({"v": frames.VERSION, "op": "hello", "pid": os.getpid()}))
    worker.start()
    try:
        while True:
            worker.receive(await frames.read(reader))
    except (asyncio.IncompleteReadError, ConnectionError):
        return


def main(argv: list[str]) -> None:
    os.nice(NICENESS)
    logging.basicConfig(level=logging.WARNING, format="prompts %(levelname)s %(message)s")
    status = 0
    try:
        # Not asyncio.run: that would wait for threads that may be deep in an engine.
        asyncio.new_event_loop().run_until_complete(serve(socket.socket(fileno=int(argv[1]))))
    except BaseException:  # logged, then the process ends either way
        log.exception("prompt worker failed")
        status = 1
    os._exit(status)


if __name__ == "__main__":
    main(sys.argv)
