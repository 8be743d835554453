"""API keys: made, used, revoked."""

from __future__ import annotations

from datetime import datetime

from sipdomains.models import Account, ApiKey


def create(account: Account, name: str) -> tuple[ApiKey, str]:
    """The key and its secret, which is not kept. Raises ValidationError."""
    key = ApiKey(account=account, friendly_name=name)
    return key, issue(key)


def issue(key: ApiKey) -> str:
    """Save a new key; returns its secret, which is not kept. Raises ValidationError."""
    secret = key.renew_secret()
    key.full_clean()
    key.save()
    return secret


def used(key: ApiKey, now: datetime) -> None:
    ApiKey.objects.filter(pk=key.pk).update(last_used_at=now)


def revoke(key: ApiKey, now: datetime) -> None:
    """Of no effect on one that is revoked already."""
    if key.revoked_at is None:
        key.revoked_at = now
        key.save(update_fields=["revoked_at"])
