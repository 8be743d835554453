"""A folder of finished files named by key: atomic writes, cheap look-ups, bounded size.

The last use of a file is its modification time, renewed at most every ten minutes so that a hit
costs one ``stat``. What was used within the last hour is never removed: a call may play it.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

RENEW_SECONDS = 600
KEEP_SECONDS = 3600
_TEMPORARY = ".tmp-"


class FileCache:
    """Files ``<folder>/<first two of key>/<key><suffix>``; safe for many processes at once."""

    def __init__(self, folder: str, suffix: str) -> None:
        self._folder = folder
        self._suffix = suffix

    def path(self, key: str) -> str:
        """Where the file of ``key`` (hex) is or would be."""
        return f"{self._folder}/{key[:2]}/{key}{self._suffix}"

    def find(self, key: str) -> str | None:
        """Path of the file if it is there; counts as a use."""
        path = self.path(key)
        try:
            used = os.stat(path).st_mtime
        except FileNotFoundError:
            return None
        if abs(time.time() - used) > RENEW_SECONDS:
            try:
                os.utime(path)
            except FileNotFoundError:  # removed in between
                return None
        return path

    def store(self, key: str, write: Callable[[str], None]) -> str:
        """``write(path)`` makes the file under a temporary name; then it is moved into place.
        Raises whatever ``write`` raises, and OSError."""
        path = self.path(key)
        folder = os.path.dirname(path)
        os.makedirs(folder, mode=0o700, exist_ok=True)
        handle, temporary = tempfile.mkstemp(self._suffix, _TEMPORARY, folder)
        os.close(handle)
        try:
            write(temporary)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
        return path


def clean(folder: str, max_bytes: int, now: float) -> int:
    """Remove the least recently used files under ``folder`` until it holds at most ``max_bytes``;
    returns the bytes removed. Stale temporary files go first."""
    files: list[tuple[float, int, str]] = []
    removed = 0
    for path in Path(folder).rglob("*"):
        try:
            status = path.stat()
        except FileNotFoundError:
            continue
        if not path.is_file():
            continue
        if path.name.startswith(_TEMPORARY) and now - status.st_mtime > KEEP_SECONDS:
            path.unlink(missing_ok=True)
            removed += status.st_size
            continue
        files.append((status.st_mtime, status.st_size, str(path)))
    total = sum(size for _, size, _ in files)
    files.sort()
    for used, size, name in files:
        if total <= max_bytes or now - used < KEEP_SECONDS + RENEW_SECONDS:
            break
        Path(name).unlink(missing_ok=True)
        total -= size
        removed += size
    return removed
