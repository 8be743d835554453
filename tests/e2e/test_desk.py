"""A test call and a bench run, asked for at the pages of a running server."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.e2e.desk import Desk, signed_in
from tests.e2e.server import PASSWORD, USER, Answer, Application, Server, wait_for

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def desk(server: Server) -> Iterator[Desk]:
    made = signed_in(server)
    yield made
    made.close()


def test_a_test_call_goes_the_real_way_with_and_without_the_password(
    server: Server, desk: Desk, domain: dict[str, object], app: Application
) -> None:
    app.document("/voice", '<Gather numDigits="1" timeout="8" action="/typed"/>')
    app.document("/typed", "<Hangup/>")
    place = f"/domains/{domain['domain_sid']}/"
    desk.get(place)
    form = {"number": "100", "username": USER, "password": PASSWORD, "digits": "7", "seconds": "60"}
    begun = desk.post(place + "test/", form)
    shown = desk.over(begun.url.path)
    assert "Answered" in shown
    assert "The server hung up." in shown
    assert PASSWORD not in shown
    assert [hit.values.get("Digits") for hit in app.hits] == [None, "7"]
    (call_sid,) = set(re.findall(r"/calls/(CA[0-9a-f]{32})/", shown))
    query = "SELECT * FROM sipdomains_call WHERE sid = ? AND ended_at IS NOT NULL"
    (call,) = wait_for("final call", lambda: server.rows(query, call_sid))
    assert (call["username"], call["sip_status"]) == (USER, 200)
    assert call["user_agent"] == "sipdomains test call"

    refused = desk.post(place + "test/", form | {"password": "Wrong9Password"})
    shown = desk.over(refused.url.path)
    assert "403 Forbidden" in shown
    assert "Wrong user name or password." in shown
    log = server.output.read_text()
    assert PASSWORD not in log
    assert "Wrong9Password" not in log


def test_a_document_is_stepped_through_without_a_phone(
    server: Server, desk: Desk, domain: dict[str, object], app: Application
) -> None:
    app.document("/voice", '<Gather numDigits="1" action="/typed"><Say>One or two?</Say></Gather>')
    app.answers["/typed"] = Answer("<Response><Say>Thank you</Say></Response>")
    desk.get("/bench/")
    form = {
        "owner": str(domain["domain_sid"]), "source": "url", "url": f"{app.url}/voice",
        "method": "POST", "caller": "alice", "called": "100", "username": "alice",
    }  # fmt: skip
    run = desk.post("/bench/", form).url.path
    assert "One or two?" in desk.over(run)
    desk.post(run, {"do": "keys", "keys": "2", "step": "0"})
    shown = desk.over(run)
    assert "Thank you" in shown
    assert "Every verb has run, so the server hangs up." in shown
    assert app.paths() == ["/voice", "/typed"]  # once each
    assert [hit.values["SipDomain"] for hit in app.hits] == ["pbx.example.net"] * 2
    assert app.hits[1].values["Digits"] == "2"
    assert all(hit.is_signed(str(domain["auth_token"])) for hit in app.hits)
