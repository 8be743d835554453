"""The call's page: legs, recordings, transfers, callbacks; and the list of recordings."""

from datetime import timedelta

import pytest
import time_machine
from django.db import connection

from sipdomains import sids
from sipdomains.access import EVERYTHING, Scope
from sipdomains.models import (
    Account,
    OutboxMessage,
    OutboxState,
    Recording,
    Transfer,
    TransferState,
)
from sipdomains.models.recordings import RecordingSource, RecordingStatus
from sipdomains.selectors import Cursor, recordings_page
from sipdomains.web import related
from sipdomains.web.related import TRANSFER_WORDS
from sipdomains.web.timeline import describe
from tests.sipdomains.sounds import start_recording
from tests.sipdomains.web.conftest import NOON

pytestmark = pytest.mark.django_db
HOSTILE = '"><script>alert(1)</script>'


@pytest.fixture
def acme(db):
    return Account.objects.create(friendly_name="Acme")


@pytest.fixture
def add_recording(acme, tmp_path):
    def add(call=None, **fields):
        number = add.count = getattr(add, "count", 0) + 1
        fields = {
            "status": "completed", "duration": 83, "size": 1_330_000, "ended_by": "silence",
            "file": "recordings/x.wav", "ended_at": NOON,
        } | fields  # fmt: skip
        return start_recording(acme, call, spool=tmp_path, number=number, **fields)

    return add


@pytest.fixture
def add_transfer():
    def add(call, **fields):
        fields = {
            "number": 1, "direction": "sent", "target": "sip:bob:hunter2@pbx.example.com",
            "requested_at": NOON, "changed_at": NOON, "settled_at": NOON,
        } | fields  # fmt: skip
        return Transfer.objects.create(call=call, **fields)

    return add


@pytest.fixture
def add_callback():
    def add(call, position=0, **fields):
        fields = {
            "id": f"m-{position}-{call.sid}", "stream": call.sid, "position": position,
            "purpose": "status-callback", "created_at": NOON, "next_at": NOON, "method": "POST",
            "url": "http://user:hunter2@app.example/status", "state": "delivered", "attempts": 1,
            "parameters": [["CallSid", call.sid], ["CallStatus", "ringing"]],
        } | fields  # fmt: skip
        return OutboxMessage.objects.create(call=call, **fields)

    return add


def page_of(desk, call):
    response = desk.get(f"/calls/{call.sid}/")
    assert response.status_code == 200
    return response.content.decode()


def section(body, heading):
    return body.partition(f'aria-labelledby="h-{heading}"')[2].partition("</section>")[0]


# --- legs ---


def test_legs_link_both_ways_and_to_each_other(desk, make_call):
    parent = make_call()
    first, second = (
        make_call(
            NOON + timedelta(seconds=number), parent=parent, direction="outbound-dial",
            to_uri=f"sip:phone{number}@pbx.example.net", **fields,
        )
        for number, fields in enumerate(
            [
                {"status": "busy", "cause": "callee-busy", "reason": "The called party is busy.",
                 "sip_status": 486, "answered_at": None, "duration": None},
                {"cause": "callee-hangup", "reason": "The called party hung up."},
            ],
            1,
        )
    )  # fmt: skip
    for page, others in ((parent, (first, second)), (first, (parent, second))):
        legs = section(page_of(desk, page), "legs")
        for other in others:
            assert f'href="/calls/{other.sid}/"' in legs
        assert f'href="/calls/{page.sid}/"' not in legs
        for words in ("486", "The called party is busy.", "phone2@", "0:12", "this page"):
            assert words in legs
    assert section(page_of(desk, make_call()), "legs") == ""


def test_page_of_a_placed_call_speaks_of_the_called_party(desk, make_call, add_event):
    call = make_call(
        direction="outbound-dial",
        cause="callee-hangup",
        reason="The called party hung up.",
        media={"mos": 4.2, "jitter_ms": 3, "packets_received": 0},
    )
    add_event(call, "sip", {"dir": "out", "summary": "INVITE", "text": "INVITE"})
    body = page_of(desk, call)
    assert '<span class="role">called party</span>' in body
    assert "placed by Dial" in body
    assert "the caller" not in body.partition("</header>")[2].lower()


def test_names_of_legs_stand_in_the_timeline(desk, make_call, add_event):
    parent = make_call()
    child = make_call(parent=parent, direction="outbound-dial", to_uri="sip:bob@pbx.example.net")
    add_event(parent, "bridged", {"with": child.sid})
    assert "Connected with bob" in page_of(desk, parent)
    add_event(child, "bridged", {"with": parent.sid})
    assert "Connected with alice" in page_of(desk, child)


def test_list_marks_and_filters_placed_calls(desk, make_call):
    parent = make_call()
    child = make_call(parent=parent, direction="outbound-dial")
    body = desk.get("/calls/").content.decode()
    assert body.count("Placed by another call") == 1
    only = desk.get("/calls/?direction=outbound-dial").content.decode()
    assert child.sid in only
    assert parent.sid not in only
    assert "Any direction" in only


# --- recordings ---


def test_recording_can_be_played_and_downloaded(desk, make_call, add_recording, acme):
    call = make_call()
    row = add_recording(call, source="DialVerb", channels=2)
    sounds = section(page_of(desk, call), "sounds")
    address = f"/2010-04-01/Accounts/{acme.sid}/Recordings/{row.sid}"
    for text in (
        f'src="{address}"', f'href="{address}.wav?download"', f'href="{address}.mp3?download"',
        "1:23", "Dial", "two channels", "1.3 MB", "ended by silence", row.sid,
    ):  # fmt: skip
        assert text in sounds, text


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "in-progress", "file": ""},
        {"status": "absent", "file": "", "reason": "Nothing was heard."},
        {"status": "failed", "file": "", "reason": "The disk is full."},
        {"file": "", "reason": "The file was deleted after 30 days."},
    ],
)
def test_recording_without_a_file_says_why(desk, make_call, add_recording, fields):
    call = make_call()
    row = add_recording(call, **fields)
    for body in (section(page_of(desk, call), "sounds"), desk.get("/recordings/").content.decode()):
        assert related.RECORDING_WORDS[row.status] in body
        assert row.reason in body
        assert "<audio" not in body


def test_page_refreshes_while_a_recording_is_being_stored(desk, operator, make_call, add_recording):
    call = make_call()
    row = add_recording(call, status="in-progress", file="")
    for after, status, refreshing in (
        (60, "in-progress", True),
        (60, "completed", False),
        (6 * 60, "in-progress", False),
    ):
        row.status = status
        row.save()
        with time_machine.travel(call.ended_at + timedelta(seconds=after), tick=False):
            desk.force_login(operator)
            assert ("data-poll" in page_of(desk, call)) == refreshing


def test_refresh_sees_every_change(desk, make_call, add_recording, add_transfer, add_callback):
    call = make_call(status="in-progress", ended_at=None)
    rows = [add_recording(call), add_transfer(call), add_callback(call)]
    changes = [{"status": "failed"}, {"changed_at": NOON + timedelta(1)}, {"attempts": 2}]
    for row, change in zip(rows, changes, strict=True):
        url = page_of(desk, call).partition('hx-get="')[2].partition('"')[0]
        assert desk.get(url, headers={"HX-Request": "true"}).status_code == 204
        type(row).objects.filter(pk=row.pk).update(**change)
        assert desk.get(url, headers={"HX-Request": "true"}).status_code == 200


def test_list_of_recordings_links_their_calls(desk, make_call, add_recording):
    call = make_call()
    row, lone = add_recording(call), add_recording(None)
    body = desk.get("/recordings/").content.decode()
    assert f'href="/calls/{call.sid}/#r-{row.sid}"' in body
    assert "no longer in the log" in body
    assert body.count("<audio") == 2
    assert lone.sid in body


def test_list_of_recordings_is_for_operators(client):
    assert client.get("/recordings/")["Location"] == "/login/?next=/recordings/"


def test_pages_of_recordings_hold_each_once(desk, add_recording):
    made = [add_recording(started_at=NOON + timedelta(seconds=n // 2)) for n in range(7)]
    found, before = [], None
    for _ in range(9):
        page = recordings_page(EVERYTHING, before, size=3)
        found += [row.sid for row in page.recordings]
        before = page.older
        if before is None:
            break
        assert Cursor.parse(str(before), sids.RECORDING) == before
    wanted = sorted(made, key=lambda row: (row.started_at, row.sid), reverse=True)
    assert found == [row.sid for row in wanted]
    assert "Nothing older" in desk.get(f"/recordings/?before=0-RE{'0' * 32}").content.decode()
    assert "No recordings yet" not in desk.get("/recordings/").content.decode()
    assert desk.get("/recordings/?before=nonsense").status_code == 404


@pytest.mark.parametrize("seen", [1, 2, 3])
def test_pages_of_recordings_of_several_accounts_are_in_order_together(
    acme, add_recording, seen, django_assert_num_queries
):
    others = [Account.objects.create(friendly_name=f"Other {n}") for n in range(3)]
    accounts = [acme, *others]
    made = [add_recording(started_at=NOON + timedelta(seconds=n // 3)) for n in range(16)]
    for number, row in enumerate(made):
        Recording.objects.filter(pk=row.pk).update(account=accounts[number % 4])
    scope = Scope(frozenset(account.sid for account in accounts[:seen]))
    found, before = [], None
    for _ in range(16):
        with django_assert_num_queries(seen) as captured:
            page = recordings_page(scope, before, size=3)
        found += [row.sid for row in page.recordings]
        before = page.older
        if before is None:
            break
    theirs = [row for number, row in enumerate(made) if number % 4 < seen]
    wanted = sorted(theirs, key=lambda row: (row.started_at, row.sid), reverse=True)
    assert found == [row.sid for row in wanted]
    if connection.vendor == "sqlite":
        for query in captured:
            with connection.cursor() as database:
                plan = database.execute("EXPLAIN QUERY PLAN " + query["sql"]).fetchall()
            steps = " | ".join(row[3] for row in plan)
            assert "recording_by_account " in steps
            assert "FOR ORDER BY" not in steps


def test_list_of_recordings_costs_the_same_for_many(
    desk, make_call, add_recording, django_assert_num_queries
):
    assert "No recordings yet" in desk.get("/recordings/").content.decode()
    for _ in range(20):
        add_recording(make_call())
    with django_assert_num_queries(
        5
    ):  # session, user, permissions (2), recordings with their calls
        desk.get("/recordings/")


# --- transfers ---


@pytest.mark.parametrize("state", TransferState.values)
def test_every_outcome_of_a_transfer_is_told(desk, make_call, add_transfer, state):
    call = make_call()
    add_transfer(call, state=state, refer_status=202, notify_status=180, ended_by="timeout")
    add_transfer(call, number=2, direction="received", state=state)
    told = section(page_of(desk, call), "transfers")
    for text in (
        TRANSFER_WORDS[state], "We asked the peer to call", "The peer asked to call",
        "sip:bob:…@pbx.example.com", "answer to the REFER: 202", "by NOTIFY: 180",
        "nothing was told in time", "answer to the REFER: none",
    ):  # fmt: skip
        assert text.replace("'", "&#x27;") in told, text
    assert "hunter2" not in told


# --- callbacks ---


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, ("Call ringing", "delivered")),
        ({"state": "pending", "attempts": 0}, ("waiting",)),
        ({"state": "pending", "attempts": 2}, ("will be tried again", "Next attempt")),
        ({"state": "failed", "error_code": 15002, "error_message": "gone"},
         ("given up", "15002", "A status callback was given up", "gone")),
        ({"parameters": [["RecordingStatus", "completed"], ["CallSid", "x"]]},
         ("Recording completed",)),
        ({"parameters": [["odd"]]}, ("status-callback",)),
    ],
)  # fmt: skip
def test_callbacks_tell_their_state(desk, make_call, add_callback, fields, words):
    call = make_call()
    add_callback(call, **fields)
    told = section(page_of(desk, call), "callbacks")
    for text in (*words, "http://user:…@app.example/status"):
        assert text in told, text
    assert "hunter2" not in told


def test_callbacks_lead_to_their_attempts(desk, make_call, add_callback, add_attempt):
    call = make_call()
    message = add_callback(call)
    tries = [
        add_attempt(call, request_id=message.id, attempt=number, purpose="status-callback",
                    status=status)
        for number, status in ((1, 503), (2, 204))
    ]  # fmt: skip
    body = page_of(desk, call)
    for attempt in tries:
        assert f'href="#w{attempt.pk}"' in section(body, "callbacks")
        assert f'id="w{attempt.pk}"' in body


def test_every_state_has_words():
    assert set(related._OUTBOX_WORDS) == set(OutboxState.values)
    assert set(TRANSFER_WORDS) == set(TransferState.values)


def test_hostile_words_are_escaped(desk, make_call, add_recording, add_transfer, add_callback):
    call = make_call()
    make_call(parent=call, to_uri=HOSTILE, from_uri=HOSTILE, reason=HOSTILE)
    add_recording(call, reason=HOSTILE, ended_by=HOSTILE[:20])
    add_transfer(call, target=HOSTILE, reason=HOSTILE, ended_by=HOSTILE[:20])
    add_callback(call, url=HOSTILE, error_code=1, error_message=HOSTILE,
                 parameters=[["CallStatus", HOSTILE]])  # fmt: skip
    for body in (page_of(desk, call), desk.get("/recordings/").content.decode()):
        assert "<script>alert" not in body


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"what": "paused", "behavior": "skip"}, "Recording paused: what follows is skipped"),
        ({"what": "paused", "behavior": "silence"}, "Recording paused: what follows is silent"),
        ({"what": "resumed"}, "Recording goes on"),
        (
            {"what": "ended", "cause": "api", "status": "completed", "seconds": 4},
            "Recording ended by a request of the application: 4 s kept",
        ),
    ],
)
def test_what_rest_does_to_a_recording_is_told_in_words(data, words):
    assert describe("recording", data) == words


def test_every_status_and_source_of_a_recording_has_words():
    assert set(related.RECORDING_WORDS) == set(RecordingStatus.values)
    assert set(related.SOURCE_WORDS) == set(RecordingSource.values)
