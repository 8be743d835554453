from __future__ import annotations

from io import StringIO

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import connection

from sipdomains.models import Account, Credential
from sipdomains.models.fields import DecryptionFailed, cipher


def raw(table: str, column: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM {table}")
        return cursor.fetchone()[0]


def test_secrets_are_unreadable_at_rest(alice, phones) -> None:
    for table, column, secret in (
        ("sipdomains_account", "auth_token", alice.auth_token),
        ("sipdomains_credential", "ha1_md5", Credential.objects.get().ha1_md5),
        ("sipdomains_credential", "ha1_sha256", Credential.objects.get().ha1_sha256),
    ):
        assert secret not in raw(table, column)
        assert len(secret) >= 32


def test_an_empty_text_stays_empty(alice) -> None:
    assert raw("sipdomains_account", "secondary_auth_token") == ""
    assert Account.objects.get().secondary_auth_token == ""


def test_keys_rotate(settings, alice, phones) -> None:
    token, old = alice.auth_token, settings.FIELD_ENCRYPTION_KEYS
    before = raw("sipdomains_account", "auth_token")
    new = [Fernet.generate_key().decode()]
    settings.FIELD_ENCRYPTION_KEYS = new + old
    assert Account.objects.get().auth_token == token
    out = StringIO()
    call_command("rotatekeys", stdout=out)
    assert out.getvalue().splitlines() == [
        "accounts: 1",
        "credentials: 1",
        "call orders: 0",
        "second factors: 0",
        "trunks: 0",
    ]
    settings.FIELD_ENCRYPTION_KEYS = new
    assert Account.objects.get().auth_token == token
    assert Credential.objects.get().ha1_md5 == "b8a25f9aa1de2d498058c43dbbaaaf95"
    assert raw("sipdomains_account", "auth_token") != before


def test_a_missing_key_is_named_by_field(settings, alice) -> None:
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    with pytest.raises(DecryptionFailed, match=r"Account\.auth_token"):
        Account.objects.get()
    with pytest.raises(CommandError, match=r"Account\.auth_token"):
        call_command("rotatekeys", stdout=StringIO())


def test_a_malformed_key_is_not_shown() -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        cipher(("hunter2",))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("lookup", ["auth_token", "auth_token__contains"])
def test_encrypted_text_cannot_be_searched(db, lookup) -> None:
    with pytest.raises(TypeError, match="cannot be searched"):
        Account.objects.filter(**{lookup: "x"}).exists()
