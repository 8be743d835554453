"""The OpenAPI document: it is whole, and what it says is what the server does (schemathesis)."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from django.test import Client as Browser
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from sipdomains.api.urls import urlpatterns
from sipdomains.models import Account, Application
from tests.sipdomains.api.conftest import basic
from tests.sipdomains.conftest import PASSWORD, saved

CHECKS = [
    not_a_server_error,
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
]
# What stands in the place of a path parameter, besides what schemathesis thinks of.
_KNOWN = {
    "Domains": "domain",
    "CredentialLists": "phones",
    "IpAccessControlLists": "office",
    "Applications": "application",
}


def _document(tmp_path: Any) -> dict[str, Any]:
    target = tmp_path / "openapi.json"
    call_command(
        "spectacular", "--validate", "--fail-on-warn", "--format", "openapi-json",
        "--file", str(target),
    )  # fmt: skip
    document: dict[str, Any] = json.loads(target.read_text())
    return document


def test_every_address_of_the_api_is_in_the_document(tmp_path) -> None:
    described = {
        (path.removeprefix("/2010-04-01/"), method)
        for path, methods in _document(tmp_path)["paths"].items()
        for method in methods
        if method in ("get", "post", "delete")
    }
    served = set()
    for pattern in urlpatterns:
        address = re.sub(r"<str:(\w+)>", r"{\1}", str(pattern.pattern))
        if not address.startswith("Accounts"):
            continue  # the address of everything else
        served |= {(address, method) for method in pattern.callback.actions if method != "head"}
    assert described == served


def test_the_document_can_be_browsed_without_a_network(db) -> None:
    page = Browser().get("/api/")
    assert page.status_code == 200
    sources = re.findall(r'(?:src|href)="([^"]+)"', page.content.decode())
    assert sources
    [script] = [source for source in sources if source.startswith("/api/")]  # nothing is inline
    assert "SwaggerUIBundle" in Browser().get(html.unescape(script)).content.decode()
    for source in set(sources) - {script}:
        assert source.startswith("/static/")
        assert finders.find(source.removeprefix("/static/"))
    assert Browser().get("/api/openapi.json").json()["openapi"].startswith("3.")


@pytest.fixture(autouse=True)
def _the_connection_stays_open() -> Iterator[None]:
    """As Django's own test client does: the test's transaction is in it."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def rows(settings, alice, domain, phones, office) -> dict[str, str]:
    """SIDs that exist, by the name of their collection."""
    settings.API_REQUESTS_PER_SECOND = 10**6
    application = saved(Application(account=alice, friendly_name="App"))
    made = {"domain": domain, "phones": phones, "office": office, "application": application}
    return {collection: made[name].sid for collection, name in _KNOWN.items()}


schema = schemathesis.openapi.from_wsgi("/api/openapi.json", get_wsgi_application())


@schema.parametrize()
@settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_whatever_is_asked_is_answered_as_the_document_says(case: Any, rows, alice) -> None:
    _aim(case, alice, rows)
    case.call_and_validate(
        checks=CHECKS, headers={"Authorization": basic(alice.sid, alice.auth_token)}
    )


def _aim(case: Any, alice: Account, rows: dict[str, str]) -> None:
    """Most requests shall reach something: random SIDs would only see 404."""
    parameters = case.path_parameters
    if "account_sid" in parameters:
        parameters["account_sid"] = alice.sid
    elif "sid" in parameters:
        parameters["sid"] = alice.sid
    for name in ("domain_sid", "list_sid", "sid"):
        found = re.search(rf"(\w+)(?:/\{{{name}\}})", case.operation.path)
        if name in parameters and found and found[1] in rows:
            parameters[name] = rows[found[1]]
    if isinstance(case.body, dict) and "Password" in case.body and len(str(case.body)) % 2:
        case.body["Password"] = PASSWORD
