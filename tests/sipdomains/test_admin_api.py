"""The admin pages around the REST API: keys, tokens, applications, history, requests to calls."""

from __future__ import annotations

import re

import pytest
from auditlog.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.urls import reverse
from django.utils import timezone

from sipdomains import access, audit
from sipdomains.models import (
    Account,
    AccountMember,
    ApiKey,
    Application,
    CallAclMapping,
    CallCommand,
    CallOrder,
    Credential,
)
from sipdomains.services import accounts, apikeys, configuration
from tests.sipdomains.api.conftest import client_of, refused
from tests.sipdomains.conftest import PASSWORD, saved
from tests.sipdomains.records import call_records
from tests.sipdomains.test_admin import credential_rows, url


@pytest.fixture
def staff(client, db):
    client.force_login(get_user_model().objects.create_superuser("root", password="x"))
    return client


@pytest.fixture
def viewer(client, db):
    """May look at everything and change nothing."""
    user = get_user_model().objects.create_user("viewer", password="x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client.force_login(user)
    return client


# --- API keys -------------------------------------------------------------------------------------


def make_key(client, account):
    return client.post(url("apikey", "add"), {"friendly_name": "Shop", "account": account.sid})


def test_a_key_is_made_and_its_secret_shown_once(staff, alice) -> None:
    answer = make_key(staff, alice)
    assert answer.status_code == 200
    assert "no-store" in answer.headers["Cache-Control"]
    secret = re.search(r'id="secret">([0-9a-f]{32})<', answer.content.decode())[1]
    key = ApiKey.objects.get()
    assert client_of(alice, key.sid, secret).applications.list() == []
    again = [staff.get(url("apikey")), staff.get(url("apikey", "change", key.sid)),
             staff.get(url("apikey", "history", key.sid)), staff.get("/admin/")]  # fmt: skip
    kept = [page.content.decode() for page in again]
    kept += [str(cookie) for cookie in staff.cookies.values()]
    kept += [str(dict(staff.session)), *map(str, LogEntry.objects.values_list("changes"))]
    assert not [text for text in kept if secret in text or key.secret_hash in text]


def test_a_key_without_a_name_is_refused(staff, alice) -> None:
    answer = staff.post(url("apikey", "add"), {"friendly_name": "", "account": alice.sid})
    assert "This field is required" in answer.content.decode()
    assert not ApiKey.objects.exists()


def revoke(client, key: ApiKey, **more: str):
    data = {"action": "revoke", "_selected_action": [key.sid], **more}
    return client.post(url("apikey"), data)


def test_a_key_is_revoked_once_somebody_is_sure(staff, alice) -> None:
    key, secret = apikeys.create(alice, "Shop")
    rest = client_of(alice, key.sid, secret)
    page = revoke(staff, key).content.decode()
    assert "Whoever uses these keys is refused" in page
    assert key.sid in page
    assert rest.applications.list() == []
    assert revoke(staff, key, sure="yes").status_code == 302
    assert refused(rest.applications.list) == (401, 20003)
    assert ApiKey.objects.filter(pk=key.pk).exists()
    assert "revoked already" in revoke(staff, key).content.decode()


def test_who_may_only_look_makes_and_revokes_no_key(viewer, alice) -> None:
    key, _ = apikeys.create(alice, "Shop")
    assert make_key(viewer, alice).status_code == 403
    assert ApiKey.objects.count() == 1
    revoke(viewer, key, sure="yes")
    key.refresh_from_db()
    assert key.revoked_at is None


def test_a_key_is_not_deleted(staff, alice) -> None:
    key, _ = apikeys.create(alice, "Shop")
    assert staff.post(url("apikey", "delete", key.sid), {"post": "yes"}).status_code == 403


@pytest.fixture
def bound(client, alice):
    """An administrator of Alice's account alone."""
    user = get_user_model().objects.create_user("bound", password="x", is_staff=True)
    user.groups.add(Group.objects.get(name=access.ADMINISTRATOR))
    AccountMember.objects.create(user=user, account=alice)
    client.force_login(user)
    return client


def test_who_is_bound_to_an_account_makes_keys_for_it_alone(bound, alice, bob) -> None:
    assert make_key(bound, alice).status_code == 200
    assert "Select a valid choice" in make_key(bound, bob).content.decode()
    his, _ = apikeys.create(bob, "His")
    revoke(bound, his, sure="yes")
    his.refresh_from_db()
    assert his.revoked_at is None
    assert bound.get(url("apikey", "change", his.sid)).status_code == 302
    assert bound.get(url("apikey", "history", his.sid)).status_code == 302
    assert [row.account for row in ApiKey.objects.exclude(pk=his.pk)] == [alice]


def test_who_is_bound_to_an_account_sees_neither_tokens_nor_the_whole_history(bound, alice) -> None:
    assert bound.post(tokens_page(alice), {"do": "show"}).status_code == 403
    history = bound.get(reverse("admin:auditlog_logentry_changelist"))
    assert history.status_code == 403


# --- tokens ---------------------------------------------------------------------------------------


def tokens_page(account: Account) -> str:
    return reverse("admin:sipdomains_account_tokens", args=(account.sid,))


def do(client, account: Account, what: str, **more: str) -> str:
    return client.post(tokens_page(account), {"do": what, **more}).content.decode()


def tokens(account: Account) -> tuple[str, str]:
    account.refresh_from_db()
    return account.auth_token, account.secondary_auth_token


def test_a_token_is_shown_when_asked_for_and_that_is_on_record(staff, alice) -> None:
    assert alice.auth_token not in staff.get(tokens_page(alice)).content.decode()
    assert not LogEntry.objects.filter(action=LogEntry.Action.ACCESS).exists()
    answer = staff.post(tokens_page(alice), {"do": "show"})
    assert alice.auth_token in answer.content.decode()
    assert "no-store" in answer.headers["Cache-Control"]
    entry = LogEntry.objects.get(action=LogEntry.Action.ACCESS)
    assert (entry.actor.username, entry.object_pk) == ("root", alice.sid)
    assert alice.auth_token not in staff.get(tokens_page(alice)).content.decode()


def test_a_token_is_exchanged_for_another(staff, alice) -> None:
    old, _ = tokens(alice)
    do(staff, alice, "make")
    primary, secondary = tokens(alice)
    assert (primary, len(secondary)) == (old, 32)
    assert client_of(alice, password=secondary).applications.list() == []
    assert "forgotten: it opens nothing" in do(staff, alice, "promote")
    assert tokens(alice) == (old, secondary)
    do(staff, alice, "promote", sure="yes")
    assert tokens(alice) == (secondary, "")
    assert accounts.auth_token(alice.sid) == secondary
    assert refused(client_of(alice, password=old).applications.list) == (401, 20003)
    kept = [str(row) for row in LogEntry.objects.values_list("changes", "object_repr")]
    assert not [text for text in kept if old in text or secondary in text]


def test_a_secondary_token_is_taken_back(staff, alice) -> None:
    do(staff, alice, "make")
    primary, secondary = tokens(alice)
    assert "Remove the secondary token?" in do(staff, alice, "remove")
    do(staff, alice, "remove", sure="yes")
    assert tokens(alice) == (primary, "")
    assert refused(client_of(alice, password=secondary).applications.list) == (401, 20003)


def test_steps_out_of_order_are_explained(staff, alice) -> None:
    assert "no secondary token" in do(staff, alice, "promote", sure="yes")
    do(staff, alice, "make")
    before = tokens(alice)
    assert "a secondary token already" in do(staff, alice, "make")
    assert tokens(alice) == before
    assert staff.get(tokens_page(Account())).status_code == 404


@pytest.mark.parametrize("what", ["show", "make", "promote", "remove"])
def test_who_may_only_look_sees_and_changes_no_token(viewer, alice, what) -> None:
    before = tokens(alice)
    assert viewer.get(tokens_page(alice)).status_code == 403
    assert viewer.post(tokens_page(alice), {"do": what, "sure": "yes"}).status_code == 403
    assert tokens(alice) == before
    assert "Auth tokens" not in viewer.get(url("account", "change", alice.sid)).content.decode()


def test_another_page_cannot_have_a_token_shown(alice, db) -> None:
    from django.test import Client as Browser

    browser = Browser(enforce_csrf_checks=True)
    browser.force_login(get_user_model().objects.create_superuser("root", password="x"))
    assert browser.post(tokens_page(alice), {"do": "show"}).status_code == 403


def test_calls_per_second_are_set_on_the_account(staff, alice) -> None:
    data = {
        "friendly_name": "Alice", "status": "active", "max_concurrent_calls": "0",
        "verify_tls": "on", "max_outgoing_calls": "1", "max_outgoing_per_minute": "1",
        "calls_per_second": "7", "max_incoming_per_second": "5",
    }  # fmt: skip
    page = url("account", "change", alice.sid)
    assert "between 1 and" not in staff.get(page).content.decode()
    assert staff.post(page, data).status_code == 302
    alice.refresh_from_db()
    assert (alice.calls_per_second, alice.max_incoming_per_second) == (7, 5)
    staff.post(page, data | {"max_incoming_per_second": ""})
    alice.refresh_from_db()
    assert alice.max_incoming_per_second is None
    assert "less than or equal to 1000" in (
        staff.post(page, data | {"calls_per_second": "1001"}).content.decode()
    )


# --- applications ---------------------------------------------------------------------------------


def test_an_application_is_made_and_its_messaging_settings_stay(staff, alice) -> None:
    data = {
        "friendly_name": "Support", "account": alice.sid, "voice_url": "https://app.example/",
        "voice_method": "GET", "voice_fallback_method": "POST", "status_callback_method": "POST",
    }  # fmt: skip
    assert staff.post(url("application", "add"), data).status_code == 302
    row = Application.objects.get()
    assert (row.account, row.voice_method) == (alice, "GET")
    client_of(alice).applications(row.sid).update(sms_url="https://app.example/sms")
    assert staff.post(url("application", "change", row.sid), data).status_code == 302
    row.refresh_from_db()
    assert row.messaging == {"sms_url": "https://app.example/sms"}
    bad = data | {"voice_url": "ftp://app.example/"}
    answer = staff.post(url("application", "change", row.sid), bad)
    assert "begins with http" in answer.content.decode()


# --- history --------------------------------------------------------------------------------------


def test_the_history_names_users_and_credentials(staff, alice) -> None:
    client_of(alice).applications.create(friendly_name="By REST")
    application = Application.objects.get()
    configuration.write(application, {"friendly_name": "By a script"})
    data = {
        "friendly_name": "By hand", "voice_method": "POST", "voice_fallback_method": "POST",
        "status_callback_method": "POST",
    }  # fmt: skip
    staff.post(url("application", "change", application.sid), data)
    entries = staff.get(url("application", "history", application.sid)).context["entries"]
    assert [entry.who for entry in entries] == ["root", "the system", alice.sid]
    text = staff.get(reverse("admin:auditlog_logentry_changelist")).content.decode()
    assert alice.sid in text
    assert "root" in text


def test_the_history_of_a_list_holds_what_is_and_was_in_it(staff, phones) -> None:
    page = url("credentiallist", "change", phones.sid)
    data = credential_rows(phones, {"username": "carol", "password": "Another9Horse"})
    staff.post(page, data)
    Credential.objects.get(username="carol").delete()
    shown = staff.get(url("credentiallist", "history", phones.sid)).content.decode()
    assert "carol" in shown
    assert "delete" in shown
    secrets = [PASSWORD, "Another9Horse", *Credential.objects.values_list("ha1_md5", flat=True)]
    assert not [secret for secret in secrets if secret in shown]


def test_the_history_of_a_domain_holds_its_mappings(staff, guarded) -> None:
    CallAclMapping.objects.get().delete()
    entries = staff.get(url("sipdomain", "history", guarded.sid)).context["entries"]
    told = [(entry.get_action_display(), entry.content_type.model) for entry in entries]
    assert told[0] == ("delete", "callaclmapping")
    made = next(entry for entry in entries if entry.content_type.model == "sipdomain")
    assert not {"calls", "aliases", "registrations"} & set(made.changes)  # point to it only
    assert ("create", "sipdomain") in told


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=By+REST", 1), ("q={alice}", 2), ("q=nobody", 0), ("kind=application", 1),
        ("kind=trunk", 0), ("kind=nonsense", 2), ("action=0", 2), ("action=2", 0),
    ],
)  # fmt: skip
def test_the_history_is_searched_and_filtered(staff, alice, query, found) -> None:
    client_of(alice).applications.create(friendly_name="By REST")
    page = reverse("admin:auditlog_logentry_changelist")
    answer = staff.get(f"{page}?{query.format(alice=alice.sid)}")
    assert answer.context["cl"].result_count == found


def test_the_history_cannot_be_changed(staff, alice) -> None:
    entry = LogEntry.objects.get()
    page = reverse("admin:auditlog_logentry_change", args=(entry.pk,))
    assert "Alice" in staff.get(page).content.decode()
    assert staff.post(page, {}).status_code == 403
    delete = reverse("admin:auditlog_logentry_delete", args=(entry.pk,))
    assert staff.post(delete, {"post": "yes"}).status_code == 403


def test_the_history_of_nothing_leads_back(staff, db) -> None:
    assert staff.get(url("sipdomain", "history", "SDnone")).status_code == 302


@pytest.mark.parametrize("model", sorted(audit.AUDITED, key=str), ids=lambda one: one.__name__)
def test_every_kind_can_be_chosen_in_the_history(staff, model) -> None:
    page = reverse("admin:auditlog_logentry_changelist")
    answer = staff.get(f"{page}?kind={model._meta.model_name}")
    assert answer.status_code == 200


# --- requests to calls ----------------------------------------------------------------------------


@pytest.fixture
def asked(guarded):
    """A redirect of a call, and a call in the queue; both hold what nobody shall read."""
    from sipdomains.services import calls

    records = call_records("a", account=guarded.account_id, domain=guarded.sid)
    calls.apply(records)
    sid = records[0].call_sid
    now = timezone.now()
    command = CallCommand.objects.create(
        call_id=sid, kind="redirect", payload={"twiml": "<Response>hush</Response>"},
        requested_by=guarded.account_id, requested_at=now, state="rejected", reason="It was over.",
        result={"told": "hush"},
    )  # fmt: skip
    order = CallOrder.objects.create(
        call_id=sid, account=guarded.account, created_at=now, due_at=now,
        plan={"send_digits": "hush"}, sip_username="hush", sip_password="hush",
    )  # fmt: skip
    return command, order


def test_requests_to_calls_are_shown_without_what_they_hold(staff, asked) -> None:
    command, order = asked
    pages = [
        url("callcommand"), url("callcommand", "change", str(command.pk)), url("callorder"),
        url("callorder", "change", order.pk),
    ]  # fmt: skip
    for page in pages:
        text = staff.get(page).content.decode()
        assert command.call_id in text, page
        assert "hush" not in text, page
    assert "It was over." in staff.get(pages[0]).content.decode()
    for page in pages[1::2]:
        assert staff.post(page, {}).status_code == 403


@pytest.mark.parametrize("model", ["apikey", "application", "callcommand", "callorder"])
def test_an_empty_list_can_be_opened(staff, model) -> None:
    assert staff.get(url(model)).status_code == 200


@pytest.mark.parametrize("model", ["apikey", "application"])
def test_lists_take_as_many_queries_for_many_rows_as_for_few(staff, alice, model) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    def make(name: str) -> None:
        apikeys.create(alice, name)
        saved(Application(account=alice, friendly_name=name))

    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert staff.get(url(model)).status_code == 200
        return len(queries)

    make("a")
    few = count()
    for name in "bcdef":
        make(name)
    assert count() <= few
