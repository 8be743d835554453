"""Who sees what: an owner and members of Acme, a stranger of another account, and so on."""

from pathlib import Path

import pytest
from django.contrib.auth.models import AnonymousUser, Group, Permission
from django.urls import reverse

from sipdomains import access, selectors
from sipdomains.access import EVERYTHING, NOTHING, Scope, may, scope_of
from sipdomains.models import Account, CredentialList, Registration, SipDomain
from sipdomains.services import recording_files
from tests.sipdomains.sounds import start_recording, write_tone
from tests.sipdomains.web.conftest import NOON

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme(domain):
    return domain.account


@pytest.fixture
def other(db):
    return Account.objects.create(friendly_name="Other")


@pytest.fixture
def log(make_call, domain, other):
    """A call of Acme, one of Other, and one to a name that nobody has."""
    elsewhere = SipDomain.objects.create(account=other, domain_name="other.example.net")
    return {
        "acme": make_call(domain=domain, account=domain.account),
        "other": make_call(
            domain=elsewhere, account=other, domain_name="other.example.net", username="secretly"
        ),
        "nobody": make_call(),
    }


PEOPLE = {
    # name: (groups, accounts, what the call log shows)
    "owner": ((access.ADMINISTRATOR,), ("acme",), {"acme"}),
    "member": ((access.VIEWER,), ("acme",), {"acme"}),
    "stranger": ((access.VIEWER,), ("other",), {"other"}),
    "both": ((access.OPERATOR,), ("acme", "other"), {"acme", "other"}),
    "unbound": ((access.VIEWER,), (), set()),
    "chief": ((access.VIEWER, access.EVERY_ACCOUNT), ("acme",), {"acme", "other", "nobody"}),
    "nobody": ((), ("acme",), None),  # None: may not open the page at all
    "account only": ((access.EVERY_ACCOUNT,), (), None),
}


@pytest.fixture
def log_in(client, make_user, acme, other):
    def log_in(name, **fields):
        groups, accounts, _ = PEOPLE[name]
        named = {"acme": acme, "other": other}
        user = make_user(name, *groups, accounts=[named[one] for one in accounts], **fields)
        client.force_login(user)
        return client

    return log_in


@pytest.mark.parametrize("name", PEOPLE)
def test_the_log_shows_the_calls_of_ones_accounts(log_in, log, name):
    shown = PEOPLE[name][2]
    desk = log_in(name)
    page = desk.get("/calls/")
    if shown is None:
        assert page.status_code == 403
        assert "lacks the permission" in page.content.decode()
        for call in log.values():
            assert desk.get(f"/calls/{call.sid}/").status_code == 403
        return
    listed = {call.sid for call in page.context["page"].calls}
    assert listed == {log[one].sid for one in shown}
    for one, call in log.items():
        assert desk.get(f"/calls/{call.sid}/").status_code == (200 if one in shown else 404), one


@pytest.mark.parametrize("query", ["q=secretly", "domain=other.example.net", "status=completed"])
def test_no_search_finds_what_is_others(log_in, log, query):
    page = log_in("member").get(f"/calls/?{query}")
    assert log["other"].sid not in page.content.decode()
    assert log["nobody"].sid not in page.content.decode()


def test_domains_of_others_are_not_offered(log_in, log):
    body = log_in("member").get("/calls/").content.decode()
    assert 'value="pbx.example.net"' in body
    assert "other.example.net" not in body


def test_legs_of_others_are_not_told(make_call, acme, other):
    call = make_call(account=acme)
    mine = make_call(account=acme, parent=call)
    make_call(account=other, parent=call)
    story = selectors.call_story(call.sid, Scope(frozenset({acme.sid})))
    assert {leg.sid for leg in story.legs} == {call.sid, mine.sid}


@pytest.mark.parametrize(
    ("name", "status"),
    [("owner", 200), ("member", 200), ("stranger", 404), ("unbound", 404), ("chief", 200),
     ("nobody", 404), ("account only", 404)],
)  # fmt: skip
def test_recordings_are_heard_by_who_sees_the_account(
    log_in, acme, settings, tmp_path, name, status
):
    settings.MEDIA_ROOT = tmp_path / "storage"
    row = start_recording(acme, spool=tmp_path, status="completed", ended_at=NOON)
    row.file.name = recording_files.wav_name(row)
    row.size = recording_files.store(str(write_tone(Path(row.spool_path), 0.1)), row.file.name)
    row.save()
    desk = log_in(name)
    answer = desk.get(reverse("recording-file", args=(acme.sid, row.sid)))
    assert answer.status_code == status
    answer.getvalue()
    listed = desk.get("/recordings/")
    assert (row.sid in listed.content.decode()) == (status == 200)


# --- admin ---

MODELS = (
    "account", "call", "credentiallist", "notification", "outboxmessage", "recording",
    "registration", "sipdomain", "transfer", "trunk", "webhookrequest",
)  # fmt: skip


def admin(page, *args):
    return reverse(f"admin:sipdomains_{page}", args=args)


def test_staff_bound_to_an_account_administers_that_one(log_in, log, domain, acme, other):
    theirs = SipDomain.objects.get(account=other)
    phones = CredentialList.objects.create(account=other, friendly_name="Their phones")
    Registration.objects.create(
        domain=theirs, username="eve", contact_uri="sip:eve@x", cseq=1, transport="udp",
        received_host="192.0.2.1", received_port=1, local_host="192.0.2.2", local_port=2,
        registered_at=NOON, refreshed_at=NOON, expires_at=NOON,
    )  # fmt: skip
    desk = log_in("owner", is_staff=True)
    for model in MODELS:
        page = desk.get(admin(f"{model}_changelist"))
        body = page.content.decode()
        assert page.status_code == 200, model
        assert "other.example.net" not in body, model
        assert "Their phones" not in body, model
        assert log["other"].sid not in body, model
    assert desk.get(admin("sipdomain_change", domain.sid)).status_code == 200
    # Admin leads from what does not exist to its index.
    assert desk.get(admin("sipdomain_change", theirs.sid)).status_code == 302
    assert desk.get(admin("call_change", log["other"].sid)).status_code == 302
    assert desk.get(admin("credentiallist_change", phones.sid)).status_code == 302
    assert desk.get(admin("sipdomain_delete", theirs.sid)).status_code == 302

    data = {"friendly_name": "Mine", "account": other.sid}
    inline = {"addresses-TOTAL_FORMS": "0", "addresses-INITIAL_FORMS": "0"}
    refused = desk.post(admin("ipaccesscontrollist_add"), data | inline)
    assert "Select a valid choice" in refused.content.decode()
    made = desk.post(admin("ipaccesscontrollist_add"), data | inline | {"account": acme.sid})
    assert made.status_code == 302
    offered = desk.get(
        reverse("admin:autocomplete"),
        {"app_label": "sipdomains", "model_name": "sipdomain", "field_name": "account"},
    ).json()
    assert [one["text"] for one in offered["results"]] == ["Acme"]


def test_limits_of_accounts_are_set_by_who_sees_every_account(log_in, acme, client, make_user):
    owner = log_in("owner", is_staff=True)
    assert owner.get(admin("account_add")).status_code == 403
    assert owner.post(admin("account_change", acme.sid), {}).status_code == 403
    client.force_login(
        make_user("chief2", access.ADMINISTRATOR, access.EVERY_ACCOUNT, is_staff=True)
    )
    assert client.get(admin("account_add")).status_code == 200
    assert client.get(reverse("admin:auth_user_changelist")).status_code == 403


def test_a_superuser_binds_users_to_accounts(client, make_user, acme):
    client.force_login(make_user("root", is_staff=True, is_superuser=True))
    member = make_user("mem", access.VIEWER, accounts=[acme])
    page = client.get(reverse("admin:auth_user_change", args=(member.pk,)))
    assert "account_members-0-account" in page.content.decode()
    assert "viewer" in client.get(reverse("admin:auth_user_changelist")).content.decode()


# --- the decision itself ---


def test_scope_denies_unless_something_says_yes(make_user, acme, other):
    assert scope_of(AnonymousUser()) == NOTHING
    assert scope_of(make_user("a")) == Scope(frozenset())
    assert scope_of(make_user("b", accounts=[acme])) == Scope(frozenset({acme.sid}))
    assert scope_of(make_user("c", is_superuser=True)) == EVERYTHING
    gone = make_user("d", access.VIEWER, accounts=[acme])
    gone.is_active = False
    assert scope_of(gone) == NOTHING
    operator = make_user("e", access.OPERATOR, accounts=[acme])
    assert may(operator, access.OPERATE_CALLS, acme.sid)
    assert not may(operator, access.OPERATE_CALLS, other.sid)
    assert not may(operator, access.OPERATE_CALLS, None)
    viewer = make_user("f", access.VIEWER, accounts=[acme])
    assert not may(viewer, access.OPERATE_CALLS, acme.sid)


def test_who_loses_the_account_loses_sight(make_user, acme, log):
    member = make_user("mem", access.VIEWER, accounts=[acme])
    member.account_members.all().delete()
    assert scope_of(member) == NOTHING


def test_groups_hold_permissions_that_exist():
    for name, codenames in access.GROUPS.items():
        held = Group.objects.get(name=name).permissions.values_list("codename", flat=True)
        assert set(held) == codenames, name
    secrets = Permission.objects.filter(content_type__app_label__in=("auth", "auditlog"))
    assert not Group.objects.filter(permissions__in=secrets).exists()
