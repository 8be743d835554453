"""Bindings of registered phones: the only writer, and the look-up for calls to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from sipdomains.models import Registration, SipDomain
from sipdomains.models.names import is_host, normalise_host
from sipdomains.policy import RegisteredContact

Change = tuple[RegisteredContact | None, RegisteredContact | None]
"""(old, new): old None adds, new None removes."""


def contacts(
    domain_sid: str, username: str, now: datetime | None = None
) -> tuple[RegisteredContact, ...]:
    """Unexpired contacts of a user, best q first. One query."""
    rows = Registration.objects.filter(
        domain_id=domain_sid, username=username, expires_at__gt=now or timezone.now()
    )
    return tuple(_value(row) for row in rows.order_by("-q", "-refreshed_at", "id"))


def nodes_of(host: str, username: str, now: datetime | None = None) -> list[str]:
    """The boot ids of the nodes that a user's phones registered with, one for each phone, by a name
    of the domain. One query."""
    name = normalise_host(host)
    if not is_host(name):
        return []
    named = SipDomain.objects.filter(Q(domain_name=name) | Q(aliases__name=name), enabled=True)
    rows = Registration.objects.filter(
        domain__in=named, username=username, expires_at__gt=now or timezone.now()
    )
    return list(rows.values_list("node", flat=True))


def change(
    domain_sid: str,
    username: str,
    decide: Callable[[Sequence[RegisteredContact]], Iterable[Change]],
) -> None:
    """Let ``decide`` change the bindings of one address of record, in one transaction. It may be
    called twice, when another REGISTER of the same address was quicker. What has expired of the
    address is cleared away."""
    try:
        _change(domain_sid, username, decide)
    except IntegrityError:
        _change(domain_sid, username, decide)


@transaction.atomic
def _change(
    domain_sid: str,
    username: str,
    decide: Callable[[Sequence[RegisteredContact]], Iterable[Change]],
) -> None:
    rows = Registration.objects.select_for_update().filter(domain_id=domain_sid, username=username)
    current = {row.contact_uri: row for row in rows}
    now = timezone.now()
    changes = list(decide([_value(row) for row in current.values()]))
    # Removals first: what is written next may take the address of a contact that goes.
    for old, new in changes:
        if old is not None and new is None and (gone := current.pop(old.contact_uri, None)):
            gone.delete()
    for old, new in changes:
        if new is None:
            continue
        row = current.pop(old.contact_uri, None) if old is not None else None
        _write(row or _new(domain_sid, username, now), new, now)
    for row in current.values():
        if row.expires_at <= now:
            row.delete()


def _new(domain_sid: str, username: str, now: datetime) -> Registration:
    return Registration(domain_id=domain_sid, username=username, registered_at=now)


def _write(row: Registration, new: RegisteredContact, now: datetime) -> None:
    row.contact_uri = new.contact_uri
    row.instance = new.instance
    row.sip_call_id = new.call_id
    row.cseq = new.cseq
    row.q = new.q
    row.transport = new.transport
    row.received_host, row.received_port = new.received
    row.local_host, row.local_port = new.local
    row.connection = new.connection
    row.node = new.node
    row.user_agent = new.user_agent
    row.refreshed_at = now
    row.expires_at = datetime.fromtimestamp(new.expires_at, UTC)
    row.save()


def drop_connection(node: str, connection: int) -> int:
    """A TCP connection of a node has ended: nobody is reached over it any more."""
    deleted, _ = Registration.objects.filter(node=node, connection=connection).delete()
    return deleted


def expire(now: datetime | None = None) -> int:
    """Delete what has run out; returns how many."""
    deleted, _ = Registration.objects.filter(expires_at__lte=now or timezone.now()).delete()
    return deleted


def _value(row: Registration) -> RegisteredContact:
    return RegisteredContact(
        domain_sid=row.domain_id,
        username=row.username,
        contact_uri=row.contact_uri,
        q=row.q,
        transport=row.transport,
        received=(row.received_host, row.received_port),
        local=(row.local_host, row.local_port),
        connection=row.connection,
        node=row.node,
        expires_at=row.expires_at.timestamp(),
        call_id=row.sip_call_id,
        cseq=row.cseq,
        instance=row.instance,
        user_agent=row.user_agent,
    )
