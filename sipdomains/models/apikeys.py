"""Keys that open the REST API besides the account's own tokens, and can be revoked one by one."""

from __future__ import annotations

import hashlib
import secrets
from hmac import compare_digest

from django.db import models

from sipdomains import sids
from sipdomains.models.accounts import Account
from sipdomains.models.fields import new_sid, sid_field


def new_api_key_sid() -> str:
    return new_sid(sids.API_KEY)


def _digest(secret: str) -> str:
    """Secrets are random, 128 bits and more: a plain hash of one cannot be turned back."""
    return hashlib.sha256(secret.encode()).hexdigest()


class ApiKey(models.Model):
    """Only a hash of the secret is kept: it is shown once, when the key is made."""

    sid = sid_field(new_api_key_sid)
    account = models.ForeignKey(Account, models.CASCADE, related_name="api_keys")
    friendly_name = models.CharField(
        "name", max_length=64, help_text="Who uses the key, so that you know what to revoke."
    )
    secret_hash = models.CharField(max_length=64, editable=False)
    created_at = models.DateTimeField("created", auto_now_add=True)
    last_used_at = models.DateTimeField("last used", null=True, editable=False)
    revoked_at = models.DateTimeField("revoked", null=True, editable=False)

    class Meta:
        ordering = ["-created_at"]
        verbose_name = "API key"

    def __str__(self) -> str:
        return self.friendly_name

    def renew_secret(self) -> str:
        """Give the key a new secret and return it. The caller saves the row."""
        secret = secrets.token_hex(16)
        self.secret_hash = _digest(secret)
        return secret

    def opens(self, secret: str) -> bool:
        """Whether ``secret`` is the key's, and the key is in force. Constant time."""
        same = compare_digest(_digest(secret), self.secret_hash)
        return same and self.revoked_at is None
