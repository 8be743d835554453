"""Allow one address: what it opens is said first, and nothing more is opened."""

from __future__ import annotations

import pytest
from auditlog.models import LogEntry
from django.core.exceptions import ValidationError

from sipdomains.models import CallAclMapping, IpAccessControlList, IpAddress, SipDomain
from sipdomains.services.allowing import allow, opening
from sipdomains.services.domains import config_version, explain
from tests.sipdomains.conftest import saved

STRANGER = "198.51.100.7"


def test_the_address_joins_a_list_of_the_domain(guarded, office) -> None:
    before = config_version()
    assert not explain(guarded, STRANGER, "alice").accepted
    planned = opening(guarded, STRANGER)
    assert (planned.acl, planned.password, planned.others) == (office, True, ())
    entry = allow(guarded, STRANGER, description="by root")
    assert (entry.acl, str(entry), entry.friendly_name) == (office, f"{STRANGER}/32", "by root")
    assert explain(guarded, STRANGER, "alice").accepted
    assert not explain(guarded, "198.51.100.8", "alice").accepted
    assert config_version() > before
    assert LogEntry.objects.get_for_object(entry).exists()


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("2001:db9::5", "2001:db9::5/128"),
        (" 198.51.100.7 ", "198.51.100.7/32"),
        ("::ffff:198.51.100.7", "198.51.100.7/32"),
    ],
)
def test_it_is_one_address_however_it_is_written(guarded, given, stored) -> None:
    assert str(allow(guarded, given)) == stored


@pytest.mark.parametrize(
    "given",
    ["", "198.51.100.0/24", "pbx.example.net", "0.0.0.0", "::", "224.0.0.1", "fe80::1%eth0"],
)
def test_what_is_no_single_address_is_refused(guarded, given) -> None:
    before = IpAddress.objects.count()
    with pytest.raises(ValidationError):
        allow(guarded, given)
    assert IpAddress.objects.count() == before


def test_a_domain_that_nothing_guards_gets_a_list_of_its_own(domain) -> None:
    planned = opening(domain, STRANGER)
    assert (planned.acl, planned.password) == (None, False)
    allow(domain, STRANGER)
    (mapping,) = CallAclMapping.objects.all()
    assert (mapping.domain, mapping.acl.account) == (domain, domain.account)
    assert explain(domain, STRANGER).accepted


def test_no_first_list_is_made_that_would_shut_out_everybody_else(domain, phones) -> None:
    domain.call_credential_list_mappings.create(credential_list=phones)
    with pytest.raises(ValidationError, match="shut out"):
        allow(domain, STRANGER)
    assert not IpAccessControlList.objects.exists()


def test_an_address_that_is_allowed_already_is_told_so(guarded) -> None:
    assert opening(guarded, "192.0.2.9").already == "192.0.2.0/24"
    with pytest.raises(ValidationError, match="already"):
        allow(guarded, "192.0.2.9")


def test_other_domains_of_the_list_are_named(guarded, office, alice) -> None:
    other = saved(SipDomain(account=alice, domain_name="other.example.net"))
    saved(CallAclMapping(domain=other, acl=office))
    assert opening(guarded, STRANGER).others == ("other.example.net",)


def test_only_a_list_of_the_domain_can_be_chosen(guarded, office, alice, bob) -> None:
    second = saved(IpAccessControlList(account=alice, friendly_name="Second"))
    foreign = saved(IpAccessControlList(account=bob, friendly_name="Bob's"))
    for sid in (second.sid, foreign.sid, "AL0"):
        with pytest.raises(ValidationError):
            allow(guarded, STRANGER, sid)
    saved(CallAclMapping(domain=guarded, acl=second))
    assert allow(guarded, STRANGER, second.sid).acl == second
