"""Accounts, as workers need them."""

from __future__ import annotations

from sipdomains.models import Account


def auth_token(account_sid: str) -> str | None:
    """The primary token, which signs webhooks; None for an unknown account.

    Raises ``models.fields.DecryptionFailed`` when the encryption key is not at hand.
    """
    return Account.objects.filter(sid=account_sid).values_list("auth_token", flat=True).first()
