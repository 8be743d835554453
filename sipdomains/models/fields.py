"""Model fields of our own: text encrypted at rest, SIDs, HTTP methods and customer URLs."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import models

from sipdomains import sids

MAX_URL_LENGTH = 2048


class DecryptionFailed(Exception):
    """No key of FIELD_ENCRYPTION_KEYS opens a stored value."""


@lru_cache(maxsize=4)
def cipher(keys: tuple[str, ...]) -> MultiFernet:
    """The cipher of a list of keys: the first encrypts, each may decrypt.

    Raises ImproperlyConfigured, without showing a key, when one is malformed.
    """
    try:
        return MultiFernet([Fernet(key) for key in keys])
    except ValueError:
        raise ImproperlyConfigured(
            "FIELD_ENCRYPTION_KEYS: each key must be 32 random bytes in url-safe base64, as "
            "`python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key())'` "
            "prints them"
        ) from None


def _configured_cipher() -> MultiFernet:
    return cipher(tuple(settings.FIELD_ENCRYPTION_KEYS))


class EncryptedTextField(models.TextField):  # type: ignore[type-arg] # generic in the stubs only
    """Text stored as a Fernet token. Cannot be searched; an empty text stays empty.

    Reading raises :class:`DecryptionFailed` when no configured key fits.
    """

    def get_prep_value(self, value: Any) -> str | None:
        if not value:
            return value  # type: ignore[no-any-return] # Any in the stubs
        return _configured_cipher().encrypt(str(value).encode()).decode("ascii")

    def from_db_value(self, value: str | None, expression: object, connection: object) -> str:
        if not value:
            return ""
        try:
            return _configured_cipher().decrypt(value.encode("ascii")).decode()
        except InvalidToken:
            raise DecryptionFailed(
                f"{self.model.__name__}.{self.name}: no key in FIELD_ENCRYPTION_KEYS opens it"
            ) from None

    def get_lookup(self, lookup_name: str) -> Any:
        if lookup_name != "isnull":
            raise TypeError("encrypted text cannot be searched")
        return super().get_lookup(lookup_name)


def new_sid(prefix: str) -> str:
    """A fresh random identifier."""
    return sids.make(prefix, secrets.token_bytes(16))


def sid_field(default: Callable[[], str]) -> models.CharField[str, str]:
    """The primary key of everything that the REST API names."""
    return models.CharField("SID", max_length=34, primary_key=True, default=default, editable=False)


class HttpMethod(models.TextChoices):
    POST = "POST", "POST"
    GET = "GET", "GET"


def method_field(verbose_name: str) -> models.CharField[str, str]:
    return models.CharField(
        verbose_name, max_length=4, choices=HttpMethod.choices, default=HttpMethod.POST
    )


def validate_url(value: str) -> None:
    """An absolute http(s) URL with a host; ``#rc=…`` fragments and credentials are fine."""
    try:
        parts = urlsplit(value)
        usable = parts.scheme.lower() in ("http", "https") and bool(parts.hostname)
        _ = parts.port  # raises when it is not a number up to 65535
    except ValueError:
        usable = False
    if not usable or any(character <= " " for character in value):
        raise ValidationError(
            "Enter a whole URL that begins with http:// or https:// and names a host.", code="21402"
        )


def url_field(verbose_name: str, help_text: str = "") -> models.CharField[str, str]:
    return models.CharField(
        verbose_name,
        max_length=MAX_URL_LENGTH,
        blank=True,
        validators=[validate_url],
        help_text=help_text,
    )
