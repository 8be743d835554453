"""Accounts: the token that signs for them, and how it is exchanged for another.

Rotation as the vendor does it: make a secondary token, which opens the REST API at once; teach the
application both; promote it, after which requests are signed with it and the old one is no more.
"""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db import transaction

from sipdomains import audit
from sipdomains.models import Account
from sipdomains.models.accounts import new_auth_token


def auth_token(account_sid: str) -> str | None:
    """The primary token, which signs webhooks; None for an unknown account.

    Raises ``models.fields.DecryptionFailed`` when the encryption key is not at hand.
    """
    return Account.objects.filter(sid=account_sid).values_list("auth_token", flat=True).first()


def show_tokens(account_sid: str) -> Account:
    """The account, for somebody who is going to read its tokens: that is put on record."""
    account = Account.objects.get(sid=account_sid)
    audit.was_read(account)
    return account


@transaction.atomic
def make_secondary_token(account_sid: str) -> Account:
    """Raises ValidationError when there is one: somebody may be using it."""
    account = _locked(account_sid)
    if account.secondary_auth_token:
        raise ValidationError("There is a secondary token already: promote or remove it first.")
    account.secondary_auth_token = new_auth_token()
    return _saved(account)


@transaction.atomic
def promote_secondary_token(account_sid: str) -> Account:
    """The secondary token becomes the primary one; what was primary opens nothing any more.

    Raises ValidationError when there is no secondary token.
    """
    account = _locked(account_sid)
    if not account.secondary_auth_token:
        raise ValidationError("There is no secondary token.")
    account.auth_token, account.secondary_auth_token = account.secondary_auth_token, ""
    return _saved(account)


@transaction.atomic
def remove_secondary_token(account_sid: str) -> Account:
    """Of no effect when there is none."""
    account = _locked(account_sid)
    account.secondary_auth_token = ""
    return _saved(account)


def _locked(account_sid: str) -> Account:
    return Account.objects.select_for_update().get(sid=account_sid)


def _saved(account: Account) -> Account:
    account.save(update_fields=["auth_token", "secondary_auth_token", "updated_at"])
    return account
