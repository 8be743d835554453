"""Requests that are carried out once, however often they come (models.IdempotentRequest).

What a request makes and the answer that is kept for its key are one transaction, so that a process
that dies leaves both or neither. A live call cannot be changed within one: there the command and
its number in the key's row are one transaction, and a later attempt waits for that command.
Answers are encrypted while they are kept: that of a new subaccount has its auth token.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from cryptography.fernet import InvalidToken, MultiFernet
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from sipdomains.models import Account, CallCommand, IdempotentRequest
from sipdomains.models.fields import DecryptionFailed, cipher

KEEP = timedelta(hours=24)
# A first attempt that has said nothing for so long has died with its process.
_PATIENCE = timedelta(seconds=60)
_COMMAND = "command "  # of a body while nothing is settled: what a node has been asked for

T = TypeVar("T")
C = TypeVar("C", bound=CallCommand | None)


class Mismatch(Exception):
    """The key was used for another request."""


class Busy(Exception):
    """Another attempt is under way."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: str


@dataclass(frozen=True, slots=True)
class Turn:
    """It is for the caller to carry the request out. ``command`` is the id of what an attempt that
    died has asked a node for, 0 if nothing."""

    account: Account
    key: str
    taken_at: datetime
    command: int = 0


def begin(account: Account, key: str, fingerprint: str) -> Answer | Turn:
    """The answer that was given already, or a turn: the caller has to :func:`carry_out`,
    :func:`settle` or :func:`forget`. Raises Mismatch or Busy."""
    now = timezone.now()
    mine = IdempotentRequest.objects.filter(account=account, key=key)
    try:
        with transaction.atomic():
            IdempotentRequest.objects.create(
                account=account, key=key, fingerprint=fingerprint, created_at=now
            )
        return Turn(account, key, now)
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
            return Turn(account, key, now)
        raise Busy
    if earlier.fingerprint != fingerprint:
        raise Mismatch
    if earlier.status:
        return Answer(earlier.status, _opened(earlier.body))
    dead = mine.filter(status=0, created_at=earlier.created_at, created_at__lt=now - _PATIENCE)
    if dead.update(created_at=now):
        return Turn(account, key, now, int(earlier.body.removeprefix(_COMMAND) or 0))
    raise Busy


def carry_out(turn: Turn, work: Callable[[], tuple[T, Answer]]) -> T:
    """Do ``work`` and keep its answer, in one transaction. Raises Busy, and nothing was done, when
    another attempt has taken the turn meanwhile."""
    with transaction.atomic():
        made, answer = work()
        settle(turn, answer)
    return made


def ask(turn: Turn, work: Callable[[], C]) -> C:
    """What ``work`` asks a node for, and that it was asked, in one transaction. Raises Busy as
    :func:`carry_out` does."""
    with transaction.atomic():
        command = work()
        if command is not None and not _mine(turn).update(body=f"{_COMMAND}{command.pk}"):
            raise Busy
    return command


def settle(turn: Turn, answer: Answer) -> None:
    """Raises Busy when another attempt has taken the turn meanwhile."""
    body = _cipher().encrypt(answer.body.encode()).decode("ascii")
    if not _mine(turn).update(status=answer.status, body=body):
        raise Busy


def forget(turn: Turn) -> None:
    """Nothing has happened: the key may be used again."""
    _mine(turn).delete()


def _mine(turn: Turn) -> QuerySet[IdempotentRequest]:
    return IdempotentRequest.objects.filter(
        account=turn.account, key=turn.key, status=0, created_at=turn.taken_at
    )


def _opened(body: str) -> str:
    """Raises DecryptionFailed when its key has been taken away since."""
    try:
        return _cipher().decrypt(body.encode()).decode()
    except InvalidToken:
        raise DecryptionFailed("no key opens the answer that was kept") from None


def _cipher() -> MultiFernet:
    return cipher(tuple(settings.FIELD_ENCRYPTION_KEYS))


def forget_old(now: datetime | None = None) -> int:
    """Delete what nobody repeats any more; returns how many."""
    now = now or timezone.now()
    deleted, _ = IdempotentRequest.objects.filter(created_at__lt=now - KEEP).delete()
    return deleted
