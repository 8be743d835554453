"""Account: who owns domains, lists and calls."""

from __future__ import annotations

import secrets

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from sipdomains import sids
from sipdomains.models.configuration import ConfigurationModel
from sipdomains.models.fields import EncryptedTextField, new_sid, sid_field
from sipdomains.models.limits import IncomingLimits


def new_account_sid() -> str:
    return new_sid(sids.ACCOUNT)


def new_auth_token() -> str:
    """32 hex digits, the form that customers' tools expect."""
    return secrets.token_hex(16)


class AccountStatus(models.TextChoices):
    ACTIVE = "active", "active"
    SUSPENDED = "suspended", "suspended"
    CLOSED = "closed", "closed"


class Account(IncomingLimits, ConfigurationModel):
    """A customer. The auth token signs our webhooks and opens the REST API."""

    sid = sid_field(new_account_sid)
    friendly_name = models.CharField("name", max_length=64)
    status = models.CharField(
        max_length=9,
        choices=AccountStatus.choices,
        default=AccountStatus.ACTIVE,
        help_text="Calls to the domains of a suspended or closed account are refused with 403.",
    )
    parent = models.ForeignKey(
        "self",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="subaccounts",
        verbose_name="parent account",
        help_text="The account that owns this one, if any.",
    )
    auth_token = EncryptedTextField(default=new_auth_token, editable=False)
    secondary_auth_token = EncryptedTextField(blank=True, default="", editable=False)
    max_outgoing_calls = models.PositiveIntegerField(
        "outgoing calls at the same time",
        default=50,
        help_text="Further ones fail. 0 means no limit; toll fraud is what the limit is for.",
    )
    max_outgoing_per_minute = models.PositiveIntegerField(
        "outgoing calls per minute",
        default=120,
        help_text="Further ones fail. 0 means no limit.",
    )
    calls_per_second = models.PositiveSmallIntegerField(
        "calls created per second",
        default=1,
        validators=[MinValueValidator(1), MaxValueValidator(1000)],
        help_text="Calls that the REST API creates beyond that wait in a queue.",
    )
    verify_tls = models.BooleanField(
        "verify certificates",
        default=True,
        help_text="Check the certificates of https web applications. Turn off only for tests.",
    )

    class Meta:
        ordering = ["friendly_name"]

    def __str__(self) -> str:
        return self.friendly_name

    @property
    def active(self) -> bool:
        """A subaccount rests while its parent does."""
        return self.status == AccountStatus.ACTIVE and (self.parent is None or self.parent.active)
