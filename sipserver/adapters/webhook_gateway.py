"""Fetches of the live side, through the task queue (architecture.md section 6, step 12).

Fetches that arrive while a publish is under way travel together in the next task. The publish
runs on a thread of its own: publishing to a broker that refuses blocks for most of a second. The
answer comes by way of the node's inbox (:mod:`sipserver.adapters.nodebus`), never by polling.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from sipdomains.bus import WORKERS, Bus, BusUnavailable
from sipdomains.contracts import CancelFetch, FetchDocument, FetchReply, to_wire
from twimlrunner.webhooks.batching import BatchWriter
from twimlrunner.webhooks.policy import BROKER_UNAVAILABLE, FETCH_FAILED

log = logging.getLogger(__name__)

PublishBatch = Callable[[list[dict[str, Any]], float], None]
"""(FetchDocument wires, deadline as epoch seconds): enqueue one task; raises when it cannot."""

MAX_BATCH = 25  # per task, so that several worker processes share a burst
MAX_PENDING = 5000
PUBLISH_INTERVAL = 0.002  # a task costs a worker more than the fetches in it (docs/bench.md)
TOTAL_SECONDS = 15.0  # webhooks.md section 1
MARGIN_SECONDS = 2.0  # for the way through queue and inbox


class CeleryWebhookGateway:
    """Implements ``sipserver.calls.ports.WebhookGateway``. Use on one event loop.

    ``counters``: ``fetches``, ``published`` (tasks), ``replies``, ``late_replies`` (nobody waits
    any more), ``unanswered``, ``broker_errors``, ``cancelled``.
    """

    def __init__(
        self,
        node: str,
        bus: Bus,
        publish: PublishBatch,
        *,
        total_seconds: float = TOTAL_SECONDS,
        margin_seconds: float = MARGIN_SECONDS,
        max_pending: int = MAX_PENDING,
    ) -> None:
        self._node = node
        self._bus = bus
        self._publish = publish
        self._wait_seconds = total_seconds + margin_seconds
        self._waiting: dict[str, asyncio.Future[FetchReply]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._writer: BatchWriter[FetchDocument | CancelFetch] = BatchWriter(
            "webhook-publisher",
            self._write,
            max_batch=MAX_BATCH,
            max_pending=max_pending,
            interval=PUBLISH_INTERVAL,
        )
        self.counters: Counter[str] = Counter()

    async def fetch(
        self,
        *,
        call_sid: str,
        account_sid: str,
        url: str,
        method: str,
        parameters: Sequence[tuple[str, str]],
        session: dict[str, Any],
        verify_tls: bool,
    ) -> FetchReply:
        """See the port. Errors of the way itself: 11200 no worker answered, 59901 broker down."""
        self._loop = loop = asyncio.get_running_loop()
        request = FetchDocument(
            request_id=str(uuid.uuid4()),
            node=self._node,
            call_sid=call_sid,
            account_sid=account_sid,
            url=url,
            method=method,
            parameters=list(parameters),
            deadline=time.time() + self._wait_seconds,
            session=session,
            verify_tls=verify_tls,
        )
        self.counters["fetches"] += 1
        reply: asyncio.Future[FetchReply] = loop.create_future()
        self._waiting[request.request_id] = reply
        timer = loop.call_later(self._wait_seconds, self._give_up, request.request_id)
        try:
            if not self._writer.put(request):
                self.counters["broker_errors"] += 1
                return self._failed(
                    request.request_id, BROKER_UNAVAILABLE, "too many fetches wait for the broker"
                )
            return await reply
        except asyncio.CancelledError:
            self.counters["cancelled"] += 1
            self._writer.put(CancelFetch(request.request_id))
            raise
        finally:
            timer.cancel()
            self._waiting.pop(request.request_id, None)

    def receive(self, reply: FetchReply) -> None:
        """A worker's answer from the inbox. Call on the loop."""
        waiting = self._waiting.get(reply.request_id)
        if waiting is None or waiting.done():
            self.counters["late_replies"] += 1
        else:
            self.counters["replies"] += 1
            waiting.set_result(reply)

    def close(self) -> None:
        """Send what is queued and stop the thread; blocks for at most 2 s."""
        self._writer.close(2.0)

    def _failed(self, request_id: str, code: int, message: str) -> FetchReply:
        return FetchReply(request_id, self._node, error_code=code, error_message=message)

    def _resolve(self, request_ids: list[str], code: int, message: str) -> None:
        for request_id in request_ids:
            waiting = self._waiting.get(request_id)
            if waiting is not None and not waiting.done():
                waiting.set_result(self._failed(request_id, code, message))

    def _broker_failed(self, request_ids: list[str], message: str) -> None:
        self.counters["broker_errors"] += len(request_ids)
        self._resolve(request_ids, BROKER_UNAVAILABLE, message)

    def _give_up(self, request_id: str) -> None:
        self.counters["unanswered"] += 1
        self._resolve(
            [request_id],
            FETCH_FAILED,
            f"no worker answered within {self._wait_seconds:g} s: is one running for the queue?",
        )

    # --- on the publisher's thread ---

    def _write(self, items: list[FetchDocument | CancelFetch]) -> None:
        cancels = {item.request_id: item for item in items if isinstance(item, CancelFetch)}
        fetches = [
            item
            for item in items
            if isinstance(item, FetchDocument) and cancels.pop(item.request_id, None) is None
        ]
        # What is left in cancels was published before: a worker may be at it.
        if fetches:
            self._publish_fetches(fetches)
        for cancel in cancels.values():
            self._publish_cancel(cancel)

    def _publish_fetches(self, fetches: list[FetchDocument]) -> None:
        deadline = max(fetch.deadline for fetch in fetches)
        try:
            self._publish([to_wire(fetch) for fetch in fetches], deadline)
        except Exception as error:  # noqa: BLE001 - the transport's errors differ per broker
            log.warning("broker unavailable, %d fetches failed: %s", len(fetches), error)
            self._tell_loop(
                [fetch.request_id for fetch in fetches],
                f"the message broker cannot be reached: {type(error).__name__}",
            )
        else:
            self.counters["published"] += 1

    def _publish_cancel(self, cancel: CancelFetch) -> None:
        try:
            self._bus.publish_all(to_wire(cancel), WORKERS)
        except BusUnavailable as error:
            # Best effort: the fetch ends by itself at its deadline and its reply is dropped.
            log.info("cancellation of a fetch not published: %s", error)

    def _tell_loop(self, request_ids: list[str], message: str) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._broker_failed, request_ids, message)
