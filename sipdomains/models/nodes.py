"""SipNode: one start of a SIP node, with its lease."""

from __future__ import annotations

from django.db import models


class SipNode(models.Model):
    """A node renews ``heartbeat_at``; when it stops doing so its calls are closed for it."""

    boot_id = models.CharField(max_length=64, primary_key=True)
    contact = models.CharField(
        max_length=255, help_text="The address it listens on: a later start there replaces it."
    )
    started_at = models.DateTimeField("started")
    heartbeat_at = models.DateTimeField("last sign of life")
    draining = models.BooleanField(default=False)
    stopped_at = models.DateTimeField("stopped", null=True)

    class Meta:
        ordering = ["-started_at"]
        verbose_name = "SIP node"

    def __str__(self) -> str:
        return f"{self.contact} ({self.boot_id})"
