"""The course of one logical request against a real server on loopback."""

import asyncio
import hashlib
from base64 import b64encode
from urllib.parse import parse_qsl

import pytest
from twilio.request_validator import RequestValidator

from tests.webhooks.peers import TOKEN, XML, Application, Caller, answer, listening
from twimlrunner.webhooks.config import WebhookConfig
from twimlrunner.webhooks.egress import EgressPolicy


@pytest.fixture
async def caller():
    caller = Caller()
    yield caller
    await caller.client.aclose()


def valid(seen, port):
    form = dict(parse_qsl(seen.body.decode(), keep_blank_values=True))
    url = f"http://127.0.0.1:{port}{seen.target}"
    return RequestValidator(TOKEN).validate(url, form, seen.headers["x-twilio-signature"])


async def test_post(caller):
    app = Application(answer())
    async with listening(app) as port:
        reply = await caller.fetch(f"http://127.0.0.1:{port}/voice?t=1#rc=2", [("A", "1 2")])
    assert (reply.error_code, reply.status, reply.attempts) == (0, 200, 1)
    assert (reply.body, reply.content_type) == ("<Response/>", "text/xml")
    assert reply.final_url == f"http://127.0.0.1:{port}/voice?t=1"
    (seen,) = app.seen
    assert (seen.method, seen.target, seen.body) == ("POST", "/voice?t=1", b"A=1+2")
    assert seen.headers["host"] == f"127.0.0.1:{port}"
    assert seen.headers["i-twilio-idempotency-token"] == "11111111-2222-4333-8444-555555555555"
    assert valid(seen, port)
    (attempt,) = caller.attempts
    assert (attempt.attempt, attempt.status, attempt.error_code) == (1, 200, 0)
    assert attempt.url == f"http://127.0.0.1:{port}/voice?t=1"
    assert (attempt.parameters, attempt.response_body) == ([("A", "1 2")], "<Response/>")
    assert ("Content-Type", "text/xml") in attempt.response_headers
    assert attempt.remote_address == "127.0.0.1"
    assert 0 < attempt.connect_ms <= attempt.first_byte_ms <= attempt.duration_ms < 5000


async def test_get(caller):
    app = Application(answer())
    async with listening(app) as port:
        reply = await caller.fetch(f"http://127.0.0.1:{port}/v?t=1", [("A", "1")], method="GET")
    assert reply.error_code == 0
    (seen,) = app.seen
    assert (seen.method, seen.target, seen.body) == ("GET", "/v?t=1&A=1", b"")
    assert valid(seen, port)


async def test_connections_are_kept_alive_and_cookies_are_not_shared(caller):
    app = Application(answer(200, XML, ("Set-Cookie", "sid=1")))
    async with listening(app) as port:
        for _ in range(3):
            await caller.fetch(f"http://127.0.0.1:{port}/")
    assert app.connections == 1
    assert all("cookie" not in seen.headers for seen in app.seen)


async def test_connection_closed_while_idle_is_replaced(caller):
    connections = 0

    async def once(reader, writer):
        nonlocal connections
        connections += 1
        await Application(answer())(Limited(reader), writer)

    class Limited:
        """Ends the connection when the second request has come in: no byte is answered."""

        def __init__(self, reader):
            self.reader, self.requests = reader, 0

        async def readuntil(self, mark):
            data = await self.reader.readuntil(mark)
            self.requests += 1
            if self.requests > 1:
                raise ConnectionResetError
            return data

        async def readexactly(self, size):
            return await self.reader.readexactly(size)

    async with listening(once) as port:
        replies = [await caller.fetch(f"http://127.0.0.1:{port}/") for _ in range(3)]
    assert [reply.error_code for reply in replies] == [0, 0, 0]
    assert connections == 3


@pytest.mark.parametrize(
    ("status", "method", "second"),
    [
        (301, "POST", ("GET", b"")),
        (302, "POST", ("GET", b"")),
        (303, "POST", ("GET", b"")),
        (307, "POST", ("POST", b"CallSid=CA2")),
        (308, "POST", ("POST", b"CallSid=CA2")),
        (302, "GET", ("GET", b"")),
        (307, "GET", ("GET", b"")),
    ],
)
async def test_redirects(caller, status, method, second):
    app = Application(answer(status, b"", ("Location", "/next?x=1#frag")), answer())
    async with listening(app) as port:
        reply = await caller.fetch(f"http://127.0.0.1:{port}/first", method=method)
    assert (reply.error_code, reply.attempts) == (0, 2)
    assert reply.final_url == f"http://127.0.0.1:{port}/next?x=1"
    seen = app.seen[1]
    assert (seen.method, seen.body) == second
    assert seen.target == "/next?x=1"
    assert valid(seen, port)
    assert [attempt.attempt for attempt in caller.attempts] == [1, 2]


async def test_redirect_loop_ends_after_ten(caller):
    app = Application(answer(302, b"", ("Location", "/again")))
    async with listening(app) as port:
        reply = await caller.fetch(f"http://127.0.0.1:{port}/")
    assert reply.error_code == 11215
    assert len(app.seen) == 11


@pytest.mark.parametrize(
    ("location", "code"),
    [
        ("ftp://h/x", 11100),
        ("http://h:99999/", 11100),
        ("//[", 11100),
        ("http://[/#x", 11100),
        ("http://169.254.169.254/x", 59902),
    ],
)
async def test_redirects_elsewhere_are_judged_again(caller, location, code):
    app = Application(answer(302, b"", ("Location", location)))
    async with listening(app) as port:
        reply = await caller.fetch(f"http://127.0.0.1:{port}/")
    assert reply.error_code == code


async def test_cookies_last_for_the_call(caller):
    app = Application(answer(200, XML, ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2; Path=/x")))
    async with listening(app) as port:
        base = f"http://127.0.0.1:{port}"
        first = await caller.fetch(f"{base}/voice")
        await caller.fetch(f"{base}/voice", session=first.session)
        await caller.fetch(f"{base}/x/y", session=first.session)
    assert [seen.headers.get("cookie") for seen in app.seen] == [None, "a=1", "b=2; a=1"]
    assert ("Cookie", "(hidden)") in caller.attempts[1].request_headers
    assert ("Set-Cookie", "(hidden)") in caller.attempts[0].response_headers


def digest_response(header, method, password, name="md5"):
    fields = {
        key.strip(): value.strip('"')
        for key, _, value in (part.partition("=") for part in header[7:].split(","))
    }

    def h(text):
        return hashlib.new(name, text.encode()).hexdigest()

    expected = h(
        ":".join(
            [
                h(f"{fields['username']}:{fields['realm']}:{password}"),
                fields["nonce"], fields["nc"], fields["cnonce"], fields["qop"],
                h(f"{method}:{fields['uri']}"),
            ]
        )
    )  # fmt: skip
    return fields, expected


async def test_basic_authentication_only_when_asked(caller):
    app = Application(answer(401, b"", ("WWW-Authenticate", 'Basic realm="x"')), answer())
    async with listening(app) as port:
        reply = await caller.fetch(f"http://us%3Aer:p%40ss@127.0.0.1:{port}/voice")
        again = await caller.fetch(
            f"http://us%3Aer:p%40ss@127.0.0.1:{port}/more", session=reply.session
        )
    assert (reply.error_code, reply.attempts, again.attempts) == (0, 2, 1)
    assert "authorization" not in app.seen[0].headers
    expected = "Basic " + b64encode(b"us:er:p@ss").decode()
    assert [seen.headers["authorization"] for seen in app.seen[1:]] == [expected, expected]
    assert all(valid(seen, port) for seen in app.seen)
    recorded = repr(caller.attempts)
    assert "p@ss" not in recorded
    assert "p%40ss" not in recorded
    assert expected not in recorded


@pytest.mark.parametrize(("algorithm", "name"), [("MD5", "md5"), ("SHA-256", "sha256")])
async def test_digest_authentication(caller, algorithm, name):
    challenge = f'Digest realm="r", nonce="n1", qop="auth", algorithm={algorithm}, opaque="o"'
    app = Application(answer(401, b"", ("WWW-Authenticate", challenge)), answer())
    async with listening(app) as port:
        url = f"http://user:secret@127.0.0.1:{port}/voice?x=1"
        reply = await caller.fetch(url)
        await caller.fetch(url, session=reply.session)
    for number, seen in enumerate(app.seen[1:], 1):
        fields, expected = digest_response(seen.headers["authorization"], "POST", "secret", name)
        assert fields["response"] == expected
        assert (fields["uri"], fields["opaque"]) == ("/voice?x=1", "o")
        assert fields["nc"] == f"{number:08x}"


async def test_stale_nonce_is_replaced_once(caller):
    def challenge(nonce):
        value = f'Digest realm="r", nonce="{nonce}", qop="auth", stale=true'
        return answer(401, b"", ("WWW-Authenticate", value))

    app = Application(challenge("n1"), challenge("n2"), answer())
    async with listening(app) as port:
        reply = await caller.fetch(f"http://user:secret@127.0.0.1:{port}/")
    assert (reply.error_code, reply.attempts) == (0, 3)


@pytest.mark.parametrize("credentials", ["", "user:wrong@"])
async def test_refused_authentication_is_a_failure(caller, credentials):
    app = Application(answer(401, b"", ("WWW-Authenticate", 'Digest realm="r", nonce="n"')))
    async with listening(app) as port:
        reply = await caller.fetch(f"http://{credentials}127.0.0.1:{port}/")
    assert (reply.error_code, reply.status) == (11200, 401)
    assert len(app.seen) == (2 if credentials else 1)


@pytest.mark.parametrize("status", [300, 304, 400, 404, 500, 503])
async def test_other_statuses_are_failures(caller, status):
    async with listening(Application(answer(status, b"oops"))) as port:
        reply = await caller.fetch(f"http://127.0.0.1:{port}/")
    assert (reply.error_code, reply.status) == (11200, status)


@pytest.mark.parametrize(
    ("fragment", "script", "code", "attempts"),
    [
        ("", [500, 200], 11200, 1),
        ("#rp=5xx", [500, 200], 0, 2),
        ("#rp=5xx&rc=2", [500, 503, 200], 0, 3),
        ("#rp=5xx&rc=1", [500, 503, 200], 11200, 2),
        ("#rp=4xx", [404, 200], 0, 2),
        ("#rp=4xx", [500, 200], 11200, 1),
        ("#rp=all&rc=5", [404, 500, 200], 0, 3),
        ("#rp=9xx", [200], 11243, 0),
    ],
)
async def test_retries(caller, fragment, script, code, attempts):
    app = Application(*[answer(status) for status in script])
    async with listening(app) as port:
        reply = await caller.fetch(f"http://127.0.0.1:{port}/{fragment}")
    assert (reply.error_code, len(app.seen), reply.attempts) == (code, attempts, attempts)
    assert len({seen.headers["i-twilio-idempotency-token"] for seen in app.seen}) <= 1


async def test_refused_connection_is_tried_twice(caller):
    async with listening(Application(answer())) as port:
        pass
    reply = await caller.fetch(f"http://127.0.0.1:{port}/")
    assert (reply.error_code, reply.attempts) == (11202, 2)
    assert [attempt.error_code for attempt in caller.attempts] == [11202, 11202]


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://no-such-host.invalid/", 11210),
        ("/relative", 11100),
        ("http://[#rc=1", 11100),
        ("http://169.254.169.254/latest/meta-data", 59902),
        ("http://[::ffff:169.254.169.254]/", 59902),
    ],
)
async def test_urls_that_lead_nowhere(caller, url, code):
    reply = await caller.fetch(url)
    assert reply.error_code == code
    assert reply.error_message


async def test_loopback_denied_by_configuration():
    config = WebhookConfig(egress=EgressPolicy(allow_loopback=False))
    caller = Caller(config)
    app = Application(answer())
    async with listening(app) as port:
        for host in ("127.0.0.1", "localhost", "2130706433", "[::ffff:7f00:1]", "0x7f.1"):
            reply = await caller.fetch(f"http://{host}:{port}/")
            assert reply.error_code == 59902
    assert app.connections == 0
    await caller.client.aclose()


async def test_host_header_and_pinned_address(caller):
    app = Application(answer())
    async with listening(app) as port:
        reply = await caller.fetch(f"http://LocalHost:{port}/")
    assert reply.error_code == 0
    assert app.seen[0].headers["host"] == f"LocalHost:{port}"


async def test_digits_are_not_recorded(caller):
    async with listening(Application(answer())) as port:
        await caller.fetch(f"http://127.0.0.1:{port}/", [("Digits", "4111")])
        await caller.fetch(f"http://127.0.0.1:{port}/", [("Digits", "4111")], method="GET")
    assert "4111" not in repr(caller.attempts)
    assert caller.attempts[0].parameters == [("Digits", "****")]


async def test_how_a_recording_ended_is_recorded(caller):
    async with listening(Application(answer())) as port:
        await caller.fetch(f"http://127.0.0.1:{port}/", [("Digits", "hangup")])
    assert caller.attempts[0].parameters == [("Digits", "hangup")]


async def test_digits_that_a_redirect_repeats_are_not_recorded(caller):
    app = Application(answer(302, b"", ("Location", "/next?Digits=4111")), answer())
    async with listening(app) as port:
        await caller.fetch(f"http://127.0.0.1:{port}/", [("SpeechResult", "my pin is 4111")])
    assert app.seen[1].target == "/next?Digits=4111"
    assert "4111" not in repr(caller.attempts)


async def test_expired_request_is_not_sent(caller):
    app = Application(answer())
    async with listening(app) as port:
        reply = await caller.fetch(f"http://127.0.0.1:{port}/", seconds=-1)
    assert (reply.error_code, app.connections) == (11200, 0)


async def test_cancelling_aborts_the_connection_and_is_recorded(caller):
    arrived, gone = asyncio.Event(), asyncio.Event()

    async def silent(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        arrived.set()
        while await reader.read(1000):
            pass
        gone.set()

    async with listening(silent) as port:
        task = asyncio.create_task(caller.fetch(f"http://127.0.0.1:{port}/"))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(gone.wait(), 30)
    (attempt,) = caller.attempts
    assert attempt.error_message.startswith("aborted")
