"""What passed between us and customers' applications, and what they should read about it."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from sipdomains.models.accounts import Account
from sipdomains.models.calls import Call
from sipdomains.models.fields import MAX_URL_LENGTH


class WebhookRequest(models.Model):
    """One HTTP attempt. Attempts of one logical request share ``request_id``."""

    request_id = models.CharField(max_length=64)
    attempt = models.PositiveSmallIntegerField()
    call = models.ForeignKey(
        Call,
        models.CASCADE,
        null=True,
        db_index=False,
        db_constraint=False,
        related_name="webhook_requests",
    )
    account = models.ForeignKey(
        Account, models.SET_NULL, null=True, db_index=False, db_constraint=False, related_name="+"
    )
    purpose = models.CharField(max_length=20)
    at = models.DateTimeField()
    method = models.CharField(max_length=4)
    url = models.CharField("URL", max_length=MAX_URL_LENGTH)
    parameters = models.JSONField(default=list, help_text="Ordered (name, value) pairs.")
    request_headers = models.JSONField(default=list)
    status = models.PositiveSmallIntegerField("HTTP status", default=0)
    response_headers = models.JSONField(default=list)
    response_body = models.TextField(blank=True)
    remote_address = models.CharField(max_length=64, blank=True)
    duration_ms = models.FloatField(default=0)
    connect_ms = models.FloatField(default=0)
    first_byte_ms = models.FloatField(default=0)
    error_code = models.PositiveIntegerField(default=0)
    error_message = models.CharField(max_length=512, blank=True)

    class Meta:
        ordering = ["at", "attempt"]
        indexes = [models.Index(fields=["call", "at"], name="webhook_request_by_call")]
        constraints = [
            models.UniqueConstraint(fields=["request_id", "attempt"], name="webhook_attempt_once")
        ]

    def __str__(self) -> str:
        return f"{self.method} {self.url}"


class Notification(models.Model):
    """An error or warning with its code (errors.md).

    The SID is derived from the content, so that storing the same notification twice leaves one.
    """

    sid = models.CharField("SID", max_length=34, primary_key=True)
    call = models.ForeignKey(
        Call,
        models.CASCADE,
        null=True,
        db_index=False,
        db_constraint=False,
        related_name="notifications",
    )
    account = models.ForeignKey(
        Account, models.SET_NULL, null=True, db_index=False, db_constraint=False, related_name="+"
    )
    at = models.DateTimeField()
    code = models.PositiveIntegerField()
    level = models.CharField(max_length=7, choices=[("error", "error"), ("warning", "warning")])
    message = models.TextField()
    request_method = models.CharField(max_length=4, blank=True)
    request_url = models.CharField("request URL", max_length=MAX_URL_LENGTH, blank=True)
    data = models.JSONField(default=dict)

    class Meta:
        ordering = ["-at"]
        indexes = [
            models.Index(fields=["-at"], name="notification_by_time"),
            models.Index(fields=["account", "-at", "-sid"], name="notification_by_account"),
            models.Index(
                fields=["call", "at"], name="notification_by_call", condition=Q(call__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.code} {self.message}"
