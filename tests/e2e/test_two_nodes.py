"""Two nodes with one database and one Redis; the REST API is a process of its own, which carries no
call. Whoever asks is told of neither."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twilio.rest import Client

from tests.e2e.api import client_of
from tests.e2e.baresip import Baresip
from tests.e2e.server import DOMAIN, PASSWORD, Application, Server, wait_for
from tests.e2e.sipp import run
from tests.e2e.test_live_calls import Phone, reached
from tests.e2e.test_redis import Stack
from tests.webhooks.brokers import private_redis

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]  # five processes have to start

BROKER_DOWN = 59901
UP = '<Gather timeout="300" action="/done"/>'
SPOKEN = "<Response><Play digits='1'/></Response>"


class Nodes(Stack):
    """``server`` and ``other``. Which node has a call can be told by its row."""

    def start(self) -> None:
        home = self.server.home
        self.other = Server(
            home, embedded=False, migrated=False,
            CELERY_BROKER_URL=self.redis.url, BUS_URL=self.redis.url,
        )  # fmt: skip
        self.other.output = home / "other.log"
        self.server.create_domain(
            DOMAIN, "http://app.invalid/", "--username", "bob", "--password", PASSWORD, "--register"
        )
        super().start()
        self.other.start()
        self.start_pages(home / "web.log")

    def close(self) -> None:
        super().close()
        if self.other.process is not None:
            self.other.stop_in_order()

    def boot_id(self, node: Server) -> str:
        query = "SELECT boot_id FROM sipdomains_sipnode WHERE contact LIKE ?"
        [row] = node.rows(query, f"%:{node.sip_port}%")
        return str(row["boot_id"])


@pytest.fixture(scope="module")
def nodes(
    tmp_path_factory: pytest.TempPathFactory, web_application: Application
) -> Iterator[Nodes]:
    folder = tmp_path_factory.mktemp("nodes")
    with private_redis(folder) as redis:
        running = Nodes(folder / "home", redis, f"{web_application.url}/voice")
        try:
            running.start()
            yield running
        finally:
            running.close()


@pytest.fixture(scope="module")
def rest(nodes: Nodes) -> Iterator[Client]:
    sid, token = nodes.domain["account_sid"], nodes.domain["auth_token"]
    with client_of(nodes.server, sid, token, sid) as client:
        yield client


def calls_at_both(nodes: Nodes, folder: Path) -> list[Phone]:
    both = (nodes.server, nodes.other)
    phones = [Phone(node, folder, seconds=90).at("Gather") for node in both]
    carried_by = "SELECT node FROM sipdomains_call WHERE sid = ?"
    for phone, node in zip(phones, both, strict=True):
        [row] = node.rows(carried_by, phone.sid)
        assert row["node"] == nodes.boot_id(node)
    return phones


def change(how: str, app: Application) -> dict[str, Any]:
    return {
        "twiml": {"twiml": SPOKEN},
        "url": {"url": f"{app.url}/new", "method": "POST"},
        "end": {"status": "completed"},
    }[how]


def ended(server: Server, sid: str) -> dict[str, Any]:
    query = "SELECT * FROM sipdomains_call WHERE sid = ? AND ended_at IS NOT NULL"
    return dict(wait_for("final row", lambda: server.rows(query, sid), 60)[0])


def done_once(server: Server, sid: str) -> None:
    query = "SELECT state FROM sipdomains_callcommand WHERE call_id = ? AND state != 'pending'"
    commands = wait_for("settled", lambda: server.rows(query, sid))
    assert [row["state"] for row in commands] == ["applied"]
    assert len(reached(server, sid, "command")) == 1


@contextlib.contextmanager
def without_redis(nodes: Nodes, app: Application, folder: Path) -> Iterator[None]:
    """Afterwards everything works as before."""
    nodes.redis.stop()
    try:
        yield
    finally:
        nodes.redis.start()
    app.document("/voice", "<Hangup/>")
    for node in (nodes.server, nodes.other):

        def works_again(node: Server = node) -> bool:
            after = run(node, folder, "plain", seconds=30)
            return bool(node.call(after.call_id)["cause"] == "hangup-verb")

        wait_for("calls after Redis is back", works_again, 90)


CAUSES = {"twiml": "document-ended", "url": "document-ended", "end": "api-hangup"}


@pytest.mark.parametrize("how", CAUSES)
def test_a_live_call_is_changed_once_whichever_node_has_it(
    nodes: Nodes, rest: Client, app: Application, tmp_path: Path, how: str
) -> None:
    app.document("/voice", UP)
    app.document("/new", "<Play digits='1'/>")
    for phone in calls_at_both(nodes, tmp_path):
        rest.calls(phone.sid).update(**change(how, app))
        row = phone.ended()
        assert (row["status"], row["cause"]) == ("completed", CAUSES[how])
        done_once(nodes.server, phone.sid)
    assert app.paths().count("/new") == (2 if how == "url" else 0)


def test_all_at_once_and_each_once(
    nodes: Nodes, rest: Client, app: Application, tmp_path: Path
) -> None:
    """Of several changes of one call each is applied, in their order; the last one stands."""
    app.document("/voice", UP)
    phones = calls_at_both(nodes, tmp_path)
    for number in range(3):
        app.document(f"/{number}", UP if number < 2 else "<Hangup/>")
        for phone in phones:
            rest.calls(phone.sid).update(url=f"{app.url}/{number}")
    for phone in phones:
        assert phone.ended()["cause"] == "hangup-verb"
        wanted = [event["data"]["url"] for event in reached(nodes.server, phone.sid, "command")]
        assert wanted == [f"{app.url}/{number}" for number in range(3)]
    assert app.paths().count("/2") == 2


def test_how_long_a_change_takes_by_http(
    nodes: Nodes, rest: Client, app: Application, tmp_path: Path
) -> None:
    app.document("/voice", UP)
    phones = calls_at_both(nodes, tmp_path)
    took = []
    for phone in phones * 10:
        began = time.monotonic()
        rest.calls(phone.sid).update(time_limit=600)
        took.append(time.monotonic() - began)
    print(
        f"asked, applied and answered: median {statistics.median(took) * 1000:.0f} ms,"
        f" max {max(took) * 1000:.0f}"
    )
    query = "SELECT DISTINCT state FROM sipdomains_callcommand WHERE call_id IN (?, ?)"
    sids = [phone.sid for phone in phones]
    wait_for("applied", lambda: nodes.server.rows(query, *sids) == [{"state": "applied"}])
    for phone in phones:
        rest.calls(phone.sid).update(status="completed")
        phone.ended()


def test_a_phone_is_called_by_the_node_that_has_its_connection(
    nodes: Nodes, rest: Client, app: Application, tmp_path: Path
) -> None:
    """Whichever node looks first: about half of the orders are found by the other one."""
    phone = Baresip(
        nodes.other, tmp_path / "bob", transport="tcp", codec="pcmu", user="bob", dial="",
        register=True,
    )  # fmt: skip

    def is_called(to: str) -> None:
        call = rest.calls.create(to=to, from_="+4930123", twiml=SPOKEN)
        row = ended(nodes.server, str(call.sid))
        assert (row["status"], row["cause"]) == ("completed", "document-ended")
        assert row["node"] == nodes.boot_id(nodes.other)

    with contextlib.closing(phone):
        phone.wait_until("200 OK")
        [row] = nodes.server.rows("SELECT * FROM sipdomains_registration")
        assert (row["transport"], row["node"]) == ("tcp", nodes.boot_id(nodes.other))
        for to in (f"sip:bob@{DOMAIN}", f"client:bob@{DOMAIN}") * 3:
            is_called(to)
        with without_redis(nodes, app, tmp_path):
            for _ in range(3):
                is_called(f"sip:bob@{DOMAIN}")


@pytest.mark.parametrize("how", CAUSES)
def test_without_redis_a_live_call_is_changed_once_as_well(
    nodes: Nodes, rest: Client, app: Application, tmp_path: Path, how: str
) -> None:
    app.document("/voice", UP)
    phones = calls_at_both(nodes, tmp_path)
    with without_redis(nodes, app, tmp_path):
        for phone in phones:
            rest.calls(phone.sid).update(**change(how, app))
        for phone in phones:
            row = phone.ended()
            # A document at a URL is asked for by a worker, and none can be reached.
            cause = "application-error" if how == "url" else CAUSES[how]
            assert (row["status"], row["cause"]) == ("completed", cause)
            done_once(nodes.server, phone.sid)
            codes = nodes.server.notifications(phone.sid)
            assert codes == ([BROKER_DOWN] if how == "url" else [])
    assert "/new" not in app.paths()
