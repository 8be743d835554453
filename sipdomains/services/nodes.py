"""Leases of SIP nodes (architecture, choice 4): who is alive, whose calls are orphans."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from sipdomains.models import SipNode
from sipdomains.services import (
    calls,
    commands,
    orders,
    outbox,
    recording_sweep,
    registrations,
    transfers,
)

_KEEP_STOPPED = timedelta(days=7)


def register(boot_id: str, contact: str, now: datetime | None = None) -> int:
    """A node has started at ``contact``; an earlier one there is gone, so its calls are closed.

    Returns how many calls were closed. ``contact`` tells nodes of one host apart.
    """
    now = now or timezone.now()
    SipNode.objects.create(boot_id=boot_id, contact=contact, started_at=now, heartbeat_at=now)
    earlier = SipNode.objects.filter(contact=contact, stopped_at=None).exclude(boot_id=boot_id)
    earlier.update(stopped_at=now)
    return calls.close_orphans(now)


def heartbeat(boot_id: str, now: datetime | None = None, *, draining: bool = False) -> bool:
    """Renew the lease. False when it was taken away: the node's calls are closed in the log, so it
    must end them and register anew under a fresh boot id."""
    renewed = SipNode.objects.filter(boot_id=boot_id, stopped_at=None)
    return bool(renewed.update(heartbeat_at=now or timezone.now(), draining=draining))


def stop(boot_id: str, now: datetime | None = None) -> None:
    """The node has ended in order, after its last log record was written."""
    now = now or timezone.now()
    SipNode.objects.filter(boot_id=boot_id, stopped_at=None).update(
        heartbeat_at=now, stopped_at=now
    )


def forget_stopped(now: datetime | None = None) -> int:
    """Delete the rows of nodes that stopped long ago; returns how many."""
    now = now or timezone.now()
    deleted, _ = SipNode.objects.filter(stopped_at__lt=now - _KEEP_STOPPED).delete()
    return deleted


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep found: calls and recordings it closed; callbacks to deliver and transfers to
    follow up, which tasks see to."""

    calls: int
    recordings: int
    callbacks: list[str]
    transfers: list[tuple[str, int]]


def sweep(now: datetime | None = None) -> Swept:
    """Everything that heals by looking: each node does so every few seconds, beat as well."""
    now = now or timezone.now()
    closed = calls.close_orphans(now)
    recovered = recording_sweep.close_orphans(now)  # after their calls
    orders.expire(now)
    commands.reject_left_over(now)
    registrations.expire(now)
    return Swept(closed, recovered, outbox.due(now), transfers.hanging(now))
