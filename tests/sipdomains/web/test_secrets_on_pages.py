"""Passwords that stand in addresses are on no page and in no file: not at the desk, not in the
admin for who only looks, not in the history."""

from __future__ import annotations

import pytest
from django.core.cache import cache
from django.urls import reverse
from django.utils import timezone

from sipdomains import access
from sipdomains.bench import BenchResult
from sipdomains.models import (
    Application,
    CallOrder,
    OutboxMessage,
    SipDomain,
    WebhookRequest,
)
from sipdomains.services import benchruns

pytestmark = pytest.mark.django_db
PASSWORD = "hunter2"
URL = f"http://user:{PASSWORD}@app.example/voice"
PARTY = f"sip:alice:{PASSWORD}@pbx.example.net"
INVITE = f"INVITE sip:100@pbx.example.net SIP/2.0\r\nFrom: <{PARTY}>;tag=1\r\n\r\n"


@pytest.fixture(autouse=True)
def _empty_cache():
    cache.clear()


@pytest.fixture
def told(domain, make_call, add_event):
    """A call with a password wherever a caller or an application can put one."""
    domain.voice_url = URL
    domain.save()
    call = make_call(
        timezone.now(), account=domain.account, domain=domain, from_uri=PARTY,
        status="in-progress", ended_at=None, callback={"url": URL, "method": "POST"},
    )  # fmt: skip
    make_call(timezone.now(), account=domain.account, from_uri=PARTY, to_uri=PARTY, parent=call)
    add_event(call, "sip", {"dir": "in", "summary": "INVITE", "text": INVITE})
    OutboxMessage.objects.create(
        id="m1", stream="s", position=0, purpose="status-callback", call=call,
        account=domain.account, created_at=call.started_at, next_at=call.started_at, method="POST",
        url=URL, parameters=[["From", PARTY]],
    )  # fmt: skip
    return call


def page(name, *args):
    return reverse(f"admin:sipdomains_{name}", args=args)


def test_the_desk_shows_none(desk, told):
    paths = [
        "/", "/calls/", "/live/", f"/calls/{told.sid}/", f"/calls/{told.sid}/control/",
        f"/calls/{told.sid}/events/1/", f"/calls/{told.sid}/call.json",
        f"/calls/{told.sid}/ladder.txt", f"/calls/{told.sid}/messages.pcap",
        "/domains/", f"/domains/{told.domain_id}/", f"/bench/?domain={told.domain_id}",
    ]  # fmt: skip
    for path in paths:
        answer = desk.get(path)
        assert answer.status_code == 200, path
        assert PASSWORD not in b"".join(answer).decode("latin-1"), path
    for kind in ("csv", "json"):
        answer = desk.get(f"/calls/export.{kind}")
        assert PASSWORD not in b"".join(answer.streaming_content).decode()


def test_who_only_looks_at_the_admin_sees_none(client, make_user, told):
    client.force_login(make_user("vera", access.VIEWER, access.EVERY_ACCOUNT, is_staff=True))
    paths = [
        page("call_changelist"), page("call_change", told.sid),
        page("outboxmessage_changelist"), page("outboxmessage_change", "m1"),
        page("sipdomain_changelist"), page("sipdomain_change", told.domain_id),
    ]  # fmt: skip
    for path in paths:
        answer = client.get(path)
        assert answer.status_code == 200, path
        assert PASSWORD not in answer.content.decode(), path


def test_who_edits_a_url_sees_all_of_it_and_the_history_does_not_tell(client, make_user, told):
    client.force_login(make_user("ada", access.ADMINISTRATOR, access.EVERY_ACCOUNT, is_staff=True))
    assert URL in client.get(page("sipdomain_change", told.domain_id)).content.decode()
    history = client.get(page("sipdomain_history", told.domain_id)).content.decode()
    assert "http://user:…@app.example/voice" in history
    assert PASSWORD not in history
    assert SipDomain.objects.get(pk=told.domain_id).voice_url == URL


def test_a_run_of_the_domains_own_url_is_sent_with_its_password(desk, told, monkeypatch):
    monkeypatch.setattr("sipdomains.web.bench.current_app.send_task", lambda *a, **k: None)
    form = desk.get(f"/bench/?domain={told.domain_id}").context["form"]
    given = {name: form.get_initial_for_field(field, name) for name, field in form.fields.items()}
    run = desk.post("/bench/", {name: value for name, value in given.items() if value}).url
    found = benchruns.find(run.rstrip("/").rpartition("/")[2])
    assert found.setup.url == URL
    benchruns.put_result(found.id, BenchResult(0, [], {"kind": "keys"}, []))
    shown = desk.get(run).content.decode()
    assert "http://user:…@app.example/voice" in shown
    assert PASSWORD not in shown


def test_what_is_hidden_cannot_be_searched_by_an_address_either(client, make_user, told):
    """Else it can be guessed letter by letter."""
    CallOrder.objects.create(
        call=told, account=told.account, created_at=told.started_at, due_at=told.started_at,
        plan={"twiml": PASSWORD},
    )  # fmt: skip
    client.force_login(make_user("vera", access.VIEWER, access.EVERY_ACCOUNT, is_staff=True))
    for query in ("plan__icontains=hunter", "plan__twiml__startswith=h", "plan__icontains=other"):
        assert client.get(f"{page('callorder_changelist')}?{query}").status_code == 400
    query = "payload__icontains=hunter"
    assert client.get(f"{page('callcommand_changelist')}?{query}").status_code == 400


@pytest.mark.parametrize(("text", "found"), [("app.example", True), (PASSWORD, False)])
def test_a_search_finds_no_password_of_a_url(desk, client, make_user, told, text, found):
    Application.objects.create(account=told.account, friendly_name="Shop", voice_url=URL)
    WebhookRequest.objects.create(
        request_id="r1", attempt=1, call=told, account=told.account, purpose="voice",
        at=told.started_at, method="POST", url=URL,
    )  # fmt: skip
    name = told.domain.domain_name
    assert (name in desk.get(f"/domains/?q={text}").content.decode()) is found
    client.force_login(make_user("vera", access.VIEWER, access.EVERY_ACCOUNT, is_staff=True))
    for model in ("sipdomain", "application", "webhookrequest", "outboxmessage"):
        listed = client.get(f"{page(f'{model}_changelist')}?q={text}").context["cl"]
        assert bool(listed.result_count) is found, model


@pytest.mark.parametrize(
    "query",
    [
        "sipdomain_changelist ?voice_url__icontains=hunter",
        "sipdomain_changelist ?voice_url=x",
        "webhookrequest_changelist ?url__startswith=http",
        "webhookrequest_changelist ?parameters__icontains=x",
        "call_changelist ?from_uri__icontains=hunter",
        "call_changelist ?callback__url__icontains=hunter",
        "account_changelist ?auth_token__startswith=a",
        "account_changelist ?secondary_auth_token__startswith=a",
        "trunk_changelist ?password__startswith=a",
        "apikey_changelist ?secret_hash__startswith=a",
        "account_changelist ?parent__auth_token__startswith=a",
    ],
)
def test_texts_cannot_be_guessed_by_conditions_in_an_address(client, make_user, told, query):
    client.force_login(make_user("ada", access.ADMINISTRATOR, access.EVERY_ACCOUNT, is_staff=True))
    name, _, condition = query.partition(" ")
    assert client.get(page(name) + condition).status_code == 400


@pytest.mark.parametrize(
    "query",
    [
        "call_changelist ?status__exact=completed",
        "call_changelist ?sid__exact=CA1",
        "call_changelist ?duration__gte=3",
        "call_changelist ?account__sid__exact=AC1",
        "notification_changelist ?level__exact=error",
    ],
)
def test_what_lists_offer_can_be_filtered_by(client, make_user, told, query):
    client.force_login(make_user("vera", access.VIEWER, access.EVERY_ACCOUNT, is_staff=True))
    name, _, condition = query.partition(" ")
    assert client.get(page(name) + condition).status_code == 200
