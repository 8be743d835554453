"""The detail page: every kind of ending, hostile content, refresh, cost."""

from datetime import timedelta

import pytest
import time_machine

from sipdomains.models import CallEvent
from sipserver.calls.termination import CAUSES
from tests.sipdomains.web.conftest import NOON

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)>&lt;'
DOCUMENT = "<Response>\n  <Say>Hello</Say>\n</Response>"


def page_of(desk, call, **headers):
    response = desk.get(f"/calls/{call.sid}/", headers=headers)
    assert response.status_code == 200
    return response.content.decode()


@pytest.mark.parametrize("cause", CAUSES)
def test_page_of_every_ending_tells_why(desk, make_call, cause):
    row = CAUSES[cause]
    answered = {} if not row.sip_status else {"answered_at": None, "duration": None}
    call = make_call(
        status=row.status,
        cause=cause,
        reason=row.text,
        error_code=row.code,
        sip_status=row.sip_status,
        **answered,
    )
    body = page_of(desk, call)
    verdict = body.partition('<header class="verdict')[2].partition("</header>")[0]
    assert row.text.replace("'", "&#x27;") in verdict
    assert (f"<code>{row.code}</code>" in verdict) == bool(row.code)
    assert '<p class="turn">' in verdict


def test_page_of_a_call_tells_everything(desk, make_call, add_event, add_attempt, add_note):
    call = make_call(
        username="alice",
        source_ip="192.0.2.1",
        source_port=5060,
        transport="udp",
        user_agent="Phone/1.0",
        headers=[["X-Account", "42"]],
        media={"codec": "PCMA", "mos": 4.2},
    )
    child = make_call(parent=call, to_uri="sip:child@pbx.example.net")
    add_event(
        call,
        "sip",
        {"dir": "in", "peer": "192.0.2.1:5060", "transport": "udp", "summary": "INVITE",
         "text": "INVITE sip:100@pbx.example.net SIP/2.0\r\nX-Account: 42\r\n"},
    )  # fmt: skip
    add_event(call, "document", {"url": "http://app/voice", "verbs": ["Say"], "body": DOCUMENT}, 1)
    add_event(call, "verb-started", {"index": 0, "verb": "Say", "line": 2, "summary": "Say x"}, 1)
    add_event(call, "verb-ended", {"index": 0, "verb": "Say", "outcome": "continue"}, 2.5)
    add_attempt(
        call,
        url="http://user:hunter2@app.example.com/voice",
        parameters=[["CallSid", call.sid], ["ErrorUrl", "http://user:hunter2@app/"]],
        request_headers=[["X-Twilio-Signature", "c2ln"], ["Authorization", "Basic aHVudGVyMg=="]],
        response_headers=[["Set-Cookie", "session=hunter2"], ["Content-Type", "text/xml"]],
        response_body=DOCUMENT,
        status=500,
        duration_ms=1500,
        connect_ms=100,
        first_byte_ms=1400,
        error_code=11200,
        error_message="HTTP status 500",
    )
    add_note(call, 11200, message="HTTP status 500 of http://user:hunter2@app.example.com/voice")
    body = page_of(desk, call)
    for text in (
        call.sid, call.sip_call_id, "192.0.2.1 port 5060, UDP", "Phone/1.0", "X-Account",
        '<div class="course n4"', "INVITE sip:100@pbx.example.net SIP/2.0", "Say: done, 1.50 s",
        'class="line ran last" data-line="2"><i class="x">  </i><i class="x-t">&lt;Say</i>',
        '<span class="beside">done, 1.50 s</span>', "signature <code",
        "X-Twilio-Signature", "connect 100 ms, wait 1.30 s, receive 100 ms",
        "The application gave no usable answer", "The answer must be 2xx with TwiML",
        "http://user:…@app.example.com/voice", "PCMA", f'href="/calls/{child.sid}/"',
    ):  # fmt: skip
        assert text in body, text
    for secret in ("hunter2", "aHVudGVyMg"):
        assert secret not in body
    assert f'href="/calls/{call.sid}/"' in page_of(desk, child)


def test_page_escapes_whatever_callers_and_applications_send(
    desk, make_call, add_event, add_attempt, add_note
):
    fields = ("from_uri", "to_uri", "domain_name", "reason", "username", "user_agent")
    call = make_call(
        **dict.fromkeys(fields, HOSTILE),
        sip_call_id=HOSTILE,
        source_ip=HOSTILE[:64],
        cause=HOSTILE[:40],
        headers=[[HOSTILE, HOSTILE]],
        media={"codec": HOSTILE, "remote": [HOSTILE, HOSTILE]},
    )
    make_call(parent=call, to_uri=HOSTILE)
    # fmt: off
    keys = ("dir", "peer", "transport", "summary", "text", "url", "method", "reason", "body",
            "verb", "outcome", "what", "username", "acl", "codec", "direction", "index")
    # fmt: on
    for kind in ("sip", "accepted", "webhook", "document", "verb-started", "verb-ended", "media"):
        add_event(call, kind, dict.fromkeys(keys, HOSTILE) | {"verbs": [HOSTILE], "line": HOSTILE})
    add_event(call, HOSTILE[:20], {"what": HOSTILE})
    add_attempt(
        call,
        url=HOSTILE,
        method=HOSTILE[:4],
        purpose=HOSTILE[:20],
        parameters=[[HOSTILE, HOSTILE]],
        request_headers=[[HOSTILE, HOSTILE]],
        response_headers=[[HOSTILE, HOSTILE]],
        response_body=f"{HOSTILE}\n{HOSTILE}",
        remote_address=HOSTILE,
        error_code=11200,
        error_message=HOSTILE,
    )
    add_note(call, 99999, message=HOSTILE, request_url=HOSTILE)
    body = page_of(desk, call)
    assert "<script>alert" not in body
    assert "<img src=x" not in body
    assert "&lt;script&gt;alert(1)" in body
    assert "&amp;lt;" in body
    assert body.count("<script") == 3  # htmx and our own files


def test_bare_call_says_what_is_missing(desk, make_call):
    body = page_of(desk, make_call())
    for words in (
        "No document was run",
        "No audio flowed",
        "Nothing is stored about this call yet",
    ):
        assert words in body


def test_live_call_refreshes_until_it_is_final_and_settled(desk, operator, make_call, add_event):
    call = make_call(status="in-progress", ended_at=None, duration=None, cause="", reason="")
    body = page_of(desk, call)
    assert 'hx-trigger="every' in body
    assert "The call is going on" in body
    url = body.partition('hx-get="')[2].partition('"')[0]
    assert desk.get(url, headers=HTMX).status_code == 204
    add_event(call, "ringing")
    fresh = desk.get(url, headers=HTMX).content.decode()
    assert fresh.startswith('<article id="call"')
    assert "<html" not in fresh
    call.ended_at = NOON + timedelta(minutes=1)
    call.save()
    with time_machine.travel(call.ended_at + timedelta(seconds=5), tick=False):
        desk.force_login(operator)
        assert 'hx-trigger="every' in page_of(desk, call)
    with time_machine.travel(call.ended_at + timedelta(seconds=16), tick=False):
        assert 'hx-trigger="every' not in page_of(desk, call)


def test_page_costs_the_same_for_any_call(
    desk, make_call, add_event, add_attempt, add_note, django_assert_num_queries
):
    bare, full = make_call(), make_call()
    make_call(parent=full)
    for number in range(20):
        add_event(full, "ringing", after=number)
        add_attempt(full)
        add_note(full, 11200)
    for call in (bare, full):
        # session, user, its permissions (2), call, events, attempts, notes, legs, recordings,
        # transfers, callbacks; of a call with legs: their events
        with django_assert_num_queries(12 if call is bare else 13):
            page_of(desk, call)


def test_page_of_the_longest_call_stays_small(desk, make_call, add_event, add_attempt, add_note):
    call = make_call()
    legs = [make_call(parent=call, direction="outbound-dial") for _ in range(8)]
    long = "X-Long: <&>\r\n" * 700
    CallEvent.objects.bulk_create(
        CallEvent(call=leg, seq=number, at=NOON + timedelta(seconds=number), kind="sip",
                  data={"dir": "in", "summary": "INFO", "text": f"{number} {long}"})
        for number in range(150) for leg in (call, *legs[:3])
    )  # fmt: skip
    body = "<Response>" + "<Say a='b'>x</Say>\n" * 700 + "</Response>"
    for _ in range(5):
        add_event(call, "document", {"url": "u", "verbs": ["Say"] * 700, "body": body}, after=1)
    for _ in range(100):
        add_attempt(call, response_body=body, parameters=[["Name", "v" * 40]] * 30, status=200)
        add_note(call, 11200)
    page = page_of(desk, call)
    assert len(page) < 150_000
    assert "Show all" in page


@pytest.mark.parametrize("sid", ["CA" + "f" * 32, "nonsense", "CA<script>", "AC" + "0" * 32, "%00"])
def test_call_that_does_not_exist_is_a_404_in_our_design(desk, sid):
    response = desk.get(f"/calls/{sid}/")
    assert response.status_code == 404
    assert b"Go to the newest calls" in response.content
    assert b"<script>" not in response.content


# --- media ----------------------------------------------------------------------------------------


def test_figures_of_a_call_that_goes_on_come_as_they_are_measured(desk, make_call):
    call = make_call(status="in-progress", ended_at=None, cause="", reason="", duration=None)
    page = desk.get(f"/calls/{call.sid}/")
    assert "Nothing is measured yet" in page.content.decode()
    refresh = f"/calls/{call.sid}/?version={page.context['version']}"
    assert desk.get(refresh, headers=HTMX).status_code == 204
    series = {"at": [5, 10, 15], "mos": [4.3, 4.3, 4.1]}
    call.media = {"codec": "PCMU", "duration_s": 15.0, "mos": 4.2, "series": series}
    call.save(update_fields=["media"])
    body = desk.get(refresh, headers=HTMX).content.decode()
    assert "so far, every 15 s" in body
    assert 'aria-label="What we hear: Quality (MOS) over the call, at worst 4.1"' in body
    assert "The caller has sent no reports (RTCP) so far." in body


def test_what_the_peer_reports_stands_apart(desk, make_call):
    series = {"at": [5, 10], "remote_loss": [0.0, 4.0], "rtt": [20, 30]}
    media = {"codec": "PCMU", "packets_sent": 500, "remote_lost": 10, "series": series}
    body = page_of(desk, make_call(media=media))
    heard = body.partition("As the caller hears us")[2]
    assert "What the peer hears: Loss over the call, at worst 4.0 %" in heard
    assert "10 (2.0 %)" in heard
    silent = page_of(desk, make_call(media={"codec": "PCMU"}))
    assert "The caller sent no reports (RTCP)." in silent
