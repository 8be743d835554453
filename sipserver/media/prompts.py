"""Sound files as encoded frames, shared by all calls of the worker."""

from __future__ import annotations

import os
from collections import OrderedDict
from weakref import finalize

from sipserver.rtp import g711, wav

CHUNK = 9600  # samples: a whole number of packets of every interval, and about 50 µs to encode
_OPEN_FILES = 256


class Prompt:
    """An open sound file. It can be played to the end even if it is removed meanwhile."""

    __slots__ = ("__weakref__", "_descriptor", "_span", "path")

    def __init__(self, path: str) -> None:
        """Raises OSError or UnsupportedWav."""
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        finalize(self, os.close, self._descriptor)
        head = os.pread(self._descriptor, wav.HEAD_SIZE, 0)
        self._span = wav.locate(head, os.fstat(self._descriptor).st_size)
        os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_WILLNEED)

    def read(self, index: int) -> bytes:
        """Samples of one chunk; empty beyond the end."""
        first = index * CHUNK
        samples = min(CHUNK, self._span.count - first)
        if samples <= 0:
            return b""
        data = os.pread(self._descriptor, samples * 2, self._span.offset + first * 2)
        return data[: len(data) & ~1]


class PromptCache:
    """Least recently used chunks go when ``limit`` bytes of encoded audio are held. Files never
    change under their name (they are named by content), so nothing is ever stale."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._prompts: OrderedDict[str, Prompt] = OrderedDict()
        self._chunks: OrderedDict[tuple[str, str, int], bytes] = OrderedDict()
        self.held = 0

    def open(self, path: str) -> Prompt:
        """Raises OSError or UnsupportedWav."""
        prompt = self._prompts.get(path)
        if prompt is None:
            prompt = self._prompts[path] = Prompt(path)
            if len(self._prompts) > _OPEN_FILES:
                self._prompts.popitem(last=False)
        else:
            self._prompts.move_to_end(path)
        return prompt

    def chunk(self, prompt: Prompt, codec: str, index: int) -> bytes:
        """Encoded audio from sample ``index * CHUNK`` on; empty beyond the end. Raises OSError."""
        key = (prompt.path, codec, index)
        data = self._chunks.get(key)
        if data is not None:
            self._chunks.move_to_end(key)
            return data
        data = g711.encode(prompt.read(index), codec)
        if data:
            self._chunks[key] = data
            self.held += len(data)
            while self.held > self._limit and len(self._chunks) > 1:
                self.held -= len(self._chunks.popitem(last=False)[1])
        return data
