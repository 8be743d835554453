"""The listener's look-ups, and the announcement of changes."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from sipdomains.bus import InProcessBus
from sipdomains.models import (
    Account,
    CallAclMapping,
    CallCredentialListMapping,
    Credential,
    CredentialList,
    DomainAlias,
    IpAddress,
    RegistrationCredentialListMapping,
    SipDomain,
    configuration_changed,
)
from sipdomains.services import accounts, announcements, calls, domains
from tests.sipdomains.conftest import PASSWORD, saved
from tests.sipdomains.records import closed, opened


def test_policy(guarded, django_assert_num_queries) -> None:
    with django_assert_num_queries(4):
        policy = domains.policy("PBX.example.net.")
    assert (policy.domain_sid, policy.account_sid) == (guarded.sid, guarded.account_id)
    assert policy.account_active
    assert policy.has_acl
    assert policy.has_credentials
    assert policy.acl_networks == (
        ("Office", ip_network("192.0.2.0/24")),
        ("Office", ip_network("2001:db8::/32")),
    )
    assert policy.voice_url == "http://app.example/"
    assert policy.max_call_seconds == 4 * 3600


def test_the_number_of_queries_is_constant(guarded, office, django_assert_num_queries) -> None:
    for number in range(20):
        saved(IpAddress(acl=office, ip_address=f"198.51.100.{number}"))
    with django_assert_num_queries(4):
        assert len(domains.policy("pbx.example.net").acl_networks) == 22
    with django_assert_num_queries(1):
        domains.credential(guarded.sid, "alice")
    with django_assert_num_queries(1):
        domains.config_version()


@pytest.mark.parametrize(
    "name", ["voice.example.net", "2001:db8::5", "[2001:DB8:0::5]", "127.0.0.1"]
)
def test_a_domain_is_found_by_its_aliases(domain, name) -> None:
    for alias in ("voice.example.net", "2001:db8::5", "127.0.0.1"):
        saved(DomainAlias(domain=domain, name=alias))
    assert domains.policy(name).domain_sid == domain.sid


def test_what_is_no_domain(domain) -> None:
    for name in ("", "example.net", "x" * 5000, "\x00", "[::1]"):
        assert domains.policy(name) is None
    domain.enabled = False
    domain.save()
    assert domains.policy("pbx.example.net") is None


@pytest.mark.parametrize("status", ["suspended", "closed"])
def test_an_inactive_account(domain, status) -> None:
    domain.account.status = status
    domain.account.save()
    assert not domains.policy("pbx.example.net").account_active


def test_a_subaccount_rests_with_its_parent_and_shares_its_outgoing_limits(domain) -> None:
    parent = Account.objects.create(friendly_name="Owner", max_outgoing_calls=2)
    domain.account.parent = parent
    domain.account.save()
    found = domains.policy("pbx.example.net")
    assert found.account_active
    assert [(limit.account_sid, limit.concurrent) for limit in found.outgoing_limits] == [
        (domain.account_id, 50),
        (parent.sid, 2),
    ]
    parent.status = "suspended"
    parent.save()
    assert not domains.policy("pbx.example.net").account_active


def test_credentials_of_lists_mapped_for_calls_only(guarded, alice) -> None:
    found = domains.credential(guarded.sid, "alice")
    assert found.ha1_md5 == "b8a25f9aa1de2d498058c43dbbaaaf95"
    assert domains.credential(guarded.sid, "Alice") is None
    for name in ("", "alice\x00", "\udc80", "x" * 5000):
        assert domains.credential(guarded.sid, name) is None
    assert domains.credential("SD" + "0" * 32, "alice") is None
    other = saved(CredentialList(account=alice, friendly_name="Not mapped"))
    user = Credential(credential_list=other, username="carol")
    user.set_password(PASSWORD)
    saved(user)
    assert domains.credential(guarded.sid, "carol") is None


def test_an_accounts_token(alice) -> None:
    assert accounts.auth_token(alice.sid) == alice.auth_token
    assert len(alice.auth_token) == 32
    assert accounts.auth_token("AC" + "0" * 32) is None


# --- why would this call be refused? --------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "source", "username", "answer", "why"),
    [
        ({}, "192.0.2.9", "alice", "180", "with the right password the call passes"),
        ({}, "2001:db8::9", "alice", "180", "allowed by 2001:db8::/32 of the list Office"),
        ({}, "192.0.2.9", "", "407", "has to authenticate"),
        ({}, "192.0.2.9", "mallory", "403", "has a user mallory"),
        ({}, "203.0.113.1", "alice", "403", "203.0.113.1 is in none"),
        ({"drop_unlisted": True}, "203.0.113.1", "alice", "no answer", "in none"),
        ({"enabled": False}, "192.0.2.9", "alice", "404", "switched off"),
        ({"voice_url": ""}, "192.0.2.9", "alice", "180", "no voice URL"),
        ({"secure": True}, "192.0.2.9", "alice", "180", "TLS with SRTP only"),
    ],
)
def test_explanations(guarded, change, source, username, answer, why) -> None:
    for name, value in change.items():
        setattr(guarded, name, value)
    guarded.save()
    verdict = domains.explain(guarded, source, username)
    assert verdict.answer.startswith(answer)
    assert verdict.accepted is (answer == "180")
    assert why in " ".join(text for _, text in verdict.steps)


def test_explanation_of_an_unmapped_domain_and_a_suspended_account(domain) -> None:
    assert "Neither an IP" in domains.explain(domain, "192.0.2.9").steps[-1][1]
    domain.account.status = "suspended"
    domain.account.save()
    assert "is suspended" in domains.explain(domain, "192.0.2.9").steps[-1][1]


def test_explanation_with_one_kind_of_list(domain, phones, office) -> None:
    mapping = saved(CallAclMapping(domain=domain, acl=office))
    verdict = domains.explain(domain, "192.0.2.9")
    assert verdict.accepted
    assert "callers need no password" in " ".join(text for _, text in verdict.steps)
    mapping.delete()
    saved(CallCredentialListMapping(domain=domain, credential_list=phones))
    assert domains.explain(domain, "203.0.113.1", "alice").accepted


def test_the_verdict_tells_whether_phones_can_register(guarded, phones) -> None:
    def told() -> tuple[bool, str]:
        guarded.save()
        return domains.explain(guarded, "192.0.2.9", "alice").steps[-1]

    assert told() == (True, "Phones cannot register here; they need not, to call.")
    guarded.sip_registration = True
    passed, text = told()
    assert not passed
    assert "no credential list is mapped" in text
    RegistrationCredentialListMapping.objects.create(domain=guarded, credential_list=phones)
    passed, text = told()
    assert passed
    assert "Phones can register" in text


def test_explanation_of_a_limit_that_is_reached(guarded) -> None:
    calls.apply([opened("a", account=guarded.account_id, domain=guarded.sid)])
    assert domains.explain(guarded, "192.0.2.9", "alice").accepted
    guarded.account.max_concurrent_calls = 1
    assert "account has as many" in domains.explain(guarded, "192.0.2.9", "alice").steps[-1][1]
    guarded.max_concurrent_calls = 1
    verdict = domains.explain(guarded, "192.0.2.9", "alice")
    assert verdict.answer.startswith("503")
    assert "domain has as many calls" in verdict.steps[-1][1]
    calls.apply([closed("a")])
    assert domains.explain(guarded, "192.0.2.9", "alice").accepted


def test_an_explanation_needs_an_address(domain) -> None:
    with pytest.raises(ValueError, match="nonsense"):
        domains.explain(domain, "nonsense")


# --- changes --------------------------------------------------------------------------------------


def test_each_kind_of_change_raises_the_version(guarded, phones, office) -> None:
    def rises(change) -> bool:
        before = domains.config_version()
        change()
        return domains.config_version() > before

    guarded.friendly_name = "new"
    assert rises(guarded.save)
    assert rises(lambda: SipDomain.objects.update(friendly_name="newer"))
    assert rises(lambda: SipDomain.objects.filter(pk=guarded.pk).update(secure=True))
    more = IpAddress(acl=office, ip_address="::1", cidr_prefix_length=128)
    assert rises(lambda: IpAddress.objects.bulk_create([more]))
    assert rises(lambda: guarded.aliases.create(name="x.example.net"))
    assert rises(lambda: phones.credentials.all().delete())
    assert rises(CallAclMapping.objects.get().delete)
    assert rises(guarded.delete)
    assert not rises(lambda: SipDomain.objects.count())


@pytest.mark.django_db(transaction=True)
def test_a_change_is_announced_once_after_its_commit(alice) -> None:
    from django.db import transaction

    heard = []

    def listener(**_):
        heard.append(domains.config_version())

    configuration_changed.connect(listener)
    try:
        with transaction.atomic():
            for name in ("a.net", "b.net"):
                saved(SipDomain(account=alice, domain_name=name))
            assert heard == []
        assert heard == [domains.config_version()]
        with transaction.atomic():
            saved(SipDomain(account=alice, domain_name="c.net"))
            transaction.set_rollback(True)
        assert len(heard) == 1
    finally:
        configuration_changed.disconnect(listener)


def test_nodes_hear_of_a_change(monkeypatch) -> None:
    bus, heard = InProcessBus(), []
    monkeypatch.setattr(announcements, "default_bus", lambda: bus)
    bus.subscribe("node", heard.extend)
    announcements.configuration_changed()
    assert [(one["kind"], one["domain"]) for one in heard] == [("directory_changed", "*")]


def test_a_bus_out_of_reach_does_not_fail_the_change(monkeypatch, caplog) -> None:
    from sipdomains.bus import BusUnavailable

    class Broken:
        def publish_all(self, message):
            raise BusUnavailable("refused")

    monkeypatch.setattr(announcements, "default_bus", Broken)
    announcements.configuration_changed()
    assert "refused" in caplog.text
