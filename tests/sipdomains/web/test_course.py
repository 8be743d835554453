"""The course of a call: which lanes there are, and what stands where in which order."""

from datetime import timedelta

import pytest

from sipdomains.models import Call, CallEvent, Notification, WebhookRequest
from sipdomains.web.course import MAX_CALLED, course, short, tone
from sipdomains.web.related import legs
from sipdomains.web.webhooks import attempts
from tests.sipdomains.web.conftest import NOON

CALL = "CA" + "0" * 32


def event(kind, after=0.0, leg=CALL, **data):
    at = NOON + timedelta(seconds=after)
    return CallEvent(call_id=leg, seq=int(after * 1000), kind=kind, at=at, data=data)


def sip(way, summary, after=0.0, leg=CALL, text=None):
    fields = {"peer": "192.0.2.1:5060", "transport": "udp", "summary": summary}
    return event("sip", after, leg, dir=way, text=text or f"{summary} {after}", **fields)


def attempt(pk=1, after=0.0, took=20.0, leg=CALL, **fields):
    fields = {"url": "http://app.example.com/voice?x=1", "method": "POST", "status": 200} | fields
    return WebhookRequest(
        pk=pk, call_id=leg, request_id="r", attempt=fields.pop("number", 1), duration_ms=took,
        at=NOON + timedelta(seconds=after), purpose=fields.pop("purpose", "document"), **fields,
    )  # fmt: skip


def leg(number, **fields):
    fields = {"direction": "outbound-dial", "parent_id": CALL, "domain_name": ""} | fields
    return Call(sid=f"CA{number:032x}", to_uri=f"sip:bob{number}@h", from_uri="sip:al@h", **fields)


def root():
    return leg(0, direction="inbound", parent_id=None)


def drawn(found):
    return [(row.first, row.last, row.right, row.label) for row in found.rows]


def test_messages_are_arrows_between_the_caller_and_us():
    found = course(
        CALL,
        [
            sip("in", "INVITE", 0.0, text="same"),
            sip("out", "180 Ringing (INVITE)", 0.012),
            sip("in", "INVITE", 0.5, text="same"),
            sip("out", "200 OK (INVITE)", 2.75),
        ],
        NOON,
        peer="alice",
    )
    assert [(lane.name, lane.role) for lane in found.lanes] == [
        ("alice", "caller"),
        ("sipdomains", "this server"),
    ]
    assert drawn(found) == [
        (0, 1, True, "INVITE"),
        (0, 1, False, "180"),
        (0, 1, True, "INVITE"),
        (0, 1, False, "200"),
    ]
    assert [(row.tone, row.offset, row.again, row.quiet) for row in found.rows] == [
        ("request", "+0.000 s", False, 0.0),
        ("provisional", "+0.012 s", False, 0.0),
        ("request", "+0.500 s", True, 0.0),
        ("success", "+2.750 s", False, 2.25),
    ]
    assert [row.place for row in found.rows] == ["m-1", "m-2", "m-3", "m-4"]


def test_every_leg_has_its_lane_and_the_application_the_last():
    calls = [root(), leg(1), leg(2)]
    found = course(
        CALL,
        [
            sip("in", "INVITE", 0.0),
            sip("out", "INVITE", 1.0, leg=calls[1].sid),
            sip("in", "486 Busy Here (INVITE)", 1.1, leg=calls[2].sid),
            event("bridged", 2.0, **{"with": calls[1].sid}),
            event("closed", 3.0, leg=calls[2].sid, reason="Busy."),
        ],
        NOON,
        legs=legs(calls, calls[0]),
        attempts=attempts([attempt(after=0.5)], NOON),
    )
    assert [lane.name for lane in found.lanes] == [
        "al@h", "sipdomains", "bob1@h", "bob2@h", "app.example.com",
    ]  # fmt: skip
    assert drawn(found) == [
        (0, 1, True, "INVITE"),
        (1, 4, True, "POST"),
        (1, 4, False, "200"),
        (1, 2, True, "INVITE"),
        (1, 3, False, "486"),
        (0, 2, True, "audio"),
        (3, 3, True, ""),
    ]


def test_page_of_a_called_leg_shows_its_caller_and_no_sibling():
    calls = [root(), leg(1), leg(2)]
    found = course(calls[1].sid, [], NOON, legs=legs(calls, calls[1]))
    assert [lane.name for lane in found.lanes] == ["al@h", "sipdomains", "bob1@h"]


def test_many_called_parties_share_the_last_lane():
    calls = [root(), *(leg(number) for number in range(1, 12))]
    last = calls[-1].sid
    found = course(CALL, [sip("out", "INVITE", leg=last)], NOON, legs=legs(calls, calls[0]))
    assert len(found.lanes) == 2 + MAX_CALLED
    assert found.lanes[-1].name == "7 others"
    assert drawn(found) == [(1, 1 + MAX_CALLED, True, "INVITE")]


def test_request_says_why_and_the_answer_what_came():
    events = [event("webhook", 0.0, reason="voice-url"), event("webhook", 5.0, reason="redirect")]
    rows = [
        attempt(1, 0.02, status=0, took=1000, error_code=11202, error_message="refused"),
        attempt(2, 1.5, number=2, response_body="<Response/>"),
        attempt(3, 5.001, method="GET", status=500, error_code=11200),
        attempt(4, 6.0, purpose="status-callback", status=204),
    ]
    found = course(CALL, events, NOON, attempts=attempts(rows, NOON))
    assert [(row.words, row.tone) for row in found.rows] == [
        ("POST /voice (voice URL of the domain)", "http"),
        ("No answer after 1.00 s: The application's server refused the connection", "server-error"),
        ("POST /voice (voice URL of the domain, attempt 2)", "http"),
        ("200 after 20 ms, 11 B", "success"),
        ("GET /voice (Redirect)", "http"),
        ("500 after 20 ms, 0 B", "server-error"),
        ("POST /voice (status callback)", "http"),
        ("204 after 20 ms, 0 B", "success"),
    ]


def test_request_whose_attempt_is_not_stored_yet_is_told_by_its_event():
    found = course(CALL, [event("webhook", url="u", method="GET", reason="voice-url")], NOON)
    assert [row.words for row in found.rows] == ["GET u (voice-url)"]


def test_verb_during_which_nothing_happened_is_one_row():
    found = course(
        CALL,
        [
            event("verb-started", 0.0, index=0, verb="Say", summary="Say x"),
            event("verb-ended", 2.5, index=0, verb="Say", outcome="continue"),
            event("verb-started", 2.5, index=1, verb="Dial", summary="Dial y"),
            event("media", 3.0, what="hold", direction="recvonly"),
            event("verb-ended", 4.0, index=1, verb="Dial", outcome="failed 13223"),
        ],
        NOON,
    )
    assert [(row.words, row.tone) for row in found.rows] == [
        ("Say x: done, 2.50 s", "plain"),
        ("Dial y", "plain"),
        ("Put on hold (recvonly)", "plain"),
        ("Dial: failed 13223, 1.50 s", "client-error"),
    ]


def test_bridge_is_told_once_and_an_ending_by_its_reason():
    calls = [root(), leg(1)]
    found = course(
        CALL,
        [
            event("bridged", 0.0, **{"with": calls[1].sid}),
            event("bridged", 0.0, leg=calls[1].sid, **{"with": CALL}),
            event("interrupt", 1.0, what="redirected"),
            event("interrupt", 2.0, what="caller-hangup"),
            event("closed", 2.0, reason="The caller hung up."),
        ],
        NOON,
        legs=legs(calls, calls[0]),
    )
    assert [row.words for row in found.rows] == [
        "Connected with bob1@h",
        "A new document takes the place of the running one",
        "The caller hung up.",
    ]


def test_what_sip_says_is_not_said_again():
    facts = [event("ringing", 0.1), event("answered", 0.2)]
    traced = [sip("in", "INVITE"), *facts]
    assert len(course(CALL, facts, NOON).rows) == 2
    assert len(course(CALL, traced, NOON).rows) == 1


def test_notification_has_a_place_in_the_course():
    note = Notification(sid="NO1", at=NOON, code=11200, level="error", message="m")
    [row] = course(CALL, [], NOON, notes=[note]).rows
    assert (row.place, row.words) == ("n-NO1", "11200 The application gave no usable answer")


def test_long_calls_are_cut_and_long_messages_loaded_later():
    events = [sip("in", "INFO", number, text="x" * 100) for number in range(10)]
    found = course(CALL, events, NOON, limit=4, inline=250)
    assert (len(found.rows), found.total) == (4, 10)
    assert [row.later for row in found.rows] == [False, False, True, True]
    assert len(course(CALL, events, NOON, limit=None).rows) == 10


def test_passwords_are_masked():
    url = "http://bob:hunter2@app/x"
    found = course(CALL, [event("webhook", url=url, method="GET")], NOON)
    assert "hunter2" not in found.rows[0].words


@pytest.mark.parametrize("data", [{}, {"dir": None, "summary": 5, "text": ["x"]}, {"text": "\0"}])
def test_odd_events_are_no_error(data):
    kinds = ("sip", "media", "bridged", "verb-started", "verb-ended", "webhook", "x")
    odd = [CallEvent(call_id=CALL, seq=1, kind=kind, at=NOON, data=data) for kind in kinds]
    assert len(course(CALL, odd, NOON).rows) in (6, 7)


TONES = [
    ("INVITE", "request"),
    ("100 Trying", "provisional"),
    ("200 OK (BYE)", "success"),
    ("302 Moved Temporarily (INVITE)", "redirect"),
    ("486 Busy Here (INVITE)", "client-error"),
    ("503 Service Unavailable (INVITE)", "server-error"),
    ("603", "server-error"),
    ("1000", "request"),
    ("", "request"),
]


@pytest.mark.parametrize(("summary", "expected"), TONES)
def test_tone_is_the_status_class(summary, expected):
    assert tone(summary) == expected


@pytest.mark.parametrize(
    ("summary", "expected"),
    [("200 OK (INVITE)", "200"), ("SUBSCRIBE", "SUBSCRIBE"), ("X" * 40, "X" * 9), ("", "")],
)
def test_label_is_short(summary, expected):
    assert short(summary) == expected
