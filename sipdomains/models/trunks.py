"""Trunks: the ways out to the telephone network, and which numbers they may be used for."""

from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models

from sipdomains import sids
from sipdomains.models.accounts import Account
from sipdomains.models.configuration import ConfigurationModel
from sipdomains.models.fields import EncryptedTextField, new_sid, sid_field
from sipdomains.models.names import MAX_HOST_LENGTH


def new_trunk_sid() -> str:
    return new_sid(sids.TRUNK)


class Transport(models.TextChoices):
    UDP = "udp", "UDP"
    TCP = "tcp", "TCP"


class Trunk(ConfigurationModel):
    """A SIP provider or gateway that takes calls to numbers.

    Nothing goes out by a trunk unless one of its rules allows the number. Of the trunks that do,
    the lowest ``priority`` is tried first; among equals ``weight`` shares the calls (RFC 2782).
    """

    sid = sid_field(new_trunk_sid)
    account = models.ForeignKey(Account, models.PROTECT, related_name="trunks")
    friendly_name = models.CharField("name", max_length=64)
    enabled = models.BooleanField(default=True)
    host = models.CharField(
        max_length=MAX_HOST_LENGTH,
        help_text="Host name (looked up by NAPTR and SRV unless a port is given) or IP address.",
    )
    port = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(65_535)],
        help_text="Empty: as DNS says, else 5060.",
    )
    transport = models.CharField(
        max_length=3,
        choices=Transport.choices,
        blank=True,
        help_text="Empty: as DNS says, else UDP.",
    )
    username = models.CharField("user name", max_length=255, blank=True)
    password = EncryptedTextField(blank=True, default="")
    from_host = models.CharField(
        "From host",
        max_length=MAX_HOST_LENGTH,
        blank=True,
        help_text="Host part of From; empty: the trunk's host.",
    )
    caller_id = models.CharField(
        "caller ID",
        max_length=64,
        blank=True,
        help_text="Number shown to the callee when the call brings none that is a number.",
    )
    priority = models.PositiveIntegerField(default=10, help_text="Lower is tried first.")
    weight = models.PositiveIntegerField(default=10, help_text="Share among equal priorities.")

    class Meta:
        ordering = ["account", "priority", "friendly_name"]

    def __str__(self) -> str:
        return self.friendly_name


class TrunkRule(ConfigurationModel):
    """Whether numbers that begin so may be dialled, and how they are written for the trunk.

    The longest prefix that fits decides; without any that fits the number is denied.
    """

    trunk = models.ForeignKey(Trunk, models.CASCADE, related_name="rules")
    prefix = models.CharField(
        max_length=32,
        blank=True,
        validators=[RegexValidator(r"\A\+?[0-9*#]*\Z", "Digits, perhaps with + in front.")],
        help_text="As dialled, e.g. +49. Empty: every number.",
    )
    allow = models.BooleanField(default=True, help_text="Off: numbers that begin so are refused.")
    strip = models.PositiveSmallIntegerField(
        default=0, help_text="How many characters to take off the front."
    )
    prepend = models.CharField(
        max_length=32,
        blank=True,
        validators=[RegexValidator(r"\A\+?[0-9*#]*\Z", "Digits, perhaps with + in front.")],
        help_text="What to put in front then.",
    )

    class Meta:
        ordering = ["trunk", "prefix"]
        constraints = [models.UniqueConstraint(fields=["trunk", "prefix"], name="trunk_rule_once")]

    def __str__(self) -> str:
        return f"{'allow' if self.allow else 'deny'} {self.prefix or 'all'}"
