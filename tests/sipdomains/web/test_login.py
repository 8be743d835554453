"""Guessing passwords, and the policy that every answer carries."""

import pytest
from django.core.cache import cache
from django.urls import reverse

from sipdomains import login
from sipdomains.security import API_DOCUMENTATION_POLICY, CONTENT_SECURITY_POLICY

pytestmark = pytest.mark.django_db
RIGHT = {"username": "operator", "password": "correct horse"}
WRONG = {"username": "Operator", "password": "guess"}


@pytest.fixture(autouse=True)
def _fresh_cache(monkeypatch):
    monkeypatch.setattr("sipdomains.throttling.time.time", lambda: 1_800_000_000.0)
    cache.clear()
    yield
    cache.clear()


@pytest.mark.parametrize("path", ["/login/", "/admin/login/"])
def test_guesses_are_stopped_for_that_user_from_that_address(client, make_user, path):
    make_user("operator", is_staff=True)
    for _ in range(login.FAILURES):
        assert "Too many" not in client.post(path, WRONG).content.decode()
    refused = client.post(path, RIGHT)
    assert "Too many failed attempts. Try again in 6 minutes." in refused.content.decode()
    assert client.post(path, RIGHT, REMOTE_ADDR="192.0.2.7").status_code == 302


def test_pages_and_admin_count_together(client, make_user):
    make_user("operator", is_staff=True)
    for number in range(login.FAILURES):
        client.post(("/login/", "/admin/login/")[number % 2], WRONG)
    assert "Too many" in client.post("/login/", RIGHT).content.decode()


def test_an_address_that_tries_many_users_is_stopped(client, make_user, monkeypatch):
    monkeypatch.setattr(login, "FAILURES_OF_ADDRESS", 3)
    make_user("operator")
    for number in range(3):
        client.post("/login/", {"username": f"user{number}", "password": "x"})
    assert "Too many" in client.post("/login/", RIGHT).content.decode()


@pytest.mark.parametrize(
    ("template", "stopped"),
    [
        ("2001:db8:0:1::{:x}", True),  # who has one address of IPv6 has 2**64 of them
        ("2001:db8:0:{:x}::1", False),
        ("::ffff:192.0.2.7", True),
        ("192.0.2.{}", False),
        ("{}", False),  # a socket of the machine has no address
    ],
)
def test_a_network_of_ipv6_counts_as_one_address(client, make_user, template, stopped):
    make_user("operator")
    for number in range(login.FAILURES):
        client.post("/login/", WRONG, REMOTE_ADDR=template.format(number + 1))
    refused = client.post("/login/", RIGHT, REMOTE_ADDR=template.format(99))
    assert ("Too many" in refused.content.decode()) == stopped


def test_logging_in_does_not_count(client, make_user):
    make_user("operator")
    for _ in range(login.FAILURES + 1):
        assert client.post("/login/", RIGHT).status_code == 302
        client.post("/logout/")


@pytest.mark.parametrize(
    "path", ["/", "/login/", "/admin/login/", "/api/", "/api/openapi.json", "/nowhere", "/healthz",
             "/2010-04-01/Accounts.json", "/static/web/desk.css"]
)  # fmt: skip
def test_every_answer_says_what_a_page_may_load(client, path):
    answer = client.get(path)
    policy = API_DOCUMENTATION_POLICY if path == "/api/" else CONTENT_SECURITY_POLICY
    assert answer["Content-Security-Policy"] == policy
    assert "script-src" not in policy  # scripts are our own files, everywhere
    if answer.streaming:
        answer.getvalue()
    else:
        body = answer.content.decode()
        assert body.count("<script") == body.count("<script src=")


def test_admin_has_nothing_inline(client, make_user):
    client.force_login(make_user("root", is_staff=True, is_superuser=True))
    for name in ("admin:index", "admin:sipdomains_sipdomain_add", "admin:auth_user_changelist"):
        body = client.get(reverse(name)).content.decode()
        assert " onclick=" not in body
        assert "<style" not in body
