"""Sentences that an operator reads: who did it, how many, and no button that leads nowhere."""

from __future__ import annotations

import pytest
import time_machine
from django.contrib.auth.models import Permission
from django.core.cache import cache

from sipdomains.models import Application, Recording
from sipdomains.web.timeline import describe
from tests.sipdomains.web.conftest import NOON

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _empty_cache():
    cache.clear()


@pytest.mark.parametrize(
    ("by", "words"),
    [
        ("olga", "olga, at the desk, ended the call."),
        ("AC" + "0" * 32, f"The REST API (AC{'0' * 32}) ended the call."),
        ("SK" + "a" * 32, f"The REST API (SK{'a' * 32}) ended the call."),
        ("", "The REST API () ended the call."),
    ],
)
def test_who_changed_a_call_is_named_as_what_it_is(by, words):
    assert describe("command", {"what": "hangup", "by": by}) == words


def test_one_call_is_not_calls(desk, make_call, domain, monkeypatch):
    monkeypatch.setattr("sipdomains.selectors.overview.BUDGET_SECONDS", 3600.0)  # all is counted
    make_call(NOON, account=domain.account, cause="bad-credentials", status="failed")
    with time_machine.travel(NOON, tick=False):
        body = desk.get("/").content.decode()
    assert ": 1 call, 1 failure</title>" in body
    assert ": 0 calls, 0 failures</title>" in body
    assert "1 calls" not in body


def test_an_account_without_applications_offers_none(desk, make_call, domain):
    call = make_call(account=domain.account, domain=domain, status="in-progress", ended_at=None)
    path = f"/calls/{call.sid}/control/"
    body = desk.get(path).content.decode()
    assert "The account has no application with a voice URL." in body
    assert 'value="application"' not in body
    Application.objects.create(
        account=domain.account, friendly_name="Menu", voice_url="http://app.example/"
    )
    assert 'value="application"' in desk.get(path).content.decode()


def test_who_may_hear_no_recordings_is_offered_none(client, make_user, make_call, domain):
    user = make_user("clerk", accounts=[domain.account])
    user.user_permissions.add(Permission.objects.get(codename="view_call"))
    call = make_call(account=domain.account, domain=domain)
    Recording.objects.create(
        sid="RE" + "1" * 32, account=domain.account, call=call, source="RecordVerb",
        status="completed", started_at=call.started_at, duration=3, channels=1, file="a.wav",
    )  # fmt: skip
    client.force_login(user)
    body = client.get(f"/calls/{call.sid}/").content.decode()
    assert "RE" + "1" * 32 in body
    assert "<audio" not in body
    assert "/waveform/" not in body
    assert 'href="/recordings/"' not in body
