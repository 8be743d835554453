"""Recordings after the last sample: the file stored, the row final, the callback promised.

The only writer of a recording that has ended; its row is made with the call log
(``RecordingStarted``). A row becomes final once, by compare-and-set, and whoever is told of it can
download the file: it is stored before the row says so.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import cast

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone
from django.utils.module_loading import import_string

from sipdomains.contracts import CallbackPromised, NotificationRecord
from sipdomains.models import Recording, RecordingStatus, SipNode
from sipdomains.models.recordings import new_recording_sid
from sipdomains.services import calls, recording_files
from twimlrunner.webhooks.callbacks import (
    EVENT_OF_RECORDING,
    RECORDING_CALLBACK,
    message_id,
    recording_parameters,
)

log = logging.getLogger(__name__)

NODE_LOST = "node-lost"
CALL_ENDED = "call-ended"
# A recording outlives its call by its trimming and storing, at most.
SETTLING = timedelta(minutes=10)
# How long the sound of a lost recording may be on a machine that is down.
GRACE = timedelta(hours=24)
# What could not be stored stays in the spool so long, for the operator to look at.
_SPOOL_LEFTOVERS = timedelta(days=7)

_INTERNAL_FAILURE = 12400  # errors.md section 4
_MAX_REASON = 512
_SWEEP_CHUNK = 200
_SALVAGED = "The recording broke off: what was recorded until then was kept."
_NEVER_FOUND = "Its sound was never found again."
_RECOVERED = {
    NODE_LOST: "The node was lost: what was recorded until then was kept.",
    CALL_ENDED: "It could not be stored when it ended, so that was done later.",
}


@dataclass(frozen=True, slots=True)
class NewRecording:
    """``path`` of the file to write, ``url`` as applications are told it (no extension)."""

    sid: str
    path: str
    url: str


@dataclass(frozen=True, slots=True)
class Settled:
    """A recording's final state; ``seconds`` of its file. ``status`` is ``in-progress`` when there
    is no row to settle. ``callbacks`` are ids of those that were promised just now."""

    status: str
    seconds: int
    callbacks: tuple[str, ...] = field(default=(), compare=False)


def new(account_sid: str, spool: Path, public_url: str) -> NewRecording:
    """Names for a recording that is about to begin; touches nothing."""
    sid = new_recording_sid()
    return NewRecording(sid, str(spool / f"{sid}.wav"), url(account_sid, sid, public_url))


def url(account_sid: str, sid: str, public_url: str = "") -> str:
    """RecordingUrl (webhooks.md section 4.3): plain or ``.wav`` gives WAV, ``.mp3`` MP3."""
    base = public_url or settings.PUBLIC_URL
    return f"{base}/2010-04-01/Accounts/{account_sid}/Recordings/{sid}"


def in_progress(sid: str) -> Recording | None:
    """The row of a recording that is not final yet."""
    return Recording.objects.filter(sid=sid, status=RecordingStatus.IN_PROGRESS).first()


def finish(
    sid: str,
    path: str,
    *,
    ended_by: str,
    seconds: float,
    failed: bool,
    heard: bool,
    reason: str = "",
    now: datetime | None = None,
) -> Settled:
    """Make the recording final: ``completed`` with the file at ``path`` (whole, trimmed) stored,
    ``absent`` when nothing was heard, or ``failed``.

    ``failed`` with ``seconds`` of sound means that it broke off: what there is is kept, and the
    row says why. A second call changes nothing and tells what the first one made of it. Raises
    DatabaseError, and what the storage raises (OSError …): nothing is lost then, the sweep will
    try again.
    """
    recording = Recording.objects.filter(sid=sid).first()
    if recording is None or recording.status != RecordingStatus.IN_PROGRESS:
        return _state(recording)
    recording.ended_at = now or timezone.now()
    recording.ended_by = ended_by
    if seconds > 0 and (heard or failed):
        recording.status = RecordingStatus.COMPLETED
        recording.duration = max(1, int(seconds + 0.5))
        recording.reason = reason or (_SALVAGED if failed else "")
        _keep(recording, path)
    elif failed:
        recording.status = RecordingStatus.FAILED
        recording.error_code = _INTERNAL_FAILURE
        recording.reason = reason or "The recording failed before anything was recorded."
    else:
        recording.status = RecordingStatus.ABSENT
        recording.duration = 0
        recording.reason = reason or "Nothing was heard."
    settled = _settle(recording)
    if path and settled.status != RecordingStatus.FAILED:  # else it is all that is left
        Path(path).unlink(missing_ok=True)
    return settled


def _keep(recording: Recording, path: str) -> None:
    """The file into the storage, unless an earlier attempt got that far."""
    name = recording_files.wav_name(recording)
    size = recording_files.store(path, name) if path and Path(path).exists() else None
    size = size or recording_files.stored_size(name)
    if size is None:
        raise FileNotFoundError(f"{path} is gone, and {name} is not in the storage")
    recording.size = size
    recording.file.name = name


def _settle(recording: Recording) -> Settled:
    """Compare and set, together with the promise of the callback."""
    recording.reason = recording.reason[:_MAX_REASON]
    promised = _promise(recording)
    with transaction.atomic():
        mine = Recording.objects.filter(sid=recording.sid, status=RecordingStatus.IN_PROGRESS)
        updated = mine.update(
            status=recording.status,
            ended_at=recording.ended_at,
            ended_by=recording.ended_by,
            duration=recording.duration,
            size=recording.size,
            file=recording.file.name or "",
            error_code=recording.error_code,
            reason=recording.reason,
            spool_path=recording.spool_path if recording.status == RecordingStatus.FAILED else "",
            published=recording.published + len(promised),
        )
        if updated:
            owed = calls.apply([*promised, *_notification(recording)])
            return replace(_state(recording), callbacks=tuple(owed.callbacks))
    # Somebody else was faster.
    return _state(Recording.objects.filter(sid=recording.sid).first())


def _state(recording: Recording | None) -> Settled:
    if recording is None:
        return Settled(RecordingStatus.IN_PROGRESS.value, 0)
    return Settled(str(recording.status), recording.duration or 0)


def _promise(recording: Recording) -> list[CallbackPromised]:
    """The message that tells the end, if the application wants it."""
    target, status = recording.callback, str(recording.status)
    wanted = EVENT_OF_RECORDING[status] in target.get("events", ())
    if not wanted or not target.get("url") or recording.ended_at is None:
        return []
    return [
        CallbackPromised(
            message_id=message_id(recording.sid, recording.published),
            stream=recording.sid,
            position=recording.published,
            purpose=RECORDING_CALLBACK,
            call_sid=recording.call_id or "",
            account_sid=recording.account_id or "",
            at=recording.ended_at.timestamp(),
            method=target.get("method", "POST"),
            url=target["url"],
            parameters=recording_parameters(
                account_sid=recording.account_id or "",
                call_sid=recording.call_id or "",
                recording_sid=recording.sid,
                url=url(recording.account_id or "", recording.sid),
                status=status,
                seconds=recording.duration,
                channels=recording.channels,
                started_at=recording.started_at.timestamp(),
                source=recording.source,
                track=recording.track,
            ),
        )
    ]


def _notification(recording: Recording) -> list[NotificationRecord]:
    if recording.status != RecordingStatus.FAILED or recording.ended_at is None:
        return []
    return [
        NotificationRecord(
            at=recording.ended_at.timestamp(),
            code=recording.error_code,
            level="error",
            message=f"Recording {recording.sid} failed. {recording.reason}",
            call_sid=recording.call_id or "",
            account_sid=recording.account_id or "",
        )
    ]


# --- what nobody finished -------------------------------------------------------------------------


def close_orphans(now: datetime | None = None) -> int:
    """Settle recordings whose node is gone, or whose call ended a while ago; returns how many.

    The sound is where it was being written, on one of the machines: there it is mended and stored
    (``completed``, ended by ``node-lost``). Elsewhere the row waits for that machine, and after
    GRACE it is ``failed``.
    """
    now = now or timezone.now()
    running = SipNode.objects.filter(boot_id=OuterRef("node"), stopped_at=None)
    orphans = (
        Recording.objects.filter(status=RecordingStatus.IN_PROGRESS)
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
        settled = finish(
            recording.sid, path, ended_by=ended_by, seconds=seconds or 0.0,
            failed=seconds is None, heard=True, now=last_seen,
            reason=_NEVER_FOUND if seconds is None else reason,
        )  # fmt: skip
    except (OSError, ValueError) as error:
        log.error("recording %s cannot be recovered: %s", recording.sid, error)
        if isinstance(error, OSError) and not overdue:
            return False  # the storage may come back; a damaged file does not heal
        settled = finish(
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
    """Delete the files of recordings older than RECORDING_KEEP_DAYS (0 keeps them), and what is
    left in this machine's spool of recordings that are over. Rows stay. Returns how many files
    were deleted; for a call once an hour or so."""
    now = now or timezone.now()
    _clean_spool(now)
    if not settings.RECORDING_KEEP_DAYS:
        return 0
    kept_since = now - timedelta(days=settings.RECORDING_KEEP_DAYS)
    old = Recording.objects.filter(started_at__lt=kept_since).exclude(file="")
    count = 0
    for recording in old.order_by("started_at").iterator(_SWEEP_CHUNK):
        recording_files.delete(str(recording.file.name))
        words = f"The file was deleted after {settings.RECORDING_KEEP_DAYS} days."
        Recording.objects.filter(sid=recording.sid).update(file="", size=0, reason=words)
        count += 1
    return count


def _clean_spool(now: datetime) -> None:
    spool = Path(settings.RECORDING_SPOOL)
    left = (now - _SPOOL_LEFTOVERS).timestamp()
    old = [path for path in spool.glob("RE*.wav") if path.stat().st_mtime < left]
    names = [path.stem for path in old]
    live = set(
        Recording.objects.filter(sid__in=names, status=RecordingStatus.IN_PROGRESS).values_list(
            "sid", flat=True
        )
    )
    for path in old:
        if path.stem not in live:
            path.unlink(missing_ok=True)
