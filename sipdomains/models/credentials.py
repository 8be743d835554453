"""Credential lists: user names and one-way password hashes (sip-domain.md section 2)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from hmac import compare_digest
from typing import Any, Self

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models

from sipdomains import sids
from sipdomains.models.accounts import Account
from sipdomains.models.configuration import ConfigurationModel, check_room, check_same_account
from sipdomains.models.fields import EncryptedTextField, new_sid, sid_field

MAX_LISTS_PER_ACCOUNT = 100
MAX_CREDENTIALS_PER_LIST = 1000
MIN_PASSWORD_LENGTH = 12
MAX_PASSWORD_LENGTH = 256

# What would break a quoted string or the colons of RFC 7616 section 3.4.2.
_USERNAME = re.compile(r'[^\x00-\x20\x7f":\\<>]+\Z')


def new_credential_list_sid() -> str:
    return new_sid(sids.CREDENTIAL_LIST)


def new_credential_sid() -> str:
    return new_sid(sids.CREDENTIAL)


def ha1(algorithm: str, username: str, realm: str, password: str) -> str:
    """Lower-case hex of ``md5`` or ``sha256`` over ``username:realm:password`` (RFC 7616)."""
    text = f"{username}:{realm}:{password}".encode()
    return hashlib.new(algorithm, text, usedforsecurity=False).hexdigest()


def check_password_strength(password: str) -> None:
    """Raise ValidationError (21243) unless the password has the required length and mixture."""
    lacking = [
        what
        for what, present in (
            (f"at least {MIN_PASSWORD_LENGTH} characters", len(password) >= MIN_PASSWORD_LENGTH),
            (f"at most {MAX_PASSWORD_LENGTH} characters", len(password) <= MAX_PASSWORD_LENGTH),
            ("a digit", any(character.isdigit() for character in password)),
            ("a lower-case letter", any(character.islower() for character in password)),
            ("an upper-case letter", any(character.isupper() for character in password)),
        )
        if not present
    ]
    if lacking:
        raise ValidationError(f"The password needs {', '.join(lacking)}.", code="21243")


class CredentialList(ConfigurationModel):
    """Users that may call a domain, or register at it, once the list is mapped to it."""

    sid = sid_field(new_credential_list_sid)
    account = models.ForeignKey(Account, models.PROTECT, related_name="credential_lists")
    friendly_name = models.CharField("name", max_length=64)

    class Meta:
        ordering = ["friendly_name"]

    def __str__(self) -> str:
        return self.friendly_name

    def clean(self) -> None:
        super().clean()
        if self.account_id:
            check_room(
                CredentialList.objects.filter(account_id=self.account_id),
                self,
                MAX_LISTS_PER_ACCOUNT,
                "21239",
                "This account already has %(limit)d credential lists, which is the limit.",
            )
            for mappings in (self.call_mappings, self.registration_mappings):
                check_same_account(mappings.exclude(domain__account_id=self.account_id))

    def check_deletable(self) -> None:
        for mappings in (self.call_mappings, self.registration_mappings):
            if mapping := mappings.select_related("domain").first():
                raise ValidationError(
                    "The list is still mapped to %(domain)s: remove it there first.",
                    code="21241",
                    params={"domain": mapping.domain.domain_name},
                )


class Credential(ConfigurationModel):
    """A user. Only digest hashes are kept: nobody can read the password back."""

    sid = sid_field(new_credential_sid)
    credential_list = models.ForeignKey(CredentialList, models.CASCADE, related_name="credentials")
    username = models.CharField("user name", max_length=32)
    realm = models.CharField(max_length=255, editable=False)
    ha1_md5 = EncryptedTextField(editable=False)
    ha1_sha256 = EncryptedTextField(editable=False)

    class Meta:
        ordering = ["username"]
        constraints = [
            models.UniqueConstraint(
                fields=["credential_list", "username"],
                name="credential_username_unique_in_list",
                violation_error_code="21243",
                violation_error_message="This list has a user of that name already.",
            )
        ]

    def __str__(self) -> str:
        return self.username

    _stored_username = ""

    @classmethod
    def from_db(
        cls,
        db: str | None,
        field_names: Collection[str],
        values: Collection[Any],
        **kwargs: Any,
    ) -> Self:
        row = super().from_db(db, field_names, values, **kwargs)
        if "username" in field_names:
            row._stored_username = row.username
        return row

    def set_password(self, password: str) -> None:
        """Hash for the server's realm. Raises ValidationError (21243) when it is too weak."""
        check_password_strength(password)
        self.realm = settings.SIP_REALM
        self.ha1_md5 = ha1("md5", self.username, self.realm, password)
        self.ha1_sha256 = ha1("sha256", self.username, self.realm, password)

    def has_password(self, password: str) -> bool:
        """Whether that is the password, hashed for the server's present realm."""
        expected = ha1("sha256", self.username, settings.SIP_REALM, password)
        return self.realm == settings.SIP_REALM and compare_digest(self.ha1_sha256, expected)

    def clean(self) -> None:
        super().clean()
        if self.username and not _USERNAME.match(self.username):
            raise ValidationError(
                {
                    "username": ValidationError(
                        'A user name has no blanks, colons, quotes, backslashes, "<" or ">".',
                        code="21243",
                    )
                }
            )
        if not self.realm:
            raise ValidationError("A user needs a password.", code="21243")
        if self._stored_username not in ("", self.username):
            raise ValidationError(
                {
                    "username": ValidationError(
                        "The password is bound to the user name, which therefore cannot change: "
                        "make a new user.",
                        code="21243",
                    )
                }
            )
        if self.credential_list_id:
            check_room(
                Credential.objects.filter(credential_list_id=self.credential_list_id),
                self,
                MAX_CREDENTIALS_PER_LIST,
                "21242",
                "The list already has %(limit)d users, which is the limit.",
            )
