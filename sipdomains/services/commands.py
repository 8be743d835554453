"""Changes of live calls: stored first, then pushed to the node that carries the call (ADR 18).

A command is settled once, by compare-and-set: by its node, which applies it, or by the sweep, when
the call has ended. A call that still waits in the queue has no node: it is changed right here.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from sipdomains.bus import BusUnavailable, default_bus
from sipdomains.contracts import (
    CALL_NOT_IN_PROGRESS,
    CANCEL,
    COMMAND_KINDS,
    HANGUP,
    REDIRECT,
    UPDATE,
    CommandSubmitted,
    OriginatePlan,
    to_wire,
)
from sipdomains.live import Command, Outcome, rejected
from sipdomains.models import Call, CallCommand, CallOrder, CallStatus, CommandState
from sipdomains.services import orders

log = logging.getLogger(__name__)

CANCELED = "api-cancel"  # as a call that rings
COMMAND_LIMIT = 200  # commands that a node loads at once
# How long a call may have ended before what was asked of it is rejected without its node: the
# node's own word may be on its way.
GRACE = timedelta(seconds=5)
_ENDED = "The call ended before the request reached it."
# Not kept once it is settled: documents may hold passwords.
_NOT_KEPT = ("twiml",)
_FIRST_LOOK, _LAST_LOOK = 0.004, 0.1


class CallNotActive(Exception):
    """The call is over, or not in a state for this."""

    code = CALL_NOT_IN_PROGRESS


def submit(call: Call, kind: str, payload: Mapping[str, Any], requested_by: str) -> CallCommand:
    """Store a command of ``contracts.COMMAND_KINDS`` and tell the node after the commit. That of a
    call in the queue is settled at once. Raises CallNotActive."""
    if kind not in COMMAND_KINDS:
        raise ValueError(f"{kind!r} is no kind of command")
    with transaction.atomic():
        locked = Call.objects.select_for_update().filter(pk=call.pk, ended_at=None).first()
        if locked is None:
            raise CallNotActive("the call is over")
        now = timezone.now()
        command = CallCommand.objects.create(
            call=locked, kind=kind, payload=dict(payload), requested_by=requested_by[:150],
            requested_at=now,
        )  # fmt: skip
        if locked.node:
            hint, node = CommandSubmitted(locked.sid, command.pk), locked.node
            transaction.on_commit(lambda: _push(node, hint), robust=True)
        else:
            _settle(command.pk, _in_queue(locked, command, now), now)
            command.refresh_from_db()
    return command


def _push(node: str, hint: CommandSubmitted) -> None:
    try:
        default_bus().publish(node, [to_wire(hint)])
    except BusUnavailable as error:
        log.warning("command %d waits until its node looks: %s", hint.command_id, error)


def wait(command_id: int, seconds: float) -> CallCommand:
    """The command once it is settled, or as it is when ``seconds`` have passed. Looks ever less
    often: usually the first few milliseconds settle it. Raises CallNotActive when it was deleted
    with its call, which is over then."""
    deadline = time.monotonic() + seconds
    pause = _FIRST_LOOK
    while True:
        command = CallCommand.objects.filter(pk=command_id).first()
        if command is None:
            raise CallNotActive("the call was deleted")
        left = deadline - time.monotonic()
        if command.state != CommandState.PENDING or left <= 0:
            return command
        time.sleep(min(pause, left))
        pause = min(pause * 1.5, _LAST_LOOK)


# --- calls in the queue ---------------------------------------------------------------------------


def _in_queue(call: Call, command: CallCommand, now: datetime) -> Outcome:
    """The call is locked, and no node has it."""
    if command.kind in (CANCEL, HANGUP):
        orders.tell(call, command.kind, command.requested_by, now)
        # No callback tells of it (webhooks.md section 4.2): nothing had been told before.
        orders.close_waiting(
            call, now, status=CallStatus.CANCELED, cause=CANCELED,
            reason=f"The call was ended by request in the queue ({command.requested_by}).",
        )  # fmt: skip
        return Outcome()
    if command.kind in (REDIRECT, UPDATE):
        order = CallOrder.objects.get(pk=call.pk)
        order.plan = _changed(OriginatePlan.from_json(order.plan), command.payload).to_json()
        order.save(update_fields=["plan"])
        orders.tell(call, command.kind, command.requested_by, now)
        return Outcome(callback=changed_callback(call.callback, command.payload))
    return rejected("The call is still in the queue.")


def _changed(plan: OriginatePlan, payload: Mapping[str, Any]) -> OriginatePlan:
    if "twiml" in payload:
        plan = replace(plan, twiml=payload["twiml"], url="")
    elif "url" in payload:
        plan = replace(plan, url=payload["url"], method=payload.get("method", "POST"), twiml="")
    names = ("time_limit", "fallback_url", "fallback_method")
    return replace(plan, **{name: payload[name] for name in names if name in payload})


def changed_callback(
    present: Mapping[str, Any], payload: Mapping[str, Any]
) -> dict[str, Any] | None:
    """What the call's row says about its status callback after this; None: as before."""
    wanted = payload.get("callback")
    if wanted is None:
        return None
    if not wanted["url"]:
        return {}
    events = present.get("events") or ["completed"]
    return {"url": wanted["url"], "method": wanted.get("method", "POST"), "events": events}


# --- for nodes ------------------------------------------------------------------------------------


def pending(boot_id: str, limit: int = COMMAND_LIMIT) -> list[Command]:
    """What is asked of the calls of a node, in the order in which it was. One query over an index
    of what is pending."""
    rows = CallCommand.objects.filter(state=CommandState.PENDING, call__node=boot_id)
    oldest = sorted(rows.order_by("requested_at")[:limit], key=lambda row: row.pk)
    return [Command(row.pk, row.call_id, row.kind, row.payload, row.requested_by) for row in oldest]


def is_pending(command_id: int) -> bool:
    """Whether it is still wanted: whoever asked may have withdrawn it."""
    return CallCommand.objects.filter(pk=command_id, state=CommandState.PENDING).exists()


def settle(command_id: int, outcome: Outcome) -> bool:
    """Write down what came of it. False: somebody did already, or it was deleted with its call."""
    with transaction.atomic():
        return _settle(command_id, outcome, timezone.now())


def is_rejected(command_id: int) -> bool:
    """Whether who asked has been told that nothing comes of it."""
    return CallCommand.objects.filter(pk=command_id, state=CommandState.REJECTED).exists()


def _settle(command_id: int, outcome: Outcome, now: datetime) -> bool:
    row = CallCommand.objects.select_for_update().filter(pk=command_id).first()
    if row is None or row.state != CommandState.PENDING:
        return False
    row.state = CommandState.APPLIED if outcome.applied else CommandState.REJECTED
    row.settled_at = now
    row.result = dict(outcome.result)
    row.error_code = outcome.error_code
    row.reason = outcome.reason[:512]
    row.payload = {name: one for name, one in row.payload.items() if name not in _NOT_KEPT}
    row.save()
    if outcome.callback is not None:
        Call.objects.filter(pk=row.call_id).update(callback=dict(outcome.callback))
    return True


# --- the sweep ------------------------------------------------------------------------------------


def reject_left_over(now: datetime | None = None) -> int:
    """Reject what is asked of calls that have ended, or are gone; returns how many."""
    now = now or timezone.now()
    here = Call.objects.filter(pk=OuterRef("call_id"))
    live = here.filter(ended_at=None) | here.filter(ended_at__gt=now - GRACE)
    left = CallCommand.objects.filter(~Exists(live), state=CommandState.PENDING)
    ids = list(left.order_by("requested_at").values_list("pk", flat=True)[:500])
    return sum(settle(pk, rejected(_ENDED)) for pk in ids)
