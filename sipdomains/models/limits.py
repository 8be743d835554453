"""How many calls may come in: of an account, and of a domain."""

from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models


class IncomingLimits(models.Model):
    """Both are counted by each node for itself (ADR 10)."""

    max_concurrent_calls = models.PositiveIntegerField(
        "calls at the same time",
        default=0,
        help_text="Further calls are refused with 503. 0 means no limit.",
    )
    max_incoming_per_second = models.PositiveSmallIntegerField(
        "incoming calls per second",
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(1000)],
        help_text="New calls beyond that are refused with 503, and the caller is asked to try "
        "again after a second. Empty means no limit.",
    )

    class Meta:
        abstract = True
