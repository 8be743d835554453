"""Pure parts: steps, timeline, media, codes, verdicts, formatting."""

from datetime import timedelta
from pathlib import Path

import pytest

from sipdomains import redaction
from sipdomains.contracts import CALL_STATUSES, EVENT_KINDS
from sipdomains.models import Call, CallEvent
from sipdomains.selectors import ORDINARY_CAUSES
from sipdomains.web import errorcodes, formatting
from sipdomains.web import verdict as verdicts
from sipdomains.web.errorcodes import explain
from sipdomains.web.media import media_rows, remote_rows
from sipdomains.web.steps import documents
from sipdomains.web.timeline import describe
from sipdomains.web.verdict import verdict
from sipdomains.web.webhooks import phases
from sipserver.calls.termination import CAUSES
from sipserver.media.protocol import STATS_FIELDS
from tests.sipdomains.web.conftest import NOON


def event(kind, after=0.0, **data):
    return CallEvent(kind=kind, at=NOON + timedelta(seconds=after), data=data)


# --- steps ---


def test_documents_hold_their_verbs_with_times_and_outcomes():
    found = documents(
        [
            event("webhook", 0.0, url="http://a/1", method="POST", reason="voice-url"),
            event(
                "document", 1.0, url="http://a/1", verbs=["Say", "Redirect", "Play"], body="1\n2"
            ),
            event("verb-started", 1.0, index=0, verb="Say", line=2, summary='Say "hi"'),
            event("verb-ended", 3.5, index=0, verb="Say", outcome="continue"),
            event("verb-started", 3.5, index=1, verb="Redirect", line=9, summary=""),
            event("verb-ended", 3.5, index=1, verb="Redirect", outcome="fetch"),
            event("webhook", 3.5, url="http://a/2", method="POST", reason="redirect"),
            event("document", 4.0, url="http://u:secret@a/2", verbs=["Play", "Play"], body="<P/>"),
            event("verb-started", 4.0, index=0, verb="Play", line=1, summary="Play x"),
            event("verb-ended", 4.1, index=0, verb="Play", outcome="failed 13420"),
            event("verb-started", 4.1, index=1, verb="Play", line=1, summary="Play y"),
        ],
        NOON,
    )
    first, second = found
    assert (first.reason, second.reason) == ("voice URL of the domain", "Redirect")
    assert [(s.start, s.duration, s.outcome, s.failed) for s in first.steps] == [
        ("+1.000 s", "2.50 s", "done", False),
        ("+3.500 s", "0 ms", "led to another document", False),
    ]
    assert first.skipped == ["Play"]
    assert [(line.ran, line.last, line.beside) for line in first.lines] == [
        (False, False, []),
        (True, False, ["done, 2.50 s"]),
    ]
    assert second.url == "http://u:…@a/2"
    assert [(s.outcome, s.failed, s.duration) for s in second.steps] == [
        ("failed 13420", True, "100 ms"),
        ("", False, ""),
    ]
    [line] = second.lines
    assert (line.last, line.failed, line.beside) == (True, True, ["failed 13420, 100 ms", ""])


def test_verbs_without_a_document_are_no_error():
    odd = [event("verb-started", index=0), event("verb-ended", index=7), event("document")]
    assert [document.steps for document in documents(odd, NOON)] == [[]]


# --- timeline ---

# fmt: off
WORDS = [
    ("sip", {"dir": "out", "summary": "180 Ringing", "peer": "p"}, "180 Ringing, sent to p"),
    ("sip", {"dir": "in", "summary": "INVITE", "peer": "p"}, "INVITE, received from p"),
    ("accepted", {"username": "al", "acl": "Office"}, "The caller may call: user al, access"),
    ("accepted", {"username": "", "acl": ""}, "The caller may call."),
    ("ringing", {}, "180 sent"),
    ("answered", {}, "200 sent"),
    ("webhook", {"url": "u", "method": "GET", "reason": "r"}, "GET u (r)"),
    ("document", {"url": "u", "verbs": ["Say", "Play"]}, "Say, Play from u"),
    ("document", {"url": "u", "verbs": []}, "no verbs from u"),
    ("verb-started", {"verb": "Say", "summary": "Say hi"}, "Say hi"),
    ("verb-ended", {"verb": "Say", "outcome": "call-ended"}, "Say: cut short"),
    ("media", {"what": "connected", "codec": "PCMA"}, "Audio connected, PCMA"),
    ("media", {"what": "first-packet", "remote": ["h", 9], "ms": 41.2}, "First audio packet from"),
    ("media", {"what": "first-packet"}, "First audio packet from the caller"),
    ("media", {"what": "hold", "direction": "recvonly"}, "Put on hold (recvonly)"),
    ("media", {"what": "resume"}, "Taken off hold"), ("media", {"what": "lost"}, "lost"),
    ("command", {"what": "hangup", "by": "SK1"}, "The REST API (SK1) ended the call."),
    ("initiated", {"target": "sip:b@h"}, "INVITE for sip:b@h"),
    ("dial", {"what": "started", "call_sid": "CA1", "to": "sip:b@h"}, "Dialling sip:b@h"),
    ("dial", {"what": "answered", "call_sid": "CA1"}, "Answered by bob"),
    ("dial", {"what": "screening", "call_sid": "CA1"}, "bob hears a document of its own"),
    ("dial", {"what": "newer", "call_sid": "CA2"}, "newer: CA2"),
    ("bridged", {"with": "CA1"}, "Connected with bob"),
    ("bridged", {}, "Connected with the other party"),
    ("unbridged", {"with": "CA1", "why": "hangup"}, "Connection with bob ended: one of the two"),
    ("recording", {"what": "started", "recording_sid": "RE1"}, "Recording"),
    ("recording", {"what": "ended", "cause": "hangup", "status": "completed", "seconds": 4},
     "Recording ended by hang-up: 4 s kept"),
    ("recording", {"what": "ended", "cause": "silence", "status": "absent", "seconds": 0},
     "Recording ended by silence: nothing kept (absent)"),
    ("transfer", {"what": "sent", "target": "sip:b@h"}, "REFER sent: the peer shall call sip:b@h"),
    ("transfer", {"what": "received", "target": "sip:b@h"}, "REFER received: the peer wants sip:"),
    ("transfer", {"what": "notified", "status": 180}, "NOTIFY: 180 of the transfer's target"),
    ("transfer", {"what": "ended", "by": "final", "status": 486},
     "Transfer over with 486 (a final NOTIFY told)"),
    ("transfer", {"what": "ended", "by": "timeout", "status": 0},
     "Transfer over (nothing was told in time)"),
    ("interrupt", {"what": "caller-hangup"}, "What runs is ended: caller hangup"),
    ("interrupt", {"what": "redirected"}, "A new document takes the place"),
    ("closed", {"cause": "reject"}, "reject"),
]
# fmt: on


@pytest.mark.parametrize(("kind", "data", "words"), WORDS)
def test_every_kind_of_event_is_told_in_words(kind, data, words):
    assert describe(kind, data, names={"CA1": "bob"}).startswith(words)


def test_events_of_a_placed_call_are_told_from_its_side():
    assert describe("ringing", {}, placed=True) == "It rings there."
    assert describe("answered", {}, placed=True) == "200 received: the call is answered."


def test_the_table_above_has_every_kind():
    assert {kind for kind, *_ in WORDS} == set(EVENT_KINDS)


# --- verdict ---


def ended(cause, answered=True):
    row = CAUSES[cause]
    return Call(
        status=row.status,
        cause=cause,
        reason=row.text,
        error_code=row.code,
        sip_status=200 if answered else row.sip_status,
        started_at=NOON,
        answered_at=NOON if answered else None,
        ended_at=NOON + timedelta(seconds=5),
        duration=5 if answered else None,
    )


@pytest.mark.parametrize("cause", CAUSES)
def test_every_cause_has_a_verdict_that_names_who_and_how(cause):
    row = CAUSES[cause]
    found = verdict(ended(cause, answered=not row.sip_status), [])
    assert found.reason == row.text
    assert found.code == row.code
    # What the application or a party decided is its right: nothing is to be mended.
    blame = "nobody" if cause in ORDINARY_CAUSES else row.blame
    assert verdicts.CAUSES[cause][0] == blame
    assert found.turn
    assert (found.tone == "bad") == (blame != "nobody")
    assert found.mend or found.tone != "bad"


def test_verdicts_know_the_causes_that_are_written():
    assert set(verdicts.CAUSES) == set(CAUSES) | {"node-lost", "queue-expired"}


HEADLINES = [
    ("caller-hangup", True, "Completed after 5 s"),
    ("application-error", True, "Ended with a problem after 5 s"),
    ("ack-timeout", True, "Failed after 5 s"),
    ("bad-credentials", False, "Refused with 403"),
    ("media-unavailable", False, "Failed with 503"),
    ("reject-busy", False, "Rejected with 486"),
    ("canceled", False, "Given up before it was answered"),
    ("ack-timeout", False, "Failed without an answer"),
]
PLACED = [
    ("callee-busy", "Busy, answered 486"),
    ("callee-no-answer", "Not answered"),
    ("ring-timeout", "Not answered"),
    ("callee-declined", "Refused there with 603"),
    ("callee-unreachable", "Failed without an answer"),
    ("undialable", "Not dialled"),
    ("dial-cancelled", "Given up before it was answered"),
]


@pytest.mark.parametrize(("cause", "answered", "headline"), HEADLINES)
def test_headline(cause, answered, headline):
    assert verdict(ended(cause, answered), []).headline == headline


@pytest.mark.parametrize(("cause", "headline"), PLACED)
def test_headline_of_a_placed_call(cause, headline):
    call = ended(cause, answered=False)
    call.direction = "outbound-dial"
    found = verdict(call, [])
    assert found.headline == headline
    assert "caller" not in found.turn


LIVE = [
    ([event("bridged")], "Connected with another party."),
    ([event("initiated", target="sip:b@h")], "The INVITE is on its way."),
    ([], ""),
    ([event("ringing"), event("webhook", url="u")], "Waiting for the application's document."),
    ([event("verb-started", verb="Say", summary="Say hi"), event("media")], "Now: Say hi"),
    ([event("verb-ended", verb="Say")], "Between two steps of the document."),
    ([event("accepted")], "The call was accepted; the application is about to be asked."),
]


@pytest.mark.parametrize(("events", "words"), LIVE)
def test_a_live_call_tells_what_it_is_doing(events, words):
    call = Call(status="in-progress", answered_at=NOON, started_at=NOON)
    found = verdict(call, events)
    assert (found.tone, found.reason) == ("live", words)


def test_unknown_cause_still_reads():
    call = ended("reject")
    call.cause = "from-a-newer-version"
    found = verdict(call, [])
    assert (found.headline, found.tone, found.turn) == ("Completed after 5 s", "neutral", "")


# --- codes ---


ENDS_OF_RANGES = {14214}  # five digits in the source that are no codes


def _emitted_codes():
    root = Path(__file__).parents[3]
    words = " ".join(
        path.read_text("utf-8")
        for package in ("twimlrunner", "sipserver/calls", "sipserver/sdp", "sipdomains/services")
        for path in (root / package).rglob("*.py")
    )
    numbers = {int(word) for word in _digits(words) if len(word) == 5 and word.isdecimal()}
    families = (range(10000, 12500), range(13200, 14400), range(15000, 15100), range(32000, 32300))
    numbers -= ENDS_OF_RANGES
    return sorted(n for n in numbers if any(n in f for f in (*families, range(59900, 60000))))


def _digits(text):
    return "".join(c if c.isascii() and (c.isalnum() or c == "_") else " " for c in text).split()


def test_every_code_in_the_source_is_explained():
    unexplained = [code for code in _emitted_codes() if not explain(code).title]
    assert unexplained == []


def test_codes_name_who_and_how():
    assert len(errorcodes._CODES) == len(errorcodes._TABLE)
    for info in errorcodes._CODES.values():
        assert info.title
        assert info.mend.endswith(".")
        assert info.who in verdicts._TURN


@pytest.mark.parametrize("code", [13231, 13313, 14300])
def test_codes_of_verbs_are_explained_by_range(code):
    assert "not valid" in explain(code).title


def test_unknown_code_is_no_error():
    assert explain(99999).title == ""


# --- media ---

FULL = {
    "codec": "PCMU",
    "remote": ["2001:db8::1", 4000],
    "latched": True,
    "source_changes": 1,
    "foreign": 2,
    "malformed": 3,
    "packets_sent": 1000,
    "bytes_sent": 160000,
    "send_errors": 4,
    "packets_received": 950,
    "bytes_received": 152000,
    "lost": 50,
    "duplicates": 5,
    "out_of_order": 6,
    "jitter_ms": 21.4,
    "rtt_ms": 350.0,
    "remote_lost": 5,
    "remote_jitter_ms": 3.0,
    "remote_reports": 4,
    "remote_fraction": 2.0,
    "remote_highest": 1004,
    "first_packet_ms": 40.0,
    "digits": 2,
    "late_ticks": 100,
    "deviation_ms": {"p50": 0.1, "p95": 0.2, "p99": 0.3, "max": 9.0},
    "mos": 3.6,
    "remote_mos": 4.2,
    "duration_s": 20.0,
}


def test_media_rows_judge_what_can_be_judged():
    assert set(FULL) == set(STATS_FIELDS)
    rows = {row.name: (row.value, row.mark) for row in [*media_rows(FULL), *remote_rows(FULL)]}
    assert rows["Audio goes to"] == ("[2001:db8::1]:4000", "")
    assert rows["Lost on the way to us"] == ("50 (5.0 %)", "poor")
    assert rows["Lost on the way to the caller"] == ("5 (0.5 %)", "good")
    assert rows["Jitter, from the caller"] == ("21.4 ms", "fair")
    assert rows["Round trip"] == ("350 ms", "poor")
    assert rows["Lost lately"] == ("2.0 %", "fair")
    assert rows["Reports received"] == ("4", "")
    assert rows["Quality we hear (MOS)"] == ("3.6", "fair")
    assert rows["Late ticks"] == ("100 (10.0 %)", "poor")
    assert rows["Our spacing off by (ms)"][0] == "p50 0.1 · p95 0.2 · p99 0.3 · max 9.0"
    assert {"Duplicate packets", "Malformed packets", "Send errors"} <= set(rows)


def test_silence_of_the_caller_stands_out():
    silent = FULL | {"packets_received": 0, "lost": 0, "mos": None, "remote_lost": None}
    rows = {row.name: row for row in media_rows(silent)}
    assert rows["Packets received"].mark == "poor"
    assert "Quality we hear (MOS)" not in rows
    assert remote_rows(silent) == []
    assert rows["Lost on the way to us"].value == "0 (0.0 %)"


@pytest.mark.parametrize("stats", [None, {}, [], "x"])
def test_no_media_no_rows(stats):
    assert media_rows(stats) == remote_rows(stats) == []


def test_partial_and_odd_statistics_are_no_error():
    odd = {"codec": None, "remote": "x", "mos": "high", "lost": True, "deviation_ms": {"p50": "?"}}
    assert [row.name for row in media_rows(odd)] == ["Codec"]


# --- formatting ---


def test_every_status_has_a_word():
    assert set(formatting.STATUS_WORDS) == set(CALL_STATUSES)


@pytest.mark.parametrize(
    ("seconds", "clock", "words"),
    [
        (None, "–", "an unknown time"),
        (0, "0:00", "0 s"),
        (59, "0:59", "59 s"),
        (125, "2:05", "2 min 5 s"),
        (3723, "1:02:03", "1 h 2 min"),
    ],
)
def test_lengths(seconds, clock, words):
    assert formatting.clock(seconds) == clock
    assert formatting.duration_words(seconds) == words


@pytest.mark.parametrize(
    ("after", "text"),
    [(0, "+0.000 s"), (-0.25, "-0.250 s"), (59.5, "+59.500 s"), (3661.5, "+61:01.500")],
)
def test_offsets(after, text):
    assert formatting.offset(NOON + timedelta(seconds=after), NOON) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0 ms"), (0.44, "0.4 ms"), (35.4, "35 ms"), (1250, "1.25 s")]
)
def test_milliseconds(value, text):
    assert formatting.milliseconds(value) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://u:p@h/x?a=b:c@d", "http://u:…@h/x?a=b:c@d"),
        ("see HTTPS://u:p@h and ftp://a:b@c", "see HTTPS://u:…@h and ftp://a:…@c"),
        ("http://:p@h/", "http://:…@h/"),
        ("http://u:p@ss@h/", "http://u:…@h/"),
        ("http://h:80/a@b", "http://h:80/a@b"),
        ("sip:u@h", "sip:u@h"),
        ("sip:u:p@h", "sip:u:…@h"),
        ("http://h/?Digits=1234&a=b", "http://h/?Digits=…&a=b"),
    ],
)
def test_passwords_in_urls_are_masked(text, shown):
    assert redaction.masked(text) == shown


def test_secret_headers_are_masked_and_odd_pairs_left_out():
    pairs = [["authorization", "Basic x"], ["Set-Cookie", "s=1"], ["A", "http://u:p@h"], ["B"], "C"]
    shown = [("authorization", "…"), ("Set-Cookie", "…"), ("A", "http://u:…@h")]
    assert redaction.masked_pairs(pairs) == shown
    assert redaction.masked_pairs(None) == redaction.masked_pairs({"a": 1}) == []


@pytest.mark.parametrize(
    ("uri", "domain", "shown"),
    [
        ("sip:al@x.net;transport=tcp?a=b", "x.net", "al"),
        ("sips:al@X.net:5061", "x.net", "al"),
        ("sip:al@y.net", "x.net", "al@y.net"),
        ("sip:x.net", "x.net", "x.net"),
        ("tel:+49", "x.net", "+49"),
        ("anonymous", "", "anonymous"),
        ("sip:", "", "sip:"),
        ("", "", ""),
    ],
)
def test_parties_are_short(uri, domain, shown):
    assert formatting.party(uri, domain) == shown


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ((100, 20, 80), [("connect", 0, 10), ("wait", 10, 30), ("receive", 40, 10)]),
        ((100, 0, 0), [("unanswered", 0, 50)]),
        ((100, 20, 0), [("connect", 0, 10), ("unanswered", 10, 40)]),
        ((100, 0, 150), [("wait", 0, 50)]),
        ((0, 0, 0), []),
    ],
)
def test_phases_of_an_attempt(times, expected):
    assert [(p.name, p.start, p.share) for p in phases(*times, longest=200)] == expected
