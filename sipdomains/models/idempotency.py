"""Answers to requests that a client may repeat (header Idempotency-Key)."""

from __future__ import annotations

from django.db import models

from sipdomains.models.accounts import Account


class IdempotentRequest(models.Model):
    """One POST with a key. ``status`` 0: an attempt is still under way; ``body`` is then empty or
    names the command that a node was asked for. ``fingerprint`` is of method, path and parameters:
    the same key with others is a mistake of the client."""

    account = models.ForeignKey(Account, models.CASCADE, related_name="+")
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64)
    created_at = models.DateTimeField()
    status = models.PositiveSmallIntegerField(default=0)
    body = models.TextField(blank=True)

    class Meta:
        indexes = [models.Index(fields=["created_at"], name="idempotent_by_time")]
        constraints = [
            models.UniqueConstraint(fields=["account", "key"], name="idempotent_request_once")
        ]

    def __str__(self) -> str:
        return self.key
