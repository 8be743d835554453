"""The real twilio client over Django's test client: its code and ours, without a socket."""

from __future__ import annotations

import json
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from django.core.cache import cache
from django.test import Client as Browser
from twilio.base.exceptions import TwilioException, TwilioRestException
from twilio.http import HttpClient
from twilio.http.response import Response
from twilio.rest import Client

from sipdomains.live import Outcome
from sipdomains.models import Call, CallCommand, Trunk
from sipdomains.services import commands
from tests.sipdomains.conftest import saved

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
BASE = "/2010-04-01/Accounts"


class InProcess(HttpClient):
    """What the client would send, handed to Django."""

    def __init__(self) -> None:
        super().__init__(None, False, None)
        self.browser = Browser(raise_request_exception=False)
        self.seen: list[tuple[str, str]] = []
        self.headers: dict[str, str] = {}  # sent besides, e.g. Idempotency-Key

    def request(self, method, url, params=None, data=None, headers=None, auth=None, **_: Any):
        parts = urlsplit(url)
        query = parts.query if params is None else params
        headers = {**(headers or {}), **self.headers}
        if auth is not None:
            headers["Authorization"] = basic(*auth)
        call = getattr(self.browser, method.lower())
        self.seen.append((method, url))
        options: dict[str, Any] = {"headers": headers}
        if method == "POST":
            form = urlencode({k: v for k, v in (data or {}).items() if v is not None}, doseq=True)
            kind = headers.pop("Content-Type", "application/x-www-form-urlencoded")
            answer = call(parts.path, form, content_type=kind, **options)
        elif isinstance(query, str):
            answer = call(f"{parts.path}?{query}", **options)
        else:
            answer = call(parts.path, query_params=query, **options)
        return Response(answer.status_code, answer.content.decode(), answer.headers)


def basic(user: str, password: str) -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


def client_of(account: Any, user: str = "", password: str = "") -> Client:
    """The twilio client of ``account``, by its own token or by a key."""
    client = Client(
        user or account.sid,
        password or account.auth_token,
        account.sid,
        http_client=InProcess(),
    )
    client.api.base_url = "http://testserver"
    return client


def refused(work) -> tuple[int, int]:
    """HTTP status and code of what the client raises."""
    with pytest.raises(TwilioException) as caught:
        work()
    if isinstance(caught.value, TwilioRestException):
        return caught.value.status, caught.value.code
    answer = caught.value.args[1]  # of lists
    return answer.status_code, json.loads(answer.text)["code"]


@pytest.fixture(autouse=True)
def _nobody_has_asked_yet():
    cache.clear()


@pytest.fixture
def make_call(alice):
    """Calls of Alice that were answered and are over, unless said otherwise."""
    made = 0

    def make(seconds: float = 0, **fields: Any) -> Call:
        nonlocal made
        made += 1
        at = NOON + timedelta(seconds=seconds)
        values = {
            "sid": f"CA{made:032x}",
            "account": alice,
            "node": "boot",
            "direction": "inbound",
            "from_uri": "sip:alice@pbx.example.net",
            "to_uri": "sip:100@pbx.example.net",
            "status": "completed",
            "started_at": at,
            "answered_at": at + timedelta(seconds=1),
            "ended_at": at + timedelta(seconds=13),
            "updated_at": at + timedelta(seconds=13),
            "duration": 12,
        }
        return Call.objects.create(**values | fields)

    return make


@pytest.fixture
def live_call(make_call) -> Call:
    return make_call(status="in-progress", ended_at=None, duration=None)


@pytest.fixture
def node(monkeypatch):
    """The node that carries the calls: it settles what it is asked as ``node.says`` tells, and
    keeps the commands. None: it says nothing."""

    class Node:
        says: Outcome | None = Outcome()
        asked: list[CallCommand] = []

        def wait(self, command_id: int, seconds: float) -> CallCommand:
            command = CallCommand.objects.get(pk=command_id)
            self.asked = [*self.asked, command]
            if self.says is not None:
                commands.settle(command_id, self.says)
            return CallCommand.objects.get(pk=command_id)

    node = Node()
    monkeypatch.setattr(commands, "wait", node.wait)
    return node


@pytest.fixture
def trunk(alice) -> Trunk:
    """Every number may be dialled."""
    trunk = saved(Trunk(account=alice, friendly_name="Provider", host="sip.provider.example"))
    trunk.rules.create(prefix="")
    return trunk


@pytest.fixture
def rest(alice) -> Client:
    return client_of(alice)


@pytest.fixture
def raw(alice):
    """Requests without the client: method, address below the account, parameters."""

    def ask(method: str, path: str, data: Any = None, account: Any = alice, **headers: str):
        browser = Browser(raise_request_exception=False)
        headers.setdefault("Authorization", basic(account.sid, account.auth_token))
        return getattr(browser, method)(
            f"{BASE}/{account.sid}{path}",
            data,
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )

    return ask
