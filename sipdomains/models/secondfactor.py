"""The second factor of a user: an authenticator app (TOTP, RFC 6238) and recovery codes.

A device of django-otp, with two differences to its own ones: the key is encrypted at rest, and of
recovery codes only hashes are kept.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from base64 import b32encode
from urllib.parse import quote, urlencode

from django.conf import settings
from django.db import models
from django_otp.models import Device, ThrottlingMixin, TimestampMixin
from django_otp.oath import TOTP

from sipdomains.models.fields import EncryptedTextField

ISSUER = "sipdomains"
DIGITS = 6
STEP = 30  # seconds; with the digits what every app understands
TOLERANCE = 1  # steps that the phone's clock may be early or late


def new_key() -> str:
    """20 bytes, as RFC 4226 section 4 recommends."""
    return secrets.token_hex(20)


class Authenticator(TimestampMixin, ThrottlingMixin, Device):  # type: ignore[misc] # without types
    """At most one of a user; asked for at login once it is confirmed."""

    objects: models.Manager[Authenticator] = models.Manager()
    name = None
    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="authenticator"
    )
    confirmed = models.BooleanField(default=False)
    key = EncryptedTextField(default=new_key)
    last_t = models.BigIntegerField(default=-1)  # step of the latest code: each is good once

    class Meta:
        verbose_name = "second factor"

    def __str__(self) -> str:
        return f"authenticator app of {self.user}"

    def get_throttle_factor(self) -> int:
        return 1  # after failures: 1, 2, 4, 8 … seconds in which no code is tried

    @property
    def secret(self) -> str:
        """The key as apps take it when it is typed."""
        return b32encode(bytes.fromhex(self.key)).decode("ascii")

    @property
    def uri(self) -> str:
        """For the QR code (Google Authenticator's "Key Uri Format")."""
        label = quote(f"{ISSUER}:{self.user.get_username()}")
        return (
            "otpauth://totp/"
            + f"{label}?"
            + urlencode({"secret": self.secret, "issuer": ISSUER, "digits": DIGITS, "period": STEP})
        )

    def matches(self, code: str) -> bool:
        """Whether ``code`` is that of now and was not used yet; if so, it is used (unsaved)."""
        if not (code.isascii() and code.isdigit() and len(code) == DIGITS):
            return False
        totp = TOTP(bytes.fromhex(self.key), STEP, 0, DIGITS)
        totp.time = time.time()
        if not totp.verify(int(code), TOLERANCE, self.last_t + 1):
            return False
        self.last_t = totp.t()
        return True


class RecoveryCode(models.Model):
    """Good for one login instead of a code of the app. Random enough that a bare hash is safe."""

    authenticator = models.ForeignKey(Authenticator, models.CASCADE, related_name="recovery_codes")
    digest = models.CharField(max_length=64)

    def __str__(self) -> str:
        return f"recovery code {self.pk}"

    @staticmethod
    def digest_of(code: str) -> str:
        return hashlib.sha256(code.encode()).hexdigest()
