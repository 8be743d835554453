"""Recordings of this node: names for new ones, and the way of ended ones into the record.

Trimming and storing take as long as the file is large: they run in a pool that nothing else waits
for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from sipdomains.services import recordings
from sipserver.adapters.dbpool import DatabasePool
from sipserver.calls.ports import FinishedRecording
from sipserver.media import trim

log = logging.getLogger(__name__)

_FAILED = FinishedRecording(0, "failed")


class RecordingStore:
    """Implements ``calls.ports.Recordings``. ``pool`` should be its own, of few threads.

    ``spool`` is made, for this user only, if need be; raises OSError when it cannot be.
    """

    def __init__(
        self,
        pool: DatabasePool,
        spool: Path,
        public_url: str,
        on_promised: Callable[[Sequence[str]], None] = lambda ids: None,
    ) -> None:
        """``on_promised`` gets the ids of callbacks that may be delivered now."""
        self._on_promised = on_promised
        self._pool = pool
        self._spool = spool
        self._public_url = public_url
        spool.mkdir(mode=0o700, parents=True, exist_ok=True)

    def new(self, account_sid: str) -> tuple[str, str, str]:
        made = recordings.new(account_sid, self._spool, self._public_url)
        return made.sid, made.path, made.url

    async def mark(self, recording_sid: str, *, paused: bool) -> None:
        try:
            await self._pool.run(lambda: recordings.mark(recording_sid, paused=paused))
        except Exception:  # whatever it is: the sound is right, and its end will be
            log.exception("the row of recording %s does not say that it is paused", recording_sid)

    async def finish(
        self, recording_sid: str, *, ended_by: str, seconds: float, failed: bool, heard: bool
    ) -> FinishedRecording:
        def settle() -> recordings.Settled:
            return _settle(
                recording_sid, ended_by=ended_by, seconds=seconds, failed=failed, heard=heard
            )

        try:
            settled = await self._pool.run(settle)
        except Exception:  # whatever it is: the call goes on, and the sweep will try again
            log.exception("recording %s could not be stored", recording_sid)
            return _FAILED
        if settled.status == "in-progress":
            log.error("recording %s has no row", recording_sid)
            return _FAILED
        self._on_promised(settled.callbacks)
        return FinishedRecording(settled.seconds, settled.status)


def _settle(
    sid: str, *, ended_by: str, seconds: float, failed: bool, heard: bool
) -> recordings.Settled:
    """In a thread: make the spool file whole and short, then hand it over."""
    row = recordings.in_progress(sid)
    path = row.spool_path if row is not None else ""
    if failed:
        seconds = _salvaged(path)
    elif row is not None and row.trim and heard and Path(path).exists():
        seconds = trim.trim(path, leading=True, trailing=True)
    return recordings.finish(
        sid, path, ended_by=ended_by, seconds=seconds, failed=failed, heard=heard
    )


def _salvaged(path: str) -> float:
    """Seconds of what was written before the writer failed or died; 0 for none."""
    try:
        return trim.repair_wav(path)
    except (OSError, ValueError) as error:
        log.warning("nothing can be saved of %s: %s", path, error)
        return 0.0
