"""Who sits at the desk: users bound to accounts, and the filters of the call log they keep."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from sipdomains.models.accounts import Account

MAX_QUERY_LENGTH = 2000


class AccountMember(models.Model):
    """A user sees this account. What the user may do there is said by groups (``access``)."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="account_members"
    )
    account = models.ForeignKey(Account, models.CASCADE, related_name="members")

    class Meta:
        verbose_name = "account of the user"
        verbose_name_plural = "accounts of the user"
        constraints = [
            models.UniqueConstraint(fields=["user", "account"], name="account_member_once")
        ]
        permissions = [("see_every_account", "Can see every account")]

    def __str__(self) -> str:
        return f"{self.user_id} in {self.account_id}"


class SavedFilter(models.Model):
    """A filter of the call log under a name. ``query`` is that of the page's address."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="saved_filters")
    name = models.CharField(max_length=64)
    query = models.CharField(max_length=MAX_QUERY_LENGTH)
    shared = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["user", "name"], name="saved_filter_once")]

    def __str__(self) -> str:
        return self.name
