"""Transfers: what was asked with REFER, and what became of it (sip-domain.md section 12)."""

from __future__ import annotations

from django.db import models

from sipdomains.models.calls import Call


class TransferState(models.TextChoices):
    REQUESTED = "requested"
    ACCEPTED = "accepted"
    RINGING = "ringing"
    SUCCEEDED = "succeeded"
    BUSY = "busy"
    FAILED = "failed"
    REFUSED = "refused"
    CANCELED = "canceled"
    UNKNOWN = "unknown"


class Transfer(models.Model):
    """One REFER, sent or received. ``number`` counts those of one call from 1.

    ``refer_status`` is the answer to the REFER, ``notify_status`` the last status that a NOTIFY
    told; 0 means none. It is settled when ``settled_at`` is set, by the follow-up task.
    """

    call = models.ForeignKey(Call, models.CASCADE, db_constraint=False, related_name="transfers")
    number = models.PositiveSmallIntegerField()
    direction = models.CharField(max_length=8, choices=[("sent", "sent"), ("received", "received")])
    target = models.CharField(max_length=512)
    state = models.CharField(
        max_length=9, choices=TransferState.choices, default=TransferState.REQUESTED
    )
    refer_status = models.PositiveSmallIntegerField(default=0)
    notify_status = models.PositiveSmallIntegerField(default=0)
    ended_by = models.CharField(max_length=20, blank=True)
    reason = models.CharField(max_length=512, blank=True)
    requested_at = models.DateTimeField("requested")
    changed_at = models.DateTimeField("changed")
    settled_at = models.DateTimeField("settled", null=True)

    class Meta:
        ordering = ["requested_at"]
        indexes = [
            models.Index(
                fields=["changed_at"], name="transfer_open", condition=models.Q(settled_at=None)
            )
        ]
        constraints = [models.UniqueConstraint(fields=["call", "number"], name="transfer_once")]

    def __str__(self) -> str:
        return f"{self.direction} REFER {self.number} of {self.call_id}"
