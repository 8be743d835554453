"""Promised callbacks on their way to a real HTTP peer: order, retries, bounds, crashes."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager

import pytest
from django.db import OperationalError, connections
from twilio.request_validator import RequestValidator

from sipdomains.bus import InProcessBus
from sipdomains.contracts import CallbackPromised
from sipdomains.models import OutboxMessage, WebhookRequest
from sipdomains.services import calls, outbox
from tests.webhooks.brokers import eventually
from tests.webhooks.peers import TOKEN, Application, answer, listening, read_request
from twimlrunner.webhooks import delivery
from twimlrunner.webhooks.config import WebhookConfig
from twimlrunner.webhooks.delivery import CallbackWorker
from twimlrunner.webhooks.worker import FetchWorker

pytestmark = pytest.mark.django_db(transaction=True)

TAKEN = answer(204, b"")


def promise(port: int, stream: str = "s", position: int = 0, **changes) -> CallbackPromised:
    values = {
        "message_id": f"{stream}-{position}", "stream": stream, "position": position,
        "purpose": "status-callback", "call_sid": "", "account_sid": "", "at": 1_700_000_000.0,
        "method": "POST", "url": f"http://127.0.0.1:{port}/{stream}/{position}",
        "parameters": [("CallStatus", "completed"), ("To", "sip:ü@x")],
    }  # fmt: skip
    return CallbackPromised(**(values | changes))


async def on_thread(function, *arguments):
    """Django's ORM off the loop, with no connection left behind."""

    def run():
        try:
            return function(*arguments)
        finally:
            connections.close_all()

    return await asyncio.to_thread(run)


async def states() -> dict[str, str]:
    rows = OutboxMessage.objects.values_list("id", "state")
    return await on_thread(lambda: dict(rows))


async def settled(*wanted: str) -> None:
    """Until all messages are in one of these states."""

    def reached() -> bool:
        found = set(OutboxMessage.objects.values_list("state", flat=True))
        return found <= set(wanted)

    await on_thread(eventually, reached, f"states {wanted}")


class Process:
    """What a worker process has: the fetch loop and the deliveries."""

    def __init__(self, **limits: int) -> None:
        self.fetches = FetchWorker(WebhookConfig(), InProcessBus(), lambda attempts: None)
        options = {"max_in_flight": 20, "max_per_host": 20} | limits
        self.worker = CallbackWorker(
            lambda message: self.fetches.deliver(message, TOKEN), **options
        )

    def close(self, timeout: float = 60.0) -> None:
        self.worker.retire()
        self.fetches.close(timeout)
        assert self.worker.close(5.0)


@asynccontextmanager
async def process(**limits: int):
    running = Process(**limits)
    try:
        yield running
    finally:
        await asyncio.to_thread(running.close)


async def test_a_callback_is_signed_delivered_and_written_down() -> None:
    app = Application(TAKEN)
    async with listening(app) as port, process() as one:
        await on_thread(calls.apply, [promise(port)])
        one.worker.wake(["s-0"])
        await settled("delivered")
        assert one.worker.counters["delivered"] == 1
    [seen] = app.seen
    assert seen.headers["i-twilio-idempotency-token"] == "s-0"
    assert "cookie" not in seen.headers
    form = {"CallStatus": "completed", "To": "sip:ü@x"}
    signature = seen.headers["x-twilio-signature"]
    assert RequestValidator(TOKEN).validate(f"http://127.0.0.1:{port}/s/0", form, signature)
    [row] = await on_thread(lambda: list(WebhookRequest.objects.all()))
    assert (row.request_id, row.attempt, row.status, row.purpose) == (
        "s-0", 1, 204, "status-callback",
    )  # fmt: skip


@pytest.mark.parametrize(
    "taken",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        answer(200, b"x" * 100_000),
        answer(200, b"OK", content_type="text/plain"),
    ],
    ids=["chunked and empty", "large", "text"],
)
async def test_what_the_application_answers_means_nothing(taken: bytes) -> None:
    async with listening(Application(taken)) as port, process() as one:
        await on_thread(calls.apply, [promise(port)])
        one.worker.wake(["s-0"])
        await settled("delivered")


async def test_a_stream_follows_its_order_at_once_from_one_hint() -> None:
    app = Application(TAKEN)
    async with listening(app) as port, process() as one:
        records = [promise(port, s, n) for n in (2, 0, 3, 1) for s in "ab"]
        await on_thread(calls.apply, records)
        one.worker.wake(["a-0", "b-3"])  # of b only a later one is named
        await settled("delivered")
    for stream in "ab":
        targets = [seen.target for seen in app.seen if seen.target.startswith(f"/{stream}/")]
        assert targets == [f"/{stream}/{n}" for n in range(4)]


async def test_a_failed_one_holds_its_stream_back_and_keeps_its_token() -> None:
    app = Application(answer(503), TAKEN)
    async with listening(app) as port, process() as one:
        await on_thread(calls.apply, [promise(port), promise(port, "s", 1)])
        one.worker.wake(["s-0", "s-1"])
        await asyncio.to_thread(eventually, lambda: one.worker.counters["again"] == 1, "a failure")
        await on_thread(eventually, lambda: not _claimed(), "settling")
        assert await states() == {"s-0": "pending", "s-1": "pending"}
        assert [seen.target for seen in app.seen] == ["/s/0"]
        await on_thread(_time_passes)
        one.worker.wake(["s-0"])
        await settled("delivered")
    assert [seen.target for seen in app.seen] == ["/s/0", "/s/0", "/s/1"]
    tokens = [seen.headers["i-twilio-idempotency-token"] for seen in app.seen]
    assert tokens == ["s-0", "s-0", "s-1"]
    rows = await on_thread(
        lambda: list(
            WebhookRequest.objects.filter(request_id="s-0").values_list("attempt", "status")
        )
    )
    assert sorted(rows) == [(1, 503), (2, 204)]


def _claimed() -> bool:
    return OutboxMessage.objects.exclude(claimed_until=None).exists()


def _time_passes() -> None:
    OutboxMessage.objects.filter(state="pending").update(next_at="2020-01-01T00:00:00Z")


async def test_retries_at_once_follow_the_fragment_of_the_url() -> None:
    app = Application(answer(500), answer(500), TAKEN)
    async with listening(app) as port, process() as one:
        url = f"http://127.0.0.1:{port}/x#rc=2&rp=5xx"
        await on_thread(calls.apply, [promise(port, url=url)])
        one.worker.wake(["s-0"])
        await settled("delivered")
    assert len(app.seen) == 3
    assert len({seen.headers["i-twilio-idempotency-token"] for seen in app.seen}) == 1


async def test_a_get_is_sent_each_time_whatever_may_be_cached() -> None:
    cacheable = answer(200, b"ok", ("Cache-Control", "max-age=600"), ("Set-Cookie", "a=b"))
    app = Application(cacheable)
    async with listening(app) as port, process() as one:
        url = f"http://127.0.0.1:{port}/same"
        records = [promise(port, "s", n, url=url, method="GET", parameters=[]) for n in range(2)]
        await on_thread(calls.apply, records)
        one.worker.wake(["s-0"])
        await settled("delivered")
    assert len(app.seen) == 2
    assert not [seen for seen in app.seen if "cookie" in seen.headers]


async def test_a_refusal_is_not_repeated() -> None:
    app = Application(answer(404))
    async with listening(app) as port, process() as one:
        await on_thread(calls.apply, [promise(port)])
        one.worker.wake(["s-0"])
        await settled("failed")
    assert len(app.seen) == 1


async def test_a_worker_killed_before_it_settles_sends_again_with_the_same_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At least once: the application took it, and nobody wrote that down."""
    app = Application(TAKEN)
    async with listening(app) as port:
        await on_thread(calls.apply, [promise(port)])
        with monkeypatch.context() as dying:
            dying.setattr(outbox, "settle", lambda outcomes: None)
            async with process() as one:
                one.worker.wake(["s-0"])
                await asyncio.to_thread(eventually, lambda: app.seen, "the request")
        assert await on_thread(outbox.due) == []  # its lease still runs
        await on_thread(lambda: OutboxMessage.objects.update(claimed_until="2020-01-01T00:00:00Z"))
        async with process() as another:
            another.worker.wake(await on_thread(outbox.due))
            await settled("delivered")
    assert [seen.headers["i-twilio-idempotency-token"] for seen in app.seen] == ["s-0", "s-0"]


async def test_a_backlog_drains_from_one_hint() -> None:
    app = Application(TAKEN)
    async with listening(app) as port, process(max_in_flight=5) as one:
        await on_thread(calls.apply, [promise(port, f"s{n}") for n in range(100)])
        one.worker.wake(["s0-0"])
        await settled("delivered")
    assert len(app.seen) == 100


class Slow:
    """Answers when told to; remembers how many it had at once."""

    def __init__(self) -> None:
        self.inside = self.most = 0
        self.release = asyncio.Event()

    async def __call__(self, reader, writer) -> None:
        while True:
            await read_request(reader)
            self.inside += 1
            self.most = max(self.most, self.inside)
            await self.release.wait()
            self.inside -= 1
            writer.write(TAKEN)
            await writer.drain()


async def test_a_slow_host_leaves_room_for_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    slow, quick = Slow(), Application(TAKEN)
    async with (
        listening(slow) as slow_port,
        listening(quick, host="127.0.0.2") as port,
        process(max_in_flight=4, max_per_host=2) as one,
    ):
        first = [promise(slow_port, f"slow{n}", at=1.0) for n in range(10)]
        url = f"http://127.0.0.2:{port}/"
        rest = [promise(port, f"quick{n}", url=url) for n in range(10)]
        await on_thread(calls.apply, [*first, *rest])
        one.worker.wake([record.message_id for record in (*first, *rest)])
        await asyncio.to_thread(eventually, lambda: len(quick.seen) == 10, "the quick ones")
        assert slow.most == 2
        assert one.worker.counters["postponed"] >= 8
        slow.release.set()
        await on_thread(eventually, lambda: _count("delivered") >= 12, "the slow ones under way")


def _count(state: str) -> int:
    return OutboxMessage.objects.filter(state=state).count()


async def test_what_a_shutdown_breaks_off_is_given_back_at_once() -> None:
    slow = Slow()
    async with listening(slow) as port:
        await on_thread(calls.apply, [promise(port)])
        one = Process()
        one.worker.wake(["s-0"])
        async with asyncio.timeout(30):
            while not slow.inside:
                await asyncio.sleep(0.01)
        await asyncio.to_thread(one.close, 0.05)
        row = await on_thread(OutboxMessage.objects.get)
    assert (row.state, row.claimed_until, row.attempts) == ("pending", None, 0)


async def test_an_account_without_a_token_is_retried_and_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def unsigned(message):
        raise LookupError("no such account")

    worker = CallbackWorker(unsigned, max_in_flight=5, max_per_host=5)
    await on_thread(calls.apply, [promise(1)])
    worker.wake(["s-0"])
    await asyncio.to_thread(eventually, lambda: worker.counters["again"] == 1, "a failure")
    assert await asyncio.to_thread(worker.close, 5.0)
    row = await on_thread(OutboxMessage.objects.get)
    assert (row.state, row.error_code) == ("pending", 15000)
    assert "no such account" in caplog.text


async def test_a_short_outage_of_the_database_costs_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(delivery, "_SETTLE_RETRIES", (0.01, 0.01))
    errors = [OperationalError("gone"), OperationalError("still gone")]
    real = outbox.settle

    def settle(outcomes):
        if errors:
            raise errors.pop()
        real(outcomes)

    monkeypatch.setattr(outbox, "settle", settle)
    app = Application(TAKEN)
    async with listening(app) as port, process() as one:
        await on_thread(calls.apply, [promise(port)])
        one.worker.wake(["s-0"])
        await settled("delivered")
    assert len(app.seen) == 1


async def test_a_claim_that_fails_does_not_end_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = threading.Event()
    real = outbox.claim

    def claim(ids):
        if not failed.is_set():
            failed.set()
            raise OperationalError("gone")
        return real(ids)

    monkeypatch.setattr(outbox, "claim", claim)
    async with listening(Application(TAKEN)) as port, process() as one:
        await on_thread(calls.apply, [promise(port)])
        one.worker.wake(["s-0"])
        assert await asyncio.to_thread(failed.wait, 5)
        one.worker.wake(["s-0"])  # the next sweep
        await settled("delivered")


async def test_attempts_that_cannot_be_stored_do_not_cost_the_outcome(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = Application(TAKEN)
    async with listening(app) as port:
        await on_thread(calls.apply, [promise(port)])
        fetches = FetchWorker(WebhookConfig(), InProcessBus(), lambda attempts: None)

        async def spoiled(message, token):
            outcome = await type(fetches._client).deliver(fetches._client, message, token)
            object.__setattr__(outcome.attempts[0], "at", float("nan"))
            return outcome

        def send(message):
            return asyncio.run_coroutine_threadsafe(spoiled(message, TOKEN), fetches._loop)

        worker = CallbackWorker(send, max_in_flight=5, max_per_host=5)
        worker.wake(["s-0"])
        await settled("delivered")
        await asyncio.to_thread(fetches.close, 1.0)
        assert await asyncio.to_thread(worker.close, 5.0)
    assert "cannot be settled" in caplog.text
