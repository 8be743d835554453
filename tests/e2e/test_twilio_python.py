"""The unmodified twilio package against a running server: configuration, errors, its own ways."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from requests.adapters import HTTPAdapter
from twilio.base.exceptions import TwilioException, TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client
from urllib3.util import Retry

from tests.e2e.api import client_of, new_key, refusal, refused, revoke, status_is
from tests.e2e.server import DOMAIN, PASSWORD, Application, Server
from tests.e2e.sipp import Callee, run

pytestmark = pytest.mark.e2e

FROM = f"sip:desk@{DOMAIN}"
LONG = "<Response><Pause length='60'/></Response>"


# --- configuration --------------------------------------------------------------------------------


def test_a_domain_configured_by_the_client_takes_calls(
    server: Server, app: Application, rest: Client, tmp_path: Path
) -> None:
    app.document("/shop", "<Say>Welcome to the shop</Say>")
    domain = rest.sip.domains.create(
        domain_name="shop.example.net", voice_url=f"{app.url}/shop", voice_method="GET"
    )
    users = rest.sip.credential_lists.create(friendly_name="Phones")
    user = rest.sip.credential_lists(users.sid).credentials.create("alice", PASSWORD)
    acl = rest.sip.ip_access_control_lists.create(friendly_name="This machine")
    address = rest.sip.ip_access_control_lists(acl.sid).ip_addresses.create(
        "loopback", "127.0.0.0", cidr_prefix_length=8
    )
    calls = rest.sip.domains(domain.sid).auth.calls
    calls.credential_list_mappings.create(users.sid)
    calls.ip_access_control_list_mappings.create(acl.sid)
    assert rest.sip.domains(domain.sid).fetch().auth_type == "IP_ACL,CREDENTIAL_LIST"
    server.wait_for_configuration()
    result = run(server, tmp_path, "authenticated", domain="shop.example.net")
    assert 407 in result.statuses
    assert [one.method for one in app.hits if one.path == "/shop"] == ["GET"]

    assert calls.credential_list_mappings(users.sid).delete()
    assert calls.ip_access_control_list_mappings(acl.sid).delete()
    assert rest.sip.credential_lists(users.sid).credentials(user.sid).delete()
    assert rest.sip.ip_access_control_lists(acl.sid).ip_addresses(address.sid).delete()
    assert rest.sip.credential_lists(users.sid).delete()
    assert rest.sip.ip_access_control_lists(acl.sid).delete()
    assert domain.delete()
    assert refused(rest.sip.domains(domain.sid).fetch) == (404, 20404)


def test_an_application_is_kept(rest: Client) -> None:
    made = rest.applications.create(
        friendly_name="Phone Me", voice_url="http://demo.example/docs/voice.xml", voice_method="GET"
    )
    assert rest.applications(made.sid).fetch().voice_url == "http://demo.example/docs/voice.xml"
    assert made.update(friendly_name="Phone You").friendly_name == "Phone You"
    assert [row.sid for row in rest.applications.list(friendly_name="Phone You", limit=20)] == [
        made.sid
    ]
    assert made.delete()


def test_the_account_knows_itself(rest: Client, account: dict[str, Any]) -> None:
    fetched = rest.api.v2010.account.fetch()
    assert (fetched.sid, fetched.status) == (account["account_sid"], "active")


# --- the client's own ways ------------------------------------------------------------------------


def test_many_rows_are_paged_through(rest: Client) -> None:
    users = rest.sip.credential_lists.create(friendly_name="Crowd")
    crowd = rest.sip.credential_lists(users.sid).credentials
    names = {f"user{number}" for number in range(23)}
    for name in names:
        crowd.create(name, PASSWORD)
    listed = [row.username for row in crowd.list(page_size=5)]
    assert len(listed) == 23
    assert set(listed) == names
    assert [row.username for row in crowd.stream(limit=7, page_size=3)] == listed[:7]
    first = crowd.page(page_size=10)
    assert [row.username for row in first] == listed[:10]
    second = first.next_page()
    assert second is not None
    assert [row.username for row in second] == listed[10:20]
    back = second.previous_page()
    assert back is not None
    assert [row.username for row in back] == listed[:10]
    assert refused(lambda: crowd.list(page_size=1001)) == (400, 20007)


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        (lambda rest: rest.calls("CA" + "0" * 32).fetch(), (404, 20404)),
        (lambda rest: rest.calls.create(to="", from_=FROM, twiml=LONG), (400, 21201)),
        (lambda rest: rest.calls.create(to="sip:a@b", from_="", twiml=LONG), (400, 21213)),
        (lambda rest: rest.calls.create(to="sip:a@b", from_=FROM), (400, 21205)),
        (lambda rest: rest.calls.create(to="sip:a@b", from_=FROM, url="x"), (400, 21205)),
        (
            lambda rest: rest.calls.create(to="sip:a@b", from_=FROM, twiml="x" * 4001),
            (400, 32018),
        ),
        (
            lambda rest: rest.calls.create(to="sip:a@b", from_=FROM, twiml=LONG, timeout=601),
            (400, 21208),
        ),
        (
            lambda rest: rest.calls.create(
                to="sip:a@b", from_=FROM, application_sid="AP" + "0" * 32
            ),
            (400, 21218),
        ),
        (lambda rest: rest.sip.domains.create(domain_name="not a name"), (400, 21232)),
        (lambda rest: rest.recordings("RE" + "0" * 32).fetch(), (404, 20404)),
        (lambda rest: rest.messages.list(), (404, 20404)),
        (lambda rest: rest.api.v2010.accounts("AC" + "0" * 32).fetch(), (404, 20404)),
    ],
)
def test_what_is_wrong_is_an_exception_with_its_code(
    rest: Client, work: Any, expected: Any
) -> None:
    assert refused(lambda: work(rest)) == expected


def test_the_exception_reads_as_its_documentation_says(rest: Client) -> None:
    with pytest.raises(TwilioRestException) as caught:
        rest.calls.create(to="sip:a@b", from_=FROM, twiml=LONG, timeout=601)
    error = caught.value
    assert (error.status, error.code, error.method) == (400, 21208, "POST")
    assert "Timeout" in error.msg


def test_wrong_credentials(server: Server, account: dict[str, Any]) -> None:
    sid = account["account_sid"]
    with client_of(server, sid, "0" * 32, sid) as stranger:
        assert refused(stranger.applications.list) == (401, 20003)
        assert refused(lambda: stranger.calls.create(to="sip:a@b", from_=FROM, twiml=LONG)) == (
            401, 20003,
        )  # fmt: skip


def test_an_api_key_opens_the_account_until_it_is_revoked(
    server: Server, account: dict[str, Any]
) -> None:
    key, secret = new_key(server, account["account_sid"])
    with client_of(server, key, secret, account["account_sid"]) as rest:
        made = rest.applications.create(friendly_name="By key")
        assert made.account_sid == account["account_sid"]
        assert refused(lambda: rest.api.v2010.account.update(friendly_name="x")) == (403, 20403)
        revoke(server, key)
        assert refused(rest.applications.list) == (401, 20003)


class Repeating(TwilioHttpClient):
    """Sends a header of ours with each request."""

    key = "order-17"

    def request(self, method: str, url: str, **rest: Any) -> Any:  # type: ignore[override]
        rest["headers"] = {**(rest.get("headers") or {}), "Idempotency-Key": self.key}
        return super().request(method, url, **rest)


def test_a_repeated_request_makes_one_call(
    server: Server, account: dict[str, Any], tmp_path: Path
) -> None:
    sid, token = account["account_sid"], account["auth_token"]
    with (
        contextlib.closing(Callee(tmp_path, "callee_answers")) as callee,
        client_of(server, sid, token, sid, Repeating()) as rest,
    ):
        wanted = {"to": callee.uri, "from_": FROM, "twiml": "<Response><Hangup/></Response>"}
        first, again = rest.calls.create(**wanted), rest.calls.create(**wanted)
        assert first.sid == again.sid
        assert refused(lambda: rest.calls.create(**{**wanted, "twiml": LONG})) == (409, 20409)
        status_is(rest, first.sid, "completed")
        assert [row.sid for row in rest.calls.list(to=callee.uri)] == [first.sid]
        callee.messages()


def test_a_client_that_asks_too_often_is_told_to_wait(tmp_path: Path) -> None:
    """Once the client waits as it is told, everything goes through."""
    server = Server(tmp_path / "home", API_REQUESTS_PER_SECOND="2")
    server.start()
    try:
        made = server.create_domain("busy.example.net", "http://127.0.0.1:9/", "--allow", "::1/128")
        sid, token = made["account_sid"], made["auth_token"]
        with client_of(server, sid, token, sid) as hasty:
            seen = set()

            def ask(_: int) -> None:
                try:
                    hasty.sip.domains.list()
                except TwilioException as error:
                    seen.add(refusal(error))

            with ThreadPoolExecutor(8) as crowd:
                list(crowd.map(ask, range(60)))
            assert seen == {(429, 20429)}
        patience = Retry(total=10, status_forcelist=[429], allowed_methods=None)
        http = TwilioHttpClient()
        http.session.mount("http://", HTTPAdapter(max_retries=patience))
        with client_of(server, sid, token, sid, http) as patient:
            assert all(len(patient.sip.domains.list()) == 1 for _ in range(6))
    finally:
        server.stop_in_order()
