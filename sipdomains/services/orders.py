"""Calls that REST creates: a row and an order first, then a node that takes it (ADR 18).

Turns are given under the lock of one row per account, so that no two processes give the same one.
The order is taken by whichever node first writes its boot id into the call's empty ``node``. When
nobody took orders for a while, the turns behind them move by as much: they never go out in a burst.
An order for a registered phone is left to the node that the phone registered with: its connection,
or the address that its NAT lets in, is of that node.
Locks are always taken in the order call, turn, order.
"""

from __future__ import annotations

import logging
import secrets
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Exists, F, OuterRef, QuerySet
from django.db.models.fields.json import KeyTextTransform
from django.utils import timezone

from sipdomains.bus import BusUnavailable, default_bus
from sipdomains.contracts import (
    QUEUE_FULL,
    QUEUE_TIMEOUT,
    CallbackPromised,
    CallClosed,
    CallDue,
    CallEventRecord,
    ContractError,
    LogRecord,
    NotificationRecord,
    OriginatePlan,
    to_wire,
)
from sipdomains.live import Order
from sipdomains.models import (
    Account,
    Call,
    CallDirection,
    CallOrder,
    CallStatus,
    CallTurn,
    SipNode,
)
from sipdomains.models.fields import DecryptionFailed
from sipdomains.services import apilog, calls, domains, promises
from twimlrunner.twiml.redact import without_passwords

log = logging.getLogger(__name__)

# At one call per second, the slowest rate there is, that is fifty minutes.
MAX_QUEUED = 3000
QUEUE_SECONDS = 3600
CLAIM_LIMIT = 20  # calls that a node takes in one transaction
JITTER = timedelta(milliseconds=50)  # an order that is taken so late was not held up
HEARD_OF = timedelta(seconds=15)  # a node not heard of for this long is told of no call
QUEUE_EXPIRED = "queue-expired"
_INTERNAL = 12400  # errors.md section 4

RegisteredAt = Callable[[Order], Sequence[str]]
"""The boot ids of the nodes that the phones of an order registered with, one for each phone."""


class QueueFull(Exception):
    """As many calls of the account wait as may."""

    code = QUEUE_FULL


def create_call(
    account: Account,
    plan: OriginatePlan,
    *,
    callback: Mapping[str, Any],
    sip_username: str = "",
    sip_password: str = "",
    requested_by: str,
    warnings: Sequence[tuple[int, str]] = (),
) -> Call:
    """The queued call, stored with its order; a node is told after the commit. ``callback`` {url,
    method, events} or empty; ``warnings`` (code, text) of what was given and is not used. Raises
    QueueFull."""
    with transaction.atomic():
        now = timezone.now()
        due_at = _turn(account, now)
        call = Call.objects.create(
            account=account,
            node="",
            direction=CallDirection.OUTBOUND_API,
            from_uri=plan.from_[:512],
            to_uri=without_passwords(plan.to)[:512],
            status=CallStatus.QUEUED,
            started_at=now,
            updated_at=now,
            sip_call_id=secrets.token_hex(16),
            queue_ms=_milliseconds(due_at - now),
            callback=dict(callback),
        )
        CallOrder.objects.create(
            call=call,
            account=account,
            created_at=now,
            due_at=due_at,
            plan=plan.to_json(),
            sip_username=sip_username,
            sip_password=sip_password,
        )
        tell(call, "create", requested_by, now)
        apilog.warn(account.sid, warnings, call_sid=call.sid)
        hint = CallDue(call.sid, due_at.timestamp())
        transaction.on_commit(lambda: _push(hint), robust=True)
    return call


def _turn(account: Account, now: datetime) -> datetime:
    """The account's next turn. Waits for whoever is just being given one."""
    CallTurn.objects.bulk_create([CallTurn(account=account, next_at=now)], ignore_conflicts=True)
    turn = CallTurn.objects.select_for_update().get(account=account)
    if CallOrder.objects.filter(account=account).count() >= MAX_QUEUED:
        raise QueueFull(f"{MAX_QUEUED} calls of this account wait for their turn already")
    due_at = max(now, turn.next_at)
    turn.next_at = due_at + _gap(account)
    turn.save(update_fields=["next_at"])
    return due_at


def _gap(account: Account) -> timedelta:
    return timedelta(seconds=1 / max(1, account.calls_per_second))


def _push(hint: CallDue) -> None:
    """Tell one living node. Nodes look by themselves too, so that nothing is lost."""
    nodes = list(_living().values_list("boot_id", flat=True))
    if not nodes:
        log.warning("call %s waits: no SIP node is running", hint.call_sid)
        return
    _tell_node(secrets.choice(nodes), hint)


def _living() -> QuerySet[SipNode]:
    """Nodes that take calls."""
    return SipNode.objects.filter(
        stopped_at=None, draining=False, heartbeat_at__gt=timezone.now() - HEARD_OF
    )


def _tell_node(node: str, hint: CallDue) -> None:
    try:
        default_bus().publish(node, [to_wire(hint)])
    except BusUnavailable as error:
        log.warning("call %s waits for a node that looks: %s", hint.call_sid, error)


def tell(call: Call, what: str, by: str, now: datetime) -> None:
    """An event of a call in the queue, whose row is locked or new. Its node will number its own
    from ``live.FIRST_SEQ`` on."""
    seq = call.events.count()
    calls.apply(
        [CallEventRecord(call.sid, seq, now.timestamp(), "command", {"what": what, "by": by})]
    )


def _milliseconds(waited: timedelta) -> int:
    return max(0, round(waited.total_seconds() * 1000))


# --- for nodes ------------------------------------------------------------------------------------


def next_due(boot_id: str) -> datetime | None:
    """When the first order is due that this node may take. One look at an index."""
    return _open_to(boot_id).order_by("due_at").values_list("due_at", flat=True).first()


def _open_to(boot_id: str) -> QuerySet[CallOrder]:
    """All orders but those that were left to another node, which lives."""
    left_to = _living().filter(boot_id=OuterRef("left_to")).exclude(boot_id=boot_id)
    return CallOrder.objects.alias(left_to=KeyTextTransform("node", "plan")).filter(
        ~Exists(left_to)
    )


def claim(
    boot_id: str,
    now: datetime | None = None,
    limit: int = CLAIM_LIMIT,
    registered_at: RegisteredAt = lambda order: (),
) -> list[Order]:
    """Take orders that are due, oldest first. Their rows are gone then: passwords and digits do
    not stay. Nothing for a node that is draining or taken for dead."""
    now = now or timezone.now()
    due = _open_to(boot_id).filter(due_at__lte=now).order_by("due_at")
    sids = list(due.values_list("call_id", flat=True)[:limit])
    if not sids:
        return []
    with transaction.atomic():
        if not SipNode.objects.filter(boot_id=boot_id, stopped_at=None, draining=False).exists():
            return []
        taken: list[Order] = []
        for sid in sids:
            try:
                order, moved = _take(sid, boot_id, now, registered_at)
            except (ContractError, DecryptionFailed) as error:
                log.error("call %s cannot be placed: %s", sid, error)
                _unreadable(sid, now)
                continue
            if order is not None:
                taken.append(order)
            if moved:  # the rest of the list may not be due any more
                break
        return taken


def _take(
    sid: str, boot_id: str, now: datetime, registered_at: RegisteredAt
) -> tuple[Order | None, bool]:
    """What was taken, and whether turns have moved."""
    free = Call.objects.filter(pk=sid, node="", ended_at=None)
    if not free.update(node=boot_id, updated_at=now):
        if not Call.objects.filter(pk=sid, ended_at=None).exists():
            _drop(sid)  # nobody will take it any more
        return None, False
    # Only now: until the call was ours, the document could be exchanged.
    row = CallOrder.objects.select_related("call", "account").get(pk=sid)
    order = _order(row)
    better = _better_placed(boot_id, registered_at(order))
    if better:
        _leave(row, replace(order.plan, node=better))
        return None, False
    moved = False
    if now - row.due_at > max(_gap(row.account) / 2, JITTER):
        moved = _held_up(row, now)
    if row.due_at > now:  # another node has just moved it
        Call.objects.filter(pk=sid).update(node="")
        return None, True
    Call.objects.filter(pk=sid).update(queue_ms=_milliseconds(now - row.created_at))
    row.delete()
    return order, moved


def _order(row: CallOrder) -> Order:
    return Order(
        call_sid=row.call_id,
        sip_call_id=row.call.sip_call_id,
        policy=domains.account_policy(row.account),
        plan=OriginatePlan.from_json(row.plan),
        callback=row.call.callback,
        username=row.sip_username,
        password=row.sip_password,
    )


def _better_placed(boot_id: str, phones: Sequence[str]) -> str:
    """The node that reaches more of the phones than this one does, or empty."""
    counts = Counter(phones)
    others = counts.keys() - {boot_id}
    if not others:
        return ""
    living = _living().filter(boot_id__in=others).values_list("boot_id", flat=True)
    best = max(living, key=lambda other: counts[other], default="")
    return best if counts[best] > counts[boot_id] else ""


def _leave(row: CallOrder, plan: OriginatePlan) -> None:
    """To the node in ``plan``: back into the queue, for it alone while it lives."""
    Call.objects.filter(pk=row.pk).update(node="")
    row.plan = plan.to_json()
    row.save(update_fields=["plan"])
    hint = CallDue(row.pk, row.due_at.timestamp())
    transaction.on_commit(lambda: _tell_node(plan.node, hint), robust=True)


def _unreadable(sid: str, now: datetime) -> None:
    """An order of another version, or encrypted by a key that is gone: it must not block others."""
    call = Call.objects.get(pk=sid)
    _give_up(call, now, "The order of the call cannot be read; the server log has the reason.")
    _drop(sid)


def _drop(sid: str) -> None:
    CallOrder.objects.filter(pk=sid).only("pk").delete()  # without decrypting it


def _give_up(call: Call, now: datetime, reason: str) -> None:
    closed = _closed(
        call, now, status=CallStatus.FAILED, cause="internal-error", code=_INTERNAL, reason=reason
    )
    promise = promises.of_lost_call(call, closed)
    calls.apply([closed, promise] if promise is not None else [closed])


def _held_up(row: CallOrder, now: datetime) -> bool:
    """The order is taken too late: all turns of its account behind it move by as much."""
    turn = CallTurn.objects.select_for_update().get(account=row.account)
    row.refresh_from_db(fields=["due_at"])
    late = now - row.due_at
    if late <= timedelta():
        return False
    others = CallOrder.objects.filter(account=row.account).exclude(pk=row.pk)
    others.update(due_at=F("due_at") + late)
    turn.next_at += late
    turn.save(update_fields=["next_at"])
    return True


def abandoned(boot_id: str, live: Collection[str], now: datetime | None = None) -> int:
    """Close what ``boot_id`` took without placing it, for instance since the database went away in
    that moment: ``live`` are the SIDs of the calls that it has. Returns how many."""
    now = now or timezone.now()
    mine = Call.objects.filter(
        node=boot_id,
        ended_at=None,
        status=CallStatus.QUEUED,
        direction=CallDirection.OUTBOUND_API,
    )
    lost = [call for call in mine if call.sid not in live]
    for call in lost:
        _give_up(
            call, now, "It was lost while a node took it out of the queue; the server log says why."
        )
    return len(lost)


# --- the sweep ------------------------------------------------------------------------------------


def expire(now: datetime | None = None) -> int:
    """Close the calls that have waited too long; returns how many."""
    now = now or timezone.now()
    late = CallOrder.objects.filter(created_at__lt=now - timedelta(seconds=QUEUE_SECONDS))
    sids = list(late.values_list("call_id", flat=True)[:500])
    return sum(_expire(sid, now) for sid in sids)


def _expire(sid: str, now: datetime) -> bool:
    with transaction.atomic():
        call = waiting(sid)
        if call is None:
            CallOrder.objects.filter(pk=sid, call__node="").only("pk").delete()
            return False
        closed = close_waiting(
            call, now, status=CallStatus.FAILED, cause=QUEUE_EXPIRED, code=QUEUE_TIMEOUT,
            reason="No SIP node took the call within an hour.",
        )  # fmt: skip
        told: list[LogRecord] = [
            NotificationRecord(
                at=now.timestamp(),
                code=QUEUE_TIMEOUT,
                level="error",
                message=closed.reason,
                call_sid=sid,
                account_sid=call.account_id or "",
            )
        ]
        promise: CallbackPromised | None = promises.of_lost_call(call, closed)
        calls.apply([*told, promise] if promise is not None else told)
    return True


def waiting(sid: str) -> Call | None:
    """The call, locked, if it still waits in the queue. Within a transaction."""
    return Call.objects.select_for_update().filter(pk=sid, node="", ended_at=None).first()


def close_waiting(
    call: Call, now: datetime, *, status: str, cause: str, reason: str, code: int = 0
) -> CallClosed:
    """Close a call that :func:`waiting` has locked, and take it out of the queue."""
    closed = _closed(call, now, status=status, cause=cause, reason=reason, code=code)
    calls.apply([closed])
    _drop(call.sid)
    return closed


def _closed(
    call: Call, now: datetime, *, status: str, cause: str, reason: str, code: int
) -> CallClosed:
    return CallClosed(
        call_sid=call.sid,
        seq=calls.SWEEP_SEQ,
        at=now.timestamp(),
        status=status,
        cause=cause,
        reason=reason,
        error_code=code,
    )
