"""Files that grow while they are recorded. A thread of their own writes them: the packet loop
never waits for a disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread

from sipserver.rtp import wav

_MAX_UNWRITTEN = 4 << 20  # bytes of one file; minutes


class Disk:
    """Does jobs one after another in a daemon thread, started with the first."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._started = False

    def submit(self, job: Callable[[], None]) -> None:
        if not self._started:
            self._started = True
            Thread(target=self._run, name="disk", daemon=True).start()
        self._jobs.put(job)

    def _run(self) -> None:
        while True:
            self._jobs.get()()


class WavFile:
    """A recording on disk. After each write the header tells all samples written before: whatever
    kills the process, what is there can be played."""

    __slots__ = (
        "_channels",
        "_descriptor",
        "_disk",
        "_path",
        "_size",
        "_unwritten",
        "done",
        "error",
    )

    def __init__(self, disk: Disk, path: str, channels: int) -> None:
        """Made or emptied soon; nothing is raised, see ``error``."""
        self._disk = disk
        self._path = path
        self._channels = channels
        self._descriptor = -1
        self._size = 0  # written
        self._unwritten = 0
        self.error = ""  # of the disk: nothing more is written
        self.done = False  # closed: complete, or ``error`` says why not
        disk.submit(self._create)

    def write(self, pcm: bytes) -> None:
        if self._unwritten > _MAX_UNWRITTEN:
            self.error = "the disk is too slow"
        self._unwritten += len(pcm)
        self._disk.submit(lambda: self._append(pcm))

    def close(self) -> None:
        """``done`` follows."""
        self._disk.submit(self._finish)

    # --- in the thread ----------------------------------------------------------------------

    def _create(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self._descriptor = os.open(self._path, flags, 0o640)
            self._put(wav.header(self._channels, 0), 0)
        except OSError as error:
            self.error = str(error)

    def _append(self, pcm: bytes) -> None:
        if not self.error:
            try:
                self._put(pcm, wav.HEADER_SIZE + self._size)
                self._size += len(pcm)
                self._put(wav.header(self._channels, self._size), 0)
            except OSError as error:
                self.error = str(error)
        self._unwritten -= len(pcm)

    def _put(self, data: bytes, offset: int) -> None:
        while data:  # a full disk takes a part first, then refuses
            written = os.pwrite(self._descriptor, data, offset)
            data, offset = data[written:], offset + written

    def _finish(self) -> None:
        if self._descriptor >= 0:
            try:
                if not self.error:
                    os.fsync(self._descriptor)
                os.close(self._descriptor)
            except OSError as error:
                self.error = self.error or str(error)
        self.done = True
