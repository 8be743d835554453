"""A log to look at: calls are made as rows, with only what a test is about."""

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import Group

from sipdomains import access
from sipdomains.models import Account, Call, CallEvent, Notification, SipDomain, WebhookRequest

NOON = datetime(2026, 3, 4, 12, 0, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _served(settings):
    settings.WHITENOISE_AUTOREFRESH = True  # static files from the checkout, nothing collected


@pytest.fixture
def make_user(django_user_model):
    """A user in these groups, bound to these accounts."""

    def make(name, *groups, accounts=(), **fields):
        user = django_user_model.objects.create_user(name, password="correct horse", **fields)
        user.groups.set(Group.objects.filter(name__in=groups))
        for account in accounts:
            user.account_members.create(account=account)
        return user

    return make


@pytest.fixture
def operator(make_user):
    return make_user("operator", access.OPERATOR, access.EVERY_ACCOUNT)


@pytest.fixture
def desk(client, operator):
    client.force_login(operator)
    return client


@pytest.fixture
def domain(db):
    account = Account.objects.create(friendly_name="Acme")
    return SipDomain.objects.create(account=account, domain_name="pbx.example.net")


@pytest.fixture
def make_call(db):
    count = 0

    def make(at=NOON, **fields):
        nonlocal count
        count += 1
        fields = {
            "sid": f"CA{count:032x}",
            "node": "boot",
            "direction": "inbound",
            "from_uri": "sip:alice@pbx.example.net",
            "to_uri": "sip:100@pbx.example.net",
            "domain_name": "pbx.example.net",
            "status": "completed",
            "cause": "caller-hangup",
            "reason": "The caller hung up.",
            "started_at": at,
            "answered_at": at + timedelta(seconds=1),
            "ended_at": at + timedelta(seconds=13),
            "updated_at": at + timedelta(seconds=13),
            "duration": 12,
            "sip_status": 200,
            "sip_call_id": f"call-{count}@192.0.2.1",
        } | fields
        return Call.objects.create(**fields)

    return make


@pytest.fixture
def add_event():
    def add(call, kind, data=None, after=0.0, status=""):
        return CallEvent.objects.create(
            call=call,
            seq=call.events.count() + 1,
            at=call.started_at + timedelta(seconds=after),
            kind=kind,
            data=data or {},
            status=status,
        )

    return add


@pytest.fixture
def add_attempt():
    def add(call, **fields):
        fields = {
            "request_id": f"r-{call.sid}",
            "attempt": call.webhook_requests.count() + 1,
            "purpose": "document",
            "at": call.started_at,
            "method": "POST",
            "url": "http://app.example.com/voice",
        } | fields
        return WebhookRequest.objects.create(call=call, **fields)

    return add


@pytest.fixture
def add_note():
    def add(call, code, level="error", message="Something to read.", **fields):
        return Notification.objects.create(
            sid=f"NO{call.notifications.count():032x}",
            call=call,
            at=call.started_at,
            code=code,
            level=level,
            message=message,
            **fields,
        )

    return add
