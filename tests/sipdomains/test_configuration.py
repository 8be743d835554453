"""Two who write configuration at the same time."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError

from sipdomains.models import Account, Credential, SipDomain
from sipdomains.services import configuration
from tests.sipdomains.conftest import PASSWORD


def test_what_an_operator_changed_meanwhile_stays(alice, domain) -> None:
    account, read = Account.objects.get(pk=alice.pk), SipDomain.objects.get(pk=domain.pk)
    Account.objects.filter(pk=alice.pk).update(status="suspended", auth_token="5" * 32)
    SipDomain.objects.filter(pk=domain.pk).update(enabled=False)
    configuration.write(account, {"friendly_name": "New"})
    configuration.write(read, {"voice_method": "GET"})
    alice.refresh_from_db()
    domain.refresh_from_db()
    assert (alice.friendly_name, alice.status, alice.auth_token) == ("New", "suspended", "5" * 32)
    assert (domain.voice_method, domain.enabled) == ("GET", False)


def test_who_comes_second_is_told_what_is_taken(phones, monkeypatch) -> None:
    row = Credential(credential_list=phones, username="alice")
    row.set_password(PASSWORD)
    checks = []

    def full_clean() -> None:
        if checks:  # the other one was not there yet when it was looked at first
            Credential.full_clean(row)
        checks.append(row)

    monkeypatch.setattr(row, "full_clean", full_clean)
    with pytest.raises(ValidationError, match="This list has a user of that name already"):
        configuration.write(row, {})
