"""Housekeeping tasks, sent by the beat schedule under the names of ``contracts``."""

from __future__ import annotations

import logging

from celery import current_app, shared_task

from sipdomains.contracts import (
    TASK_DELIVER_CALLBACKS,
    TASK_FOLLOW_UP_TRANSFER,
    TASK_FORGET_OLD,
    TASK_KEEP_SEGMENTS,
    TASK_REAP_DEAD_NODES,
)
from sipdomains.services import idempotency, nodes, recording_sweep, segments

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
    nobody asks for again."""
    recording_sweep.forget_old()
    nodes.forget_stopped()
    idempotency.forget_old()


@shared_task(name=TASK_KEEP_SEGMENTS)  # type: ignore[untyped-decorator]  # celery has no types
def keep_segments() -> None:
    """Lists that have become long are prepared for pages by number."""
    segments.keep()
