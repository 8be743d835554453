"""The node's side of prompts: plans, looks into the cache, asks the worker for the rest.

Satisfies ``Prompts`` of the call layer; failures are :class:`PromptError`.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Coroutine
from functools import lru_cache
from typing import Any

from twimlrunner.audio.index import AudioIndex
from twimlrunner.engine.ports import AudioUrl, Speech
from twimlrunner.speech import engines
from twimlrunner.speech.cache import FileCache
from twimlrunner.speech.config import PromptConfig
from twimlrunner.speech.frames import chunk_to_json
from twimlrunner.speech.plan import make_plan
from twimlrunner.speech.ports import Chunk, PromptError, SpeechIssue, SpeechPlan
from twimlrunner.speech.process import WorkerProcess
from twimlrunner.speech.voices import VoiceTable

AHEAD = 3
"""Pieces of one text in work at once, the one being waited for included."""

PLANS = 512
BUSY = 12400


class PromptService:
    """One per node. Methods are for the event loop's thread."""

    def __init__(self, config: PromptConfig) -> None:
        self._config = config
        self._speech = FileCache(f"{config.folder}/speech", ".wav")
        self._audio = AudioIndex(config.folder)
        self._voices = VoiceTable(engines.versions(config.site_engines), config.site_engines)
        self._process = WorkerProcess(config)
        self._pending: dict[str, asyncio.Task[str]] = {}
        self._plan = lru_cache(PLANS)(self._make_plan)

    async def start(self) -> None:
        """Spawn the worker and keep it alive; returns at once. Raises OSError if the cache folder
        cannot be made."""
        await self._process.start()

    async def stop(self) -> None:
        """End the worker; pending requests fail."""
        await self._process.stop()
        await asyncio.gather(*self._pending.values(), return_exceptions=True)

    @property
    def worker_pid(self) -> int | None:
        """Of the worker that is up now, for health pages."""
        return self._process.pid

    def issues(self, speech: Speech) -> tuple[SpeechIssue, ...]:
        """Warnings about a Say (13511, 13512, 13520, 13521, 12200), for the call's log."""
        return self._plan(speech).issues

    async def speak(self, speech: Speech) -> AsyncIterator[str]:
        """Paths of 8 kHz mono 16-bit WAV files in playing order, each as soon as it is there.
        Raises PromptError."""
        upcoming = iter(enumerate(self._plan(speech).chunks))
        begun: deque[str | asyncio.Task[str]] = deque()
        while True:
            while len(begun) < AHEAD and (item := next(upcoming, None)) is not None:
                begun.append(self._begin_speech(*item))
            if not begun:
                return
            first = begun.popleft()
            yield first if isinstance(first, str) else await asyncio.shield(first)

    async def fetch(self, audio: AudioUrl, *, verify_tls: bool) -> str:
        """Path of the file of ``audio``, converted as above. Raises PromptError."""
        found = self._audio.fresh(audio.url, verify_tls=verify_tls, now=time.time())
        if found is not None:
            return found
        key = f"fetch {verify_tls} {audio.url}"
        request = {"op": "fetch", "url": audio.url, "verify_tls": verify_tls}
        # The worker's own limit is the real one; ours is for a worker that hangs.
        limit = 2 * self._config.fetch_timeout
        return await asyncio.shield(self._shared(key, request, limit, bounded=True))

    def _make_plan(self, speech: Speech) -> SpeechPlan:
        return make_plan(speech, self._voices)

    def _begin_speech(self, index: int, chunk: Chunk) -> str | asyncio.Task[str]:
        """The path, if cached, else the work that will give it."""
        found = self._speech.find(chunk.key)
        if found is not None:
            return found
        request = {"op": "speak", "chunk": chunk_to_json(chunk), "index": index}
        return self._shared(chunk.key, request, self._config.speech_timeout, bounded=index == 0)

    def _shared(
        self, key: str, request: dict[str, Any], timeout: float, *, bounded: bool
    ) -> asyncio.Task[str]:
        """Whoever asks for the same at the same time shares one request. It lives on when an
        asker goes: the file will be there for the next one."""
        task = self._pending.get(key)
        if task is None:
            if bounded and len(self._pending) >= self._config.max_queue:
                raise PromptError(BUSY, "too many prompts are waiting")
            task = self._pending[key] = _spawn(self._process.ask(request, timeout))
            task.add_done_callback(lambda done: self._finished(key, done))
        return task

    def _finished(self, key: str, task: asyncio.Task[str]) -> None:
        del self._pending[key]
        if not task.cancelled():
            task.exception()  # seen: perhaps nobody waits for it any more


def _spawn(work: Coroutine[Any, Any, str]) -> asyncio.Task[str]:
    return asyncio.get_running_loop().create_task(work)
