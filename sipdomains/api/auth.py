"""Who asks: HTTP Basic with AccountSid and one of its tokens, or with an API key.

Also for whatever else opens with these credentials (the files of recordings). Wrong credentials
are counted per address, so that tokens cannot be guessed.
"""

from __future__ import annotations

import hmac
from base64 import b64decode
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, Throttled
from rest_framework.request import Request

from sipdomains import sids
from sipdomains.api import vendor
from sipdomains.models import Account, ApiKey
from sipdomains.services import apikeys
from sipdomains.throttling import Window

_LONGEST_CREDENTIALS = 512
_USED_AGAIN = timedelta(minutes=5)  # how exact "last used" is


@dataclass(frozen=True, slots=True)
class Client:
    """``credential`` is the AccountSid or the SID of the key; ``full`` is False for a key, which
    may not change accounts."""

    account: Account
    credential: str
    full: bool

    is_authenticated = True  # what the REST framework asks of a user

    @property
    def active(self) -> bool:
        return self.account.active

    def reaches(self, account: Account) -> bool:
        """An account's credentials open its subaccounts, too."""
        return account.sid == self.account.sid or account.parent_id == self.account.sid


class AccountAuthentication(BaseAuthentication):
    def authenticate(self, request: Request) -> tuple[Any, str] | None:
        client = authenticate(request._request)
        return None if client is None else (client, client.credential)

    def authenticate_header(self, request: Request) -> str:
        return f'Basic realm="{vendor.REALM}"'


def authenticate(request: HttpRequest) -> Client | None:
    """None when no Basic credentials came. Raises AuthenticationFailed for wrong ones, Throttled
    when too many wrong ones came from this address."""
    given = _basic(request.headers.get("Authorization", ""))
    if given is None:
        return None
    failures = Window(
        f"failed-login:{request.META.get('REMOTE_ADDR', '')}",
        limit=settings.API_FAILED_LOGINS_PER_MINUTE,
        seconds=60,
    )
    if failures.full():
        raise Throttled(failures.wait())
    client = _client(*given)
    if client is None:
        failures.count()
        raise AuthenticationFailed
    return client


def _basic(header: str) -> tuple[str, str] | None:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    if len(encoded) > _LONGEST_CREDENTIALS:
        raise AuthenticationFailed
    try:
        name, _, secret = b64decode(encoded.strip(), validate=True).decode().partition(":")
    except ValueError:  # no ASCII, no base64, no UTF-8
        raise AuthenticationFailed from None
    return name, secret


def _client(name: str, secret: str) -> Client | None:
    if sids.is_sid(name, sids.API_KEY):
        return _by_key(name, secret)
    if not sids.is_sid(name, sids.ACCOUNT):
        return None
    account = Account.objects.select_related("parent").filter(sid=name).first()
    tokens = (account.auth_token, account.secondary_auth_token) if account else ("", "")
    # Both are looked at, and something is compared for an unknown account, too.
    matches = [bool(known) & _same(secret, known) for known in tokens]
    return Client(account, account.sid, full=True) if account and any(matches) else None


def _by_key(sid: str, secret: str) -> Client | None:
    key = ApiKey.objects.select_related("account__parent").filter(sid=sid).first()
    if key is None or not key.opens(secret):
        return None
    now = timezone.now()
    if key.last_used_at is None or now - key.last_used_at > _USED_AGAIN:
        apikeys.used(key, now)
    return Client(key.account, key.sid, full=False)


def _same(given: str, known: str) -> bool:
    return hmac.compare_digest(given.encode(), known.encode())
