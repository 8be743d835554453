"""Celery tasks of webhooks, and the composition of the process's fetch worker.

``fetch_documents`` and ``deliver_callbacks`` hand over to the fetch loop and return, so that a task
slot is never held by a slow customer. How a callback went is written down by a thread of its own.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Any

from celery.signals import worker_process_shutdown, worker_shutdown
from celery.worker.request import Request
from django.conf import settings
from django.db import DatabaseError, OperationalError, close_old_connections, connection

from sipdomains.bus import default_bus
from sipdomains.celery import app
from sipdomains.contracts import (
    TASK_DELIVER_CALLBACKS,
    TASK_FETCH_DOCUMENTS,
    TASK_FOLLOW_UP_TRANSFER,
    ContractError,
    FetchDocument,
    FetchReply,
    WebhookAttempt,
    from_wire,
)
from sipdomains.services import accounts, calls, outbox, transfers
from twimlrunner.webhooks.callbacks import CallbackOutcome
from twimlrunner.webhooks.config import WebhookConfig
from twimlrunner.webhooks.policy import INTERNAL_FAILURE
from twimlrunner.webhooks.worker import FetchWorker

log = logging.getLogger(__name__)

TOKEN_SECONDS = 5.0
STALE_TOKEN_SECONDS = 60.0  # still used when the database cannot be asked
DRAIN_SECONDS = 16.0  # the longest fetch

_lock = threading.Lock()
_worker: FetchWorker | None = None
_settler = ThreadPoolExecutor(1, thread_name_prefix="callback-settler")
_tokens: dict[str, tuple[float, str]] = {}


class UnacknowledgedRequest(Request):  # type: ignore[misc] # Celery is not typed
    """Of a queue consumed with ``no_ack`` (sipdomains.celery): Celery would acknowledge all the
    same, at the price of a transaction per task."""

    def acknowledge(self) -> None:
        self.acknowledged = True


@app.task(name=TASK_FETCH_DOCUMENTS, ignore_result=True, Request=UnacknowledgedRequest)  # type: ignore[untyped-decorator]
def fetch_documents(batch: list[dict[str, Any]]) -> None:
    """Start the fetches of ``batch`` (FetchDocument wires); the replies go to their nodes."""
    worker = fetch_worker()
    ready: list[tuple[FetchDocument, str]] = []
    for wire in batch:
        try:
            document = from_wire(wire)
        except ContractError as error:
            log.error("fetch refused: %s", error)
            continue
        if not isinstance(document, FetchDocument):
            log.error("fetch refused: a %s is none", document.KIND)
            continue
        try:
            ready.append((document, auth_token(document.account_sid)))
        except Exception:  # database away, account unknown, encryption key not at hand
            log.exception("no auth token of account %s", document.account_sid)
            worker.reply([_no_token(document)])
    worker.submit(ready)


def _no_token(document: FetchDocument) -> FetchReply:
    return FetchReply(
        document.request_id,
        document.node,
        final_url=document.url,
        error_code=INTERNAL_FAILURE,
        error_message="the account's auth token cannot be read, the request cannot be signed",
        session=document.session,
    )


def auth_token(account_sid: str) -> str:
    """Of the account, remembered for a few seconds; LookupError, DatabaseError."""
    now = time.monotonic()
    known = _tokens.get(account_sid)
    if known is not None and now - known[0] < TOKEN_SECONDS:
        return known[1]
    try:
        token = accounts.auth_token(account_sid)
    except DatabaseError:
        if known is not None and now - known[0] < STALE_TOKEN_SECONDS:
            return known[1]
        raise
    if token is None:
        raise LookupError("no such account")
    if len(_tokens) > 10_000:
        _tokens.clear()
    _tokens[account_sid] = (now, token)
    return token


@app.task(name=TASK_DELIVER_CALLBACKS, ignore_result=True)  # type: ignore[untyped-decorator]
def deliver_callbacks(ids: list[str]) -> None:
    """Deliver promised callbacks that are ready and that nobody else delivers."""
    worker = fetch_worker()
    for message, verify_tls in outbox.claim(ids):
        try:
            token = auth_token(message.account_sid)
        except Exception:  # the claim runs out, and the sweep tries again
            log.exception("no auth token of account %s", message.account_sid)
            continue
        delivery = worker.deliver(message, token, verify_tls=verify_tls)
        delivery.add_done_callback(_delivered)


def _delivered(delivery: Future[CallbackOutcome]) -> None:
    try:
        _settler.submit(_settle, delivery)
    except RuntimeError:
        log.debug("a callback was delivered while the worker ended")


def _settle(delivery: Future[CallbackOutcome]) -> None:
    """On the settler's thread. What is not written down here is delivered again."""
    close_old_connections()
    try:
        following = outbox.settle(delivery.result())
        if following:
            deliver_callbacks(following)
    except CancelledError:
        log.info("a callback was broken off; it will be sent again")
    except Exception:
        log.exception("a callback could not be settled; it will be sent again")
        connection.close()


@app.task(name=TASK_FOLLOW_UP_TRANSFER, ignore_result=True)  # type: ignore[untyped-decorator]
def follow_up_transfer(call_sid: str, number: int) -> None:
    """Write the outcome of a transfer back to the call log, once."""
    notification = transfers.settle(call_sid, number)
    if notification is not None:
        calls.apply([notification])


def write_attempts(attempts: Sequence[WebhookAttempt]) -> None:
    """Rows of one group commit. OperationalError: nothing is written, try again later."""
    try:
        calls.apply(attempts)
    except OperationalError:
        connection.close()  # the next try gets a fresh one
        raise
    except DatabaseError:
        for attempt, error in calls.apply_each(attempts):
            log.error("row of attempt %s refused: %s", getattr(attempt, "request_id", ""), error)


def fetch_worker() -> FetchWorker:
    """The process's, started by its first task (after a prefork pool has forked)."""
    global _worker
    with _lock:
        if _worker is None:
            logging.getLogger("httpx").setLevel(logging.WARNING)  # a line per request, with its URL
            config = WebhookConfig.from_settings(settings)
            _worker = FetchWorker(config, default_bus(), write_attempts)
        return _worker


def close_fetch_worker(**_signal: object) -> None:
    """Warm shutdown: let fetches end, publish their replies, store their attempts."""
    global _worker
    with _lock:
        worker, _worker = _worker, None
    if worker is not None:
        worker.close(DRAIN_SECONDS)


worker_shutdown.connect(close_fetch_worker, weak=False)
worker_process_shutdown.connect(close_fetch_worker, weak=False)
