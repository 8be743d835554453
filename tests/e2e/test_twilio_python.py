"""The unmodified twilio package against a running server, used as its documentation uses it."""

from __future__ import annotations

import contextlib
import io
import time
import wave
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from requests.adapters import HTTPAdapter
from twilio.base.exceptions import TwilioException, TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client
from urllib3.util import Retry

from tests.e2e.api import base_url, client_of, hurry, new_key, refusal, revoke
from tests.e2e.baresip import Baresip
from tests.e2e.server import DOMAIN, PASSWORD, Answer, Application, Server, wait_for
from tests.e2e.sipp import Callee, Sipp, run
from tests.e2e.sound import loudest, sounding

pytestmark = pytest.mark.e2e

FROM = f"sip:desk@{DOMAIN}"
LONG = "<Response><Pause length='60'/></Response>"


@pytest.fixture(scope="module")
def account(server: Server, domain: dict[str, Any]) -> dict[str, Any]:
    hurry(server, domain["account_sid"])
    server.manage("createdomain", DOMAIN, "--username", "bob", "--password", PASSWORD, "--register")
    return domain


@pytest.fixture
def rest(server: Server, account: dict[str, Any]) -> Iterator[Client]:
    sid, token = account["account_sid"], account["auth_token"]
    with client_of(server, sid, token, sid) as client:
        yield client


@pytest.fixture
def bob(server: Server, account: dict[str, Any], tmp_path: Path) -> Iterator[Baresip]:
    """A registered phone that answers by itself and speaks a tone of 700 Hz."""
    phone = Baresip(
        server, tmp_path / "bob", transport="udp", codec="pcma", user="bob", dial="",
        frequency=700.0, register=True,
    )  # fmt: skip
    with contextlib.closing(phone):
        phone.wait_until("200 OK")
        query = "SELECT * FROM sipdomains_registration WHERE username = 'bob'"
        wait_for("bob registered", lambda: server.rows(query))
        yield phone


def status_is(rest: Client, sid: str, wanted: str, seconds: float = 15.0) -> Any:
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
    with pytest.raises(TwilioException) as caught:
        work()
    return refusal(caught.value)


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


# --- calls ----------------------------------------------------------------------------------------


def test_a_call_is_created_and_tells_of_its_progress(
    app: Application, rest: Client, tmp_path: Path
) -> None:
    app.answers["/progress"] = Answer()
    with contextlib.closing(Callee(tmp_path, "callee_answers")) as callee:
        call = rest.calls.create(
            twiml="<Response><Say>Ahoy, World!</Say></Response>",
            to=callee.uri,
            from_=FROM,
            status_callback=f"{app.url}/progress",
            status_callback_event=["initiated", "ringing", "answered", "completed"],
            status_callback_method="POST",
        )
        assert (call.status, call.direction) == ("queued", "outbound-api")
        assert (call.to, call._from) == (callee.uri, FROM)
        ended = status_is(rest, call.sid, "completed")
        callee.messages()
    assert int(ended.duration) >= 0
    assert ended.start_time <= ended.end_time
    assert (ended.price, ended.price_unit) == (None, "USD")
    for status in ("initiated", "ringing", "in-progress", "completed"):
        told = hit(app, "/progress", CallSid=call.sid, CallStatus=status)
        assert (told["Direction"], told["To"]) == ("outbound-api", callee.uri)


@pytest.mark.parametrize("way", ["url", "application"])
def test_the_document_of_a_call_comes_from_the_application(
    app: Application, rest: Client, account: dict[str, Any], tmp_path: Path, way: str
) -> None:
    app.document("/answered", "<Hangup/>")
    document: dict[str, Any] = {"url": f"{app.url}/answered"}
    if way == "application":
        made = rest.applications.create(friendly_name="App", voice_url=f"{app.url}/answered")
        document = {"application_sid": made.sid}
    with contextlib.closing(Callee(tmp_path, "callee_answers")) as callee:
        call = rest.calls.create(to=callee.uri, from_=FROM, **document)
        status_is(rest, call.sid, "completed")
        callee.messages()
    [asked] = [one for one in app.hits if one.path == "/answered"]
    assert (asked.values["CallSid"], asked.values["CallStatus"]) == (call.sid, "in-progress")
    assert asked.is_signed(account["auth_token"])


def test_a_call_that_is_busy(rest: Client, tmp_path: Path) -> None:
    with contextlib.closing(Callee(tmp_path, "callee_refuses", status="486 Busy Here")) as callee:
        call = rest.calls.create(to=callee.uri, from_=FROM, twiml=LONG)
        ended = status_is(rest, call.sid, "busy")
        callee.messages()
    assert ended.duration is None or ended.duration == "0"


def test_a_ringing_call_is_canceled(rest: Client, tmp_path: Path) -> None:
    with contextlib.closing(Callee(tmp_path, "callee_rings")) as callee:
        call = rest.calls.create(to=callee.uri, from_=FROM, twiml=LONG)
        status_is(rest, call.sid, "ringing")
        rest.calls(call.sid).update(status="canceled")
        status_is(rest, call.sid, "canceled")
        callee.messages()


def test_a_live_call_is_redirected_and_hung_up(
    app: Application, rest: Client, tmp_path: Path
) -> None:
    app.document("/second", "<Pause length='60'/>")
    with contextlib.closing(Callee(tmp_path, "callee_answers")) as callee:
        call = rest.calls.create(to=callee.uri, from_=FROM, twiml=LONG)
        status_is(rest, call.sid, "in-progress")
        assert refused(rest.calls(call.sid).delete) == (400, 20009)
        changed = rest.calls(call.sid).update(method="POST", url=f"{app.url}/second")
        assert (changed.sid, changed.status) == (call.sid, "in-progress")
        assert hit(app, "/second")["CallSid"] == call.sid
        changed = rest.calls(call.sid).update(
            twiml=f"<Response><Redirect>{app.url}/third</Redirect></Response>"
        )
        assert hit(app, "/third")["CallSid"] == call.sid
        rest.calls(call.sid).update(status="completed")
        status_is(rest, call.sid, "completed")
        callee.messages()
    assert refused(lambda: rest.calls(call.sid).update(twiml=LONG)) == (400, 21220)


def test_a_call_that_came_in_is_changed_too(
    server: Server, app: Application, rest: Client, open_domain: Any, tmp_path: Path
) -> None:
    """The caller of the SIP domain is in a menu; the API takes it out of there."""
    app.document("/voice", "<Say>One moment</Say><Pause length='60'/>")
    app.document("/taken", "<Hangup/>")
    with contextlib.closing(Sipp(server, tmp_path, "plain")) as caller:
        sid = hit(app, "/voice")["CallSid"]
        status_is(rest, sid, "in-progress")
        rest.calls(sid).update(url=f"{app.url}/taken")
        caller.result()
    assert hit(app, "/taken")["CallSid"] == sid
    assert status_is(rest, sid, "completed").direction == "inbound"


def test_calls_are_listed_by_what_is_known_of_them_and_deleted(
    rest: Client, tmp_path: Path
) -> None:
    with contextlib.closing(Callee(tmp_path, "callee_answers")) as callee:
        call = rest.calls.create(to=callee.uri, from_=FROM, twiml="<Response><Hangup/></Response>")
        status_is(rest, call.sid, "completed")
        callee.messages()
    hour = timedelta(hours=1)
    now = datetime.now(UTC)

    def listed(**filters: Any) -> bool:
        return call.sid in [row.sid for row in rest.calls.list(limit=50, **filters)]

    assert listed(to=callee.uri)
    assert listed(status="completed", from_=FROM)
    assert listed(start_time_after=now - hour, start_time_before=now + hour)
    assert listed(end_time_after=now - hour)
    assert not listed(to=callee.uri, status="busy")
    assert not listed(start_time_after=now + hour)
    assert not listed(parent_call_sid=call.sid)
    assert rest.calls(call.sid).delete()
    assert refused(rest.calls(call.sid).fetch) == (404, 20404)
    assert not listed(to=callee.uri)


# --- recordings -----------------------------------------------------------------------------------


def samples_of(data: bytes) -> np.ndarray[Any, Any]:
    with wave.open(io.BytesIO(data)) as file:
        assert file.getframerate() == 8000
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(float)


def test_a_live_call_is_recorded_paused_resumed_and_heard(
    server: Server, app: Application, rest: Client, account: dict[str, Any], bob: Baresip
) -> None:
    app.answers["/recorded"] = Answer()
    call = rest.calls.create(to=f"sip:bob@{DOMAIN}", from_=FROM, twiml=LONG)
    status_is(rest, call.sid, "in-progress")
    recording = rest.calls(call.sid).recordings.create(
        recording_status_callback=f"{app.url}/recorded",
        recording_status_callback_event=["in-progress", "completed"],
    )
    assert (recording.call_sid, recording.status) == (call.sid, "in-progress")
    live = rest.calls(call.sid).recordings(recording.sid)
    time.sleep(1.0)  # there is sound to be recorded
    assert live.update(status="paused", pause_behavior="skip").status == "paused"
    assert live.update(status="in-progress").status == "in-progress"
    # Twilio.CURRENT is the recording that is going on, as the documentation has it.
    current = rest.calls(call.sid).recordings("Twilio.CURRENT")
    time.sleep(1.0)
    assert current.update(status="stopped").sid == recording.sid
    told = hit(app, "/recorded", RecordingStatus="completed")
    assert (told["RecordingSid"], told["CallSid"]) == (recording.sid, call.sid)

    done = wait_for(
        "recording completed",
        lambda: (row := rest.recordings(recording.sid).fetch()).status == "completed" and row,
    )
    assert done.media_url.startswith(base_url(server))
    assert 1 <= int(done.duration) <= 5
    assert [row.sid for row in rest.recordings.list(call_sid=call.sid, limit=20)] == [done.sid]
    assert [row.sid for row in rest.calls(call.sid).recordings.list()] == [done.sid]

    credentials = (account["account_sid"], account["auth_token"])
    for address in (done.media_url, f"{done.media_url}.wav", told["RecordingUrl"]):
        answer = requests.get(address, auth=credentials, timeout=10)
        assert answer.status_code == 200, address
        heard = sounding(samples_of(answer.content))
        assert loudest(heard) == pytest.approx(700, abs=10)
    part = requests.get(
        f"{done.media_url}.wav", auth=credentials, headers={"Range": "bytes=0-3"}, timeout=10
    )
    assert (part.status_code, part.content) == (206, b"RIFF")
    mp3 = requests.get(f"{done.media_url}.mp3", auth=credentials, timeout=10)
    assert mp3.headers["Content-Type"] == "audio/mpeg"
    assert requests.get(f"{done.media_url}.wav", timeout=10).status_code == 401

    rest.calls(call.sid).update(status="completed")
    assert rest.recordings(recording.sid).delete()
    assert refused(rest.recordings(recording.sid).fetch) == (404, 20404)
    assert requests.get(done.media_url, auth=credentials, timeout=10).status_code == 404


# --- the log --------------------------------------------------------------------------------------


def test_what_went_wrong_in_a_call_is_read(app: Application, rest: Client, tmp_path: Path) -> None:
    app.answers["/broken"] = Answer("<Response><Nonsense</Response>")
    with contextlib.closing(Callee(tmp_path, "callee_answers")) as callee:
        call = rest.calls.create(to=callee.uri, from_=FROM, url=f"{app.url}/broken")
        status_is(rest, call.sid, "completed", 30.0)
        callee.messages()
    found = wait_for("notifications", lambda: rest.calls(call.sid).notifications.list())
    errors = {row.error_code: row for row in found}
    assert "12100" in errors
    assert errors["12100"].log == "0"
    whole = rest.notifications(errors["12100"].sid).fetch()
    assert whole.request_url == f"{app.url}/broken"
    assert call.sid in whole.request_variables
    assert "<Nonsense" in whole.response_body
    today = datetime.now(UTC).date()
    listed = rest.notifications.list(log=0, message_date=today, limit=1000)
    assert whole.sid in [row.sid for row in listed]
    events = rest.calls(call.sid).events.list(limit=20)
    assert [(one.request["url"], one.response["response_code"]) for one in events] == [
        (f"{app.url}/broken", 200)
    ]


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
    server = Server(tmp_path / "home", API_REQUESTS_PER_SECOND="5")
    server.start()
    try:
        made = server.create_domain("busy.example.net", "http://127.0.0.1:9/", "--allow", "::1/128")
        sid, token = made["account_sid"], made["auth_token"]
        with client_of(server, sid, token, sid) as hasty:
            seen = set()
            for _ in range(20):
                try:
                    hasty.sip.domains.list()
                except TwilioException as error:
                    seen.add(refusal(error))
            assert seen == {(429, 20429)}
        patience = Retry(total=10, status_forcelist=[429], allowed_methods=None)
        http = TwilioHttpClient()
        http.session.mount("http://", HTTPAdapter(max_retries=patience))
        with client_of(server, sid, token, sid, http) as patient:
            assert all(len(patient.sip.domains.list()) == 1 for _ in range(12))
    finally:
        server.stop_in_order()
