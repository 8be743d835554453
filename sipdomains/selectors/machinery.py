"""How the server itself is: nodes, workers, queues, registrations."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q

from sipdomains.access import Scope
from sipdomains.bus import CONSUMERS, BusUnavailable, default_bus
from sipdomains.models import (
    CallCommand,
    CallOrder,
    CommandState,
    OutboxMessage,
    OutboxState,
    Registration,
    SipNode,
)

LEASE = timedelta(seconds=30)  # as services.calls has it
_SHOWN_STOPPED = timedelta(hours=24)
_COUNTED = 10_000  # "more than": nobody needs to know how many more


@dataclass(frozen=True, slots=True)
class Queue:
    """``oldest`` is since when its first one could have gone."""

    name: str
    waiting: int
    oldest: datetime | None
    page: str


def nodes(now: datetime) -> list[SipNode]:
    """Those that run, and those that stopped in the last day; the newest start first."""
    recent = Q(stopped_at=None) | Q(stopped_at__gte=now - _SHOWN_STOPPED)
    return list(SipNode.objects.filter(recent).order_by("-started_at")[:20])


@dataclass(frozen=True, slots=True)
class Worker:
    """``silent`` is for how many seconds it has not been heard of."""

    name: str
    silent: float


def workers() -> list[Worker] | None:
    """The Celery workers that live; None when the broker cannot be asked."""
    try:
        found = default_bus().members(CONSUMERS)
    except BusUnavailable:
        return None
    rows = [Worker(address.partition("/")[0], silent) for address, silent in found.items()]
    return sorted(rows, key=lambda row: (row.name, row.silent))


def queues(now: datetime) -> list[Queue]:
    callbacks = OutboxMessage.objects.filter(state=OutboxState.PENDING, next_at__lte=now)
    orders = CallOrder.objects.filter(due_at__lte=now)
    commands = CallCommand.objects.filter(state=CommandState.PENDING)
    return [
        _queue("Callbacks", callbacks, "next_at", "outboxmessage"),
        _queue("Calls to place", orders, "due_at", "callorder"),
        _queue("Changes of calls", commands, "requested_at", "callcommand"),
    ]


def _queue(name: str, rows, moment: str, page: str) -> Queue:  # type: ignore[no-untyped-def] # any model's rows
    oldest = rows.order_by(moment).values_list(moment, flat=True).first()
    waiting = rows.order_by()[:_COUNTED].count() if oldest is not None else 0
    return Queue(name, waiting, oldest, page)


def registrations(scope: Scope, now: datetime) -> int:
    return scope.narrow(
        Registration.objects.filter(expires_at__gt=now), "domain__account_id"
    ).count()
