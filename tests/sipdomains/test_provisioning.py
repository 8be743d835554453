"""createdomain and the demo."""

from __future__ import annotations

import json
import stat
from io import StringIO

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command

from sipdomains.models import Account, Credential, DomainAlias, IpAddress, SipDomain
from sipdomains.services import domains
from sipdomains.services.bootstrap import bootstrap_demo
from tests.sipdomains.conftest import PASSWORD, saved

pytestmark = pytest.mark.django_db

FULL = (
    "pbx.example.net", "--voice-url", "http://app.example/voice", "--username", "alice",
    "--password", PASSWORD, "--allow", "127.0.0.0/8", "--allow", "::1",
    "--alias", "voice.example.net", "--fallback-url", "http://app.example/sorry",
)  # fmt: skip


def createdomain(*args: str) -> str:
    out = StringIO()
    call_command("createdomain", *args, stdout=out, stderr=out)
    return out.getvalue()


def test_a_domain_ready_for_calls() -> None:
    result = json.loads(createdomain(*FULL, "--json"))
    domain = SipDomain.objects.get()
    assert result == {
        "account_sid": domain.account_id,
        "domain_sid": domain.sid,
        "domain_name": "pbx.example.net",
        "aliases": ["voice.example.net"],
        "auth_type": "IP_ACL,CREDENTIAL_LIST",
        "voice_url": "http://app.example/voice",
        "voice_method": "POST",
        "voice_fallback_url": "http://app.example/sorry",
    }
    assert domains.explain(domain, "::1", "alice").accepted
    assert domains.explain(domain, "127.3.2.1", "alice").accepted
    assert not domains.explain(domain, "192.0.2.1", "alice").accepted
    assert Credential.objects.get().has_password(PASSWORD)


def test_repeating_it_changes_nothing() -> None:
    first = createdomain(*FULL, "--json")
    version = domains.config_version()
    assert createdomain(*FULL, "--json") == first
    assert domains.config_version() == version
    assert (Account.objects.count(), Credential.objects.count(), IpAddress.objects.count()) == (
        1, 1, 2,
    )  # fmt: skip


def test_repeating_it_with_other_values_adds_and_replaces() -> None:
    createdomain(*FULL)
    createdomain("PBX.example.net", "--voice-url", "http://new/", "--username", "alice",
                 "--password", "Another9Horse", "--allow", "10.0.0.0/8")  # fmt: skip
    domain = SipDomain.objects.get()
    assert (domain.voice_url, domain.voice_fallback_url) == (
        "http://new/", "http://app.example/sorry",
    )  # fmt: skip
    assert Credential.objects.get().has_password("Another9Horse")
    assert IpAddress.objects.count() == 3


def test_the_token_is_shown_on_demand_only() -> None:
    token = Account.objects.create(friendly_name="default").auth_token
    assert token not in createdomain(*FULL)
    assert json.loads(createdomain(*FULL, "--json", "--show-token"))["auth_token"] == token
    assert token in createdomain(*FULL, "--show-token")


def test_a_given_account(alice, bob) -> None:
    createdomain("pbx.example.net", "--account", alice.sid)
    assert SipDomain.objects.get().account == alice
    with pytest.raises(CommandError, match="belongs to the account"):
        createdomain("pbx.example.net", "--account", bob.sid)


def test_a_domain_that_takes_no_calls_is_pointed_out() -> None:
    assert "Nobody can call this domain yet" in createdomain("pbx.example.net")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["bad_name"], r"domain_name: Use letters.*\(21232\)"),
        (["x.net", "--voice-url", "app"], r"voice_url: Enter a whole URL.*\(21402\)"),
        (["x.net", "--fallback-url", "http://a/"], r"fallback URL needs a voice URL.*\(21405\)"),
        (["x.net", "--password", PASSWORD], "--password needs --username"),
        (["x.net", "--username", "bob"], r"The new user bob needs a password. \(21243\)"),
        (["x.net", "--username", "bob", "--password", "x"], r"at least 12 .*\(21243\)"),
        (["x.net", "--allow", "10.0.0.0/33"], r"10\.0\.0\.0/33 is neither .*\(21238\)"),
        (["x.net", "--alias", "taken.net"], r"name: Another domain has this .*\(21232\)"),
        (["x.net", "--account", "AC0"], r"There is no account AC0. \(20404\)"),
    ],
)
def test_errors_are_clear_and_leave_nothing_behind(alice, args, message) -> None:
    saved(SipDomain(account=alice, domain_name="taken.net"))
    with pytest.raises(CommandError, match=message) as caught:
        createdomain(*args)
    assert PASSWORD not in str(caught.value)
    assert SipDomain.objects.count() == 1


# --- the demo -------------------------------------------------------------------------------------


@pytest.fixture
def home(settings, tmp_path):
    settings.SIPDOMAINS_HOME = tmp_path / "home"
    settings.WEB_LISTEN = "0.0.0.0:8123"
    settings.SIP_LISTEN = ["udp:127.0.0.5:5060", "tcp:[::1]:5060"]
    return tmp_path / "home"


def test_the_demo_can_be_dialled_by_address(home) -> None:
    demo = bootstrap_demo()
    for host in ("127.0.0.1", "[::1]", "127.0.0.5", "localhost", "demo.local"):
        policy = domains.policy(host)
        assert policy.domain_sid == demo.domain_sid, host
        assert policy.voice_url == "http://127.0.0.1:8123/demo/voice"
    user = Credential.objects.get(username=demo.username)
    assert user.has_password(demo.password)
    assert domains.explain(SipDomain.objects.get(), "192.0.2.1", "demo").accepted
    admin = get_user_model().objects.get()
    assert admin.check_password(demo.admin_password)
    assert demo.password not in repr(demo)
    assert stat.S_IMODE((home / "demo.json").stat().st_mode) == 0o600


def test_a_second_run_reuses_what_is_there(home) -> None:
    first = bootstrap_demo()
    version = domains.config_version()
    second = bootstrap_demo()
    assert second.password == first.password
    assert second.domain_sid == first.domain_sid
    assert second.admin_password == ""
    assert second.admin_username == first.admin_username
    assert domains.config_version() == version


def test_what_an_operator_changed_stays(home, alice) -> None:
    bootstrap_demo()
    DomainAlias.objects.filter(name="127.0.0.1").delete()
    own = saved(SipDomain(account=alice, domain_name="own.net"))
    saved(DomainAlias(domain=own, name="127.0.0.1"))
    SipDomain.objects.filter(domain_name="demo.local").update(voice_url="http://mine/")
    bootstrap_demo()
    assert domains.policy("127.0.0.1").domain_sid == own.sid
    assert domains.policy("demo.local").voice_url == "http://mine/"


def test_the_demo_follows_the_web_address_and_the_realm(home, settings) -> None:
    bootstrap_demo()
    settings.WEB_LISTEN = "127.0.0.1:9000"
    settings.SIP_REALM = "elsewhere"
    demo = bootstrap_demo()
    assert domains.policy("demo.local").voice_url == "http://127.0.0.1:9000/demo/voice"
    assert Credential.objects.get().has_password(demo.password)


def test_bootstrapdemo_prints_what_to_use(home) -> None:
    out = StringIO()
    call_command("bootstrapdemo", stdout=out)
    assert "shown once" in out.getvalue()
    out = StringIO()
    call_command("bootstrapdemo", stdout=out)
    assert "shown once" not in out.getvalue()
    assert json.loads((home / "demo.json").read_text())["password"] in out.getvalue()
