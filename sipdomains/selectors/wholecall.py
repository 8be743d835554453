"""Everything that belongs to one call, however much it is: read in stretches by key, in order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet

from sipdomains.access import Scope
from sipdomains.models import (
    Call,
    CallEvent,
    Notification,
    OutboxMessage,
    Recording,
    Transfer,
    WebhookRequest,
)

CHUNK = 200


@dataclass(frozen=True, slots=True)
class Everything:
    """Each can be gone through once. ``legs`` are the other ones, as in ``CallStory``; events and
    webhook requests are also those of the legs that the call placed or was placed by."""

    legs: Iterator[Call]
    events: Iterator[CallEvent]
    webhook_requests: Iterator[WebhookRequest]
    notifications: Iterator[Notification]
    recordings: Iterator[Recording]
    transfers: Iterator[Transfer]
    callbacks: Iterator[OutboxMessage]


def everything(call: Call, scope: Scope) -> Everything:
    root = call.parent_id or call.sid
    related = Q(sid=root) | Q(parent_id=root) | Q(parent_id=call.sid)
    legs = scope.narrow(Call.objects.filter(related)).exclude(sid=call.sid)
    near = scope.narrow(Call.objects.filter(Q(parent_id=call.sid) | Q(sid=call.parent_id)))
    # As a list: PostgreSQL would go through all events for a subquery beside another condition.
    both = Q(call_id__in=[call.sid, *near.order_by().values_list("sid", flat=True)])
    return Everything(
        legs=_each(legs, "started_at", "sid"),
        events=_each(CallEvent.objects.filter(both), "at", "id"),
        webhook_requests=_each(WebhookRequest.objects.filter(both), "at", "id"),
        notifications=_each(Notification.objects.filter(call_id=call.sid), "at", "sid"),
        recordings=_each(call.recordings.all(), "started_at", "sid"),
        transfers=_each(call.transfers.all(), "number", "id"),
        callbacks=_each(call.outbox_messages.all(), "created_at", "id"),
    )


def _each(rows: QuerySet[Any], first: str, second: str) -> Iterator[Any]:
    """In order of the two, of which the second is unique."""
    found = rows.order_by(first, second)
    part = list(found[:CHUNK])
    while part:
        yield from part
        if len(part) < CHUNK:
            return
        one, two = getattr(part[-1], first), getattr(part[-1], second)
        beyond = Q(**{f"{first}__gt": one}) | Q(**{first: one, f"{second}__gt": two})
        part = list(found.filter(beyond)[:CHUNK])
