from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twilio.rest import Client

from tests.e2e.api import client_of, hurry
from tests.e2e.baresip import Baresip
from tests.e2e.server import DOMAIN, PASSWORD, USER, Application, Server, wait_for
from tests.e2e.sipp import OPEN_DOMAIN


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One running server for all tests that do not harm it."""
    running = Server(tmp_path_factory.mktemp("server"))
    running.start()
    yield running
    running.stop_in_order()


@pytest.fixture(scope="session")
def web_application() -> Iterator[Application]:
    running = Application()
    yield running
    running.close()


@pytest.fixture
def app(web_application: Application) -> Iterator[Application]:
    web_application.reset()
    yield web_application
    web_application.reset()


@pytest.fixture(scope="session")
def domain(server: Server, web_application: Application) -> dict[str, object]:
    """pbx.example.net: one user, any source, document at /voice."""
    return server.create_domain(
        DOMAIN, f"{web_application.url}/voice", "--username", USER, "--password", PASSWORD
    )


@pytest.fixture(scope="session")
def open_domain(server: Server, web_application: Application) -> dict[str, object]:
    """open.example.net: this machine may call without a password, document at /voice."""
    return server.create_domain(
        OPEN_DOMAIN, f"{web_application.url}/voice", "--allow", "127.0.0.0/8", "--allow", "::1/128"
    )


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A server of this test alone, which may kill it."""
    yield from _alone(Server(tmp_path / "home"))


@pytest.fixture
def fresh_server(tmp_path: Path) -> Iterator[Server]:
    """The same, with an empty home."""
    yield from _alone(Server(tmp_path / "home", migrated=False))


def _alone(running: Server) -> Iterator[Server]:
    yield running
    if running.process is not None and running.process.poll() is None:
        running.process.kill()
        running.process.wait(10)


@pytest.fixture(scope="session")
def account(server: Server, domain: dict[str, Any]) -> dict[str, Any]:
    """The account of pbx.example.net, which may create many calls per second."""
    hurry(server, domain["account_sid"])
    server.manage(
        "createdomain", DOMAIN, "--username", "speaker", "--password", PASSWORD, "--register"
    )
    return domain


@pytest.fixture
def rest(server: Server, account: dict[str, Any]) -> Iterator[Client]:
    sid, token = account["account_sid"], account["auth_token"]
    with client_of(server, sid, token, sid) as client:
        yield client


@pytest.fixture
def speaker(server: Server, account: dict[str, Any], tmp_path: Path) -> Iterator[Baresip]:
    """A registered phone that answers by itself and speaks a tone of 700 Hz."""
    phone = Baresip(
        server, tmp_path / "speaker", transport="udp", codec="pcma", user="speaker", dial="",
        frequency=700.0, register=True,
    )  # fmt: skip
    with contextlib.closing(phone):
        phone.wait_until("200 OK")
        query = "SELECT * FROM sipdomains_registration WHERE username = 'speaker'"
        wait_for("speaker registered", lambda: server.rows(query))
        yield phone
