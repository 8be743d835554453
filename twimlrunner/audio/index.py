"""Which converted file belongs to a URL, and until when: one small JSON file per URL.

The name is a hash of the URL: URLs may hold passwords, which are not written down.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass

from twimlrunner.speech.cache import FileCache


@dataclass(frozen=True, slots=True)
class Entry:
    """``file`` is a key of the audio cache; ``until`` epoch seconds."""

    file: str
    until: float
    etag: str = ""
    last_modified: str = ""


class AudioIndex:
    """Shared by the node (reads) and the worker (reads and writes)."""

    def __init__(self, folder: str) -> None:
        self.files = FileCache(f"{folder}/audio", ".wav")
        self._entries = FileCache(f"{folder}/urls", ".json")

    def find(self, url: str, *, verify_tls: bool) -> tuple[Entry, str] | None:
        """The entry and the path of its file, if both are there."""
        path = self._entries.find(_key(url, verify_tls))
        if path is None:
            return None
        try:
            with open(path, encoding="utf-8") as stream:
                entry = Entry(**json.load(stream))
            file = self.files.find(entry.file)
        except (OSError, ValueError, TypeError):  # removed or of an older form: as if not there
            return None
        return None if file is None else (entry, file)

    def fresh(self, url: str, *, verify_tls: bool, now: float) -> str | None:
        """The path of the file if it may be played without asking the server."""
        found = self.find(url, verify_tls=verify_tls)
        return found[1] if found is not None and now < found[0].until else None

    def store(self, url: str, *, verify_tls: bool, entry: Entry) -> None:
        """Raises OSError."""
        data = json.dumps(asdict(entry))

        def write(path: str) -> None:
            with open(path, "w", encoding="utf-8") as stream:
                stream.write(data)

        self._entries.store(_key(url, verify_tls), write)

    def forget(self, url: str, *, verify_tls: bool) -> None:
        """Of an answer that must not be stored."""
        try:
            os.unlink(self._entries.path(_key(url, verify_tls)))
        except FileNotFoundError:
            pass


def _key(url: str, verify_tls: bool) -> str:
    """What was had without checking the certificate must not serve those who check it."""
    content = f"{'verified' if verify_tls else 'unverified'} {url}"
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:40]
