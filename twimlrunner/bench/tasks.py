"""The Celery task that carries a bench run on: replays it, sends what requests are missing.

They go out by the same client as those of live calls: signed with the account's token, by the
egress rules, with retries and redirects. Only their record is another: it is in the run, not in the
call log.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.db import DatabaseError

from sipdomains.bench import MAX_REQUESTS, MAX_STORED, BenchResult
from sipdomains.celery import app
from sipdomains.contracts import TASK_BENCH_STEP, FetchDocument, FetchReply, WebhookAttempt
from sipdomains.handover import Handover
from sipdomains.services import accounts, benchruns
from sipdomains.services.atwork import at_work
from sipdomains.services.benchruns import Run
from sipdomains.services.deskcache import CacheAway
from twimlrunner.bench.run import Played, play
from twimlrunner.webhooks.client import WebhookClient
from twimlrunner.webhooks.config import WebhookConfig

log = logging.getLogger(__name__)

FETCH_SECONDS = 17.0
STEP_SECONDS = 60.0
_threads = Handover("bench-run", 4)


@app.task(name=TASK_BENCH_STEP, ignore_result=True)  # type: ignore[untyped-decorator]
def bench_step(run_id: str) -> None:
    """Carry the run on to where it needs the operator's next move."""
    if not _threads.start(lambda: carry_on(run_id)):
        _give_up(run_id, "This worker has enough to do with other runs. Try again in a moment.")


def carry_on(run_id: str) -> None:
    try:
        run = benchruns.find(run_id)
        if run is None:
            return
        with at_work(benchruns.work_name(run)):
            benchruns.put_result(run_id, _step(run))
    except CacheAway:
        log.warning("what became of a bench run cannot be told: Redis is away")
    except Exception:
        log.exception("bench run failed")
        _give_up(run_id, "The bench itself failed; the worker's log says why.")


def _give_up(run_id: str, why: str) -> None:
    run = benchruns.find(run_id)
    if run is not None:
        known = benchruns.result(run_id)
        entries = known.entries if known else []
        replies = known.replies if known else []
        benchruns.put_result(run_id, BenchResult(len(run.moves), entries, {}, replies, why))


def _step(run: Run) -> BenchResult:
    known = benchruns.result(run.id)
    replies: list[dict[str, Any]] = list(known.replies) if known else []
    until = time.monotonic() + STEP_SECONDS
    error = ""
    while True:
        played = play(run.setup, run.moves, [FetchReply(**kept["reply"]) for kept in replies])
        if played.wants.get("kind") != "fetch":
            break
        error = _limit(replies, until)
        if error:
            break
        replies.append(_fetch(run, played, replies))
    wants = played.wants
    if wants.get("kind") == "stop":
        error, wants = wants["why"], {}
    return BenchResult(
        step=len(run.moves),
        entries=[asdict(entry) for entry in played.entries],
        wants={} if error else wants,
        replies=replies,
        error=error,
    )


def _limit(replies: list[dict[str, Any]], until: float) -> str:
    if len(replies) >= MAX_REQUESTS:
        return f"The run has sent {MAX_REQUESTS} requests, which is the limit of the bench."
    if sum(len(kept["reply"]["body"]) for kept in replies) > MAX_STORED:
        return "The application's answers are too long together for the bench."
    if time.monotonic() > until:
        return "The application takes too long: the bench waits a minute for each step."
    return ""


def _fetch(run: Run, played: Played, before: list[dict[str, Any]]) -> dict[str, Any]:
    """Send the request that the run waits for, once."""
    wants, setup = played.wants, run.setup
    document = FetchDocument(
        request_id=str(uuid.uuid4()),
        node="",
        call_sid=setup.call_sid,
        account_sid=setup.account_sid,
        url=wants["url"],
        method=wants["method"],
        parameters=[(name, value) for name, value in wants["parameters"]],
        deadline=time.time() + FETCH_SECONDS,
        session=before[-1]["reply"]["session"] if before else {},  # cookies, authentication
        verify_tls=setup.verify_tls,
    )
    try:
        token = accounts.auth_token(setup.account_sid)
    except DatabaseError:
        token = None
    if token is None:
        raise LookupError("the account's auth token cannot be read")
    attempts: list[WebhookAttempt] = []
    reply = asyncio.run(_ask(document, token, attempts))
    return {"reply": asdict(reply), "attempts": [asdict(attempt) for attempt in attempts]}


async def _ask(document: FetchDocument, token: str, attempts: list[WebhookAttempt]) -> FetchReply:
    client = WebhookClient(WebhookConfig.from_settings(settings), attempts.append)
    try:
        return await client.fetch(document, token)
    finally:
        await client.aclose()
