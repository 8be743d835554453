"""Recordings that nobody finished, and those that have been kept long enough."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import cast

from django.conf import settings
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone
from django.utils.module_loading import import_string

from sipdomains.models import Recording, RecordingStatus, SipNode
from sipdomains.models.recordings import UNDER_WAY
from sipdomains.services import recording_files, recordings

log = logging.getLogger(__name__)

NODE_LOST = "node-lost"
CALL_ENDED = "call-ended"
# A recording outlives its call by its trimming and storing, at most.
SETTLING = timedelta(minutes=10)
# How long the sound of a lost recording may be on a machine that is down.
GRACE = timedelta(hours=24)
# What could not be stored stays in the spool so long, for the operator to look at.
_SPOOL_LEFTOVERS = timedelta(days=7)

_SWEEP_CHUNK = 200
_NEVER_FOUND = "Its sound was never found again."
_RECOVERED = {
    NODE_LOST: "The node was lost: what was recorded until then was kept.",
    CALL_ENDED: "It could not be stored when it ended, so that was done later.",
}


def close_orphans(now: datetime | None = None) -> int:
    """Settle recordings whose node is gone, or whose call ended a while ago; returns how many.

    The sound is where it was being written, on one of the machines: there it is mended and stored
    (``completed``, ended by ``node-lost``). Elsewhere the row waits for that machine, and after
    GRACE it is ``failed``.
    """
    now = now or timezone.now()
    running = SipNode.objects.filter(boot_id=OuterRef("node"), stopped_at=None)
    orphans = (
        Recording.objects.filter(status__in=UNDER_WAY)
        .filter(~Exists(running) | Q(call__ended_at__lt=now - SETTLING))
        .annotate(alive=Exists(running))
        .select_related("call")
        .order_by("node")
    )
    return sum([_close_orphan(recording, now) for recording in list(orphans)])


def _close_orphan(recording: Recording, now: datetime) -> bool:
    call = recording.call
    last_seen = call.ended_at if call is not None and call.ended_at else recording.started_at
    overdue = now - last_seen > GRACE
    ended_by = CALL_ENDED if getattr(recording, "alive", False) else NODE_LOST
    path = recording.spool_path
    try:
        seconds = _recover(recording)
        if seconds is None and not overdue:
            return False  # on another machine
        reason = _RECOVERED[ended_by] if seconds else ""
        settled = recordings.finish(
            recording.sid, path, ended_by=ended_by, seconds=seconds or 0.0,
            failed=seconds is None, heard=True, now=last_seen,
            reason=_NEVER_FOUND if seconds is None else reason,
        )  # fmt: skip
    except (OSError, ValueError) as error:
        log.error("recording %s cannot be recovered: %s", recording.sid, error)
        if isinstance(error, OSError) and not overdue:
            return False  # the storage may come back; a damaged file does not heal
        settled = recordings.finish(
            recording.sid, path, ended_by=ended_by, seconds=0.0, failed=True, heard=False,
            now=last_seen, reason=f"Its sound could not be recovered: {error}",
        )  # fmt: skip
    log.warning("recording %s closed (%s): %s", recording.sid, ended_by, settled.status)
    return True


def _recover(recording: Recording) -> float | None:
    """Seconds of the sound that is there for the recording, which is then whole; None if there is
    none on this machine. Raises OSError and ValueError (no WAV file)."""
    if recording.spool_path and Path(recording.spool_path).exists():
        repair = cast(Callable[[str], float], import_string(settings.WAV_REPAIR))
        return repair(recording.spool_path)
    return recording_files.stored_seconds(recording_files.wav_name(recording))


# --- retention ------------------------------------------------------------------------------------


def forget_old(now: datetime | None = None) -> int:
    """Delete the files of recordings older than RECORDING_KEEP_DAYS (0 keeps them), what is left
    in this machine's spool of recordings that are over, and what could not be deleted when somebody
    wanted it. Rows stay. Returns how many old files were deleted; for a call once an hour or so."""
    now = now or timezone.now()
    _clean_spool(now)
    _discard_deleted()
    if not settings.RECORDING_KEEP_DAYS:
        return 0
    kept_since = now - timedelta(days=settings.RECORDING_KEEP_DAYS)
    old = Recording.objects.filter(started_at__lt=kept_since).exclude(file="")
    count = 0
    for recording in old.order_by("started_at").iterator(_SWEEP_CHUNK):
        try:
            recording_files.delete(str(recording.file.name))
        except OSError as error:
            log.error("recording %s is still in the storage: %s", recording.sid, error)
            continue
        words = f"The file was deleted after {settings.RECORDING_KEEP_DAYS} days."
        Recording.objects.filter(sid=recording.sid).update(file="", size=0, reason=words)
        count += 1
    return count


def _discard_deleted() -> None:
    for recording in Recording.objects.filter(status=RecordingStatus.DELETED).exclude(file=""):
        try:
            recordings.discard(recording)
        except OSError as error:
            log.error("recording %s is still in the storage: %s", recording.sid, error)


def _clean_spool(now: datetime) -> None:
    spool = Path(settings.RECORDING_SPOOL)
    left = (now - _SPOOL_LEFTOVERS).timestamp()
    old = [path for path in spool.glob("RE*.wav") if path.stat().st_mtime < left]
    names = [path.stem for path in old]
    live = set(
        Recording.objects.filter(sid__in=names, status__in=UNDER_WAY).values_list("sid", flat=True)
    )
    for path in old:
        if path.stem not in live:
            path.unlink(missing_ok=True)
