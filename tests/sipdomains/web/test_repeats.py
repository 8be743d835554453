"""A request to the application, sent again: who may, what is asked of the worker, what is shown."""

from datetime import timedelta

import pytest
from auditlog.models import LogEntry
from django.test import Client
from django.utils import timezone
from kombu.exceptions import OperationalError

from sipdomains import access
from sipdomains.contracts import TASK_REPEAT_REQUEST
from sipdomains.models import Account
from sipdomains.services import repeats
from sipdomains.web.repeats import MAX_POLLS

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


@pytest.fixture
def sent(monkeypatch):
    tasks = []
    monkeypatch.setattr(
        repeats.current_app, "send_task", lambda name, args, **options: tasks.append((name, args))
    )
    return tasks


@pytest.fixture
def row(domain, make_call, add_attempt):
    call = make_call(account=domain.account, domain=domain)
    return add_attempt(
        call,
        account=domain.account,
        parameters=[["CallSid", call.sid], ["Digits", "****"]],
        status=500,
    )


def url_of(row):
    return f"/calls/{row.call_id}/requests/{row.pk}/repeat"


def test_operator_confirms_and_sees_the_answer(desk, row, add_attempt, sent):
    page = desk.get(url_of(row)).content.decode()
    assert "Send this request to the application again?" in page
    assert row.call_id in page
    assert sent == []
    answer = desk.post(url_of(row))
    [(name, (request_id, number))] = sent
    assert (name, number) == (TASK_REPEAT_REQUEST, row.pk)
    assert answer.url == f"/calls/{row.call_id}/repeats/{request_id}/"

    waiting = desk.get(answer.url).content.decode()
    assert "waiting for the answer" in waiting
    assert "?polls=1" in waiting
    add_attempt(
        row.call, request_id=request_id, purpose="repeat", status=200, response_body="<Response/>",
        duration_ms=40, first_byte_ms=30,
    )  # fmt: skip
    fresh = desk.get(f"{answer.url}?polls=1", headers=HTMX).content.decode()
    assert "hx-get" not in fresh
    assert "<html" not in fresh
    assert '<i class="x-t">&lt;Response</i>' in fresh
    # It stands in the course of the call as well.
    assert "repeated from this page" in desk.get(f"/calls/{row.call_id}/").content.decode()


def test_waiting_has_an_end(desk, row):
    page = desk.get(f"/calls/{row.call_id}/repeats/repeat-1/?polls={MAX_POLLS}").content.decode()
    assert "hx-get" not in page
    assert "Is a Celery worker running" in page


def test_who_asked_stands_in_the_history(desk, operator, row, sent):
    desk.post(url_of(row))
    [entry] = LogEntry.objects.filter(object_pk=row.call_id)
    assert entry.actor == operator
    assert entry.additional_data["request"] == f"POST {row.url}"


def test_who_may_only_look_may_not_repeat(client, make_user, domain, row, sent):
    client.force_login(make_user("viewer", access.VIEWER, accounts=[domain.account]))
    page = client.get(f"/calls/{row.call_id}/").content.decode()
    assert "Repeat this request" not in page
    assert client.get(url_of(row)).status_code == 403
    assert client.post(url_of(row)).status_code == 403
    assert sent == []


def test_operator_of_another_account_finds_nothing(client, make_user, row, sent):
    other = Account.objects.create(friendly_name="Other")
    client.force_login(make_user("stranger", access.OPERATOR, accounts=[other]))
    call = f"/calls/{row.call_id}"
    for path in (
        url_of(row), f"{call}/", f"{call}/repeats/repeat-1/", f"{call}/call.json",
        f"{call}/ladder.txt", f"{call}/messages.pcap", f"{call}/requests/{row.pk}/response/",
        f"{call}/events/1/", f"{call}/documents/1/",
    ):  # fmt: skip
        assert client.get(path).status_code == 404, path
    assert client.post(url_of(row)).status_code == 404
    assert sent == []


def test_other_sites_cannot_have_it_repeated(operator, row, sent):
    client = Client(enforce_csrf_checks=True)
    client.force_login(operator)
    assert client.post(url_of(row)).status_code == 403
    assert sent == []


def test_call_is_not_flooded(desk, row, add_attempt, sent):
    for number in range(repeats.MAX_PER_HOUR):
        add_attempt(row.call, request_id=f"x{number}", purpose="repeat", at=timezone.now())
    answer = desk.post(url_of(row))
    assert (answer.status_code, sent) == (409, [])
    assert b"often enough" in answer.content
    row.call.webhook_requests.update(at=timezone.now() - timedelta(hours=2))
    assert desk.post(url_of(row)).status_code == 302


def test_broker_away_is_said_and_nothing_is_remembered(desk, row, monkeypatch):
    def refuse(*args, **options):
        raise OperationalError("refused")

    monkeypatch.setattr(repeats.current_app, "send_task", refuse)
    answer = desk.post(url_of(row))
    assert answer.status_code == 409
    assert b"The broker does not answer" in answer.content
    assert not LogEntry.objects.filter(object_pk=row.call_id).exists()


@pytest.mark.parametrize(
    ("configured", "expected"),
    [
        ("http://bob:hunter2@app.example.com/voice#rc=2", "http://bob:hunter2@app.example.com/voice#rc=2"),
        ("http://bob:hunter2@other.example.com/voice", "http://app.example.com/voice"),
        ("", "http://app.example.com/voice"),
    ],
)  # fmt: skip
def test_worker_gets_the_credentials_from_the_configuration(row, domain, configured, expected):
    domain.voice_url = configured
    domain.save()
    message = repeats.message("repeat-1", row.pk)
    assert message.url == expected
    assert message.parameters == [("CallSid", row.call_id), ("Digits", "****")]
    assert (message.id, message.purpose, message.call_sid) == ("repeat-1", "repeat", row.call_id)


def test_request_that_is_gone_is_not_sent():
    assert repeats.message("repeat-1", 4711) is None
