"""The REST API of a running server, for clients that know nothing of us."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from twilio.base.exceptions import TwilioException
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

from tests.e2e.server import Application, Server, wait_for

CALLS_PER_SECOND = 50


def base_url(server: Server) -> str:
    return f"http://127.0.0.1:{server.web_port}"


@contextlib.contextmanager
def client_of(
    server: Server, user: str, secret: str, account: str, http: TwilioHttpClient | None = None
) -> Iterator[Client]:
    """The unmodified twilio client, made as its own documentation does, but for the base URL."""
    client = Client(user, secret, account, http_client=http)
    client.api.base_url = base_url(server)
    yield client
    client.http_client.session.close()


def hurry(server: Server, account: str) -> None:
    """More calls per second than an account has by default."""
    shell(
        server,
        "from sipdomains.models import Account; "
        f"Account.objects.filter(sid={account!r}).update(calls_per_second={CALLS_PER_SECOND})",
    )


def new_key(server: Server, account: str) -> tuple[str, str]:
    """SID and secret of an API key, as the admin makes it."""
    printed = shell(
        server,
        "from sipdomains.models import Account; from sipdomains.services import apikeys; "
        f"key, secret = apikeys.create(Account.objects.get(sid={account!r}), 'Shop'); "
        "import json; print(json.dumps([key.sid, secret]))",
    )
    sid, secret = json.loads(printed.splitlines()[-1])
    return sid, secret


def revoke(server: Server, key: str) -> None:
    shell(
        server,
        "from django.utils import timezone; from sipdomains.models import ApiKey; "
        "from sipdomains.services import apikeys; "
        f"apikeys.revoke(ApiKey.objects.get(sid={key!r}), timezone.now())",
    )


def shell(server: Server, code: str) -> str:
    return server.manage("shell", "--no-imports", "-c", code).stdout


def status_is(rest: Client, sid: str, wanted: str, seconds: float = 30.0) -> Any:
    """The call, once it has that status."""

    def fetched() -> Any:
        call = rest.calls(sid).fetch()
        return call if call.status == wanted else None

    return wait_for(f"call {wanted}", fetched, seconds)


def hit(app: Application, path: str, **wanted: str) -> dict[str, str]:
    """The first request to that path with those parameters, once it has come."""

    def found() -> dict[str, str] | None:
        for one in app.hits:
            if one.path == path and wanted.items() <= one.values.items():
                return one.values
        return None

    return dict(wait_for(f"request to {path} {wanted}", found))


def refused(work: Any) -> tuple[int, int]:
    """HTTP status and code of what the client raises."""
    with pytest.raises(TwilioException) as caught:
        work()
    return refusal(caught.value)


def refusal(error: Any) -> tuple[int, int]:
    """HTTP status and code of what the client raised, of a list, too."""
    if hasattr(error, "code"):
        return error.status, error.code
    answer = error.args[1]
    return answer.status_code, json.loads(answer.text)["code"]
