"""SIP resources through the twilio client (rest-api.md section 7)."""

from __future__ import annotations

import pytest

from sipdomains.models import SipDomain
from tests.sipdomains.api.conftest import client_of, refused
from tests.sipdomains.conftest import PASSWORD


def test_a_domain_is_made_changed_listed_and_deleted(rest, alice) -> None:
    made = rest.sip.domains.create(
        domain_name="pbx.example.net",
        friendly_name="Office",
        voice_url="https://app.example/voice",
        voice_method="GET",
        voice_fallback_url="https://app.example/oops",
        voice_status_callback_url="https://app.example/ended",
        sip_registration=True,
    )
    assert made.sid.startswith("SD")
    assert (made.domain_name, made.friendly_name) == ("pbx.example.net", "Office")
    assert (made.voice_url, made.voice_method) == ("https://app.example/voice", "GET")
    assert made.sip_registration is True
    assert made.secure is False
    assert made.auth_type == ""
    assert made.account_sid == alice.sid
    assert made.date_created.tzinfo is not None
    fetched = rest.sip.domains(made.sid).fetch()
    assert fetched.uri == f"/2010-04-01/Accounts/{alice.sid}/SIP/Domains/{made.sid}.json"
    changed = fetched.update(voice_url="https://app.example/two", sip_registration=False)
    assert changed.voice_url == "https://app.example/two"
    assert changed.sip_registration is False
    assert changed.voice_method == "GET"
    assert [row.sid for row in rest.sip.domains.list()] == [made.sid]
    assert rest.sip.domains(made.sid).delete() is True
    assert refused(rest.sip.domains(made.sid).fetch) == (404, 20404)
    assert not SipDomain.objects.exists()


def test_users_of_a_list(rest) -> None:
    users = rest.sip.credential_lists.create(friendly_name="Phones")
    made = rest.sip.credential_lists(users.sid).credentials.create("alice", PASSWORD)
    assert (made.username, made.credential_list_sid) == ("alice", users.sid)
    assert not hasattr(made, "password")
    again = rest.sip.credential_lists(users.sid).credentials(made.sid)
    assert again.update(password="Another9HorseY").sid == made.sid
    assert [row.username for row in rest.sip.credential_lists(users.sid).credentials.list()] == [
        "alice"
    ]
    assert again.delete() is True
    assert users.update(friendly_name="Desks").friendly_name == "Desks"
    assert rest.sip.credential_lists(users.sid).delete() is True


def test_a_new_password_is_the_one_that_counts(rest, phones) -> None:
    user = phones.credentials.get()
    rest.sip.credential_lists(phones.sid).credentials(user.sid).update(password="Another9HorseY")
    user.refresh_from_db()
    assert user.has_password("Another9HorseY")
    assert not user.has_password(PASSWORD)


def test_addresses_of_a_list(rest) -> None:
    acl = rest.sip.ip_access_control_lists.create(friendly_name="Office")
    addresses = rest.sip.ip_access_control_lists(acl.sid).ip_addresses
    made = addresses.create("router", "192.0.2.77", cidr_prefix_length=24)
    assert (made.ip_address, made.cidr_prefix_length) == ("192.0.2.0", 24)
    assert addresses.create("six", "2001:db8::1").cidr_prefix_length == 128
    assert made.update(ip_address="198.51.100.4", cidr_prefix_length=32).ip_address == (
        "198.51.100.4"
    )
    assert addresses(made.sid).fetch().friendly_name == "router"
    assert len(addresses.list()) == 2
    assert addresses(made.sid).delete() is True


MAPPINGS = [
    ("auth.calls.credential_list_mappings", "phones"),
    ("auth.calls.ip_access_control_list_mappings", "office"),
    ("auth.registrations.credential_list_mappings", "phones"),
    ("credential_list_mappings", "phones"),
    ("ip_access_control_list_mappings", "office"),
]


@pytest.mark.parametrize(("path", "kind"), MAPPINGS)
def test_lists_are_mapped_to_a_domain(rest, domain, request, path, kind) -> None:
    mapped = request.getfixturevalue(kind)
    mappings = rest.sip.domains(domain.sid)
    for name in path.split("."):
        mappings = getattr(mappings, name)
    made = mappings.create(mapped.sid)
    assert (made.sid, made.friendly_name) == (mapped.sid, mapped.friendly_name)
    assert mappings(mapped.sid).fetch().sid == mapped.sid
    assert [row.sid for row in mappings.list()] == [mapped.sid]
    assert refused(lambda: mappings.create(mapped.sid)) == (409, 20409)
    assert mappings(mapped.sid).delete() is True
    assert mappings.list() == []


def test_what_is_mapped_shows_in_the_domain(rest, guarded) -> None:
    assert rest.sip.domains(guarded.sid).fetch().auth_type == "IP_ACL,CREDENTIAL_LIST"


def test_a_list_in_use_cannot_be_deleted(rest, guarded, phones, office) -> None:
    assert refused(rest.sip.credential_lists(phones.sid).delete) == (400, 21241)
    assert refused(rest.sip.ip_access_control_lists(office.sid).delete) == (400, 21236)


def test_a_foreign_list_cannot_be_mapped(bob, domain, phones) -> None:
    his = client_of(bob)
    theirs = his.sip.domains.create(domain_name="bob.example.net")
    mappings = his.sip.domains(theirs.sid).auth.calls.credential_list_mappings
    assert refused(lambda: mappings.create(phones.sid)) == (404, 20404)
    assert refused(his.sip.domains(domain.sid).fetch) == (404, 20404)
    assert refused(his.sip.credential_lists(phones.sid).credentials.list) == (404, 20404)


@pytest.mark.parametrize(
    ("path", "parameters", "code"),
    [
        ("/SIP/Domains.json", {}, 21232),
        ("/SIP/Domains.json", {"DomainName": "not a host"}, 21232),
        ("/SIP/Domains.json", {"DomainName": "pbx.example.net"}, 21232),
        ("/SIP/Domains.json", {"DomainName": "x.example", "FriendlyName": "n" * 65}, 21231),
        ("/SIP/Domains.json", {"DomainName": "x.example", "VoiceUrl": "ftp://a/"}, 21402),
        ("/SIP/Domains.json", {"DomainName": "x.example", "VoiceMethod": "PUT"}, 21403),
        ("/SIP/Domains.json", {"DomainName": "x.example", "Secure": "perhaps"}, 21231),
        (
            "/SIP/Domains.json",
            {"DomainName": "x.example", "VoiceFallbackUrl": "http://a/"},
            21405,
        ),
        ("/SIP/CredentialLists.json", {}, 21240),
        ("/SIP/CredentialLists.json", {"FriendlyName": "n" * 65}, 21240),
        ("/SIP/CredentialLists/{phones}/Credentials.json", {"Username": "bob"}, 21243),
        (
            "/SIP/CredentialLists/{phones}/Credentials.json",
            {"Username": "bob", "Password": "short"},
            21243,
        ),
        (
            "/SIP/CredentialLists/{phones}/Credentials.json",
            {"Username": "alice", "Password": PASSWORD},
            21243,
        ),
        (
            "/SIP/CredentialLists/{phones}/Credentials.json",
            {"Username": "u" * 33, "Password": PASSWORD},
            21243,
        ),
        ("/SIP/IpAccessControlLists.json", {}, 21235),
        (
            "/SIP/IpAccessControlLists/{office}/IpAddresses.json",
            {"FriendlyName": "x", "IpAddress": "300.1.1.1"},
            21238,
        ),
        (
            "/SIP/IpAccessControlLists/{office}/IpAddresses.json",
            {"FriendlyName": "x", "IpAddress": "192.0.2.1", "CidrPrefixLength": "33"},
            21238,
        ),
        (
            "/SIP/IpAccessControlLists/{office}/IpAddresses.json",
            {"FriendlyName": "x", "IpAddress": "192.0.2.0", "CidrPrefixLength": "24"},
            21238,
        ),
    ],
)
def test_what_is_wrong_is_refused_with_its_code(
    raw, domain, phones, office, path, parameters, code
) -> None:
    answer = raw("post", path.format(phones=phones.sid, office=office.sid), parameters)
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert answer.json()["more_info"].endswith(f"/{code}")
    assert answer.headers["X-Twilio-Error-Code"] == str(code)
