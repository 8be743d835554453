"""Recordings after the last sample: the file stored, the row final, the callback promised.

The only writer of a recording that has ended; its row is made with the call log
(``RecordingStarted``). A row becomes final once, by compare-and-set, and whoever is told of it can
download the file: it is stored before the row says so. Until then it is in progress or paused;
afterwards it may be deleted. What nobody finished: ``recording_sweep``.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from sipdomains import longlists
from sipdomains.contracts import CallbackPromised, NotificationRecord
from sipdomains.models import Recording, RecordingStatus
from sipdomains.models.recordings import UNDER_WAY, new_recording_sid
from sipdomains.services import calls, recording_files, segments
from sipdomains.stretch import ListName
from twimlrunner.webhooks.callbacks import (
    EVENT_OF_RECORDING,
    RECORDING_CALLBACK,
    message_id,
    recording_parameters,
)

DELETE_BEFORE_COMPLETE = 20009  # errors.md section 1
_INTERNAL_FAILURE = 12400  # errors.md section 4
_MAX_REASON = 512
_SALVAGED = "The recording broke off: what was recorded until then was kept."
_DELETED = "It was deleted."


class NotFinished(Exception):
    """The recording is under way: it cannot be deleted (REST code DELETE_BEFORE_COMPLETE)."""


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
    return Recording.objects.filter(sid=sid, status__in=UNDER_WAY).first()


def mark(sid: str, *, paused: bool) -> bool:
    """Say whether a recording under way is paused; False: it is final, or there is none."""
    status = RecordingStatus.PAUSED if paused else RecordingStatus.IN_PROGRESS
    return bool(Recording.objects.filter(sid=sid, status__in=UNDER_WAY).update(status=status))


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
    if recording is None or recording.status not in UNDER_WAY:
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
        mine = Recording.objects.filter(sid=recording.sid, status__in=UNDER_WAY)
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


# --- deleting -------------------------------------------------------------------------------------


def delete(recording: Recording) -> None:
    """Delete the sound, in all its forms; the row stays and says so (``IncludeSoftDeleted``).

    A second call changes nothing. Raises NotFinished, and what the storage raises: then the row
    says ``deleted`` already, nobody gets the file any more, and the sweep will try again.
    """
    _withdraw(recording)
    recording.refresh_from_db()
    discard(recording)


@transaction.atomic
def _withdraw(recording: Recording) -> None:
    """From the list of those that are kept."""
    account = recording.account_id or ""
    segments.hold(account)
    row = Recording.objects.filter(sid=recording.sid)
    final = row.exclude(status__in=(*UNDER_WAY, RecordingStatus.DELETED))
    if final.update(status=RecordingStatus.DELETED, reason=_DELETED):
        kept = ListName(account, longlists.RECORDINGS_KEPT)
        segments.lower({kept: [longlists.RECORDINGS_ORDER.of(recording)]})
    elif not row.filter(status=RecordingStatus.DELETED).exists():
        raise NotFinished(recording.sid)


def discard(recording: Recording) -> None:
    """The files of a recording that is deleted. Raises what the storage raises."""
    name = str(recording.file.name or "")
    if name:
        recording_files.delete(name)
    if recording.spool_path:  # of one that failed; on another machine it goes with the leftovers
        Path(recording.spool_path).unlink(missing_ok=True)
    Recording.objects.filter(sid=recording.sid).update(file="", size=0, spool_path="")
    recording.refresh_from_db()
