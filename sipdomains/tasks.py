"""Housekeeping tasks, sent by the beat schedule under the names of ``contracts``."""

from __future__ import annotations

import logging

from celery import current_app, shared_task

from sipdomains.contracts import (
    TASK_DELIVER_CALLBACKS,
    TASK_FOLLOW_UP_TRANSFER,
    TASK_FORGET_OLD,
    TASK_REAP_DEAD_NODES,
)
from sipdomains.selectors import account_log
from sipdomains.services import idempotency, nodes, recording_sweep

log = logging.getLogger(__name__)


@shared_task(name=TASK_REAP_DEAD_NODES)  # type: ignore[untyped-decorator]  # celery has no types
def reap_dead_nodes() -> None:
    """What every node's sweep does too; this is for the time when none is alive."""
    swept = nodes.sweep()
    if swept.calls:
        log.warning("closed %d calls of nodes that are gone", swept.calls)
    if swept.callbacks:
        current_app.send_task(TASK_DELIVER_CALLBACKS, (swept.callbacks,))
    for call_sid, number in swept.transfers:
        current_app.send_task(TASK_FOLLOW_UP_TRANSFER, (call_sid, number))


@shared_task(name=TASK_FORGET_OLD)  # type: ignore[untyped-decorator]  # celery has no types
def forget_old() -> None:
    """Recordings that have been kept long enough; nodes of long ago; answers of the API that
    nobody asks for again. And lists that have become long are prepared for pages by number."""
    recording_sweep.forget_old()
    nodes.forget_stopped()
    idempotency.forget_old()
    account_log.prepare_lists()
