"""Live updates and calls that REST creates, asked for by another process, with real phones. Node,
worker and that process are joined by Redis, as in production."""

from __future__ import annotations

import contextlib
import json
import signal
import statistics
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.baresip import Baresip
from tests.e2e.rest_shell import RestShell
from tests.e2e.server import DOMAIN, PASSWORD, Answer, Application, Server, wait_for
from tests.e2e.sipp import OPEN_DOMAIN, Callee, Sipp, header, run
from tests.e2e.sound import loudest, read_wav, tone
from tests.e2e.steps import sdp
from tests.e2e.test_redis import Stack
from tests.webhooks.brokers import private_redis

pytestmark = pytest.mark.e2e

UP = '<Gather timeout="60" action="/done"/>'
LONG = "<Say>" + "This is a long story that takes its time. " * 20 + "</Say>"


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory, web_application: Application
) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    with private_redis(folder) as redis:
        running = Stack(folder / "home", redis, f"{web_application.url}/voice")
        try:
            running.start()
            yield running
        finally:
            running.close()


@pytest.fixture(scope="module")
def server(stack: Stack) -> Server:
    return stack.server


@pytest.fixture(scope="module")
def rest(server: Server) -> Iterator[RestShell]:
    shell = RestShell(server)
    with contextlib.closing(shell):
        yield shell


@pytest.fixture(scope="module")
def account(server: Server) -> str:
    return str(server.rows("SELECT account_id FROM sipdomains_sipdomain")[0]["account_id"])


class Phone:
    """A caller by SIPp whose call is known by SID."""

    def __init__(
        self,
        server: Server,
        folder: Path,
        scenario: str = "plain",
        *,
        seconds: int = 60,
        **values: str,
    ) -> None:
        self._server = server
        self.sipp = Sipp(server, folder, scenario, seconds=seconds, **values)
        query = "SELECT sid FROM sipdomains_call WHERE sip_call_id = ?"
        call_id = self.sipp.call_ids(1)[0]
        self.sid = wait_for("row", lambda: server.rows(query, call_id))[0]["sid"]

    def at(self, verb: str) -> Phone:
        wait_for(verb, lambda: reached(self._server, self.sid, "verb-started", verb=verb))
        return self

    def ended(self) -> dict[str, Any]:
        result = self.sipp.result()
        assert result.code == 0, f"{result.errors}\n{result.messages}"
        return self._server.call(result.call_id)


def reached(server: Server, sid: str, kind: str, **data: Any) -> list[dict[str, Any]]:
    return [
        event
        for event in server.events(sid)
        if event["kind"] == kind and data.items() <= event["data"].items()
    ]


def final(server: Server, sid: str) -> dict[str, Any]:
    query = "SELECT * FROM sipdomains_call WHERE sid = ? AND ended_at IS NOT NULL"
    return dict(wait_for("final row", lambda: server.rows(query, sid))[0])


def child_of(server: Server, sid: str) -> str:
    query = "SELECT sid FROM sipdomains_call WHERE parent_id = ?"
    return str(wait_for("child", lambda: server.rows(query, sid))[0]["sid"])


def redirect(rest: RestShell, app: Application, sid: str) -> None:
    app.document("/new", "<Play digits='1'/>")
    done = rest.submit(sid, "redirect", url=f"{app.url}/new", method="POST")
    assert done["state"] == "applied", done


def indented(text: str) -> str:
    return "".join(f"      {line}\n" for line in text.splitlines())


# --- redirect -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "verb"),
    [('<Pause length="30"/>', "Pause"), (LONG, "Say"), (UP, "Gather"),
     ('<Record timeout="30" action="/done"/>', "Record")],
)  # fmt: skip
def test_redirect_in_the_middle_of_a_verb(
    server: Server, rest: RestShell, app: Application, tmp_path: Path, document: str, verb: str
) -> None:
    app.document("/voice", document)
    phone = Phone(server, tmp_path).at(verb)
    if verb != "Pause":  # which alone does not answer
        wait_for("answer", lambda: reached(server, phone.sid, "answered"))
    if verb == "Record":
        wait_for("recording", lambda: reached(server, phone.sid, "recording"))
    redirect(rest, app, phone.sid)
    row = phone.ended()
    assert (row["status"], row["cause"]) == ("completed", "document-ended")
    assert app.paths() == ["/voice", "/new"]
    assert app.hits[1].values["CallStatus"] == ("ringing" if verb == "Pause" else "in-progress")
    told = reached(server, phone.sid, "command")[0]["data"]
    assert told == {"what": "redirect", "by": "SKtest", "url": f"{app.url}/new"}
    if verb == "Record":
        query = "SELECT * FROM sipdomains_recording WHERE call_id = ? AND status != 'in-progress'"
        [recording] = wait_for("final recording", lambda: server.rows(query, phone.sid))
        assert recording["ended_by"] == "redirected"


def test_redirect_of_the_parent_while_the_child_rings(
    server: Server, rest: RestShell, app: Application, tmp_path: Path
) -> None:
    with contextlib.closing(Callee(tmp_path, "callee_rings")) as callee:
        app.document("/voice", f'<Dial action="/done"><Sip>{callee.uri}</Sip></Dial>')
        phone = Phone(server, tmp_path)
        child = child_of(server, phone.sid)
        wait_for("ringing", lambda: reached(server, child, "ringing"))
        redirect(rest, app, phone.sid)
        assert phone.ended()["cause"] == "document-ended"
        assert any(text.startswith("CANCEL") for _, text in callee.messages())
    assert final(server, child)["cause"] == "dial-cancelled"
    assert app.paths() == ["/voice", "/new"]


@pytest.mark.parametrize("whom", ["parent", "child"])
def test_redirect_of_a_bridge(
    server: Server, rest: RestShell, app: Application, tmp_path: Path, whom: str
) -> None:
    app.document("/done", "<Hangup/>")
    with contextlib.closing(Callee(tmp_path, "callee_answers")) as callee:
        app.document("/voice", f'<Dial action="/done"><Sip>{callee.uri}</Sip></Dial>')
        phone = Phone(server, tmp_path)
        child = child_of(server, phone.sid)
        wait_for("bridge", lambda: reached(server, child, "bridged"))
        redirect(rest, app, phone.sid if whom == "parent" else child)
        parent_row = phone.ended()
        callee.messages()
    child_row = final(server, child)
    asked = {hit.path: hit.values for hit in app.hits}
    if whom == "parent":
        assert (parent_row["cause"], child_row["cause"]) == ("document-ended", "released")
        assert "/done" not in asked
    else:
        assert (parent_row["cause"], child_row["cause"]) == ("hangup-verb", "document-ended")
        assert asked["/done"]["DialCallStatus"] == "completed"
        assert asked["/new"]["CallSid"] == child


# --- the end --------------------------------------------------------------------------------------


def test_hangup_is_written_down_when_rest_is_told(
    server: Server, rest: RestShell, app: Application, tmp_path: Path
) -> None:
    app.document("/voice", LONG)
    phone = Phone(server, tmp_path).at("Say")
    assert rest.submit(phone.sid, "hangup")["state"] == "applied"
    [row] = server.rows("SELECT * FROM sipdomains_call WHERE sid = ?", phone.sid)
    assert (row["status"], row["cause"]) == ("completed", "api-hangup")
    phone.ended()
    late = rest.submit_refused(phone.sid, "hangup")
    assert "CallNotActive" in late


def test_an_unanswered_caller_is_told_why(
    server: Server, rest: RestShell, app: Application, tmp_path: Path
) -> None:
    app.document("/voice", '<Pause length="30"/>')
    phone = Phone(
        server, tmp_path, "refused_invite", status="480", hops="70",
        type="      Content-Type: application/sdp\n", body=indented(sdp(1)),
    ).at("Pause")  # fmt: skip
    assert rest.submit(phone.sid, "cancel")["state"] == "applied"
    result = phone.sipp.result()
    assert result.statuses[-1] == 480
    assert "ended by request" in header(result.last(480), "Warning")
    row = server.call(result.call_id)
    assert (row["status"], row["sip_status"]) == ("canceled", 480)


# --- calls of REST --------------------------------------------------------------------------------

EVENTS = ["initiated", "ringing", "answered", "completed"]


def wanted(app: Application) -> dict[str, Any]:
    app.document("/told", "")
    return {"url": f"{app.url}/told", "method": "POST", "events": EVENTS}


def told(app: Application, count: int) -> list[dict[str, str]]:
    def hits() -> list[dict[str, str]] | None:
        found = [hit.values for hit in app.hits if hit.path == "/told"]
        return found if len(found) == count else None

    return list(wait_for(f"{count} callbacks", hits))


def test_an_answered_call_runs_its_document(
    server: Server, rest: RestShell, app: Application, account: str, tmp_path: Path
) -> None:
    app.document("/hello", "<Say>Hello</Say>")
    with contextlib.closing(Callee(tmp_path, "callee_answers")) as callee:
        sid = rest.create(
            f"{callee.uri}?X-Tag=7", account=account, url=f"{app.url}/hello", send_digits="w1",
            callback=wanted(app), recording={"channels": 2},
        )  # fmt: skip
        row = final(server, sid)
        messages = callee.messages()
    invite = messages[0][1]
    assert header(invite, "From").startswith("<sip:+4930123@")
    assert (header(invite, "X-Tag"), header(invite, "X-Twilio-CallSid")) == ("7", sid)
    assert (row["status"], row["cause"], row["direction"]) == (
        "completed", "document-ended", "outbound-api",
    )  # fmt: skip
    assert row["sip_call_id"] == header(invite, "Call-ID")
    progress = told(app, 4)
    assert [one["CallStatus"] for one in progress] == [
        "initiated", "ringing", "in-progress", "completed",
    ]  # fmt: skip
    asked = next(hit for hit in app.hits if hit.path == "/hello").values
    assert (asked["Direction"], asked["From"], asked["CallStatus"]) == (
        "outbound-api", "+4930123", "in-progress",
    )  # fmt: skip
    [recording] = server.rows("SELECT * FROM sipdomains_recording WHERE call_id = ?", sid)
    assert (recording["source"], recording["channels"]) == ("OutboundAPI", 2)
    assert not server.rows("SELECT 1 FROM sipdomains_callorder")


def test_a_registered_phone_hears_the_new_document_after_the_old_one(
    server: Server, rest: RestShell, app: Application, account: str, tmp_path: Path
) -> None:
    server.create_domain(
        DOMAIN, f"{app.url}/voice", "--username", "bob", "--password", PASSWORD, "--register"
    )
    for name, pitch in (("low", 500.0), ("high", 900.0)):
        app.answers[f"/{name}.wav"] = Answer(tone(pitch, 4, 8000), "audio/wav")
    phone = Baresip(
        server, tmp_path / "bob", transport="udp", codec="pcmu", user="bob", dial="", register=True
    )
    with contextlib.closing(phone):
        phone.wait_until("200 OK")
        old = f"<Response><Play loop='0'>{app.url}/low.wav</Play></Response>"
        sid = rest.create(f"client:bob@{DOMAIN}", account=account, twiml=old)
        wait_for("Play", lambda: reached(server, sid, "verb-started", verb="Play"))
        wait_for("audio", lambda: reached(server, sid, "media", what="first-packet"))
        new = f"<Response><Play>{app.url}/high.wav</Play></Response>"
        assert rest.submit(sid, "redirect", twiml=new)["state"] == "applied"
        phone.wait_until_over()
    assert final(server, sid)["cause"] == "document-ended"
    rate, samples = read_wav(phone.heard())
    assert loudest(samples[-3 * rate : -rate], rate) == pytest.approx(900, abs=10)


def test_busy(
    server: Server, rest: RestShell, app: Application, account: str, tmp_path: Path
) -> None:
    with contextlib.closing(Callee(tmp_path, "callee_refuses", status="486 Busy Here")) as callee:
        sid = rest.create(callee.uri, account=account, url=f"{app.url}/hello", callback=wanted(app))
        row = final(server, sid)
        callee.messages()
    assert (row["status"], row["sip_status"]) == ("busy", 486)
    assert [one["CallStatus"] for one in told(app, 2)] == ["initiated", "busy"]
    assert "/hello" not in app.paths()


@pytest.mark.parametrize("how", ["timeout", "cancel", "hangup"])
def test_nobody_answers(
    server: Server, rest: RestShell, app: Application, account: str, tmp_path: Path, how: str
) -> None:
    with contextlib.closing(Callee(tmp_path, "callee_rings")) as callee:
        timeout = 5 if how == "timeout" else 60
        sid = rest.create(callee.uri, account=account, url=f"{app.url}/hello", timeout=timeout)
        if how != "timeout":
            wait_for("ringing", lambda: reached(server, sid, "ringing"))
            assert rest.submit(sid, how)["state"] == "applied"
        row = final(server, sid)
        assert any(text.startswith("CANCEL") for _, text in callee.messages())
    status, cause = ("canceled", "api-cancel")
    if how == "timeout":
        status, cause = "no-answer", "ring-timeout"
    assert (row["status"], row["cause"], row["sip_status"]) == (status, cause, 487)


def test_calls_go_out_one_a_second(
    server: Server, rest: RestShell, app: Application, account: str, tmp_path: Path
) -> None:
    """And what is asked of one that waits is done at once."""
    app.document("/hello", "<Hangup/>")
    with contextlib.ExitStack() as phones:
        callees = [
            phones.enter_context(contextlib.closing(Callee(tmp_path, "callee_answers", ring="1")))
            for _ in range(3)
        ]
        sids = [
            rest.create(callee.uri, account=account, url=f"{app.url}/hello") for callee in callees
        ]
        # Others that nobody takes are before it, so that it waits for long.
        nowhere = "sip:x@127.0.0.1:9;transport=tcp"
        others = [rest.create(nowhere, account=account, twiml="<Response/>") for _ in range(12)]
        waiting = rest.create(callees[0].uri, account=account, url=f"{app.url}/hello")
        gone = rest.submit(waiting, "cancel")
        assert gone["state"] == "applied"
        for sid in reversed(others):
            rest.submit(sid, "cancel")  # refused for those that have had their turn
        rows = [final(server, sid) for sid in sids]
        for callee in callees:
            callee.messages()
    assert [row["status"] for row in rows] == ["completed"] * 3
    # A late one is no reason for the next to wait: each has its turn from the start.
    created = [datetime.fromisoformat(row["started_at"]) for row in rows]
    for number, row in enumerate(rows):
        left = created[number] + timedelta(milliseconds=row["queue_ms"])
        assert left - created[0] >= timedelta(seconds=number, milliseconds=-20)
    assert final(server, waiting)["status"] == "canceled"
    for sid in others:
        final(server, sid)


# --- on the way -----------------------------------------------------------------------------------


def test_how_long_it_takes_from_another_process(
    server: Server, rest: RestShell, app: Application, tmp_path: Path
) -> None:
    app.document("/voice", UP)
    phone = Phone(server, tmp_path).at("Gather")
    took = [rest.submit(phone.sid, "update", time_limit=600)["took"] for _ in range(40)]
    took.sort()
    print(
        f"update applied: median {statistics.median(took) * 1000:.0f} ms, max {took[-1] * 1000:.0f}"
    )
    # Without the bus each would wait for the next look, two seconds.
    assert statistics.median(took) < 1.0
    rest.submit(phone.sid, "hangup")
    phone.ended()


def test_without_the_broker_it_is_only_late(
    stack: Stack, server: Server, rest: RestShell, app: Application, tmp_path: Path
) -> None:
    app.document("/voice", UP)
    phone = Phone(server, tmp_path).at("Gather")
    stack.redis.stop()
    try:
        done = rest.submit(phone.sid, "hangup", wait=30)
        assert done["state"] == "applied"
        phone.ended()
    finally:
        stack.redis.start()

    def works_again() -> bool:
        app.document("/voice", "<Hangup/>")
        after = run(server, tmp_path, "plain")
        return bool(server.call(after.call_id)["cause"] == "hangup-verb")

    wait_for("calls after the broker is back", works_again, 120)


def test_node_killed_before_it_could_do_it(
    own_server: Server, app: Application, tmp_path: Path
) -> None:
    own_server.start()
    domain = own_server.create_domain(OPEN_DOMAIN, f"{app.url}/voice", "--allow", "127.0.0.0/8")
    app.document("/voice", UP)
    phone = Phone(own_server, tmp_path).at("Gather")
    assert own_server.process is not None
    with contextlib.closing(RestShell(own_server)) as rest:
        own_server.process.send_signal(signal.SIGSTOP)
        stored = rest.submit(phone.sid, "redirect", wait=0, url=f"{app.url}/new")
        queued = rest.create(
            "sip:x@127.0.0.1:9;transport=tcp", account=domain["account_sid"], twiml="<Response/>"
        )
        assert stored["state"] == "pending"
        own_server.kill()
        phone.sipp.close()
        own_server.start()
        query = "SELECT * FROM sipdomains_callcommand WHERE id = ? AND state != 'pending'"
        [command] = wait_for("command", lambda: own_server.rows(query, stored["id"]))
    assert (command["state"], command["error_code"]) == ("rejected", 21220)
    row = final(own_server, phone.sid)
    assert row["cause"] == "node-lost"
    assert "/new" not in app.paths()
    # The order waited for the next node.
    assert final(own_server, queued)["cause"] == "callee-unreachable"
    assert json.loads(row["callback"]) == {}
    own_server.stop()


def test_a_call_that_came_in_works_as_ever(
    server: Server, app: Application, tmp_path: Path
) -> None:
    app.document("/voice", "<Hangup/>")
    assert server.call(run(server, tmp_path, "plain").call_id)["cause"] == "hangup-verb"
