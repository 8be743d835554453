"""Celery tasks of webhooks, and the composition of the process's fetch worker.

``fetch_documents`` and ``deliver_callbacks`` hand over to the fetch loop and return, so that a task
slot is never held by a slow customer.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from celery.signals import worker_process_shutdown, worker_shutdown
from celery.worker.request import Request
from django.conf import settings
from django.db import DatabaseError, OperationalError, connection

from sipdomains.bus import default_bus
from sipdomains.celery import app
from sipdomains.contracts import (
    TASK_DELIVER_CALLBACKS,
    TASK_FETCH_DOCUMENTS,
    TASK_FOLLOW_UP_TRANSFER,
    TASK_REPEAT_REQUEST,
    ContractError,
    FetchDocument,
    FetchReply,
    WebhookAttempt,
    from_wire,
)
from sipdomains.services import accounts, calls, repeats, transfers
from twimlrunner.webhooks.callbacks import CallbackMessage, CallbackOutcome
from twimlrunner.webhooks.config import WebhookConfig
from twimlrunner.webhooks.delivery import CallbackWorker
from twimlrunner.webhooks.policy import INTERNAL_FAILURE
from twimlrunner.webhooks.worker import FetchWorker

log = logging.getLogger(__name__)

TOKEN_SECONDS = 5.0
STALE_TOKEN_SECONDS = 60.0  # still used when the database cannot be asked
DRAIN_SECONDS = 16.0  # the longest fetch
SETTLE_SECONDS = 5.0

_lock = threading.Lock()
_worker: FetchWorker | None = None
_callbacks: CallbackWorker | None = None
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


@app.task(name=TASK_DELIVER_CALLBACKS, ignore_result=True, Request=UnacknowledgedRequest)  # type: ignore[untyped-decorator]
def deliver_callbacks(ids: list[str]) -> None:
    """Deliver promised callbacks, as far as they are due and nobody else has them."""
    callback_worker().wake(ids)


@app.task(name=TASK_FOLLOW_UP_TRANSFER, ignore_result=True, Request=UnacknowledgedRequest)  # type: ignore[untyped-decorator]
def follow_up_transfer(call_sid: str, number: int) -> None:
    """Write the outcome of a transfer back to the call log, once."""
    transfers.settle(call_sid, number)


@app.task(name=TASK_REPEAT_REQUEST, ignore_result=True, Request=UnacknowledgedRequest)  # type: ignore[untyped-decorator]
def repeat_request(request_id: str, number: int) -> None:
    """Send a stored request again, because an operator wants to see what is answered today. No call
    hears of it; its attempts are stored under ``request_id``."""
    message = repeats.message(request_id, number)
    if message is None:
        log.error("request %s cannot be repeated: it is gone", number)
        return
    fetch_worker().repeat(message, auth_token(message.account_sid))


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
            _worker = FetchWorker(_config(), default_bus(), write_attempts)
        return _worker


def callback_worker() -> CallbackWorker:
    """The process's, started by its first task."""
    global _callbacks
    worker = fetch_worker()

    def send(message: CallbackMessage) -> Future[CallbackOutcome]:
        return worker.deliver(message, auth_token(message.account_sid))

    with _lock:
        if _callbacks is None:
            config = _config()
            _callbacks = CallbackWorker(
                send,
                max_in_flight=config.max_callbacks,
                max_per_host=config.max_callbacks_per_host,
            )
        return _callbacks


def _config() -> WebhookConfig:
    return WebhookConfig.from_settings(settings)


def close_fetch_worker(**_signal: object) -> None:
    """Warm shutdown: let requests end, publish their replies, store their attempts and outcomes."""
    global _worker, _callbacks
    with _lock:
        worker, _worker = _worker, None
        callbacks, _callbacks = _callbacks, None
    if callbacks is not None:
        callbacks.retire()
    if worker is not None:
        worker.close(DRAIN_SECONDS)
    if callbacks is not None:
        callbacks.close(SETTLE_SECONDS)


worker_shutdown.connect(close_fetch_worker, weak=False)
worker_process_shutdown.connect(close_fetch_worker, weak=False)
