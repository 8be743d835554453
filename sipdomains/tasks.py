"""Housekeeping tasks, sent by the beat schedule under the names of ``contracts``."""

from __future__ import annotations

import logging

from celery import shared_task

from sipdomains.contracts import TASK_REAP_DEAD_NODES
from sipdomains.services import calls, nodes

log = logging.getLogger(__name__)


@shared_task(name=TASK_REAP_DEAD_NODES)  # type: ignore[untyped-decorator]  # celery has no types
def reap_dead_nodes() -> None:
    """Close the calls of nodes that stopped renewing their lease; forget nodes of long ago."""
    if closed := calls.close_orphans():
        log.warning("closed %d calls of nodes that are gone", closed)
    nodes.forget_stopped()
