"""The pages of the bench: what is asked for, and how a run is shown."""

from __future__ import annotations

import pytest
from django.core.cache import cache
from django.urls import reverse

from sipdomains import access
from sipdomains.bench import BenchResult, Move
from sipdomains.contracts import TASK_BENCH_STEP
from sipdomains.models import Account
from sipdomains.services import benchruns
from sipdomains.web.benchview import source, transcript

BENCH = reverse("web:bench")


@pytest.fixture(autouse=True)
def _empty_cache():
    cache.clear()


@pytest.fixture
def sent(monkeypatch):
    tasks = []
    monkeypatch.setattr(
        "celery.Celery.send_task", lambda app, name, args=(), **_: tasks.append((name, args))
    )
    return tasks


def form(domain_sid: str, **changes) -> dict[str, str]:
    values = {
        "owner": domain_sid, "source": "paste", "document": "<Response><Say>Hi</Say></Response>",
        "base_url": "", "url": "", "method": "POST", "caller": "alice", "called": "100",
        "username": "", "fallback": "on",
    }  # fmt: skip
    return values | changes


def text(response) -> str:
    return response.content.decode()


def entry(kind: str, at: float = 0.0, **data) -> dict:
    return {"kind": kind, "at": at, "data": data}


def test_a_run_is_started_as_a_call_to_the_domain(desk, domain, sent) -> None:
    domain.voice_fallback_url, domain.type_ahead = "http://app.example/fallback", True
    domain.voice_url = "http://app.example/voice"
    domain.save()
    answer = desk.post(BENCH, form(domain.sid, base_url="http://app.example/voice"))
    ((name, (id_,)),) = sent
    assert name == TASK_BENCH_STEP
    assert answer["Location"] == reverse("web:bench-run", args=[id_])
    setup = benchruns.find(id_).setup
    assert (setup.account_sid, setup.domain_sid) == (domain.account_id, domain.sid)
    assert (setup.from_, setup.to) == ("sip:alice@pbx.example.net", "sip:100@pbx.example.net")
    assert (setup.fallback_url, setup.type_ahead) == ("http://app.example/fallback", True)
    assert "A worker is about to run it" in text(desk.get(answer["Location"]))


def test_the_form_of_a_domain_begins_with_its_voice_url(desk, domain) -> None:
    domain.voice_url = "http://app.example/voice"
    domain.save()
    shown = text(desk.get(BENCH, {"domain": domain.sid}))
    assert 'value="http://app.example/voice"' in shown
    assert desk.get(BENCH, {"domain": "nonsense"}).status_code == 200


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"document": " "}, "Paste a document."),
        ({"source": "url"}, "Enter the URL."),
        ({"source": "url", "url": "ftp://x/"}, "http://"),
        ({"document": "x" * 70_000}, "at most 65536 characters"),
        ({"owner": "SD" + "0" * 32}, "Select a valid choice"),
        ({"caller": "a<b"}, "Leave out blanks"),
    ],
)
def test_what_cannot_be_run_is_told_at_its_field(desk, domain, sent, changes, words) -> None:
    answer = desk.post(BENCH, form(domain.sid, **changes))
    assert answer.status_code == 400
    assert words in text(answer)
    assert not sent


def test_accounts_beyond_ones_own_are_not_offered(client, make_user, domain, sent) -> None:
    mine = Account.objects.create(friendly_name="Mine")
    client.force_login(make_user("olga", access.OPERATOR, accounts=[mine]))
    shown = text(client.get(BENCH))
    assert mine.sid in shown
    assert domain.sid not in shown
    assert domain.account_id not in shown
    assert client.post(BENCH, form(domain.sid)).status_code == 400
    assert not sent


def test_the_bench_is_for_operators(client, make_user, domain) -> None:
    client.force_login(make_user("vera", access.VIEWER, access.EVERY_ACCOUNT))
    assert client.get(BENCH).status_code == 403
    assert client.post(BENCH, form(domain.sid)).status_code == 403


@pytest.fixture
def waiting(desk, domain, operator, sent) -> str:
    """A run that waits for keys."""
    desk.post(BENCH, form(domain.sid))
    ((_, (id_,)),) = sent
    entries = [
        entry("document", url="", verbs=["Gather"], text="<Response>\n<Gather/>\n</Response>"),
        entry("verb", index=0, verb="Gather", line=2, summary="dtmf"),
        entry("say", text="Press <one>", voice="man", language="en-US", ssml=False),
    ]
    benchruns.put_result(id_, BenchResult(0, entries, {"kind": "keys"}, []))
    sent.clear()
    return id_


def test_a_move_is_made_once_and_carried_on(desk, waiting, sent) -> None:
    url = reverse("web:bench-run", args=[waiting])
    shown = text(desk.get(url))
    assert "What does the caller do?" in shown
    assert "Press &lt;one&gt;" in shown
    assert 'class="line ran last" data-line="2"' in shown
    for _ in range(2):  # a double click
        desk.post(url, {"do": "keys", "keys": "12#", "step": "0"})
    assert sent == [(TASK_BENCH_STEP, (waiting,))]
    assert benchruns.find(waiting).moves == (Move("keys", "12#"),)
    assert "The run goes on" in text(desk.get(url))


@pytest.mark.parametrize(
    ("move", "words"),
    [
        ({"do": "dial", "how": "busy"}, "does not wait for that"),
        ({"do": "keys", "keys": ""}, "at least one key"),
        ({"do": "keys", "keys": "hello"}, "Keys are"),
        ({"do": "keys", "keys": "1" * 65}, "at most 64"),
        ({"do": "x"}, "valid choice"),
    ],
)
def test_moves_that_do_not_fit_are_refused(desk, waiting, sent, move, words) -> None:
    answer = desk.post(reverse("web:bench-run", args=[waiting]), move | {"step": "0"})
    assert answer.status_code == 400
    assert words in text(answer)
    assert not sent


def test_a_run_is_seen_by_who_started_it_only(client, make_user, waiting) -> None:
    client.force_login(make_user("olga", access.OPERATOR, access.EVERY_ACCOUNT))
    url = reverse("web:bench-run", args=[waiting])
    assert client.get(url).status_code == 404
    assert client.post(url, {"do": "hangup", "step": "0"}).status_code == 404
    assert client.get(reverse("web:bench-run", args=["nonsense"])).status_code == 404


def test_the_transcript_shows_requests_with_their_attempts() -> None:
    attempt = {
        "request_id": "r", "attempt": 1, "call_sid": "CA", "account_sid": "AC",
        "purpose": "document", "at": 1_800_000_000.0, "method": "POST",
        "url": "http://app.example/voice", "parameters": [["Digits", "**"]],
        "request_headers": [["X-Twilio-Signature", "abc"]], "status": 500, "response_headers": [],
        "response_body": "oops", "remote_address": "192.0.2.1", "duration_ms": 12.0,
        "connect_ms": 0.0, "first_byte_ms": 0.0, "error_code": 11200, "error_message": "HTTP 500",
    }  # fmt: skip
    request = {"url": "http://app.example/voice", "method": "POST", "why": "gather-action",
               "parameters": [["Digits", "12"]]}  # fmt: skip
    result = BenchResult(
        0,
        [
            entry("request", **request, number=-1),
            entry("request", 61.0, **request, number=0),
            entry("note", code=11200, level="error", message="HTTP 500", url=""),
            entry("verb-end", index=0, verb="Say", outcome="continue"),
            entry("move", do="record", keys="#", seconds=4, how="key"),
            entry("end", text="Over."),
        ],
        {},
        [{"reply": {}, "attempts": [attempt]}],
    )
    given, asked, note, move, end = transcript(result)
    assert (given.sent, given.attempts) == (False, [])
    assert (asked.sent, asked.at, asked.detail) == (True, "1:01", "action of Gather")
    assert asked.parameters == [("Digits", "12")]
    assert asked.attempts[0].row.status == 500
    assert asked.attempts[0].error.code == 11200
    assert note.code.code == 11200
    assert move.text == "You speak for 4 s, ended by the key #."
    assert end.text == "Over."


def test_the_source_marks_what_ran_and_what_runs() -> None:
    verb = {"index": 0, "verb": "Say", "summary": ""}
    entries = [
        entry("document", url="http://a/", verbs=["Say"], text="a\nb\nc"),
        entry("verb", line=1, **verb),
        entry("verb-end", index=0, verb="Say", outcome="continue"),
        entry("verb", line=3, **verb),
    ]
    shown = source(BenchResult(0, entries, {}, []))
    marks = [(line.number, line.ran, line.last) for line in shown.lines]
    assert marks == [(1, True, False), (2, False, False), (3, True, True)]
    assert source(BenchResult(0, [], {}, [])) is None
