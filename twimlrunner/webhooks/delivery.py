"""Deliveries of promised callbacks in a worker process: claims, sends, settles, takes up the next.

One thread does the outbox's database work, in groups as large as what came up meanwhile; requests
run on the loop of the fetch worker. Tasks only say that there is something to do: nothing is lost
with them, or with this process (ADR 15).
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import replace
from queue import Empty, SimpleQueue

from django.db import (
    DatabaseError,
    InterfaceError,
    OperationalError,
    close_old_connections,
    connections,
)

from sipdomains.services import outbox
from twimlrunner.webhooks.callbacks import CallbackMessage, CallbackOutcome
from twimlrunner.webhooks.policy import CALLBACK_INTERNAL, Verdict
from twimlrunner.webhooks.url import InvalidUrl, parse_url

log = logging.getLogger(__name__)

MAX_WANTED = 5000
CLAIM_BATCH = 200
_SETTLE_RETRIES = (0.1, 0.5, 1.0, 2.0, 4.0, 8.0)  # in all less than the lease leaves

Send = Callable[[CallbackMessage], "Future[CallbackOutcome]"]
"""Start one delivery. May raise: then it cannot be signed."""


class CallbackWorker:
    """At most ``max_in_flight`` deliveries at once, ``max_per_host`` of them to one host, so that
    one customer's dead server leaves room for the others.

    ``counters``: ``delivered``, ``refused``, ``again``, ``aborted``, ``postponed``, ``unsettled``.
    """

    def __init__(self, send: Send, *, max_in_flight: int, max_per_host: int) -> None:
        self._send = send
        self._max_in_flight = max_in_flight
        self._max_per_host = max_per_host
        self._events: SimpleQueue[list[str] | CallbackOutcome | CallbackMessage | None] = (
            SimpleQueue()
        )
        self._wanted: dict[str, None] = {}
        self._in_flight: dict[str, str] = {}  # message id → host
        self._per_host: Counter[str] = Counter()
        self._closing = False
        self.counters: Counter[str] = Counter()
        self._thread = threading.Thread(target=self._run, name="callbacks", daemon=True)
        self._thread.start()

    def wake(self, ids: Sequence[str]) -> None:
        """These may be due. From any thread; never blocks."""
        self._events.put(list(ids))

    def retire(self) -> None:
        """Begin no further deliveries."""
        self._closing = True

    def close(self, timeout: float) -> bool:
        """Settle what has ended and give back what has not; False if that took longer. Call it
        after the loop has ended its requests."""
        self._closing = True
        self._events.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    # --- the thread ---

    def _run(self) -> None:
        try:
            while self._turn():
                pass
        finally:
            connections.close_all()

    def _turn(self) -> bool:
        outcomes: list[CallbackOutcome] = []
        aborted: list[CallbackMessage] = []
        goes_on = True
        event = self._events.get()
        while True:
            match event:
                case None:
                    goes_on = False
                case CallbackOutcome():
                    outcomes.append(event)
                    self._landed(event.message)
                case CallbackMessage():
                    aborted.append(event)
                    self._landed(event)
                case _:
                    self._wanted.update(dict.fromkeys(event))
            try:
                event = self._events.get_nowait()
            except Empty:
                break
        try:
            self._work(outcomes, aborted)
        except Exception:  # without this thread nothing would be delivered any more
            log.exception("callbacks: a fault of ours; leases run out, sweeps begin anew")
            self._wanted.clear()
        return goes_on

    def _work(self, outcomes: list[CallbackOutcome], aborted: list[CallbackMessage]) -> None:
        close_old_connections()
        if outcomes:
            self._settle(outcomes)
        try:
            if aborted:
                self.counters["aborted"] += len(aborted)
                outbox.postpone(aborted)
            if not self._closing:
                self._take_up(bool(outcomes))
        except (DatabaseError, InterfaceError) as error:
            # Nothing is lost: what is due stays due, and what was claimed will be again.
            log.warning("callbacks wait for the database: %s", error)
            self._wanted.clear()

    def _take_up(self, look: bool) -> None:
        room = self._max_in_flight - len(self._in_flight)
        if room <= 0:
            self._forget_surplus()
            return
        if look and len(self._wanted) < room:
            # What was settled made room in its stream; and a backlog drains without more tasks.
            self._wanted.update(dict.fromkeys(outbox.due(limit=room)))
        while self._wanted and room > 0:
            ids = list(self._wanted)[: min(room, CLAIM_BATCH)]
            for identity in ids:
                del self._wanted[identity]
            late = [one for one in outbox.claim(ids) if not self._start(one)]
            if late:
                self.counters["postponed"] += len(late)
                outbox.postpone(late)
            room = self._max_in_flight - len(self._in_flight)
        self._forget_surplus()

    def _forget_surplus(self) -> None:
        while len(self._wanted) > MAX_WANTED:
            self._wanted.popitem()

    def _start(self, message: CallbackMessage) -> bool:
        """False when its host has as many requests under way as it may, or this process ends."""
        host = _host(message.url)
        if self._closing or message.id in self._in_flight:
            return False
        if self._per_host[host] >= self._max_per_host:
            return False
        self._per_host[host] += 1
        self._in_flight[message.id] = host
        try:
            delivery = self._send(message)
        except Exception:  # account unknown, encryption key not at hand, database away
            log.exception("callback %s cannot be sent", message.id)
            self._events.put(_unsent(message, "the account's auth token cannot be read"))
        else:
            delivery.add_done_callback(lambda done: self._ended(message, done))
        return True

    def _ended(self, message: CallbackMessage, delivery: Future[CallbackOutcome]) -> None:
        """On the loop's thread."""
        try:
            self._events.put(delivery.result())
        except CancelledError:
            self._events.put(message)
        except Exception:
            log.exception("delivery of callback %s failed unexpectedly", message.id)
            self._events.put(_unsent(message, "internal failure, see the log"))

    def _landed(self, message: CallbackMessage) -> None:
        host = self._in_flight.pop(message.id)
        self._per_host[host] -= 1
        if not self._per_host[host]:
            del self._per_host[host]

    # --- settling ---

    def _settle(self, outcomes: list[CallbackOutcome]) -> None:
        for outcome in outcomes:
            self.counters[outcome.verdict.value] += 1
        try:
            self._settle_patiently(outcomes)
        except DatabaseError as error:
            log.error("%d callbacks are settled one by one: %s", len(outcomes), error)
            for outcome in outcomes:
                self._settle_alone(outcome)

    def _settle_alone(self, outcome: CallbackOutcome) -> None:
        """If it is the record of its attempts that cannot be stored, go without."""
        for version in (outcome, replace(outcome, attempts=())):
            try:
                self._settle_patiently([version])
            except DatabaseError as error:
                log.error("callback %s cannot be settled: %s", outcome.message.id, error)
            else:
                return

    def _settle_patiently(self, outcomes: list[CallbackOutcome]) -> None:
        """Raises DatabaseError for what the database refuses; waits a while when it is away."""
        for pause in (*_SETTLE_RETRIES, None):
            try:
                outbox.settle(outcomes)
            except (OperationalError, InterfaceError) as error:
                connections.close_all()
                if pause is None or self._closing:
                    self.counters["unsettled"] += len(outcomes)
                    log.error("%d callbacks not settled, sent again: %s", len(outcomes), error)
                    return
                log.warning("callbacks wait for the database: %s", error)
                time.sleep(pause)
            else:
                return


def _unsent(message: CallbackMessage, why: str) -> CallbackOutcome:
    return CallbackOutcome(message, Verdict.AGAIN, (), CALLBACK_INTERNAL, why)


def _host(url: str) -> str:
    try:
        return parse_url(url).host
    except InvalidUrl:
        return ""  # refused with its error code by the client
