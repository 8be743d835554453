"""Recordings, notifications and requests of one account or call, as the REST API lists them."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import QuerySet

from sipdomains import longlists
from sipdomains.models import (
    Account,
    Call,
    Notification,
    Recording,
    WebhookRequest,
)
from sipdomains.redaction import masked
from sipdomains.stretch import Order

RECORDINGS = longlists.RECORDINGS_ORDER
NOTIFICATIONS = longlists.NOTIFICATIONS_ORDER
REQUESTS = Order("at", "pk", numeric=True)

KEPT = longlists.KEPT
_NEAR = timedelta(seconds=60)  # from a request to what is said about it
_CANDIDATES = 50


def is_known(account: Account, call_sid: str) -> bool:
    """Whether the account has the call, or at least a recording of one that was deleted."""
    return (
        Call.objects.filter(account=account, pk=call_sid).exists()
        or recordings(account).filter(call_id=call_sid).exists()
    )


def recordings(account: Account) -> QuerySet[Recording]:
    return Recording.objects.filter(account=account)


def notifications(account: Account) -> QuerySet[Notification]:
    return Notification.objects.filter(account=account)


def requests(account: Account, call_sid: str) -> QuerySet[WebhookRequest]:
    return WebhookRequest.objects.filter(call_id=call_sid, account=account)


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
