"""Named users of the tests: Alice runs the pbx domain, Bob has an account of his own."""

from __future__ import annotations

import pytest

from sipdomains.models import (
    Account,
    CallAclMapping,
    CallCredentialListMapping,
    Credential,
    CredentialList,
    IpAccessControlList,
    IpAddress,
    SipDomain,
)

PASSWORD = "Correct9HorseX"


def saved(row):
    row.full_clean()
    row.save()
    return row


def refusal(row) -> dict[str, str]:
    """field → code of what full_clean refuses."""
    from django.core.exceptions import ValidationError

    with pytest.raises(ValidationError) as caught:
        row.full_clean()
    return {
        field: errors[0].code or errors[0].error_list[0].code
        for field, errors in caught.value.error_dict.items()
    }


@pytest.fixture
def alice(db) -> Account:
    return saved(Account(friendly_name="Alice"))


@pytest.fixture
def bob(db) -> Account:
    return saved(Account(friendly_name="Bob"))


@pytest.fixture
def domain(alice) -> SipDomain:
    return saved(
        SipDomain(account=alice, domain_name="pbx.example.net", voice_url="http://app.example/")
    )


@pytest.fixture
def phones(alice) -> CredentialList:
    phones = saved(CredentialList(account=alice, friendly_name="Phones"))
    user = Credential(credential_list=phones, username="alice")
    user.set_password(PASSWORD)
    saved(user)
    return phones


@pytest.fixture
def office(alice) -> IpAccessControlList:
    office = saved(IpAccessControlList(account=alice, friendly_name="Office"))
    saved(IpAddress(acl=office, ip_address="192.0.2.0", cidr_prefix_length=24))
    saved(IpAddress(acl=office, ip_address="2001:db8::", cidr_prefix_length=32))
    return office


@pytest.fixture
def guarded(domain, phones, office) -> SipDomain:
    """The domain with both kinds of lists in force."""
    saved(CallCredentialListMapping(domain=domain, credential_list=phones))
    saved(CallAclMapping(domain=domain, acl=office))
    return domain
