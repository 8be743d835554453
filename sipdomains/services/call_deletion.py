"""Deleting a call from the log, with all that is known of it but its recordings."""

from __future__ import annotations

import logging

from django.db import connection, transaction

from sipdomains import longlists
from sipdomains.models import (
    Call,
    CallCommand,
    CallEvent,
    CallOrder,
    Notification,
    OutboxMessage,
    OutboxState,
    Recording,
    Transfer,
    WebhookRequest,
)
from sipdomains.models.recordings import UNDER_WAY
from sipdomains.services import segments
from sipdomains.stretch import ListName, Place

log = logging.getLogger(__name__)

DELETE_BEFORE_COMPLETE = 20009  # errors.md section 1


class NotOver(Exception):
    """The call goes on, or a recording of it is being finished: it cannot be deleted (REST code
    DELETE_BEFORE_COMPLETE)."""


@transaction.atomic
def delete(call: Call, by: str) -> None:
    """Raises NotOver. Callbacks that an application still waits for are delivered; recordings stay
    until they are deleted themselves, and go on naming the call."""
    segments.hold(call.account_id or "")
    found = Call.objects.select_for_update().filter(pk=call.pk).first()
    if found is None:
        return
    unfinished = Recording.objects.filter(call_id=call.sid, status__in=UNDER_WAY)
    if found.ended_at is None or unfinished.exists():
        raise NotOver(call.sid)
    segments.lower(_places(found))
    messages = OutboxMessage.objects.filter(call_id=call.sid)
    pending = list(messages.filter(state=OutboxState.PENDING).values_list("pk", flat=True))
    messages.exclude(pk__in=pending).delete()
    WebhookRequest.objects.filter(call_id=call.sid).exclude(request_id__in=pending).delete()
    for model in (CallEvent, Notification, CallCommand, Transfer, CallOrder):
        model._default_manager.filter(call_id=call.sid).delete()
    # Not by way of the model, which would take the recordings along.
    table = connection.ops.quote_name(Call._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {table} WHERE sid = %s", [call.sid])  # noqa: S608 # no value
    log.info("call %s was deleted by %s", call.sid, by)


def _places(call: Call) -> dict[ListName, list[Place]]:
    """Where the call and what is deleted with it stand in lists whose rows are counted."""
    known = segments.known(call.account_id or "")
    at = longlists.CALLS_ORDER.of(call)
    places = {name: [at] for name in longlists.of_call(call) if name in known}
    notes = ListName(call.account_id or "", longlists.NOTIFICATIONS)
    if notes in known:
        # By the call alone: with the account in it, SQLite would take the index of that.
        rows = Notification.objects.filter(call_id=call.sid).only("at", "sid", "account_id")
        theirs = [row for row in rows if row.account_id == call.account_id]
        places[notes] = [longlists.NOTIFICATIONS_ORDER.of(row) for row in theirs]
    return places
