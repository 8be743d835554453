"""Whether users have a second factor. Never what it is."""

from __future__ import annotations

from typing import Any

from sipdomains.models import Authenticator, RecoveryCode


def in_use() -> bool:
    """By anybody: else the login asks for no code."""
    return Authenticator.objects.filter(confirmed=True).exists()


def is_on(user: Any) -> bool:
    return Authenticator.objects.filter(user=user, confirmed=True).exists()


def recovery_codes_left(user: Any) -> int:
    return RecoveryCode.objects.filter(authenticator__user=user).count()


def pending(user: Any) -> Authenticator | None:
    """What is being set up: the only one whose key is shown."""
    return Authenticator.objects.filter(user=user, confirmed=False).first()
