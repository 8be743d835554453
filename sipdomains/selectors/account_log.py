"""Recordings, notifications and requests of one account or call, as the REST API lists them."""

from __future__ import annotations

from datetime import timedelta
from typing import TypeVar

from django.db.models import Model, QuerySet

from sipdomains import longlists
from sipdomains.models import (
    Account,
    Call,
    Notification,
    Recording,
    WebhookRequest,
)
from sipdomains.redaction import masked
from sipdomains.selectors.account_calls import row_by_row
from sipdomains.stretch import Order

RECORDINGS = longlists.RECORDINGS_ORDER
NOTIFICATIONS = longlists.NOTIFICATIONS_ORDER
REQUESTS = Order("at", "pk", numeric=True)

KEPT = longlists.KEPT
_Row = TypeVar("_Row", bound=Model)
_NEAR = timedelta(seconds=60)  # from a request to what is said about it
_CANDIDATES = 50


def is_known(account: Account, call_sid: str) -> bool:
    """Whether the account has the call, or at least a recording of one that was deleted."""
    return (
        Call.objects.filter(account=account, pk=call_sid).exists()
        or recordings(account, call_sid).exists()
    )


def recordings(account: Account, call_sid: str = "") -> QuerySet[Recording]:
    """Of the account, or of one of its calls."""
    return _rows(Recording.objects.all(), account, call_sid)


def notifications(account: Account, call_sid: str = "") -> QuerySet[Notification]:
    return _rows(Notification.objects.all(), account, call_sid)


def requests(account: Account, call_sid: str) -> QuerySet[WebhookRequest]:
    return WebhookRequest.objects.filter(call_id=call_sid, account=account)


def _rows(rows: QuerySet[_Row], account: Account, call_sid: str) -> QuerySet[_Row]:
    if not call_sid:
        return rows.filter(account=account)
    # The call leads, whose rows are few: SQLite would walk over all that the account has.
    return rows.filter(row_by_row("account_id", (account.sid,)), call_id=call_sid)


def request_behind(note: Notification) -> WebhookRequest | None:
    """The HTTP attempt that a notification is about, if it is about one that was stored."""
    if message := note.data.get("message"):
        attempts = WebhookRequest.objects.filter(request_id=message, at__lte=note.at)
        return attempts.order_by("-attempt").first()
    if not note.call_id or not note.request_url:
        return None
    url = masked(note.request_url)
    near = WebhookRequest.objects.filter(
        call_id=note.call_id, at__gte=note.at - _NEAR, at__lte=note.at
    )
    for request in near.order_by("-at")[:_CANDIDATES]:
        if masked(request.url) == url:
            return request
    return None
