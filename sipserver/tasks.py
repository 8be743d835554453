"""The Celery task of a test call: our own caller dials a domain of this server as any phone would.

Nothing is bypassed: the INVITE goes to the address where phones call, and what guards the domain
guards it against this caller too.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from celery.signals import worker_process_shutdown, worker_shutdown
from django.conf import settings

from sipdomains.celery import app
from sipdomains.contracts import TASK_TEST_CALL
from sipdomains.handover import Handover
from sipdomains.services import testcalls
from sipdomains.services.atwork import at_work
from sipdomains.services.deskcache import CacheAway
from sipdomains.services.testcalls import CALLING, MAX_MESSAGES, OVER, Order, Progress
from sipdomains.settings.env import EnvError, listen_address
from sipserver.caller.phone import CallPlan, CallReport, Phone
from sipserver.calls.trace import trace_data
from sipserver.sip.errors import RemoteProtocolError
from sipserver.sip.events import MessageTraced

log = logging.getLogger(__name__)

RING_SECONDS = 30.0
DIGITS_AFTER = 2.0
MARGIN_SECONDS = 40.0  # for a BYE that nobody answers
USER_AGENT = "sipdomains test call"
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound
_threads = Handover("test-call", 4)

_running: set[Callable[[], object]] = set()
_lock = threading.Lock()


@app.task(name=TASK_TEST_CALL, ignore_result=True)  # type: ignore[untyped-decorator]
def test_call(order_id: str) -> None:
    """Place the call that was ordered under that id."""
    if not _threads.start(lambda: _work_on(order_id)):
        _end(order_id, "error", "This worker has as many test calls as it may. Try again soon.")


def _work_on(order_id: str) -> None:
    try:
        with at_work(order_id):
            place(order_id)
    except CacheAway:
        log.warning("what became of a test call cannot be told: Redis is away")


def place(order_id: str) -> None:
    """Raises CacheAway."""
    order = testcalls.take(order_id)
    if order is None:
        _end(order_id, "error", "The order had run out before a worker took it.")
        return
    try:
        proxy = server_address()
        asyncio.run(_call(order, proxy))
    except RemoteProtocolError as error:
        _end(order_id, "error", f"The target cannot be called: {error}")
    except EnvError as error:
        _end(order_id, "error", f"The server's SIP address is not known: {error}")
    except OSError as error:
        _end(order_id, "error", f"The server's SIP address cannot be reached: {error}")
    except CacheAway:
        raise
    except TimeoutError:
        _end(order_id, "error", "The call did not end in time.")
    except Exception:
        log.exception("test call failed")
        _end(order_id, "error", "The caller itself failed; the worker's log says why.")


def server_address() -> tuple[str, str, int]:
    """Where this server takes calls, as (transport, host, port). Raises EnvError."""
    text = settings.SIP_TEST_CALL_ADDRESS or settings.SIP_LISTEN[0]
    transport, host, port = listen_address(text)
    return transport, _LOOPBACK.get(host, host), port


async def _call(order: Order, proxy: tuple[str, str, int]) -> None:
    diary = _Diary(order.id)
    phone = Phone(diary.tell, call_id=order.call_id, user_agent=USER_AGENT)
    loop = asyncio.get_running_loop()

    def hang_up() -> None:
        loop.call_soon_threadsafe(phone.hang_up)

    plan = CallPlan(
        target=order.target,
        username=order.username,
        password=order.password,
        caller=order.username or "test-call",
        proxy=proxy,
        digits=order.digits,
        digits_after=DIGITS_AFTER,
        hangup_after=float(order.seconds),
        ring_seconds=RING_SECONDS,
    )
    with _lock:
        _running.add(hang_up)
    try:
        async with asyncio.timeout(RING_SECONDS + order.seconds + MARGIN_SECONDS):
            diary.end(await phone.call(plan))
    finally:
        with _lock:
            _running.discard(hang_up)
        phone.close()


class _Diary:
    """Tells the page each SIP message as it comes and goes, with secrets masked."""

    def __init__(self, order_id: str) -> None:
        self._id = order_id
        self._now: Progress | None = testcalls.progress(order_id)

    def tell(self, outbound: bool, data: bytes) -> None:
        if self._now is None or len(self._now.messages) >= MAX_MESSAGES:
            return
        message = (time.time(), trace_data(MessageTraced(0, outbound, data, None)))
        self._now = replace(self._now, state=CALLING, messages=(*self._now.messages, message))
        with contextlib.suppress(CacheAway):  # the next message takes this one along
            testcalls.put(self._id, self._now)

    def end(self, report: CallReport) -> None:
        if self._now is None:
            return
        outcome: dict[str, Any] = {
            "status": report.status,
            "reason": report.reason,
            "ended_by": report.ended_by,
            "why": _why(report),
            "heard": round(report.heard_seconds, 1),
            "at": time.time(),
        }
        testcalls.put(self._id, replace(self._now, state=OVER, outcome=outcome))


def _why(report: CallReport) -> str:
    """What the server said about a refusal."""
    for response in report.responses[-1:]:
        for name in ("X-Twilio-Error", "Warning", "Reason"):
            if value := response.headers.get(name):
                return value[:300]
    return ""


def _end(order_id: str, ended_by: str, why: str) -> None:
    now = testcalls.progress(order_id)
    if now is not None:
        outcome = {"status": 0, "ended_by": ended_by, "why": why, "at": time.time()}
        testcalls.put(order_id, replace(now, state=OVER, outcome=outcome))


def hang_up_all(**_signal: object) -> None:
    """The worker stops: calls that it placed are not left open."""
    with _lock:
        running = list(_running)
    for hang_up in running:
        hang_up()


worker_shutdown.connect(hang_up_all, weak=False)
worker_process_shutdown.connect(hang_up_all, weak=False)
