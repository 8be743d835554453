"""Accounts, as workers need them."""

from __future__ import annotations

from sipdomains.models import Account
from sipdomains.models.accounts import new_auth_token


def auth_token(account_sid: str) -> str | None:
    """The primary token, which signs webhooks; None for an unknown account.

    Raises ``models.fields.DecryptionFailed`` when the encryption key is not at hand.
    """
    return Account.objects.filter(sid=account_sid).values_list("auth_token", flat=True).first()


def renew_auth_token(account: Account) -> None:
    """Give a fresh primary token; the old one stays valid as the secondary until the next time."""
    account.secondary_auth_token = account.auth_token
    account.auth_token = new_auth_token()
    account.save(update_fields=["auth_token", "secondary_auth_token", "updated_at"])
