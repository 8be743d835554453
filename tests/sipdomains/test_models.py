"""Each rule of sip-domain.md sections 1, 2 and 13, with the code of errors.md section 3."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError

from sipdomains.models import (
    Account,
    CallAclMapping,
    CallCredentialListMapping,
    Credential,
    CredentialList,
    DomainAlias,
    IpAccessControlList,
    IpAddress,
    RegistrationCredentialListMapping,
    SipDomain,
    access,
    credentials,
    domains,
    mappings,
)
from sipdomains.models.names import normalise_host
from sipdomains.sids import is_sid
from tests.sipdomains.conftest import PASSWORD, refusal, saved

# --- domains --------------------------------------------------------------------------------------


def test_a_domain_has_a_sid_and_sane_defaults(domain) -> None:
    assert is_sid(domain.sid, "SD")
    assert (domain.voice_method, domain.secure, domain.sip_registration) == ("POST", False, False)
    assert domain.max_call_seconds == 4 * 3600
    assert domain.auth_type == ""


@pytest.mark.parametrize(
    "name",
    ["pbx_1.example.net", "-a.example.net", "a..b", "a b", "x" * 64 + ".net", "1.2.3", "1.2.3.400",
     "::g", "a." * 130 + "net", "pbx.example.net:5060", "sip:pbx.example.net"],
)  # fmt: skip
def test_a_bad_domain_name_is_refused(alice, name) -> None:
    codes = refusal(SipDomain(account=alice, domain_name=name))
    assert codes["domain_name"] in ("21232", "max_length")


def test_a_domain_name_is_required(alice) -> None:
    assert refusal(SipDomain(account=alice)) == {"domain_name": "blank"}


@pytest.mark.parametrize("name", ["PBX.Example.NET", "pbx.example.net."])
def test_names_are_unique_in_any_case(domain, bob, name) -> None:
    assert refusal(SipDomain(account=bob, domain_name=name)) == {"domain_name": "21232"}


def test_names_and_aliases_share_one_name_space(domain, bob) -> None:
    saved(DomainAlias(domain=domain, name="Voice.example.net"))
    assert refusal(SipDomain(account=bob, domain_name="voice.example.net")) == {
        "domain_name": "21232"
    }
    other = saved(SipDomain(account=bob, domain_name="other.example.org"))
    for taken in ("voice.EXAMPLE.net", "pbx.example.net"):
        assert refusal(DomainAlias(domain=other, name=taken)) == {"name": "21232"}


@pytest.mark.parametrize("name", ["127.0.0.1", "::1", "[2001:DB8::0]", "localhost"])
def test_an_alias_may_be_an_address(domain, name) -> None:
    assert saved(DomainAlias(domain=domain, name=name)).name == normalise_host(name)


def test_a_domain_may_be_saved_again(domain) -> None:
    alias = saved(DomainAlias(domain=domain, name="voice.example.net"))
    domain.full_clean()
    alias.full_clean()


def test_names_after_account_sids_are_reserved(alice, bob) -> None:
    name = f"{alice.sid}.example.net"
    assert refusal(SipDomain(account=bob, domain_name=name)) == {"domain_name": "21232"}
    SipDomain(account=alice, domain_name=name).full_clean()


def test_a_sub_domain_belongs_to_the_owner_of_its_parent(domain, alice, bob) -> None:
    assert refusal(SipDomain(account=bob, domain_name="eu.pbx.example.net")) == {
        "domain_name": "21232"
    }
    saved(SipDomain(account=alice, domain_name="eu.pbx.example.net"))


def test_a_subaccount_may_have_a_sub_domain(domain, alice) -> None:
    child = saved(Account(friendly_name="Alice's child", parent=alice))
    saved(SipDomain(account=child, domain_name="eu.pbx.example.net"))


def test_below_the_suffix_a_sub_domain_needs_its_parent(settings, alice) -> None:
    settings.SIP_DOMAIN_SUFFIX = "sip.example.com"
    assert refusal(SipDomain(account=alice, domain_name="a.b.sip.example.com")) == {
        "domain_name": "21232"
    }
    saved(SipDomain(account=alice, domain_name="b.sip.example.com"))
    saved(SipDomain(account=alice, domain_name="a.b.sip.example.com"))


def test_a_domain_with_sub_domains_cannot_be_deleted(domain, alice) -> None:
    child = saved(SipDomain(account=alice, domain_name="eu.pbx.example.net"))
    for delete in (domain.delete, SipDomain.objects.filter(pk=domain.pk).delete):
        with pytest.raises(ValidationError, match=r"eu\.pbx") as caught:
            delete()
        assert caught.value.code == "21233"
    child.delete()
    domain.delete()


def test_a_fallback_needs_a_primary(alice) -> None:
    row = SipDomain(account=alice, domain_name="x.net", voice_fallback_url="http://app/")
    assert refusal(row) == {"voice_fallback_url": "21405"}


@pytest.mark.parametrize(
    "url", ["app.example", "ftp://app/", "http://", "http:///x", "http://a b/", "http://a:99999/"]
)
@pytest.mark.parametrize("field", ["voice_url", "voice_status_callback_url"])
def test_a_bad_url_is_refused(domain, field, url) -> None:
    setattr(domain, field, url)
    assert refusal(domain) == {field: "21402"}


@pytest.mark.parametrize(
    "url", ["https://u:p@app.example:8443/x?y=1#rc=2", "http://[::1]:8000/", "HTTP://app"]
)
def test_urls_may_have_credentials_and_overrides(domain, url) -> None:
    domain.voice_url = url
    domain.full_clean()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"voice_method": "PUT"}, {"voice_method": "invalid_choice"}),
        ({"max_call_seconds": 0}, {"max_call_seconds": "min_value"}),
        ({"max_call_seconds": 86401}, {"max_call_seconds": "max_value"}),
        ({"friendly_name": "x" * 65}, {"friendly_name": "max_length"}),
        ({"extra_headers": "Diversion, bad header"}, {"extra_headers": "21231"}),
        ({"extra_headers": ",".join(["H"] * 33)}, {"extra_headers": "21231"}),
    ],
)
def test_other_fields_of_a_domain(domain, changes, expected) -> None:
    for name, value in changes.items():
        setattr(domain, name, value)
    assert refusal(domain) == expected


def test_extra_headers_are_split(domain) -> None:
    domain.extra_headers = " Diversion ,P-Asserted-Identity,"
    assert domain.extra_header_names == ("Diversion", "P-Asserted-Identity")


# --- limits ---------------------------------------------------------------------------------------


def test_limit_of_domains(monkeypatch, domain, alice, bob) -> None:
    assert domains.MAX_DOMAINS_PER_ACCOUNT == 100
    monkeypatch.setattr(domains, "MAX_DOMAINS_PER_ACCOUNT", 1)
    assert refusal(SipDomain(account=alice, domain_name="two.net")) == {"__all__": "21230"}
    SipDomain(account=bob, domain_name="two.net").full_clean()
    domain.full_clean()


def test_limit_of_aliases(monkeypatch, domain) -> None:
    monkeypatch.setattr(domains, "MAX_ALIASES_PER_DOMAIN", 1)
    saved(DomainAlias(domain=domain, name="one.net"))
    assert refusal(DomainAlias(domain=domain, name="two.net")) == {"__all__": "21231"}


def test_limit_of_credential_lists(monkeypatch, phones, alice) -> None:
    assert credentials.MAX_LISTS_PER_ACCOUNT == 100
    monkeypatch.setattr(credentials, "MAX_LISTS_PER_ACCOUNT", 1)
    assert refusal(CredentialList(account=alice, friendly_name="More")) == {"__all__": "21239"}


def test_limit_of_credentials(monkeypatch, phones) -> None:
    assert credentials.MAX_CREDENTIALS_PER_LIST == 1000
    monkeypatch.setattr(credentials, "MAX_CREDENTIALS_PER_LIST", 1)
    assert refusal(user(phones, "carol")) == {"__all__": "21242"}


def test_limit_of_access_control_lists(monkeypatch, office, alice) -> None:
    assert access.MAX_LISTS_PER_ACCOUNT == 1000
    monkeypatch.setattr(access, "MAX_LISTS_PER_ACCOUNT", 1)
    assert refusal(IpAccessControlList(account=alice, friendly_name="x")) == {"__all__": "21255"}


def test_limit_of_addresses(monkeypatch, office) -> None:
    assert access.MAX_ADDRESSES_PER_LIST == 100
    monkeypatch.setattr(access, "MAX_ADDRESSES_PER_LIST", 2)
    assert refusal(IpAddress(acl=office, ip_address="198.51.100.1")) == {"__all__": "21237"}


def test_limit_of_lists_per_domain(monkeypatch, guarded, alice) -> None:
    assert mappings.MAX_LISTS_PER_DOMAIN == 100
    monkeypatch.setattr(mappings, "MAX_LISTS_PER_DOMAIN", 1)
    users = saved(CredentialList(account=alice, friendly_name="More"))
    acl = saved(IpAccessControlList(account=alice, friendly_name="More"))
    assert refusal(CallCredentialListMapping(domain=guarded, credential_list=users)) == {
        "__all__": "21239"
    }
    assert refusal(CallAclMapping(domain=guarded, acl=acl)) == {"__all__": "21255"}


# --- credentials ----------------------------------------------------------------------------------


def user(phones: CredentialList, name: str, password: str = PASSWORD) -> Credential:
    row = Credential(credential_list=phones, username=name)
    row.set_password(password)
    return row


def test_only_the_hashes_are_kept(settings, phones) -> None:
    settings.SIP_REALM = "sip.example.net"
    row = saved(user(phones, "carol"))
    stored = Credential.objects.get(pk=row.pk)
    # sip-domain.md section 2 has the MD5 value for alice
    assert Credential.objects.get(username="alice").ha1_md5 == "b8a25f9aa1de2d498058c43dbbaaaf95"
    assert len(stored.ha1_sha256) == 64
    assert stored.has_password(PASSWORD)
    assert not stored.has_password(PASSWORD.lower())
    assert PASSWORD not in repr(vars(stored))
    settings.SIP_REALM = "elsewhere"
    assert not stored.has_password(PASSWORD)


@pytest.mark.parametrize(
    ("password", "lacking"),
    [
        ("Short9Horse", "12 characters"),
        ("correct9horsex", "an upper-case letter"),
        ("CORRECT9HORSEX", "a lower-case letter"),
        ("CorrectHorseXy", "a digit"),
        ("Aa1" * 100, "at most 256 characters"),
    ],
)
def test_a_weak_password_is_refused(phones, password, lacking) -> None:
    with pytest.raises(ValidationError, match=lacking) as caught:
        user(phones, "carol", password)
    assert caught.value.code == "21243"


@pytest.mark.parametrize("name", ["a b", "a:b", 'a"b', "a\\b", "<a>", "a\x00", "a\n"])
def test_a_user_name_that_breaks_digest_is_refused(phones, name) -> None:
    assert refusal(user(phones, name))["username"] in ("21243", "null_characters_not_allowed")


def test_other_rules_of_a_credential(phones, alice) -> None:
    assert refusal(user(phones, "x" * 33)) == {"username": "max_length"}
    assert refusal(user(phones, "alice")) == {"__all__": "21243"}
    assert refusal(Credential(credential_list=phones, username="carol")) == {"__all__": "21243"}
    other = saved(CredentialList(account=alice, friendly_name="Other"))
    user(other, "alice").full_clean()
    user(phones, "Alice").full_clean()  # user names are case-sensitive


def test_a_user_name_cannot_change(phones) -> None:
    row = Credential.objects.get(username="alice")
    row.username = "alicia"
    assert refusal(row) == {"username": "21243"}


# --- addresses ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "prefix", "shown"),
    [
        ("198.51.100.7", None, "198.51.100.7/32"),
        ("198.51.100.7", 24, "198.51.100.0/24"),
        ("2001:DB8:0::7", None, "2001:db8::7/128"),
        ("2001:db8:1::7", 48, "2001:db8:1::/48"),
        ("0.0.0.0", 0, "0.0.0.0/0"),
    ],
)
def test_addresses_are_stored_in_canonical_form(office, address, prefix, shown) -> None:
    row = saved(IpAddress(acl=office, ip_address=address, cidr_prefix_length=prefix))
    assert str(row) == shown == str(row.network)


@pytest.mark.parametrize(
    ("address", "prefix", "field"),
    [
        ("300.1.1.1", None, "ip_address"),
        ("host.example", None, "ip_address"),
        ("fe80::1%eth0", None, "ip_address"),
        ("198.51.100.7", 33, "cidr_prefix_length"),
        ("2001:db8::1", 129, "cidr_prefix_length"),
    ],
)
def test_bad_addresses_are_refused(office, address, prefix, field) -> None:
    row = IpAddress(acl=office, ip_address=address, cidr_prefix_length=prefix)
    assert refusal(row) == {field: "21238"}


def test_an_address_is_listed_once(office) -> None:
    row = IpAddress(acl=office, ip_address="192.0.2.99", cidr_prefix_length=24)
    assert refusal(row) == {"__all__": "21238"}


# --- mappings -------------------------------------------------------------------------------------


def test_auth_type_names_what_is_mapped_for_calls(domain, phones, office) -> None:
    saved(RegistrationCredentialListMapping(domain=domain, credential_list=phones))
    assert domain.auth_type == ""
    saved(CallAclMapping(domain=domain, acl=office))
    assert domain.auth_type == "IP_ACL"
    saved(CallCredentialListMapping(domain=domain, credential_list=phones))
    assert domain.auth_type == "IP_ACL,CREDENTIAL_LIST"


def test_a_list_is_mapped_once(guarded, phones) -> None:
    row = CallCredentialListMapping(domain=guarded, credential_list=phones)
    assert refusal(row) == {"__all__": "20409"}


def test_lists_and_domain_share_an_account(domain, bob, phones, office) -> None:
    theirs = saved(CredentialList(account=bob, friendly_name="Bob's"))
    acl = saved(IpAccessControlList(account=bob, friendly_name="Bob's"))
    for row, field in (
        (CallCredentialListMapping(domain=domain, credential_list=theirs), "credential_list"),
        (RegistrationCredentialListMapping(domain=domain, credential_list=theirs),
         "credential_list"),
        (CallAclMapping(domain=domain, acl=acl), "acl"),
    ):  # fmt: skip
        assert refusal(row) == {field: "20404"}


def test_neither_domain_nor_list_moves_away_from_the_other(guarded, phones, office, bob) -> None:
    for row in (guarded, phones, office):
        row.account = bob
        assert refusal(row)["account"] == "20404"


@pytest.mark.parametrize("kind", [CallCredentialListMapping, RegistrationCredentialListMapping])
def test_a_credential_list_in_use_cannot_be_deleted(domain, phones, kind) -> None:
    mapping = saved(kind(domain=domain, credential_list=phones))
    for delete in (phones.delete, CredentialList.objects.all().delete):
        with pytest.raises(ValidationError, match=r"mapped to pbx\.") as caught:
            delete()
        assert caught.value.code == "21241"
    mapping.delete()
    phones.delete()
    assert not Credential.objects.exists()


def test_an_acl_in_use_cannot_be_deleted(domain, office) -> None:
    mapping = saved(CallAclMapping(domain=domain, acl=office))
    with pytest.raises(ValidationError, match=r"mapped to pbx\.") as caught:
        office.delete()
    assert caught.value.code == "21236"
    mapping.delete()
    office.delete()
    assert not IpAddress.objects.exists()


def test_deleting_a_domain_leaves_its_lists(guarded, phones, office) -> None:
    guarded.delete()
    assert CredentialList.objects.count() == IpAccessControlList.objects.count() == 1
