"""Documents by GET are cached as their server says; by POST never (webhooks.md section 1)."""

from __future__ import annotations

import pytest

from tests.webhooks.peers import XML, Application, Caller, answer, listening

ONE, TWO = b"<Response><Say>1</Say></Response>", b"<Response><Say>2</Say></Response>"


@pytest.fixture
async def caller():
    caller = Caller()
    yield caller
    await caller.client.aclose()


async def two_fetches(caller: Caller, app: Application, **options: object) -> list[str]:
    """Bodies of the same request made twice."""
    async with listening(app) as port:
        url = f"http://127.0.0.1:{port}/voice"
        options = {"method": "GET", **options}
        replies = [await caller.fetch(url, **options) for _ in range(2)]
    assert [reply.error_code for reply in replies] == [0, 0]
    return [reply.body for reply in replies]


async def test_a_fresh_document_is_not_asked_for_again(caller):
    app = Application(answer(200, ONE, ("Cache-Control", "max-age=60")), answer(200, TWO))
    assert await two_fetches(caller, app) == [ONE.decode()] * 2
    assert len(app.seen) == 1
    assert len(caller.attempts) == 1


@pytest.mark.parametrize(
    ("validator", "condition"),
    [
        (("ETag", '"abc"'), ("if-none-match", '"abc"')),
        (
            ("Last-Modified", "Mon, 23 Nov 2026 00:00:00 GMT"),
            ("if-modified-since", "Mon, 23 Nov 2026 00:00:00 GMT"),
        ),
    ],
)
@pytest.mark.parametrize("control", [(), (("Cache-Control", "no-cache"),)])
async def test_a_stale_document_is_revalidated(caller, validator, condition, control):
    app = Application(answer(200, ONE, validator, *control), answer(304, b"", content_type=""))
    assert await two_fetches(caller, app) == [ONE.decode()] * 2
    name, value = condition
    assert app.seen[1].headers[name] == value
    assert [attempt.status for attempt in caller.attempts] == [200, 304]


async def test_a_changed_document_replaces_the_old_one(caller):
    app = Application(answer(200, ONE, ("ETag", '"1"')), answer(200, TWO, ("ETag", '"2"')))
    assert await two_fetches(caller, app) == [ONE.decode(), TWO.decode()]


@pytest.mark.parametrize(
    ("headers", "options"),
    [
        ((), {}),  # nothing said: a document is made for one moment of one call
        ((("Cache-Control", "no-store"), ("ETag", '"1"')), {}),
        ((("Cache-Control", "max-age=60"), ("Set-Cookie", "a=b")), {}),
        ((("Cache-Control", "max-age=60"), ("Vary", "X-Twilio-Signature")), {}),
        ((("Cache-Control", "max-age=60"),), {"method": "POST"}),
    ],
)
async def test_what_is_not_cached(caller, headers, options):
    app = Application(answer(200, ONE, *headers), answer(200, TWO))
    assert await two_fetches(caller, app, **options) == [ONE.decode(), TWO.decode()]
    assert "if-none-match" not in app.seen[1].headers


async def test_accounts_and_parameters_have_documents_of_their_own(caller):
    app = Application(answer(200, ONE, ("Cache-Control", "max-age=60")), answer(200, TWO))
    async with listening(app) as port:
        url = f"http://127.0.0.1:{port}/voice"
        first = await caller.fetch(url, [("CallSid", "CA1")], method="GET")
        second = await caller.fetch(url, [("CallSid", "CA2")], method="GET")
    assert (first.body, second.body) == (ONE.decode(), TWO.decode())


async def test_answers_to_the_calls_own_cookies_are_not_cached(caller):
    app = Application(
        answer(200, XML, ("Set-Cookie", "a=b")),
        answer(200, ONE, ("Cache-Control", "max-age=60")),
        answer(200, TWO),
    )
    async with listening(app) as port:
        url = f"http://127.0.0.1:{port}/voice"
        session = (await caller.fetch(url, method="GET")).session
        bodies = [(await caller.fetch(url, method="GET", session=session)).body for _ in range(2)]
    assert app.seen[1].headers["cookie"] == "a=b"
    assert bodies == [ONE.decode(), TWO.decode()]
