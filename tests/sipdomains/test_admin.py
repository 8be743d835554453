from __future__ import annotations

import re

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.urls import reverse

from sipdomains.contracts import CallbackPromised, LogRecord, TransferChanged
from sipdomains.models import (
    Call,
    CallAclMapping,
    Credential,
    CredentialList,
    Notification,
    OutboxMessage,
    SipDomain,
    SipNode,
    Transfer,
    WebhookRequest,
)
from sipdomains.services import calls, nodes, outbox
from tests.sipdomains.conftest import PASSWORD, saved
from tests.sipdomains.records import START, call_records, call_sid

LISTS = ("account", "sipdomain", "credentiallist", "ipaccesscontrollist", "call",
         "webhookrequest", "notification", "outboxmessage", "transfer", "sipnode")  # fmt: skip


@pytest.fixture
def staff(client, db):
    client.force_login(get_user_model().objects.create_superuser("root", password="x"))
    return client


def url(model: str, page: str = "changelist", *args: str) -> str:
    return reverse(f"admin:sipdomains_{model}_{page}", args=args)


@pytest.fixture
def secrets(guarded) -> list[str]:
    user = Credential.objects.get()
    account = guarded.account
    raw = Credential.objects.raw("SELECT sid, ha1_md5 AS raw FROM sipdomains_credential")[0].raw
    return [PASSWORD, user.ha1_md5, user.ha1_sha256, account.auth_token, raw]


def owed(name: str) -> list[LogRecord]:
    """A callback that was promised, and a transfer."""
    sid = call_sid(name)
    return [
        CallbackPromised(
            f"m-{name}", sid, 0, "status-callback", sid, "", START, "POST", "http://app/", []
        ),
        TransferChanged(sid, 1, START, "sent", "sip:bob@x"),
    ]


@pytest.fixture
def logged(guarded) -> str:
    nodes.register("boot", "udp:127.0.0.1:5060")
    records = call_records("a", account=guarded.account_id, domain=guarded.sid)
    calls.apply(records + owed("a"))
    return records[0].call_sid


def test_no_page_shows_a_secret(staff, guarded, secrets, logged) -> None:
    pages = [url(model) for model in LISTS]
    pages += [url(model, "add") for model in LISTS[:4]]
    pages += [
        url("account", "change", guarded.account_id),
        url("sipdomain", "change", guarded.sid),
        url("credentiallist", "change", CredentialList.objects.get().sid),
        url("ipaccesscontrollist", "change", CallAclMapping.objects.get().acl_id),
        url("call", "change", logged),
        url("webhookrequest", "change", str(WebhookRequest.objects.get().pk)),
        url("notification", "change", Notification.objects.get().pk),
        url("sipnode", "change", SipNode.objects.get().pk),
    ]
    for page in pages:
        response = staff.get(page)
        assert response.status_code == 200, page
        text = response.content.decode()
        assert not [secret for secret in secrets if secret in text], page


@pytest.mark.parametrize("model", LISTS)
def test_an_empty_list_can_be_opened(staff, model) -> None:
    assert staff.get(url(model)).status_code == 200


@pytest.mark.parametrize("model", LISTS)
def test_lists_take_as_many_queries_for_many_rows_as_for_few(
    staff, model, guarded, logged, django_assert_num_queries
) -> None:
    def count() -> int:
        from django.db import connection
        from django.test.utils import CaptureQueriesContext

        with CaptureQueriesContext(connection) as queries:
            assert staff.get(url(model)).status_code == 200
        return len(queries)

    few = count()
    account = guarded.account
    for number in range(5):
        saved(SipDomain(account=account, domain_name=f"d{number}.example.org"))
        saved(CredentialList(account=account, friendly_name=f"List {number}"))
        more = f"more-{number}"
        calls.apply(call_records(more, account=account.sid, domain=guarded.sid) + owed(more))
    assert count() <= few


@pytest.mark.parametrize(
    "model", ["call", "webhookrequest", "notification", "outboxmessage", "transfer", "sipnode"]
)
def test_the_log_cannot_be_changed(staff, model, logged) -> None:
    assert staff.get(url(model, "add")).status_code == 403
    models = (Call, WebhookRequest, Notification, OutboxMessage, Transfer, SipNode)
    [table] = [one for one in models if one._meta.model_name == model]
    row = table.objects.get()
    assert staff.post(url(model, "change", str(row.pk)), {}).status_code == 403
    assert staff.post(url(model, "delete", str(row.pk)), {"post": "yes"}).status_code == 403


def deliver_again(client) -> OutboxMessage:
    data = {"action": "deliver_again", "_selected_action": ["m-a"]}
    assert client.post(url("outboxmessage"), data).status_code == 302
    return OutboxMessage.objects.get()


def test_a_callback_that_was_given_up_is_delivered_again(staff, logged) -> None:
    OutboxMessage.objects.update(state="failed", attempts=8, next_at="2030-01-01T00:00:00Z")
    row = deliver_again(staff)
    assert (row.state, row.attempts) == ("pending", 0)
    assert outbox.due() == ["m-a"]


def test_who_may_only_look_cannot_have_it_delivered(client, logged) -> None:
    viewer = get_user_model().objects.create_user("viewer", password="x", is_staff=True)
    for codename in ("view_outboxmessage", "see_every_account"):
        viewer.user_permissions.add(Permission.objects.get(codename=codename))
    client.force_login(viewer)
    OutboxMessage.objects.update(state="failed")
    page = client.get(url("outboxmessage")).content.decode()
    assert "http://app/" in page
    assert "deliver_again" not in page
    client.post(url("outboxmessage"), {"action": "deliver_again", "_selected_action": ["m-a"]})
    assert OutboxMessage.objects.get().state == "failed"


def inline(prefix: str, rows: list[dict[str, str]], initial: int = 0) -> dict[str, str]:
    data = {f"{prefix}-TOTAL_FORMS": str(len(rows)), f"{prefix}-INITIAL_FORMS": str(initial)}
    for number, row in enumerate(rows):
        data |= {f"{prefix}-{number}-{name}": value for name, value in row.items()}
    return data


def test_a_domain_is_created_with_its_lists_inline(staff, alice, phones, office) -> None:
    data = {
        "domain_name": "new.example.net", "account": alice.sid, "enabled": "on",
        "voice_url": "http://app.example/", "voice_method": "POST",
        "voice_fallback_method": "POST", "voice_status_callback_method": "POST",
        "max_call_seconds": "60", "max_concurrent_calls": "0",
        **inline("aliases", [{"name": "Other.example.net"}]),
        **inline("call_acl_mappings", [{"acl": office.sid}]),
        **inline("call_credential_list_mappings", [{"credential_list": phones.sid}]),
        **inline("registration_credential_list_mappings", []),
    }  # fmt: skip
    response = staff.post(url("sipdomain", "add"), data)
    assert response.status_code == 302, response.context["errors"]
    made = SipDomain.objects.get(domain_name="new.example.net")
    assert made.auth_type == "IP_ACL,CREDENTIAL_LIST"
    assert made.aliases.get().name == "other.example.net"


def test_a_list_of_another_account_is_refused_inline(staff, bob, phones) -> None:
    data = {
        "domain_name": "bob.example.net", "account": bob.sid, "voice_method": "POST",
        "voice_fallback_method": "POST", "voice_status_callback_method": "POST",
        "max_call_seconds": "60", "max_concurrent_calls": "0",
        **inline("aliases", []),
        **inline("call_acl_mappings", []),
        **inline("call_credential_list_mappings", [{"credential_list": phones.sid}]),
        **inline("registration_credential_list_mappings", []),
    }  # fmt: skip
    response = staff.post(url("sipdomain", "add"), data)
    assert "another account" in response.content.decode()
    assert not SipDomain.objects.exists()


def credential_rows(phones: CredentialList, *rows: dict[str, str]) -> dict[str, str]:
    present = [
        {"sid": row.sid, "credential_list": phones.sid, "username": row.username}
        for row in phones.credentials.all()
    ]
    return {
        "friendly_name": "Phones",
        **inline("credentials", [*present, *rows], initial=len(present)),
    }


def test_users_are_added_inline_with_a_write_only_password(staff, phones) -> None:
    page = url("credentiallist", "change", phones.sid)
    data = credential_rows(phones, {"username": "carol", "password": "Another9Horse"})
    assert staff.post(page, data).status_code == 302
    assert phones.credentials.get(username="carol").has_password("Another9Horse")
    assert phones.credentials.get(username="alice").has_password(PASSWORD)
    text = staff.get(page).content.decode()
    assert not re.search(r'type="password"[^>]*value=', text)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"username": "carol", "password": "short"}, "at least 12 characters"),
        ({"username": "carol", "password": ""}, "Enter a password"),
        ({"username": "alice", "password": "Another9Horse"}, "correct the duplicate"),
    ],
)
def test_a_bad_user_is_refused_inline(staff, phones, row, message) -> None:
    response = staff.post(url("credentiallist", "change", phones.sid), credential_rows(phones, row))
    assert response.status_code == 200
    assert message in response.content.decode()
    assert phones.credentials.count() == 1


def test_a_password_is_replaced_inline(staff, phones) -> None:
    data = credential_rows(phones) | {"credentials-0-password": "Another9Horse"}
    assert staff.post(url("credentiallist", "change", phones.sid), data).status_code == 302
    assert phones.credentials.get().has_password("Another9Horse")


def test_a_list_in_use_cannot_be_deleted(staff, guarded, phones) -> None:
    page = url("credentiallist", "delete", phones.sid)
    assert "still mapped to pbx.example.net" in staff.get(page).content.decode()
    staff.post(page, {"post": "yes"})
    assert CredentialList.objects.filter(pk=phones.pk).exists()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("source_ip=192.0.2.9&username=alice", "The call is let in:"),
        ("source_ip=192.0.2.9", "407 Proxy Authentication Required"),
        ("source_ip=198.51.100.1&username=alice", "in none of the domain"),
        ("source_ip=192.0.2.9&username=mallory", "has a user mallory"),
        ("source_ip=nonsense", "Enter a valid IPv4 or IPv6 address"),
    ],
)
def test_the_domain_page_says_why_a_call_would_be_refused(staff, guarded, query, expected) -> None:
    response = staff.get(f"{url('sipdomain', 'change', guarded.sid)}?{query}")
    assert response.status_code == 200
    assert expected in response.content.decode()


def test_strangers_are_sent_to_the_login(client, guarded) -> None:
    response = client.get(url("sipdomain", "change", guarded.sid))
    assert response.status_code == 302
    assert "login" in response.url


@pytest.mark.parametrize(
    ("model", "words", "found"),
    [
        ("sipdomain", "pbx", 1),
        ("sipdomain", "Alice", 1),
        ("sipdomain", "nothing", 0),
        ("credentiallist", "alice", 1),
        ("ipaccesscontrollist", "192.0.2", 1),
        ("account", "alice", 1),
        ("call", "sip:alice", 1),
        ("call", "192.0.2.9", 1),
        ("webhookrequest", "app.example", 1),
        ("notification", "13510", 1),
    ],
)
def test_lists_are_searched_in_what_operators_know(staff, logged, model, words, found) -> None:
    assert staff.get(url(model), {"q": words}).context["cl"].result_count == found


def test_a_domain_is_deleted_with_its_mappings(staff, guarded) -> None:
    response = staff.post(url("sipdomain", "delete", guarded.sid), {"post": "yes"})
    assert response.status_code == 302
    assert not SipDomain.objects.exists()
    assert CredentialList.objects.exists()
