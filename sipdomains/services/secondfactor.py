"""Setting up, asking for and taking away the second factor of a user."""

from __future__ import annotations

import secrets
from base64 import b32encode
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from sipdomains.models import Authenticator, RecoveryCode
from sipdomains.models.secondfactor import new_key

RECOVERY_CODES = 10
_WRONG = "This code is wrong or was used before. Wait a moment, then enter the next one."


def begin(user: Any) -> Authenticator:
    """A fresh key to be scanned, asked for by nobody until it is confirmed."""
    with transaction.atomic():
        if Authenticator.objects.filter(user=user, confirmed=True).exists():
            raise ValidationError("The authenticator app is set up already.")
        device, _made = Authenticator.objects.update_or_create(
            user=user, defaults={"key": new_key(), "last_t": -1}
        )
    return device


def confirm(user: Any, code: str) -> list[str]:
    """The first code proves that the app has the key. Returns the recovery codes, which nobody
    can read again. Raises ValidationError."""
    with transaction.atomic():
        device = _device(user, confirmed=False)
        if device is None:
            raise ValidationError("There is nothing to confirm: begin anew.")
        if _try(device, code):
            device.confirmed = True
            device.save()
            codes = [_new_code() for _ in range(RECOVERY_CODES)]
            device.recovery_codes.all().delete()
            RecoveryCode.objects.bulk_create(
                RecoveryCode(authenticator=device, digest=RecoveryCode.digest_of(_plain(shown)))
                for shown in codes
            )
            return codes
    # Outside of the transaction, which would take the counted failure back.
    raise ValidationError(_WRONG)


def check(user: Any, code: str) -> None:
    """At login, after the right password. Users without a second factor pass. Raises
    ValidationError."""
    with transaction.atomic():
        device = _device(user, confirmed=True)
        if device is None or _try(device, code):
            return
    raise ValidationError(
        _WRONG if code else "Enter the code of your authenticator app too, or a recovery code.",
        code="second_factor",
    )


def turn_off(user: Any, code: str) -> None:
    """By the user, who shows that it is not only an open page that somebody found."""
    check(user, code)
    remove(user)


def remove(user: Any) -> bool:
    """For who has lost the phone. False when there was nothing to remove."""
    device = Authenticator.objects.filter(user=user).first()
    if device is None:
        return False
    device.delete()
    return True


def _device(user: Any, confirmed: bool) -> Authenticator | None:
    """Locked: of two requests with the same code one comes second."""
    rows = Authenticator.objects.select_for_update().filter(user=user, confirmed=confirmed)
    return rows.first()


def _try(device: Authenticator, code: str) -> bool:
    if not code or not device.verify_is_allowed()[0]:
        return False
    plain = _plain(code)
    digest = RecoveryCode.digest_of(plain)
    if device.matches(plain) or device.recovery_codes.filter(digest=digest).delete()[0]:
        device.throttle_reset(commit=False)
        device.set_last_used_timestamp(commit=False)
        device.save()
        return True
    device.throttle_increment()
    return False


def _new_code() -> str:
    """As it is shown: four groups of four."""
    text = b32encode(secrets.token_bytes(10)).decode("ascii").lower()
    return "-".join(text[at : at + 4] for at in range(0, len(text), 4))


def _plain(code: str) -> str:
    """People type the gaps or leave them out."""
    return code.replace(" ", "").replace("-", "").lower()
