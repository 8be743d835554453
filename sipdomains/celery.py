"""The Celery application: queues, routes, publishing, and the worker of the embedded mode.

Settings come from Django under ``CELERY_``; what is fixed by the design is set here. No result
backend: replies are pushed over :mod:`sipdomains.bus`.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from typing import Any

from celery import Celery, bootsteps
from celery.worker import WorkController
from celery.worker import state as worker_state
from kombu.entity import Exchange, Queue

from sipdomains.bus import CONSUMERS, Subscription, Wire, default_bus
from sipdomains.contracts import (
    QUEUE_CALLBACKS,
    QUEUE_HOUSEKEEPING,
    QUEUE_TWIML,
    TASK_BENCH_STEP,
    TASK_DELIVER_CALLBACKS,
    TASK_FETCH_DOCUMENTS,
    TASK_FOLLOW_UP_TRANSFER,
    TASK_FORGET_OLD,
    TASK_KEEP_SEGMENTS,
    TASK_REAP_DEAD_NODES,
    TASK_REPEAT_REQUEST,
    TASK_TEST_CALL,
)

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sipdomains.settings")

_UNACKNOWLEDGED = (QUEUE_TWIML, QUEUE_CALLBACKS)
QUEUES = (QUEUE_TWIML, QUEUE_CALLBACKS, QUEUE_HOUSEKEEPING)
ROUTES = {
    TASK_FETCH_DOCUMENTS: QUEUE_TWIML,
    TASK_DELIVER_CALLBACKS: QUEUE_CALLBACKS,
    TASK_FOLLOW_UP_TRANSFER: QUEUE_CALLBACKS,
    TASK_REPEAT_REQUEST: QUEUE_CALLBACKS,
    TASK_REAP_DEAD_NODES: QUEUE_HOUSEKEEPING,
    TASK_FORGET_OLD: QUEUE_HOUSEKEEPING,
    TASK_KEEP_SEGMENTS: QUEUE_HOUSEKEEPING,
    # What somebody at a page waits for. Both hand over to threads at once.
    TASK_BENCH_STEP: QUEUE_HOUSEKEEPING,
    TASK_TEST_CALL: QUEUE_HOUSEKEEPING,
}
FORGET_SECONDS = 3600.0
SEGMENT_SECONDS = 120.0
# For `celery beat`. Every node sweeps too; this is for the time when none is alive.
BEAT_SCHEDULE = {
    "reap-dead-nodes": {"task": TASK_REAP_DEAD_NODES, "schedule": 15.0},
    "forget-old": {"task": TASK_FORGET_OLD, "schedule": FORGET_SECONDS},
    "keep-segments": {"task": TASK_KEEP_SEGMENTS, "schedule": SEGMENT_SECONDS},
}
MEMORY_POLLING_SECONDS = 0.01  # the transport's own default of 1 s would delay every fetch by that
BROKER_TIMEOUT_SECONDS = 2.0


def _transport_options(broker_url: str) -> dict[str, Any]:
    if broker_url.startswith("memory:"):
        return {"polling_interval": MEMORY_POLLING_SECONDS}
    return {
        "socket_connect_timeout": BROKER_TIMEOUT_SECONDS,
        "socket_timeout": 30.0,  # longer than the broker's blocking reads
        "retry_on_timeout": False,
    }


def _queue(name: str) -> Any:
    # Its own exchange and key: by default all would share those of the default queue.
    # A fetch that was lost with its worker is of no use when it would be delivered again, a sweep
    # finds what callbacks were promised, and acknowledging costs two transactions of the broker
    # per task.
    exchange = Exchange(name, type="direct")  # type: ignore[no-untyped-call] # untyped
    return Queue(name, exchange, routing_key=name, no_ack=name in _UNACKNOWLEDGED)  # type: ignore[no-untyped-call] # kombu has no types


def _defaults() -> dict[str, Any]:
    from django.conf import settings

    return {
        "accept_content": ["json"],
        "beat_schedule": BEAT_SCHEDULE,
        "broker_connection_retry_on_startup": True,
        "broker_transport_options": _transport_options(settings.CELERY_BROKER_URL),
        "result_backend": None,
        "task_create_missing_queues": False,
        "task_default_delivery_mode": "transient",
        "task_default_queue": QUEUE_HOUSEKEEPING,
        "task_ignore_result": True,
        "task_queues": [_queue(name) for name in QUEUES],
        "task_routes": {name: {"queue": queue} for name, queue in ROUTES.items()},
        "task_serializer": "json",
        "task_store_errors_even_if_ignored": False,
        "timezone": "UTC",
        "worker_hijack_root_logger": False,
        "worker_pool": "threads",
        "worker_send_task_events": False,
    }


# These write lines per task, and the live side asks for hundreds a second.
for _name in ("celery.worker.strategy", "celery.app.trace"):
    logging.getLogger(_name).setLevel(logging.WARNING)

app = Celery(
    "sipdomains",
    include=(
        "twimlrunner.tasks",
        "twimlrunner.bench.tasks",
        "sipserver.tasks",
        "sipdomains.tasks",
    ),
)
app.config_from_object("django.conf:settings", namespace="CELERY")
app.add_defaults(_defaults)
app.set_default()  # pool threads of an embedded worker would otherwise meet another application


class Presence(bootsteps.StartStopStep):  # type: ignore[misc] # Celery is not typed
    """A worker is a member of the group ``CONSUMERS`` from its start to its end: the overview
    counts them. Celery's own ``ping`` would wait for a whole second for answers."""

    requires = {"celery.worker.components:Pool"}

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        self._subscription: Subscription | None = None

    def start(self, parent: Any) -> None:
        address = f"{parent.hostname}/{uuid.uuid4().hex}"
        self._subscription = default_bus().subscribe(address, _nothing, group=CONSUMERS)

    def stop(self, parent: Any) -> None:
        if self._subscription is not None:
            self._subscription.close()

    terminate = stop


def _nothing(messages: list[Wire]) -> None:
    """Nothing is ever sent to that group."""


app.steps["worker"].add(Presence)


def publish_fetches(batch: list[dict[str, Any]], deadline: float) -> None:
    """Enqueue one ``fetch_documents`` task of FetchDocument wires. ``deadline`` is wall clock: a
    worker drops the task after it. Blocks; raises the transport's errors when the broker refuses.

    Builds the message as ``send_task`` does, but leaves out what that looks up and declares again
    for each task: it is half of the cost of publishing.
    """
    message = app.amqp.as_task_v2(
        str(uuid.uuid4()),
        TASK_FETCH_DOCUMENTS,
        args=(batch,),
        expires=max(deadline - time.time(), 0.001),
        ignore_result=True,
        # Else the whole batch is written a second time, as text for event monitors.
        argsrepr="",
        kwargsrepr="",
    )
    with app.producer_pool.acquire(block=True) as producer:
        producer.publish(
            message.body,
            exchange="",  # straight to the queue
            routing_key=QUEUE_TWIML,
            headers=message.headers,
            serializer="json",
            delivery_mode="transient",
            # One more try at once heals a connection that the broker closed while it was idle.
            retry=True,
            retry_policy={"max_retries": 1, "interval_start": 0, "interval_max": 0},
            **message.properties,
        )


class EmbeddedWorker:
    """A Celery worker on a thread of this process: the embedded mode with ``memory://``.

    One per process: Celery stops workers by a flag of the process.
    """

    def __init__(self, queues: tuple[str, ...] = QUEUES, concurrency: int = 4) -> None:
        self._queues = queues
        self._concurrency = concurrency
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="celery-embedded", daemon=True)

    def _run(self) -> None:
        # Made on this thread: Celery closes database connections, which a loop's thread may not.
        ready = self._ready

        class Controller(WorkController):  # type: ignore[misc] # Celery is not typed
            def on_consumer_ready(self, consumer: object) -> None:
                ready.set()  # the worker_ready signal is sent by the command only

        worker_state.should_stop = None
        controller = Controller(
            app=app,
            hostname=f"embedded-{os.getpid()}@localhost",
            queues=list(self._queues),
            pool_cls="threads",
            concurrency=self._concurrency,
            without_heartbeat=True,
            without_mingle=True,
            without_gossip=True,
            quiet=True,
            loglevel="WARNING",
        )
        controller.start()

    def start(self, timeout: float = 10.0) -> None:
        """Returns when tasks are consumed; TimeoutError when that takes longer."""
        self._thread.start()
        if not self._ready.wait(timeout):
            raise TimeoutError("the embedded Celery worker did not become ready")

    def stop(self, timeout: float = 20.0) -> bool:
        """Warm shutdown: running tasks end first. False if the thread is still alive."""
        worker_state.should_stop = 0
        for _ in range(2):  # Celery reads once more after it has seen the flag
            publish_fetches([], time.time() + 1.0)  # an empty batch ends a blocking read
        self._thread.join(timeout)
        worker_state.should_stop = None
        return not self._thread.is_alive()


def start_embedded_worker(concurrency: int = 4) -> EmbeddedWorker:
    """A running worker for all queues; call ``stop()`` on it before the process ends."""
    worker = EmbeddedWorker(concurrency=concurrency)
    worker.start()
    return worker
