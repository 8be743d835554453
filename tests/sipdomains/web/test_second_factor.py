"""The second factor: set up, asked for by pages and admin, replayed, guessed, lost."""

import re
from io import StringIO

import pytest
from auditlog.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.urls import reverse
from django_otp.oath import totp

from sipdomains import login
from sipdomains.models import Authenticator, RecoveryCode

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse"
BEGIN, CONFIRM = "/account/security/begin", "/account/security/confirm"
OFF, PAGE = "/account/security/off", "/account/security/"
BOTH = pytest.mark.parametrize("path", ["/login/", "/admin/login/"])


@pytest.fixture
def clock(time_machine):
    time_machine.move_to(1_800_000_000.0, tick=False)
    cache.clear()
    yield time_machine
    cache.clear()


def code_of(user):
    return f"{totp(bytes.fromhex(Authenticator.objects.get(user=user).key)):06d}"


def wrong(code):
    """A code that is none of those near it, whatever the key."""
    return f"{(int(code) + 1) % 1_000_000:06d}"


@pytest.fixture
def with_app(client, make_user, clock):
    """A user who has set it up, signed out; and the recovery codes. A minute has gone by."""
    user = make_user("operator", is_staff=True)
    client.force_login(user)
    begin(client)
    body = client.post(CONFIRM, {"code": code_of(user)}).content.decode()
    client.logout()
    clock.shift(60)
    return user, re.findall(r"<li><code>([^<]+)</code>", body)


def begin(client, password=PASSWORD, **extra):
    return client.post(BEGIN, {"password": password}, **extra)


def enter(client, path, code="", username="operator", **extra):
    """Whether that lets one in."""
    return client.post(
        path, {"username": username, "password": PASSWORD, "code": code}, **extra
    ).status_code == 302  # fmt: skip


def test_set_up_shows_the_key_until_it_is_confirmed_and_never_again(client, make_user, clock):
    user = make_user("operator")
    client.force_login(user)
    assert "Set up an authenticator app" in client.get(PAGE).content.decode()
    begun = begin(client)
    device = Authenticator.objects.get()
    assert device.secret in begun.content.decode()
    assert "<svg" in begun.content.decode()
    assert " style=" not in begun.content.decode()
    assert "no-store" in begun["Cache-Control"]
    assert not device.confirmed

    refused = client.post(CONFIRM, {"code": wrong(code_of(user))}).content.decode()
    assert "This code is wrong" in refused
    assert device.secret in refused
    clock.shift(30)
    done = client.post(CONFIRM, {"code": code_of(user)}).content.decode()
    codes = re.findall(r"<li><code>([^<]+)</code>", done)
    assert len(set(codes)) == 10
    after = client.get(PAGE).content.decode()
    assert "10 recovery codes left" in after
    for secret in (device.secret, device.key, *codes):
        assert secret not in after
    assert "set up already" in begin(client).content.decode()
    assert Authenticator.objects.get().key == device.key


@pytest.mark.parametrize("password", ["", "guess", PASSWORD + " "])
def test_set_up_asks_for_the_password_of_who_is_signed_in(client, make_user, clock, password):
    client.force_login(make_user("operator"))
    body = begin(client, password).content.decode()
    assert "That is not your password." in body
    assert "<svg" not in body
    assert not Authenticator.objects.exists()


def test_guesses_at_an_open_page_are_throttled_as_logins_are(client, make_user, clock):
    client.force_login(make_user("operator"))
    for _ in range(login.FAILURES):
        begin(client, "guess")
    assert "Too many failed attempts" in begin(client).content.decode()
    assert not Authenticator.objects.exists()
    assert not enter(Client(), "/login/")
    assert begin(client, REMOTE_ADDR="192.0.2.7").status_code == 200
    assert Authenticator.objects.exists()


def test_a_set_up_that_was_never_confirmed_asks_nobody(client, make_user, clock):
    user = make_user("operator")
    client.force_login(user)
    begin(client)
    client.logout()
    assert 'name="code"' not in client.get("/login/").content.decode()
    assert enter(client, "/login/")


@BOTH
def test_login_asks_for_a_code(client, with_app, path):
    user, _codes = with_app
    assert 'name="code"' in client.get(path).content.decode()
    answer = client.post(path, {"username": "operator", "password": PASSWORD})
    assert "Enter the code of your authenticator app too" in answer.content.decode()
    assert "_auth_user_id" not in client.session
    assert enter(client, path, code_of(user))
    assert client.session["_auth_user_id"] == str(user.pk)


@BOTH
@pytest.mark.parametrize("bad", ["{wrong}", "12345", "١٢٣٤٥٦", "+12345", "x" * 64, "x" * 65])
def test_a_wrong_code_does_not_let_in(client, with_app, path, bad):
    user, _codes = with_app
    assert not enter(client, path, bad.format(wrong=wrong(code_of(user))))


def test_a_right_code_does_not_help_a_wrong_password(client, with_app):
    user, codes = with_app
    answer = client.post(
        "/login/", {"username": "operator", "password": "guess", "code": code_of(user)}
    )
    assert "authenticator" not in answer.content.decode().split('role="alert"')[1].split("</p>")[0]
    assert RecoveryCode.objects.count() == len(codes)
    assert enter(client, "/login/", code_of(user))  # it was not used up


def test_a_code_is_good_once(client, with_app, clock):
    user, _codes = with_app
    code = code_of(user)
    assert enter(client, "/login/", f"{code[:3]} {code[3:]}")
    client.logout()
    assert not enter(client, "/admin/login/", code)
    clock.shift(30)
    assert not enter(client, "/login/", code)  # the last step's code would else do
    clock.shift(30)
    assert enter(client, "/login/", code_of(user))


def test_the_code_that_confirmed_is_used_up(client, make_user, clock):
    user = make_user("operator")
    client.force_login(user)
    begin(client)
    code = code_of(user)
    client.post(CONFIRM, {"code": code})
    client.logout()
    assert not enter(client, "/login/", code)


@BOTH
def test_a_recovery_code_is_good_once(client, with_app, clock, path):
    _user, codes = with_app
    assert enter(client, path, codes[3].upper())
    client.logout()
    assert not enter(client, path, codes[3])
    clock.shift(60)
    assert enter(client, path, codes[4].replace("-", ""))
    assert RecoveryCode.objects.count() == 8


def test_nothing_secret_is_readable_in_the_database_or_the_history(with_app):
    _user, codes = with_app
    device = Authenticator.objects.get()
    with connection.cursor() as cursor:
        cursor.execute("SELECT key FROM sipdomains_authenticator")
        assert device.key not in str(cursor.fetchall())
        cursor.execute("SELECT digest FROM sipdomains_recoverycode")
        stored = str(cursor.fetchall())
    entries = str(list(LogEntry.objects.values()))
    assert entries
    for code in codes:
        assert code not in stored + entries
        assert code.replace("-", "") not in stored + entries
    assert device.key not in entries
    assert device.secret not in entries


def test_guesses_of_codes_are_throttled_like_passwords(client, with_app, clock):
    user, _codes = with_app
    for _ in range(login.FAILURES):
        assert not enter(client, "/login/", wrong(code_of(user)))
    answer = client.post(
        "/login/", {"username": "operator", "password": PASSWORD, "code": code_of(user)}
    )
    assert "Too many failed attempts" in answer.content.decode()


def test_after_a_wrong_code_none_is_tried_for_a_while_from_anywhere(client, with_app, clock):
    user, _codes = with_app
    assert not enter(client, "/login/", wrong(code_of(user)))
    assert not enter(client, "/login/", code_of(user), REMOTE_ADDR="192.0.2.7")
    clock.shift(2)
    assert enter(client, "/login/", code_of(user), REMOTE_ADDR="192.0.2.7")


@BOTH
def test_other_users_log_in_as_before(client, with_app, make_user, path):
    make_user("other", is_staff=True)
    assert enter(client, path, username="other")


def test_turning_off_needs_a_code(client, with_app, clock):
    user, codes = with_app
    client.force_login(user)
    assert "This code is wrong" in client.post(OFF, {"code": "nothing"}).content.decode()
    assert Authenticator.objects.filter(confirmed=True).exists()
    clock.shift(60)
    assert client.post(OFF, {"code": codes[0]}).status_code == 302
    assert not Authenticator.objects.exists()
    assert not RecoveryCode.objects.exists()
    client.logout()
    assert enter(client, "/login/")


@pytest.mark.parametrize("path", [PAGE, BEGIN, CONFIRM, OFF])
def test_strangers_are_led_to_the_login(client, path):
    answer = client.post(path)
    assert answer.status_code == 302
    assert answer["Location"].startswith("/login/")


def test_one_user_cannot_touch_what_is_anothers(client, with_app, make_user):
    user, codes = with_app
    client.force_login(make_user("other"))
    client.post(OFF, {"code": codes[0]})
    client.post(CONFIRM, {"code": code_of(user)})
    assert Authenticator.objects.get().user == user
    assert RecoveryCode.objects.count() == 10


def test_a_superuser_removes_it_in_the_admin_and_that_is_on_record(client, with_app, make_user):
    user, _codes = with_app
    device = Authenticator.objects.get()
    root = make_user("root", is_staff=True, is_superuser=True)
    client.force_login(root)
    address = reverse("admin:auth_user_change", args=(user.pk,))
    page = client.get(address)
    assert device.key not in page.content.decode()
    assert device.secret not in page.content.decode()
    form = page.context["adminform"].form
    data = {name: form[name].value() for name in form.fields if name != "password"}
    data = {name: value for name, value in data.items() if value not in (None, False)}
    for inline in page.context["inline_admin_formsets"]:
        management = inline.formset.management_form
        data |= {bound.html_name: bound.value() for bound in management}
    data |= {
        "authenticator-0-id": device.pk,
        "authenticator-0-user": user.pk,
        "authenticator-0-DELETE": "on",
    }
    answer = client.post(address, data)
    assert answer.status_code == 302, answer.context["errors"]
    assert not Authenticator.objects.exists()
    entry = LogEntry.objects.filter(
        content_type=ContentType.objects.get_for_model(Authenticator)
    ).latest("pk")
    assert (entry.action, entry.actor) == (LogEntry.Action.DELETE, root)
    assert device.key not in str(entry.changes)


def test_the_last_administrator_is_let_in_by_a_command(client, with_app):
    out = StringIO()
    call_command("removetotp", "operator", stdout=out)
    assert "password alone" in out.getvalue()
    assert enter(client, "/login/")
    with pytest.raises(CommandError, match="has no second factor"):
        call_command("removetotp", "operator")
    with pytest.raises(CommandError, match="no user 'nobody'"):
        call_command("removetotp", "nobody")
