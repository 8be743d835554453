"""Remote audio → a converted file in the cache, honouring HTTP caching. Runs in the worker."""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from typing import IO

from twimlrunner.audio.convert import VERSION, convert
from twimlrunner.audio.download import Download, Downloader
from twimlrunner.audio.formats import Format, choose
from twimlrunner.audio.index import AudioIndex, Entry
from twimlrunner.speech.config import PromptConfig
from twimlrunner.webhooks.freshness import freshness


class Fetcher:
    """One per worker."""

    def __init__(self, config: PromptConfig) -> None:
        self._config = config
        self._index = AudioIndex(config.folder)
        self._downloader = Downloader(config)
        self._slots = asyncio.Semaphore(config.max_fetches)
        # One thread: a long file must not take the speech threads' time.
        self._converter = ThreadPoolExecutor(1, "convert")
        self._downloads = f"{config.folder}/downloads"

    async def fetch(self, url: str, *, verify_tls: bool) -> str:
        """Path of the converted file; asks the server unless what is there is fresh. Raises
        PromptError."""
        async with self._slots:
            found = self._index.find(url, verify_tls=verify_tls)
            if found is not None and time.time() < found[0].until:
                return found[1]
            os.makedirs(self._downloads, mode=0o700, exist_ok=True)
            with tempfile.NamedTemporaryFile(prefix=".tmp-", dir=self._downloads) as target:
                return await self._refresh(url, verify_tls, found, target)

    async def _refresh(
        self, url: str, verify_tls: bool, found: tuple[Entry, str] | None, target: IO[bytes]
    ) -> str:
        asked = time.time()  # an answer's age counts from the question
        download = await self._downloader.get(
            url,
            target,
            verify_tls=verify_tls,
            conditions=_conditions(found[0]) if found is not None else (),
        )
        if download.status == 304 and found is not None:
            key, path = found[0].file, found[1]
        else:
            key, path = await self._converted(download, target.name)
        self._remember(url, verify_tls, download, key, asked, found[0] if found else None)
        return path

    async def _converted(self, download: Download, source: str) -> tuple[str, str]:
        content_type = download.headers.get("content-type", "")
        form = choose(content_type, download.path, download.head)
        content = f"{VERSION} {form.value} {self._config.max_audio_seconds} {download.sha256}"
        key = hashlib.sha256(content.encode()).hexdigest()[:40]
        path = self._index.files.find(key)
        if path is None:
            loop = asyncio.get_running_loop()
            path = await loop.run_in_executor(self._converter, self._convert, key, source, form)
        return key, path

    def _convert(self, key: str, source: str, form: Format) -> str:
        return self._index.files.store(
            key, lambda path: convert(source, form, path, self._config.max_audio_seconds)
        )

    def _remember(
        self,
        url: str,
        verify_tls: bool,
        download: Download,
        key: str,
        asked: float,
        before: Entry | None,
    ) -> None:
        fresh = freshness(download.headers, asked)
        if not fresh.store:
            self._index.forget(url, verify_tls=verify_tls)
            return
        etag, modified = fresh.etag, fresh.last_modified
        if download.status == 304 and before is not None:  # it need not repeat the validators
            etag, modified = etag or before.etag, modified or before.last_modified
        entry = Entry(key, fresh.until, etag, modified)
        self._index.store(url, verify_tls=verify_tls, entry=entry)


def _conditions(entry: Entry) -> list[tuple[str, str]]:
    lines = [("If-None-Match", entry.etag), ("If-Modified-Since", entry.last_modified)]
    return [(name, value) for name, value in lines if value]
