"""The outbox: promised callbacks, claimed by workers, settled once (ADR 15)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db.models import Count, Exists, F, OuterRef, Q
from django.utils import timezone

from sipdomains.contracts import NotificationRecord
from sipdomains.models import Account, OutboxMessage, OutboxState, WebhookRequest
from sipdomains.services import calls
from twimlrunner.webhooks.callbacks import CallbackMessage, CallbackOutcome
from twimlrunner.webhooks.policy import Verdict, retry_pause

# Longer than any delivery: the worker of a claim that is older is dead.
LEASE = timedelta(seconds=60)
EXPIRED = 15002
_DUE_LIMIT = 500


def due(now: datetime | None = None, limit: int = _DUE_LIMIT) -> list[str]:
    """Ids of what may be delivered now, oldest first: the head of each stream."""
    return list(
        _ready(now or timezone.now()).order_by("next_at").values_list("id", flat=True)[:limit]
    )


def claim(ids: Sequence[str], now: datetime | None = None) -> list[tuple[CallbackMessage, bool]]:
    """Take on those of ``ids`` that are ready and that nobody else has: (message, verify_tls)."""
    now = now or timezone.now()
    mine = []
    for identity in ids:
        taken = _ready(now).filter(pk=identity)
        if taken.update(claimed_until=now + LEASE, attempts=F("attempts") + 1):
            mine.append(identity)
    if not mine:
        return []
    messages = OutboxMessage.objects.filter(pk__in=mine).order_by("created_at", "position")
    before = dict(
        WebhookRequest.objects.filter(request_id__in=mine)
        .values_list("request_id")
        .annotate(Count("id"))
    )
    accounts = Account.objects.filter(pk__in={row.account_id for row in messages})
    verify = dict(accounts.values_list("sid", "verify_tls"))
    return [
        (_message(row, before.get(row.id, 0)), verify.get(row.account_id or "", True))
        for row in messages
    ]


def settle(outcome: CallbackOutcome, now: datetime | None = None) -> list[str]:
    """Write down how a delivery ended; the ids of its stream that may be delivered next."""
    now = now or timezone.now()
    message = outcome.message
    if outcome.attempts:
        calls.apply(outcome.attempts)
    changes: dict[str, object] = {
        "claimed_until": None,
        "error_code": outcome.code,
        "error_message": outcome.error[:512],
    }
    state, pause = _after(outcome, now)
    if state is OutboxState.PENDING:
        changes["next_at"] = now + timedelta(seconds=pause)
    else:
        changes |= {"state": state, "settled_at": now}
    pending = OutboxMessage.objects.filter(pk=message.id, state=OutboxState.PENDING)
    if not pending.update(**changes):
        return []
    if state is OutboxState.FAILED or (state is OutboxState.PENDING and message.deliveries == 1):
        calls.apply([_notification(outcome, state, now)])
    if state is OutboxState.PENDING:
        return []
    return list(_ready(now).filter(stream=message.stream).values_list("id", flat=True)[:1])


def deliver_again(ids: Sequence[str], now: datetime | None = None) -> int:
    """An operator wants failed ones tried once more; returns how many there were."""
    failed = OutboxMessage.objects.filter(pk__in=ids, state=OutboxState.FAILED)
    return failed.update(
        state=OutboxState.PENDING,
        attempts=0,
        created_at=now or timezone.now(),
        next_at=now or timezone.now(),
        settled_at=None,
    )


def _ready(now: datetime):  # type: ignore[no-untyped-def] # a QuerySet
    earlier = OutboxMessage.objects.filter(
        stream=OuterRef("stream"), position__lt=OuterRef("position"), state=OutboxState.PENDING
    )
    return OutboxMessage.objects.filter(
        Q(claimed_until=None) | Q(claimed_until__lt=now),
        ~Exists(earlier),
        state=OutboxState.PENDING,
        next_at__lte=now,
    )


def _after(outcome: CallbackOutcome, now: datetime) -> tuple[OutboxState, float]:
    match outcome.verdict:
        case Verdict.DELIVERED:
            return OutboxState.DELIVERED, 0.0
        case Verdict.REFUSED:
            return OutboxState.FAILED, 0.0
    message = outcome.message
    pause = retry_pause(message.deliveries, now.timestamp() - message.created_at)
    return (OutboxState.FAILED, 0.0) if pause is None else (OutboxState.PENDING, pause)


def _notification(
    outcome: CallbackOutcome, state: OutboxState, now: datetime
) -> NotificationRecord:
    message = outcome.message
    code, text = outcome.code, f"Callback: {outcome.error}."
    if state is OutboxState.PENDING:
        text += " It is tried again."
    elif outcome.verdict is Verdict.AGAIN:
        code, text = EXPIRED, f"Callback given up after {message.deliveries} deliveries: {text}"
    return NotificationRecord(
        at=now.timestamp(),
        code=code,
        level="error" if code == EXPIRED else "warning",
        message=text,
        call_sid=message.call_sid,
        account_sid=message.account_sid,
        request_method=message.method,
        request_url=message.url,
    )


def _message(row: OutboxMessage, attempts: int) -> CallbackMessage:
    claimed = row.claimed_until or row.next_at
    return CallbackMessage(
        id=row.id,
        stream=row.stream,
        purpose=row.purpose,
        call_sid=row.call_id or "",
        account_sid=row.account_id or "",
        created_at=row.created_at.timestamp(),
        claimed_until=claimed.timestamp(),
        method=row.method,
        url=row.url,
        parameters=[(name, value) for name, value in row.parameters],
        deliveries=row.attempts,
        attempts=attempts,
    )
