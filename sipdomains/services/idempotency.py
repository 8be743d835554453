"""Requests that are carried out once, however often they come (models.IdempotentRequest).

Answers are encrypted while they are kept: that of a new subaccount has its auth token.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography.fernet import InvalidToken, MultiFernet
from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from sipdomains.models import Account, IdempotentRequest
from sipdomains.models.fields import DecryptionFailed, cipher

KEEP = timedelta(hours=24)
# A first attempt that has said nothing for so long has died with its process.
_PATIENCE = timedelta(seconds=60)


class Mismatch(Exception):
    """The key was used for another request."""


class Busy(Exception):
    """The first attempt is still under way."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: str


def begin(account: Account, key: str, fingerprint: str) -> Answer | None:
    """The answer that was given already; None: the caller is the first, and has to ``settle`` or
    ``forget``. Raises Mismatch or Busy."""
    now = timezone.now()
    mine = IdempotentRequest.objects.filter(account=account, key=key)
    try:
        with transaction.atomic():
            IdempotentRequest.objects.create(
                account=account, key=key, fingerprint=fingerprint, created_at=now
            )
        return None
    except IntegrityError:
        pass  # somebody was here before
    earlier = mine.first()
    if earlier is None:
        raise Busy
    if earlier.created_at < now - KEEP:
        taken = mine.filter(created_at=earlier.created_at).update(
            created_at=now, fingerprint=fingerprint, status=0, body=""
        )
        if taken:
            return None
        raise Busy
    if earlier.fingerprint != fingerprint:
        raise Mismatch
    if earlier.status:
        return Answer(earlier.status, _opened(earlier.body))
    dead = mine.filter(status=0, created_at__lt=now - _PATIENCE)
    if dead.update(created_at=now):
        return None
    raise Busy


def settle(account: Account, key: str, answer: Answer) -> None:
    IdempotentRequest.objects.filter(account=account, key=key).update(
        status=answer.status, body=_cipher().encrypt(answer.body.encode()).decode("ascii")
    )


def _opened(body: str) -> str:
    """Raises DecryptionFailed when its key has been taken away since."""
    try:
        return _cipher().decrypt(body.encode()).decode()
    except InvalidToken:
        raise DecryptionFailed("no key opens the answer that was kept") from None


def _cipher() -> MultiFernet:
    return cipher(tuple(settings.FIELD_ENCRYPTION_KEYS))


def forget(account: Account, key: str) -> None:
    """Nothing has happened: the key may be used again."""
    IdempotentRequest.objects.filter(account=account, key=key, status=0).delete()


def forget_old(now: datetime | None = None) -> int:
    """Delete what nobody repeats any more; returns how many."""
    now = now or timezone.now()
    deleted, _ = IdempotentRequest.objects.filter(created_at__lt=now - KEEP).delete()
    return deleted
