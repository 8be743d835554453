"""Promised deliveries: status callbacks wait here until the application has taken them."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from sipdomains.models.accounts import Account
from sipdomains.models.calls import Call
from sipdomains.models.fields import MAX_URL_LENGTH


class OutboxState(models.TextChoices):
    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class OutboxMessage(models.Model):
    """One request that an application was promised (webhooks.md sections 4.2 and 4.3).

    Messages of one ``stream`` (a call's progress, a recording's) are delivered in the order of
    ``position``. ``claimed_until`` keeps two workers from delivering the same one; attempts are
    ``WebhookRequest`` rows with this ``id`` as request id.
    """

    id = models.CharField(max_length=64, primary_key=True)
    stream = models.CharField(max_length=80)
    position = models.PositiveIntegerField()
    purpose = models.CharField(max_length=20)
    call = models.ForeignKey(
        Call,
        models.CASCADE,
        null=True,
        db_index=False,
        db_constraint=False,
        related_name="outbox_messages",
    )
    account = models.ForeignKey(
        Account, models.SET_NULL, null=True, db_index=False, db_constraint=False, related_name="+"
    )
    created_at = models.DateTimeField("promised")
    method = models.CharField(max_length=4)
    url = models.CharField("URL", max_length=MAX_URL_LENGTH)
    parameters = models.JSONField(default=list, help_text="Ordered (name, value) pairs.")
    state = models.CharField(max_length=9, choices=OutboxState.choices, default=OutboxState.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_at = models.DateTimeField("next attempt")
    claimed_until = models.DateTimeField(null=True)
    settled_at = models.DateTimeField("settled", null=True)
    error_code = models.PositiveIntegerField(default=0)
    error_message = models.CharField(max_length=512, blank=True)

    class Meta:
        ordering = ["created_at", "stream", "position"]
        indexes = [
            models.Index(
                fields=["next_at"], name="outbox_pending_by_time", condition=Q(state="pending")
            ),
            models.Index(fields=["created_at"], name="outbox_by_time"),
            models.Index(fields=["call"], name="outbox_by_call", condition=Q(call__isnull=False)),
        ]
        constraints = [
            models.UniqueConstraint(fields=["stream", "position"], name="outbox_position_once")
        ]

    def __str__(self) -> str:
        return f"{self.purpose} {self.position} of {self.stream}"
