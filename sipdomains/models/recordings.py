"""Recordings: one row each, written before the first sample is."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from sipdomains import sids
from sipdomains.models.accounts import Account
from sipdomains.models.calls import Call
from sipdomains.models.fields import new_sid, sid_field


def new_recording_sid() -> str:
    return new_sid(sids.RECORDING)


class RecordingStatus(models.TextChoices):
    IN_PROGRESS = "in-progress"
    PAUSED = "paused"
    COMPLETED = "completed"
    ABSENT = "absent"
    FAILED = "failed"
    DELETED = "deleted"


UNDER_WAY = (RecordingStatus.IN_PROGRESS, RecordingStatus.PAUSED)


class RecordingSource(models.TextChoices):
    RECORD_VERB = "RecordVerb"
    DIAL_VERB = "DialVerb"
    OUTBOUND_API = "OutboundAPI"
    START_CALL_RECORDING_API = "StartCallRecordingAPI"


class Recording(models.Model):
    """What was recorded of a call.

    While it is in progress the sound is in ``spool_path`` on the machine of ``node``; when it is
    completed ``file`` is in the storage and can be downloaded. ``absent``: nothing was heard.
    ``callback`` is {url, method, events} of the recording status callback, or empty; ``published``
    how many of its messages were promised so far.
    """

    sid = sid_field(new_recording_sid)
    account = models.ForeignKey(
        Account, models.SET_NULL, null=True, db_constraint=False, related_name="recordings"
    )
    call = models.ForeignKey(
        Call, models.CASCADE, null=True, db_constraint=False, related_name="recordings"
    )
    source = models.CharField(max_length=24, choices=RecordingSource.choices)
    channels = models.PositiveSmallIntegerField(default=1)
    track = models.CharField(max_length=8, default="both")
    trim = models.BooleanField(default=False)
    status = models.CharField(max_length=11, choices=RecordingStatus.choices)
    started_at = models.DateTimeField("started")
    ended_at = models.DateTimeField("ended", null=True)
    duration = models.PositiveIntegerField(null=True, help_text="Whole seconds of sound.")
    size = models.PositiveBigIntegerField(default=0, help_text="Bytes of the file.")
    file = models.FileField(upload_to="recordings/%Y/%m/%d", max_length=255, blank=True)
    node = models.CharField(max_length=64)
    spool_path = models.CharField(max_length=512, blank=True)
    ended_by = models.CharField(max_length=20, blank=True)
    error_code = models.PositiveIntegerField(default=0)
    reason = models.CharField(max_length=512, blank=True)
    callback = models.JSONField(default=dict)
    published = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["-started_at"]
        indexes = [
            models.Index(fields=["-started_at"], name="recording_by_time"),
            models.Index(fields=["account", "-started_at", "-sid"], name="recording_by_account"),
            models.Index(
                fields=["account", "-started_at", "-sid"],
                name="recording_kept_by_account",
                condition=~Q(status="deleted"),
            ),
            models.Index(
                fields=["node"],
                name="recording_open_by_node",
                condition=Q(status__in=("in-progress", "paused")),
            ),
        ]

    def __str__(self) -> str:
        return self.sid
