"""``importtwilio``: an account of our own API is the source, read by the real twilio client."""

from __future__ import annotations

import csv
import json
import stat
import sys
from copy import deepcopy
from functools import cache
from io import StringIO

import pytest
from auditlog.models import LogEntry
from django.core.management import CommandError, call_command
from requests import ConnectionError as Unreachable
from twilio.http.response import Response

from sipdomains import twiliosource
from sipdomains.models import (
    Account,
    Application,
    CallAclMapping,
    CallCredentialListMapping,
    Credential,
    CredentialList,
    IpAccessControlList,
    IpAddress,
    RegistrationCredentialListMapping,
    SipDomain,
)
from tests.sipdomains.api.conftest import client_of
from tests.sipdomains.conftest import PASSWORD, saved

SOURCE = "AC" + "5" * 32
COPIED = (
    RegistrationCredentialListMapping, CallCredentialListMapping, CallAclMapping, SipDomain,
    Credential, CredentialList, IpAddress, IpAccessControlList, Application,
)  # fmt: skip


def made_elsewhere(account: Account):
    """A twilio client of an account as somebody has set it up, and what was made."""
    rest = client_of(account)
    application = rest.applications.create(
        friendly_name="Support",
        voice_url="https://app.example/support",
        sms_url="https://app.example/sms",
    )
    users = rest.sip.credential_lists.create(friendly_name="Phones")
    for name in ("anna", "ben"):
        rest.sip.credential_lists(users.sid).credentials.create(name, PASSWORD)
    acl = rest.sip.ip_access_control_lists.create(friendly_name="Office")
    rest.sip.ip_access_control_lists(acl.sid).ip_addresses.create(
        "router", "192.0.2.0", cidr_prefix_length=24
    )
    domain = rest.sip.domains.create(
        domain_name="acme.sip.twilio.com", voice_url="https://app.example/voice",
        voice_status_callback_url="https://app.example/ended", sip_registration=True,
    )  # fmt: skip
    auth = rest.sip.domains(domain.sid).auth
    auth.calls.credential_list_mappings.create(users.sid)
    auth.calls.ip_access_control_list_mappings.create(acl.sid)
    auth.registrations.credential_list_mappings.create(users.sid)
    rest.sip.domains.create(domain_name="pbx.acme.example")
    return rest, {"application": application, "users": users, "acl": acl, "domain": domain}


@cache
def elsewhere():
    """What is read of the account SOURCE, and what was made in it; nothing is left of it here.
    Once for all tests: it takes 30 requests."""
    account = saved(Account(sid=SOURCE, friendly_name="Elsewhere"))
    rest, made = made_elsewhere(account)
    snapshot = twiliosource.read(rest)
    for model in COPIED:
        model.objects.all().delete()
    account.delete()
    LogEntry.objects.all().delete()
    return snapshot, made


@pytest.fixture
def source(db, monkeypatch):
    """What stands in the account SOURCE "at Twilio"; nothing of it is here any more."""
    snapshot, made = elsewhere()
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "secret")
    monkeypatch.setattr(twiliosource, "read", lambda client: deepcopy(snapshot))
    return made


def run(*options: str, fails: str = "") -> list[str]:
    """The lines that the command prints."""
    out = StringIO()
    given = ("--source-account", SOURCE, *options)
    if not {"--account", "--account-name"} & set(options):
        given += ("--account-name", "Acme")
    if fails:
        with pytest.raises(CommandError, match=fails):
            call_command("importtwilio", *given, stdout=out)
    else:
        call_command("importtwilio", *given, stdout=out)
    return out.getvalue().splitlines()


def everything() -> dict[str, list[str]]:
    return {model.__name__: sorted(map(str, model.objects.all())) for model in COPIED}


ALL = ("--domain-suffix", "sip.example.net", "--generate-passwords")


def test_an_account_is_copied_with_its_sids(source) -> None:
    run(*ALL)
    account = Account.objects.get()
    assert (account.sid, account.friendly_name) == (SOURCE, "Acme")
    domain = SipDomain.objects.get(domain_name="acme.sip.example.net")
    assert domain.sid == source["domain"].sid
    assert domain.voice_url == "https://app.example/voice"
    assert domain.voice_status_callback_url == "https://app.example/ended"
    assert domain.sip_registration
    assert domain.auth_type == "IP_ACL,CREDENTIAL_LIST"
    assert domain.registration_credential_list_mappings.get().credential_list_id == (
        source["users"].sid
    )
    assert SipDomain.objects.filter(domain_name="pbx.acme.example").exists()
    application = Application.objects.get(sid=source["application"].sid)
    assert application.voice_url == "https://app.example/support"
    assert application.messaging["sms_url"] == "https://app.example/sms"
    address = IpAddress.objects.get()
    assert (str(address), address.friendly_name) == ("192.0.2.0/24", "router")


def test_the_second_run_changes_nothing(source) -> None:
    run(*ALL)
    before, entries = everything(), LogEntry.objects.count()
    lines = run(*ALL)
    assert everything() == before
    assert LogEntry.objects.count() == entries
    assert lines == ["0 made, 0 changed, 12 unchanged, 0 skipped, 0 refused"]


def test_what_has_changed_there_is_changed_here(source) -> None:
    run(*ALL)
    domain = SipDomain.objects.get(sid=source["domain"].sid)
    domain.voice_url = "https://old.example/"
    domain.max_call_seconds = 60  # ours: the source does not know it
    domain.save()
    IpAddress.objects.all().delete()
    lines = run(*ALL)
    assert f"changed   domain {domain} (was acme.sip.twilio.com): voice_url" in lines
    assert [line[:9] for line in lines[:-1]] == ["made     ", "changed  "]
    domain.refresh_from_db()
    assert (domain.voice_url, domain.max_call_seconds) == ("https://app.example/voice", 60)


def test_a_dry_run_shows_all_and_changes_nothing(source, tmp_path) -> None:
    file = tmp_path / "passwords.csv"
    lines = run(*ALL, "--dry-run", "--passwords-file", str(file))
    assert lines[-1].startswith("Dry run, nothing was changed: 12 made")
    assert not Account.objects.exists()
    assert not any(everything().values())
    assert not file.exists()
    assert not [line for line in lines if "password " in line and "with a new" not in line]


def test_names_at_the_vendor_are_skipped_without_a_suffix(source) -> None:
    lines = run("--generate-passwords")
    [line] = [line for line in lines if line.startswith("skipped")]
    assert "acme.sip.twilio.com" in line
    assert "--domain-suffix" in line
    assert [str(domain) for domain in SipDomain.objects.all()] == ["pbx.acme.example"]


def test_users_are_skipped_unless_passwords_are_made(source) -> None:
    lines = run("--domain-suffix", "sip.example.net")
    skipped = [line for line in lines if line.startswith("skipped")]
    assert len(skipped) == 2
    assert all("--generate-passwords" in line for line in skipped)
    assert not Credential.objects.exists()
    run(*ALL)
    assert Credential.objects.count() == 2


def test_new_passwords_are_printed_once(source) -> None:
    lines = run(*ALL)
    shown = dict(
        line.removeprefix("password  ").split(" of Phones: ")
        for line in lines
        if line.startswith("password ")
    )
    assert sorted(shown) == ["anna", "ben"]
    assert all(Credential.objects.get(username=u).has_password(p) for u, p in shown.items())
    assert not [line for line in run(*ALL) if line.startswith("password ")]


def test_new_passwords_go_into_a_file_for_one_pair_of_eyes(source, tmp_path) -> None:
    file = tmp_path / "passwords.csv"
    lines = run(*ALL, "--passwords-file", str(file))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    rows = list(csv.DictReader(StringIO(file.read_text())))
    assert sorted(row["username"] for row in rows) == ["anna", "ben"]
    for row in rows:
        assert Credential.objects.get(username=row["username"]).has_password(row["password"])
        assert not [line for line in lines if row["password"] in line]
    run(*ALL, "--passwords-file", str(file), fails="File exists")
    assert len(file.read_text().splitlines()) == 3


def test_a_user_whose_password_cannot_be_kept_is_not_made(source, tmp_path, monkeypatch) -> None:
    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(csv, "writer", lambda file: type("Full", (), {"writerow": full})())
    with pytest.raises(OSError, match="No space"):
        run(*ALL, "--passwords-file", str(tmp_path / "passwords.csv"))
    assert not Credential.objects.exists()


def test_sids_that_are_taken_become_others_for_good(source, bob) -> None:
    taken = saved(Application(sid=source["application"].sid, account=bob, friendly_name="His"))
    saved(Account(sid=SOURCE, friendly_name="Other"))
    lines = run(*ALL)
    [note] = [line for line in lines if line.startswith("note")]
    copied = Application.objects.get(friendly_name="Support")
    assert note == (
        f"note      application Support: {taken.sid} is taken here: it becomes {copied.sid}"
    )
    assert Account.objects.get(friendly_name="Acme").sid != SOURCE
    assert "0 made, 0 changed" in run(*ALL)[-1]
    taken.refresh_from_db()
    assert (taken.account, taken.friendly_name) == (bob, "His")


def test_what_was_made_by_hand_is_taken_over_and_not_doubled(source, alice) -> None:
    mine = saved(SipDomain(account=alice, domain_name="acme.sip.example.net"))
    run(*ALL, "--account", alice.sid)
    mine.refresh_from_db()
    assert mine.voice_url == "https://app.example/voice"
    assert mine.auth_type == "IP_ACL,CREDENTIAL_LIST"


def test_what_is_refused_is_told_and_the_rest_goes_on(source, bob) -> None:
    saved(SipDomain(account=bob, domain_name="pbx.acme.example"))
    lines = run(*ALL, fails="1 could not be copied")
    [line] = [line for line in lines if line.startswith("refused")]
    assert line == (
        "refused   domain pbx.acme.example: Another domain has this name or alias already."
    )
    assert SipDomain.objects.filter(domain_name="acme.sip.example.net").exists()


def test_urls_that_lead_back_to_the_vendor_are_told(db, alice, bob, monkeypatch) -> None:
    rest = client_of(alice)
    rest.applications.create(friendly_name="Bin", voice_url="https://handler.twilio.com/twiml/EH1")
    snapshot = twiliosource.read(rest)
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "secret")
    monkeypatch.setattr(twiliosource, "read", lambda client: snapshot)
    lines = run("--account", bob.sid)
    assert any("voice_url leads to Twilio itself" in line for line in lines)


def test_the_log_of_changes_names_the_import(source) -> None:
    run(*ALL)
    entries = LogEntry.objects.all()
    assert len(entries) == 12
    assert {entry.additional_data["credential"] for entry in entries} == {f"importtwilio {SOURCE}"}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"TWILIO_AUTH_TOKEN": "token"}, (SOURCE, "token")),
        ({"TWILIO_API_KEY": "SK1", "TWILIO_API_SECRET": "s"}, ("SK1", "s")),
        ({"TWILIO_API_KEY": "SK1"}, None),
        ({}, None),
    ],
)
def test_credentials_come_from_the_environment(
    db, alice, monkeypatch, environment, expected
) -> None:
    for name in ("TWILIO_AUTH_TOKEN", "TWILIO_API_KEY", "TWILIO_API_SECRET"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    seen = []
    monkeypatch.setattr(twiliosource, "connect", lambda account, *rest: seen.append(rest))
    monkeypatch.setattr(
        twiliosource, "read", lambda client: twiliosource.Snapshot(account_sid=SOURCE)
    )
    run("--account", alice.sid, fails="" if expected else "TWILIO_AUTH_TOKEN")
    assert [given[:2] for given in seen] == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--source-account", "me"), "no AccountSid"),
        (("--passwords-file", "x"), "needs --generate-passwords"),
        (("--account", "AC" + "9" * 32), "There is no account"),
    ],
)
def test_wrong_options_are_explained(source, options, message) -> None:
    run(*options, fails=message)


def test_without_the_package_it_says_how_to_get_it(db, monkeypatch) -> None:
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "secret")
    monkeypatch.delitem(sys.modules, "sipdomains.twiliosource")
    for name in [name for name in sys.modules if name.partition(".")[0] == "twilio"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "twilio", None)
    run(fails="pip install 'twilio>=9,<10'")


class Scripted:
    """Answers of a source, one by one."""

    def __init__(self, *answers) -> None:
        self.answers = list(answers)

    def __call__(self, *args, **kwargs):
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


EMPTY = json.dumps({"contents": [], "next_page_uri": None})


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Response(401, "{}", {}), "HTTP status 401 .wrong credentials"),
        (Response(500, "oops", {}), "HTTP status 500"),
        (Unreachable("no route"), "cannot be reached"),
    ],
)
def test_a_source_that_fails_is_told_and_nothing_is_written(
    db, monkeypatch, answer, message
) -> None:
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "secret")
    monkeypatch.setattr(twiliosource.TwilioHttpClient, "request", Scripted(answer))
    run(fails=message)
    assert not Account.objects.exists()


def test_a_source_that_is_asked_too_often_is_asked_again(db, monkeypatch) -> None:
    waited = []
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "secret")
    monkeypatch.setattr(twiliosource.time, "sleep", waited.append)
    busy = Response(429, "{}", {"Retry-After": "3"})
    answers = Scripted(busy, busy, *[Response(200, EMPTY, {})] * 4)
    monkeypatch.setattr(twiliosource.TwilioHttpClient, "request", answers)
    assert run()[-1].startswith("1 made")
    assert waited == [3.0, 3.0]
