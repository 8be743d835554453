"""The fetch loop of a worker process: one event loop on a thread, many fetches at once. No Django.

Celery tasks hand documents over and return (architecture.md section 7 choice 3); replies go to
the node's inbox as they are ready, attempts to a write-behind.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from sipdomains.bus import WORKERS, Bus, BusUnavailable
from sipdomains.contracts import (
    CancelFetch,
    ContractError,
    FetchDocument,
    FetchReply,
    WebhookAttempt,
    from_wire,
    to_wire,
)
from twimlrunner.twiml.redact import without_passwords
from twimlrunner.webhooks.batching import BatchWriter
from twimlrunner.webhooks.callbacks import CallbackMessage, CallbackOutcome
from twimlrunner.webhooks.client import WebhookClient
from twimlrunner.webhooks.config import WebhookConfig
from twimlrunner.webhooks.policy import INTERNAL_FAILURE, OVERLOADED, Verdict
from twimlrunner.webhooks.url import InvalidUrl, parse_url

log = logging.getLogger(__name__)

REPLY_PATIENCE = 5.0  # seconds a reply is kept while the broker is away
ATTEMPT_PATIENCE = 30.0
MAX_ATTEMPTS_PENDING = 20_000
MAX_CANCELLED = 1000
REPLY_INTERVAL = 0.001

WriteAttempts = Callable[[Sequence[WebhookAttempt]], None]


class FetchWorker:
    """``write_attempts`` is called on a thread of its own and may block and raise."""

    def __init__(self, config: WebhookConfig, bus: Bus, write_attempts: WriteAttempts) -> None:
        self._config = config
        self._bus = bus
        self._write_attempts = write_attempts
        self._slots = threading.BoundedSemaphore(config.max_in_flight)
        self._running: dict[str, asyncio.Task[Any]] = {}
        self._cancelled: dict[str, None] = {}  # cancellations that overtook their fetch
        self._per_host: Counter[str] = Counter()
        self.counters: Counter[str] = Counter()
        self._replies: BatchWriter[FetchReply] = BatchWriter(
            "reply-publisher",
            self._publish,
            max_batch=100,
            max_pending=10_000,
            interval=REPLY_INTERVAL,
        )
        self._attempts: BatchWriter[WebhookAttempt] = BatchWriter(
            "attempt-writer",
            self._store_attempts,
            max_batch=500,
            max_pending=MAX_ATTEMPTS_PENDING,
            interval=0.05,
        )
        self._loop = _new_loop()
        self._client = WebhookClient(config, self._record)
        self._thread = threading.Thread(target=self._run_loop, name="fetch-loop", daemon=True)
        self._thread.start()
        self._subscription = bus.subscribe(
            f"worker-{uuid.uuid4().hex}", self._deliver, group=WORKERS
        )

    # --- called by tasks, on their threads ---

    def submit(self, batch: Sequence[tuple[FetchDocument, str]]) -> None:
        """Start (document, auth token) pairs. Blocks while ``max_in_flight`` fetches run: that is
        what keeps further tasks in the queue. What waited past its deadline is dropped."""
        ready: list[tuple[FetchDocument, str]] = []
        for document, token in batch:
            if not self._slots.acquire(blocking=False):
                self._start_soon(ready)
                ready = []
                patience = document.deadline - time.time()
                if patience <= 0 or not self._slots.acquire(timeout=patience):
                    self.counters["expired"] += 1
                    continue
            ready.append((document, token))
        self._start_soon(ready)

    def deliver(self, message: CallbackMessage, token: str) -> Future[CallbackOutcome]:
        """Deliver a promised callback beside the documents: who sends them bounds how many."""
        return asyncio.run_coroutine_threadsafe(self._send(message, token), self._loop)

    def repeat(self, message: CallbackMessage, token: str) -> None:
        """Send it at once and store its attempts; that it failed is one of them."""
        asyncio.run_coroutine_threadsafe(self._repeat(message, token), self._loop)

    def reply(self, replies: Sequence[FetchReply]) -> None:
        """Answer without a fetch (account unknown …)."""
        for reply in replies:
            self._replies.put(reply)

    def close(self, timeout: float) -> None:
        """Let what runs end within ``timeout`` seconds, abort the rest, write all that is due."""
        asyncio.run_coroutine_threadsafe(self._drain(timeout), self._loop).result()
        self._subscription.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5.0)
        self._replies.close(REPLY_PATIENCE)
        self._attempts.close(5.0)

    # --- on the loop ---

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    def _start_soon(self, batch: list[tuple[FetchDocument, str]]) -> None:
        if batch:
            self._loop.call_soon_threadsafe(self._start, batch)

    def _start(self, batch: list[tuple[FetchDocument, str]]) -> None:
        for document, token in batch:
            if document.request_id in self._cancelled:
                del self._cancelled[document.request_id]
                self.counters["cancelled"] += 1
                self._slots.release()
                continue
            task = self._loop.create_task(self._fetch(document, token))
            self._running[document.request_id] = task

    async def _fetch(self, document: FetchDocument, token: str) -> None:
        host = _host(document.url)
        self._per_host[host] += 1
        try:
            if self._per_host[host] > self._config.max_in_flight_per_host:
                reply = _failure(document, OVERLOADED, f"too many requests to {host} under way")
            else:
                reply = await self._client.fetch(document, token)
            self._replies.put(reply)
            self.counters["fetched"] += 1
        except asyncio.CancelledError:
            self.counters["cancelled"] += 1
        except Exception:
            log.exception("fetch of a document failed unexpectedly")
            self._replies.put(_failure(document, INTERNAL_FAILURE, "internal failure, see the log"))
        finally:
            self._per_host[host] -= 1
            if not self._per_host[host]:
                del self._per_host[host]
            self._running.pop(document.request_id, None)
            self._slots.release()

    async def _send(self, message: CallbackMessage, token: str) -> CallbackOutcome:
        task = asyncio.current_task()
        if task is not None:
            self._running[message.id] = task
        try:
            return await self._client.deliver(message, token)
        finally:
            self._running.pop(message.id, None)

    async def _repeat(self, message: CallbackMessage, token: str) -> None:
        try:
            outcome = await self._send(message, token)
        except Exception:
            log.exception("repeating a request failed unexpectedly")
            outcome = CallbackOutcome(
                message, Verdict.REFUSED, (), INTERNAL_FAILURE, "internal failure, see the log"
            )
        for attempt in outcome.attempts or (_unsent(outcome),):
            self._record(attempt)

    async def _drain(self, timeout: float) -> None:
        if self._running:
            await asyncio.wait(list(self._running.values()), timeout=timeout)
        left = list(self._running.values())
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=1.0)
        await self._client.aclose()

    def _cancel(self, messages: list[dict[str, Any]]) -> None:
        for wire in messages:
            try:
                message = from_wire(wire)
            except ContractError as error:
                log.warning("message to the workers refused: %s", error)
                continue
            if not isinstance(message, CancelFetch):
                continue
            task = self._running.get(message.request_id)
            if task is not None:
                task.cancel()
            else:
                # Not here, or not yet: this message may have overtaken the task.
                while len(self._cancelled) >= MAX_CANCELLED:
                    del self._cancelled[next(iter(self._cancelled))]
                self._cancelled[message.request_id] = None

    def _deliver(self, messages: list[dict[str, Any]]) -> None:
        try:
            self._loop.call_soon_threadsafe(self._cancel, messages)
        except RuntimeError:
            log.debug("cancellation after the fetch loop closed")

    def _record(self, attempt: WebhookAttempt) -> None:
        if not self._attempts.put(attempt):
            self.counters["attempts_lost"] += 1

    # --- on the writers' threads ---

    def _publish(self, replies: list[FetchReply]) -> None:
        by_node: dict[str, list[dict[str, Any]]] = {}
        for reply in replies:
            by_node.setdefault(reply.node, []).append(to_wire(reply))
        for node, wires in by_node.items():

            def send(node: str = node, wires: list[dict[str, Any]] = wires) -> None:
                self._bus.publish(node, wires)

            if not _patiently(send, BusUnavailable, REPLY_PATIENCE, self._replies):
                self.counters["replies_lost"] += len(wires)
                log.error("broker unreachable: %d replies to a node lost", len(wires))

    def _store_attempts(self, attempts: list[WebhookAttempt]) -> None:
        def store() -> None:
            self._write_attempts(attempts)

        if not _patiently(store, Exception, ATTEMPT_PATIENCE, self._attempts):
            self.counters["attempts_lost"] += len(attempts)
            log.error("database unreachable: %d rows of webhook attempts lost", len(attempts))


def _patiently(
    action: Callable[[], None],
    errors: type[Exception],
    patience: float,
    writer: BatchWriter[Any],
) -> bool:
    """Repeat ``action`` with growing pauses until it succeeds; False after ``patience`` seconds."""
    until = time.monotonic() + patience
    pause = 0.1
    while True:
        try:
            action()
        except errors as error:
            if time.monotonic() + pause > until or writer.closing:
                return False
            log.warning("write failed, again in %.1f s: %s", pause, error)
            time.sleep(pause)
            pause = min(2 * pause, 2.0)
        else:
            return True


def _failure(document: FetchDocument, code: int, message: str) -> FetchReply:
    return FetchReply(
        document.request_id,
        document.node,
        final_url=document.url,
        error_code=code,
        error_message=message,
        session=document.session,
    )


def _unsent(outcome: CallbackOutcome) -> WebhookAttempt:
    """Of a request that did not get as far as to be one."""
    message = outcome.message
    return WebhookAttempt(
        request_id=message.id,
        attempt=1,
        call_sid=message.call_sid,
        account_sid=message.account_sid,
        purpose=message.purpose,
        at=time.time(),
        method=message.method,
        url=without_passwords(message.url),
        parameters=message.parameters,
        error_code=outcome.code or INTERNAL_FAILURE,
        error_message=outcome.error,
    )


def _host(url: str) -> str:
    try:
        return parse_url(url).host
    except InvalidUrl:
        return ""  # refused with its error code by the client


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
