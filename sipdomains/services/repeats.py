"""Requests to applications that an operator sends again, to see what is answered today.

The stored request has no passwords in it and no typed digits: what of it can be found in the
configuration is put back (credentials of the URL), the rest is sent as it is stored. No call hears
of the answer; it is one more attempt in the log of the call, under the purpose ``repeat``.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import timedelta

from auditlog.models import LogEntry
from celery import current_app
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db import transaction
from django.utils import timezone
from kombu.exceptions import OperationalError

from sipdomains.contracts import TASK_REPEAT_REQUEST
from sipdomains.models import Call, OutboxMessage, WebhookRequest
from twimlrunner.twiml.redact import without_passwords
from twimlrunner.webhooks.callbacks import CallbackMessage
from twimlrunner.webhooks.url import InvalidUrl, parse_url

PURPOSE = "repeat"
MAX_PER_HOUR = 20  # of one call: a page is no load generator
_EXPIRES = 30.0  # seconds that a worker may be away


class NotRepeatable(Exception):
    """The words are for who asked."""


def ask(row: WebhookRequest, by: AbstractBaseUser | AnonymousUser) -> str:
    """Have ``row`` sent again; returns the request id of its attempts, which a worker stores.

    Raises NotRepeatable. What was asked for stands in the history of changes.
    """
    call = row.call
    if call is None or row.account_id is None:
        raise NotRepeatable("The request belongs to no call or no account any more.")
    recent = WebhookRequest.objects.filter(
        call=call, purpose=PURPOSE, at__gte=timezone.now() - timedelta(hours=1)
    )
    if recent.count() >= MAX_PER_HOUR:
        raise NotRepeatable("Requests of this call were repeated often enough within an hour.")
    request_id = f"{PURPOSE}-{uuid.uuid4().hex}"
    try:
        with transaction.atomic():
            _remember(call, row, by, request_id)
            current_app.send_task(
                TASK_REPEAT_REQUEST, (request_id, row.pk), expires=_EXPIRES, retry=False
            )
    except OperationalError as error:
        raise NotRepeatable("The broker does not answer: no worker can be asked.") from error
    return request_id


def _remember(
    call: Call, row: WebhookRequest, by: AbstractBaseUser | AnonymousUser, request_id: str
) -> None:
    LogEntry.objects.log_create(
        call,
        force_log=True,
        action=LogEntry.Action.ACCESS,
        actor=by,
        additional_data={
            "what": "repeat of a request to the application",
            "request": f"{row.method} {without_passwords(row.url)}",
            "request_id": request_id,
        },
    )


def message(request_id: str, number: int) -> CallbackMessage | None:
    """The stored request ``number`` to send again under ``request_id``; None when it is gone."""
    row = WebhookRequest.objects.select_related("account", "call").filter(pk=number).first()
    if row is None or row.account is None or row.call is None:
        return None
    return CallbackMessage(
        id=request_id,
        stream=request_id,
        purpose=PURPOSE,
        call_sid=row.call.sid,
        account_sid=row.account.sid,
        created_at=timezone.now().timestamp(),
        method=row.method,
        url=_with_credentials(row, row.call),
        parameters=[(str(name), str(value)) for name, value in row.parameters],
        deliveries=1,
        attempts=0,
        verify_tls=row.account.verify_tls,
    )


def _with_credentials(row: WebhookRequest, call: Call) -> str:
    """The URL as it is configured where that is known: rows have neither user names nor the
    overrides of the fragment."""
    for url in _configured(row, call):
        try:
            sent = parse_url(url).sent
        except InvalidUrl:
            continue
        if sent == row.url:
            return url
    return row.url


def _configured(row: WebhookRequest, call: Call) -> Iterator[str]:
    promised = OutboxMessage.objects.filter(id=row.request_id).values_list("url", flat=True)
    yield from promised
    yield str(call.callback.get("url", ""))
    domain = call.domain
    if domain is not None:
        yield domain.voice_url
        yield domain.voice_fallback_url
        yield domain.voice_status_callback_url
