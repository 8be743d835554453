"""The lists of an account that may have a million rows, and what each of them holds.

Of these the database keeps segments (``models.ListSegment``): ``services.segments`` writes them,
``selectors.depth`` finds pages by them. Each list is served by one index in its order.
"""

from __future__ import annotations

from django.db.models import Q

from sipdomains.contracts import FINAL_STATUSES
from sipdomains.models import Call, Notification, Recording, RecordingStatus
from sipdomains.stretch import ListName, Order, Stretch

STEP = 5_000  # rows of a segment when it is laid; they are walked over in a millisecond or two

CALLS_ORDER = Order("started_at", "sid")
RECORDINGS_ORDER = Order("started_at", "sid")
NOTIFICATIONS_ORDER = Order("at", "sid")

CALLS, RECORDINGS, RECORDINGS_KEPT, NOTIFICATIONS = "calls", "recordings", "kept", "notifications"
CALLS_BY = ("status", "to_uri", "from_uri")  # also names of the columns

KEPT = ~Q(status=RecordingStatus.DELETED)


def rows_of(name: ListName) -> Stretch:
    """The whole list."""
    if name.kind in (RECORDINGS, RECORDINGS_KEPT):
        recordings = Recording.objects.filter(account_id=name.account)
        if name.kind == RECORDINGS_KEPT:
            recordings = recordings.filter(KEPT)
        return Stretch(recordings, RECORDINGS_ORDER, name=name)
    if name.kind == NOTIFICATIONS:
        notes = Notification.objects.filter(account_id=name.account)
        return Stretch(notes, NOTIFICATIONS_ORDER, name=name)
    calls = Call.objects.filter(account_id=name.account)
    if name.kind != CALLS:
        calls = calls.filter(**{name.kind: name.value})
    return Stretch(calls, CALLS_ORDER, name=name)


def fixed(account: str) -> list[ListName]:
    """Those that do not depend on what stands in the rows. A list that narrows another one follows
    it."""
    return [
        ListName(account, CALLS),
        *(ListName(account, "status", status) for status in sorted(FINAL_STATUSES)),
        ListName(account, RECORDINGS),
        ListName(account, RECORDINGS_KEPT),
        ListName(account, NOTIFICATIONS),
    ]


def of_call(call: Call) -> list[ListName]:
    """Those that hold the call."""
    account = call.account_id or ""
    narrowed = [ListName(account, column, getattr(call, column)) for column in CALLS_BY]
    return [ListName(account, CALLS), *narrowed]
