"""The unmodified twilio package against a running server: calls, recordings, the log."""

from __future__ import annotations

import contextlib
import io
import wave
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from twilio.rest import Client

from tests.e2e.api import base_url, hit, refused, status_is
from tests.e2e.baresip import Baresip
from tests.e2e.server import DOMAIN, PASSWORD, Answer, Application, Server, wait_for
from tests.e2e.sipp import Callee, Sipp
from tests.e2e.sound import loudest, sounding

pytestmark = pytest.mark.e2e

FROM = f"sip:desk@{DOMAIN}"
LONG = "<Response><Pause length='60'/></Response>"


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
    for path in ("/second", "/third"):
        app.document(path, "<Pause length='60'/>")
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


def test_nobody_answers_in_time(rest: Client, tmp_path: Path) -> None:
    with contextlib.closing(Callee(tmp_path, "callee_rings")) as callee:
        call = rest.calls.create(to=callee.uri, from_=FROM, twiml=LONG, timeout=5)
        status_is(rest, call.sid, "no-answer")
        callee.messages()


def test_another_server_is_called_with_credentials_and_keys(
    app: Application, rest: Client, tmp_path: Path
) -> None:
    """The far side is one of our servers with an account of its own: it asks for a password, and
    its menu for four keys."""
    app.document("/menu", f'<Gather numDigits="4" action="{app.url}/typed"/>')
    app.document("/typed", "<Hangup/>")
    far = Server(tmp_path / "far")
    far.start()
    try:
        [demo] = far.rows("SELECT domain_name AS name FROM sipdomains_sipdomain")  # at 127.0.0.1
        user = ("--username", "alice", "--password", PASSWORD)
        # With type-ahead it does not matter whether the menu has begun when the keys come.
        far.create_domain(demo["name"], f"{app.url}/menu", *user, "--type-ahead")
        call = rest.calls.create(
            to=f"sip:100@127.0.0.1:{far.sip_port}?X-Order=17",
            from_=FROM,
            sip_auth_username="alice",
            sip_auth_password=PASSWORD,
            send_digits="ww1234",
            twiml=LONG,
        )
        typed = hit(app, "/typed")
        status_is(rest, call.sid, "completed")
    finally:
        far.stop_in_order()
    assert typed["Digits"] == "1234"
    asked = hit(app, "/menu")
    assert asked["SipHeader_X-Order"] == "17"
    assert asked["From"].startswith("sip:desk@")


def test_calls_of_an_account_go_out_one_a_second(server: Server, rest: Client) -> None:
    """A new account is a slow one. Nobody is there to be called."""
    made = rest.api.v2010.accounts.create(friendly_name="Subaccount")
    calls = rest.api.v2010.accounts(made.sid).calls
    sids = [
        calls.create(to="sip:nobody@127.0.0.1:9", from_=FROM, twiml=LONG, timeout=1).sid
        for _ in range(3)
    ]

    def over() -> list[Any] | None:
        rows = [calls(sid).fetch() for sid in sids]
        return rows if all(row.status in ("failed", "no-answer") for row in rows) else None

    ended = wait_for("end of the calls", over, 60.0)
    query = "SELECT started_at, queue_ms FROM sipdomains_call WHERE sid = ?"
    rows = [server.rows(query, sid)[0] for sid in sids]
    assert [row.queue_time for row in ended] == [str(row["queue_ms"]) for row in rows]
    created = [datetime.fromisoformat(row["started_at"]) for row in rows]
    for number, row in enumerate(rows):
        left = created[number] + timedelta(milliseconds=row["queue_ms"])
        assert left - created[0] >= timedelta(seconds=number, milliseconds=-20)


@pytest.mark.parametrize("which", ["parent", "child"])
def test_a_bridge_is_redirected(
    server: Server, app: Application, rest: Client, tmp_path: Path, which: str
) -> None:
    """The child of a redirected parent is hung up; the parent of a redirected child goes on after
    its Dial."""
    app.document("/elsewhere", "<Hangup/>")
    app.document("/after", "<Hangup/>")
    with (
        contextlib.closing(Callee(tmp_path, "callee_answers")) as first,
        contextlib.closing(Callee(tmp_path, "callee_answers")) as second,
    ):
        twiml = (
            f'<Response><Dial action="{app.url}/after"><Sip>{second.uri}</Sip></Dial></Response>'
        )
        parent = rest.calls.create(to=first.uri, from_=FROM, twiml=twiml)
        [child] = wait_for("child", lambda: rest.calls.list(parent_call_sid=parent.sid))
        assert child.direction == "outbound-dial"
        bridged = "SELECT 1 FROM sipdomains_callevent WHERE call_id = ? AND kind = 'bridged'"
        wait_for("bridge", lambda: server.rows(bridged, parent.sid))
        changed = parent if which == "parent" else child
        rest.calls(changed.sid).update(url=f"{app.url}/elsewhere")
        assert hit(app, "/elsewhere")["CallSid"] == changed.sid
        for call in (parent, child):
            status_is(rest, call.sid, "completed")
        first.messages()
        second.messages()
    afterwards = [one.values["CallSid"] for one in app.hits if one.path == "/after"]
    assert afterwards == ([] if which == "parent" else [parent.sid])


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


def spooled(server: Server, sid: str) -> int:
    """How many octets of sound a recording that is going on has by now."""
    [row] = server.rows("SELECT spool_path FROM sipdomains_recording WHERE sid = ?", sid)
    return Path(row["spool_path"]).stat().st_size


def samples_of(data: bytes) -> np.ndarray[Any, Any]:
    with wave.open(io.BytesIO(data)) as file:
        assert file.getframerate() == 8000
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(float)


def test_a_live_call_is_recorded_paused_resumed_and_heard(
    server: Server, app: Application, rest: Client, account: dict[str, Any], speaker: Baresip
) -> None:
    app.answers["/recorded"] = Answer()
    call = rest.calls.create(to=f"sip:speaker@{DOMAIN}", from_=FROM, twiml=LONG)
    status_is(rest, call.sid, "in-progress")
    recording = rest.calls(call.sid).recordings.create(
        recording_status_callback=f"{app.url}/recorded",
        recording_status_callback_event=["in-progress", "completed"],
    )
    assert (recording.call_sid, recording.status) == (call.sid, "in-progress")
    live = rest.calls(call.sid).recordings(recording.sid)
    wait_for("a second of sound", lambda: spooled(server, recording.sid) > 16000)
    assert live.update(status="paused", pause_behavior="skip").status == "paused"
    assert live.update(status="in-progress").status == "in-progress"
    # Twilio.CURRENT is the recording that is going on, as the documentation has it.
    current = rest.calls(call.sid).recordings("Twilio.CURRENT")
    wait_for("two seconds of sound", lambda: spooled(server, recording.sid) > 32000)
    assert current.update(status="stopped").sid == recording.sid
    told = hit(app, "/recorded", RecordingStatus="completed")
    assert (told["RecordingSid"], told["CallSid"]) == (recording.sid, call.sid)

    done = wait_for(
        "recording completed",
        lambda: (row := rest.recordings(recording.sid).fetch()).status == "completed" and row,
    )
    assert done.media_url.startswith(base_url(server))
    assert int(done.duration) >= 1
    assert [row.sid for row in rest.recordings.list(call_sid=call.sid, limit=20)] == [done.sid]
    assert [row.sid for row in rest.calls(call.sid).recordings.list()] == [done.sid]

    credentials = (account["account_sid"], account["auth_token"])
    for address in (done.media_url, f"{done.media_url}.wav", told["RecordingUrl"]):
        answer = requests.get(address, auth=credentials, timeout=60)
        assert answer.status_code == 200, address
        heard = sounding(samples_of(answer.content))
        assert loudest(heard) == pytest.approx(700, abs=10)
    part = requests.get(
        f"{done.media_url}.wav", auth=credentials, headers={"Range": "bytes=0-3"}, timeout=10
    )
    assert (part.status_code, part.content) == (206, b"RIFF")
    mp3 = requests.get(f"{done.media_url}.mp3", auth=credentials, timeout=60)
    assert mp3.headers["Content-Type"] == "audio/mpeg"
    assert requests.get(f"{done.media_url}.wav", timeout=60).status_code == 401

    rest.calls(call.sid).update(status="completed")
    assert rest.recordings(recording.sid).delete()
    assert refused(rest.recordings(recording.sid).fetch) == (404, 20404)
    assert requests.get(done.media_url, auth=credentials, timeout=60).status_code == 404


def test_a_call_is_recorded_from_its_beginning_on_two_channels(
    app: Application, rest: Client, account: dict[str, Any], speaker: Baresip
) -> None:
    app.answers["/recorded"] = Answer()
    call = rest.calls.create(
        to=f"sip:speaker@{DOMAIN}",
        from_=FROM,
        record=True,
        recording_channels="dual",
        recording_status_callback=f"{app.url}/recorded",
        twiml="<Response><Pause length='2'/><Hangup/></Response>",
    )
    status_is(rest, call.sid, "completed")
    told = hit(app, "/recorded", CallSid=call.sid)
    [recording] = rest.recordings.list(call_sid=call.sid)
    assert (recording.sid, recording.channels) == (told["RecordingSid"], 2)
    assert recording.source == told["RecordingSource"] == "OutboundAPI"
    answer = requests.get(
        f"{recording.media_url}.wav",
        params={"RequestedChannels": "2"},
        auth=(account["account_sid"], account["auth_token"]),
        timeout=60,
    )
    with wave.open(io.BytesIO(answer.content)) as file:
        assert file.getnchannels() == 2


# --- the log --------------------------------------------------------------------------------------


def test_what_went_wrong_in_a_call_is_read(app: Application, rest: Client, tmp_path: Path) -> None:
    app.answers["/broken"] = Answer("<Response><Nonsense</Response>")
    with contextlib.closing(Callee(tmp_path, "callee_answers")) as callee:
        call = rest.calls.create(to=callee.uri, from_=FROM, url=f"{app.url}/broken")
        status_is(rest, call.sid, "completed")
        callee.messages()

    def noted() -> Any:
        rows = rest.calls(call.sid).notifications.list()
        return next((row for row in rows if row.error_code == "12100"), None)

    found = wait_for("notification", noted)
    assert found.log == "0"
    whole = rest.notifications(found.sid).fetch()
    assert whole.request_url == f"{app.url}/broken"
    assert call.sid in whole.request_variables
    assert "<Nonsense" in whole.response_body
    day = whole.message_date.date()
    listed = rest.notifications.list(log=0, message_date=day, limit=1000)
    assert whole.sid in [row.sid for row in listed]
    events = rest.calls(call.sid).events.list(limit=20)
    assert [(one.request["url"], one.response["response_code"]) for one in events] == [
        (f"{app.url}/broken", 200)
    ]
