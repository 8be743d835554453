"""Bindings of phones in the database, trunks as the live side sees them, and their admin pages."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from sipdomains.models import DomainAlias, Registration, Trunk, TrunkRule
from sipdomains.policy import RegisteredContact
from sipdomains.services import domains, registrations, trunks
from sipdomains.services.provisioning import DomainPlan, TrunkPlan, provision, provision_trunk

pytestmark = pytest.mark.django_db


def contact(domain_sid: str, uri: str = "sip:bob@10.0.0.9", **fields: object) -> RegisteredContact:
    plain = RegisteredContact(
        domain_sid=domain_sid,
        username="bob",
        contact_uri=uri,
        q=1.0,
        transport="udp",
        received=("203.0.113.7", 40000),
        local=("192.0.2.1", 5060),
        connection=0,
        node="n1",
        expires_at=time.time() + 600,
        call_id="c1",
        cseq=1,
        instance="urn:x",
        user_agent="phone",
    )
    return replace(plain, **fields)  # type: ignore[arg-type]


@pytest.fixture
def domain_sid() -> str:
    plan = DomainPlan("pbx.example.net", username="bob", password="Correct9HorseX")
    return provision(plan).sid


def bind(sid: str, *new: RegisteredContact) -> None:
    registrations.change(sid, "bob", lambda _: [(None, each) for each in new])


def test_bindings_are_added_refreshed_and_removed(domain_sid: str) -> None:
    one = contact(domain_sid)
    bind(domain_sid, one, contact(domain_sid, "sip:bob@10.0.0.10", q=0.5))
    assert [c.contact_uri for c in registrations.contacts(domain_sid, "bob")] == [
        "sip:bob@10.0.0.9", "sip:bob@10.0.0.10",
    ]  # fmt: skip
    again = replace(one, cseq=2, received=("203.0.113.8", 1))
    registrations.change(domain_sid, "bob", lambda current: [(one, again)])
    [first, _] = registrations.contacts(domain_sid, "bob")
    assert (first.cseq, first.received, first.instance) == (2, ("203.0.113.8", 1), "urn:x")
    registrations.change(domain_sid, "bob", lambda current: [(c, None) for c in current])
    assert registrations.contacts(domain_sid, "bob") == ()


def test_a_phone_may_take_over_the_address_of_another(domain_sid: str) -> None:
    """One REGISTER then replaces its own binding and removes the other's, in either order."""
    mine = contact(domain_sid, "sip:bob@10.0.0.9")
    other = contact(domain_sid, "sip:bob@10.0.0.10", instance="urn:y")
    bind(domain_sid, mine, other)
    moved = replace(mine, contact_uri=other.contact_uri, cseq=2)
    registrations.change(domain_sid, "bob", lambda _: [(mine, moved), (other, None)])
    [left] = registrations.contacts(domain_sid, "bob")
    assert (left.contact_uri, left.instance) == ("sip:bob@10.0.0.10", "urn:x")


def test_a_register_clears_what_has_expired_of_its_address(domain_sid: str) -> None:
    bind(domain_sid, contact(domain_sid, "sip:bob@10.0.0.8", expires_at=time.time() - 1))
    bind(domain_sid, contact(domain_sid))
    assert [row.contact_uri for row in Registration.objects.all()] == ["sip:bob@10.0.0.9"]


def test_expired_bindings_are_not_rung_and_then_deleted(domain_sid: str) -> None:
    bind(domain_sid, contact(domain_sid, expires_at=time.time() - 1))
    assert registrations.contacts(domain_sid, "bob") == ()
    assert registrations.expire() == 1
    assert not Registration.objects.exists()


def test_a_lost_connection_takes_its_bindings_along(domain_sid: str) -> None:
    over = contact(domain_sid, transport="tcp", connection=7)
    other = contact(domain_sid, "sip:bob@10.0.0.10", transport="tcp", connection=7, node="n2")
    bind(domain_sid, over, other)
    assert registrations.drop_connection("n1", 7) == 1
    [left] = registrations.contacts(domain_sid, "bob")
    assert left.node == "n2"


def test_only_lists_mapped_for_registration_count(domain_sid: str) -> None:
    assert domains.registration_credential(domain_sid, "bob") is None
    assert domains.policy("pbx.example.net").has_registration_credentials is False  # type: ignore[union-attr]
    provision(DomainPlan("pbx.example.net", registration=True))
    found = domains.registration_credential(domain_sid, "bob")
    assert found is not None
    assert found.username == "bob"
    snapshot = domains.policy("pbx.example.net")
    assert snapshot is not None
    assert snapshot.sip_registration
    assert snapshot.has_registration_credentials


def test_trunks_with_their_rules(domain_sid: str) -> None:
    made = provision_trunk(
        TrunkPlan("t", "gw.example", username="u", password="secret", prefixes=("+49", "+43"))
    )
    provision_trunk(TrunkPlan("t", "gw.example", username="u", prefixes=("+49",)))
    Trunk.objects.create(account=made.account, friendly_name="off", host="x", enabled=False)
    [trunk] = trunks.of_account(made.account_id)
    assert (trunk.name, trunk.host, trunk.password) == ("t", "gw.example", "secret")
    assert sorted(rule.prefix for rule in trunk.rules) == ["+43", "+49"]
    assert "secret" not in repr(trunk)


# --- admin --------------------------------------------------------------------------------------


def test_registrations_page_shows_who_is_registered_from_where(
    domain_sid: str, admin_client: Client
) -> None:
    bind(domain_sid, contact(domain_sid))
    page = admin_client.get("/admin/sipdomains/registration/").content.decode()
    for text in ("bob", "sip:bob@10.0.0.9", "203.0.113.7:40000", "9 min"):
        assert text in page
    row = Registration.objects.get()
    assert admin_client.post(
        f"/admin/sipdomains/registration/{row.pk}/delete/", {"post": "yes"}
    ).status_code == 302  # fmt: skip
    assert not Registration.objects.exists()


def test_trunk_page_writes_the_password_and_never_shows_it(
    domain_sid: str, admin_client: Client
) -> None:
    made = provision_trunk(TrunkPlan("t", "gw.example", password="top-secret"))
    url = f"/admin/sipdomains/trunk/{made.pk}/change/"
    assert "top-secret" not in admin_client.get(url).content.decode()
    form = {
        "friendly_name": "t", "account": made.account_id, "enabled": "on", "host": "gw.example",
        "priority": "10", "weight": "10", "rules-TOTAL_FORMS": "1", "rules-INITIAL_FORMS": "0",
        "rules-0-prefix": "+49", "rules-0-allow": "on", "rules-0-strip": "0",
    }  # fmt: skip
    assert admin_client.post(url, form).status_code == 302
    made.refresh_from_db()
    assert made.password == "top-secret"
    twice = admin_client.post(url, form)
    assert twice.status_code == 200
    assert "already exists" in twice.content.decode()
    form |= {"rules-TOTAL_FORMS": "0"}
    assert admin_client.post(url, form | {"new_password": "next"}).status_code == 302
    assert Trunk.objects.get().password == "next"
    assert TrunkRule.objects.filter(trunk=made, prefix="+49").exists()
    assert admin_client.post(url, form | {"forget_password": "on"}).status_code == 302
    assert Trunk.objects.get().password == ""
    assert "nothing" not in admin_client.get("/admin/sipdomains/trunk/").content.decode()


def test_expiry_is_told_in_the_future(domain_sid: str) -> None:
    bind(domain_sid, contact(domain_sid))
    assert registrations.contacts(domain_sid, "bob", timezone.now() + timedelta(hours=1)) == ()


def test_the_nodes_that_a_users_phones_registered_with(domain_sid: str) -> None:
    DomainAlias.objects.create(domain_id=domain_sid, name="alias.example.net")
    where = {"1": "n1", "2": "n2", "3": "n2"}
    phones = [contact(domain_sid, f"sip:bob@10.0.0.{end}", node=at) for end, at in where.items()]
    gone = contact(domain_sid, "sip:bob@10.0.0.4", node="n3", expires_at=time.time() - 1)
    bind(domain_sid, *phones, gone)
    for host in ("pbx.example.net", "PBX.example.net", "alias.example.net"):
        assert sorted(registrations.nodes_of(host, "bob")) == ["n1", "n2", "n2"]
    assert registrations.nodes_of("pbx.example.net", "carol") == []
    assert registrations.nodes_of("other.example.net", "bob") == []
    assert registrations.nodes_of("no host", "bob") == []
