"""The outbox: promised callbacks, claimed by workers for a while, settled once (ADR 15).

Messages of one stream are delivered in the order of their positions: one is ready when nothing
before it is pending. What a dead worker had claimed is ready again when its lease runs out.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, F, Max, OuterRef, Q, QuerySet
from django.utils import timezone

from sipdomains.contracts import LogRecord, NotificationRecord
from sipdomains.models import OutboxMessage, OutboxState, WebhookRequest
from sipdomains.services import calls
from twimlrunner.webhooks.callbacks import CallbackMessage, CallbackOutcome
from twimlrunner.webhooks.policy import (
    CALLBACK_ANSWERED_ERROR,
    CALLBACK_EXPIRED,
    CALLBACK_INTERNAL,
    MAX_DELIVERIES,
    Verdict,
    retry_pause,
)

# Longer than a delivery and the patience of settling it: the worker of an older claim is dead.
LEASE = timedelta(seconds=60)
POSTPONED = timedelta(seconds=2)
# Enough to wake workers, which then look for more themselves. Few, because without any worker
# the broker keeps what every sweep of every node sends.
DUE_LIMIT = 100


def due(now: datetime | None = None, limit: int = DUE_LIMIT) -> list[str]:
    """Ids of what may be delivered now, oldest first: at most the head of each stream."""
    ready = _ready(now or timezone.now()).order_by("next_at")
    return list(ready.values_list("id", flat=True)[:limit])


def claim(
    ids: Sequence[str], now: datetime | None = None, lease: timedelta = LEASE
) -> list[CallbackMessage]:
    """Take on those of ``ids`` that are ready and that nobody else has, oldest first."""
    now = now or timezone.now()
    with transaction.atomic():
        # Rows that another worker is claiming are passed over; the condition is looked at again
        # once a row is locked.
        ready = _ready(now).filter(pk__in=ids).select_for_update(skip_locked=True, of=("self",))
        taken = list(ready.select_related("account").order_by("created_at", "position"))
        if not taken:
            return []
        OutboxMessage.objects.filter(pk__in=[row.pk for row in taken]).update(
            claimed_until=now + lease, attempts=F("attempts") + 1
        )
        tried = [row.pk for row in taken if row.attempts or row.error_code]
        recorded = _recorded_attempts(tried)
    messages = [_message(row, recorded.get(row.pk, 0)) for row in taken]
    if spent := [one for one in messages if one.deliveries > MAX_DELIVERIES]:
        why = "its deliveries never came to an end"
        settle([CallbackOutcome(one, Verdict.AGAIN, (), CALLBACK_INTERNAL, why) for one in spent])
    return [one for one in messages if one.deliveries <= MAX_DELIVERIES]


def settle(outcomes: Sequence[CallbackOutcome], now: datetime | None = None) -> None:
    """Write down how deliveries ended, their HTTP attempts and what there is to notify of: all in
    one commit. Raises DatabaseError; what is not settled is delivered again.

    An outcome counts only if the message was not claimed anew meanwhile, unless it was delivered.
    """
    now = now or timezone.now()
    records: list[LogRecord] = [one for outcome in outcomes for one in outcome.attempts]
    with transaction.atomic():
        delivered = [one.message.id for one in outcomes if one.verdict is Verdict.DELIVERED]
        _pending().filter(pk__in=delivered).update(
            state=OutboxState.DELIVERED,
            settled_at=now,
            claimed_until=None,
            error_code=0,
            error_message="",
        )
        for outcome in outcomes:
            if outcome.verdict is not Verdict.DELIVERED:
                records += _settle_failure(outcome, now)
        calls.apply(records)


def postpone(messages: Sequence[CallbackMessage], now: datetime | None = None) -> None:
    """Give claims back: these have not been delivered, and shall not be for a moment."""
    now = now or timezone.now()
    with transaction.atomic():
        for message in messages:
            _still(message).update(
                claimed_until=None, attempts=F("attempts") - 1, next_at=now + POSTPONED
            )


def deliver_again(ids: Sequence[str], now: datetime | None = None) -> int:
    """An operator wants failed ones tried anew; returns how many there were. They are due now."""
    failed = OutboxMessage.objects.filter(pk__in=ids, state=OutboxState.FAILED)
    return failed.update(
        state=OutboxState.PENDING,
        attempts=0,
        next_at=now or timezone.now(),
        claimed_until=None,
        settled_at=None,
    )


# --- inside ---------------------------------------------------------------------------------------


def _pending() -> QuerySet[OutboxMessage]:
    return OutboxMessage.objects.filter(state=OutboxState.PENDING)


def _ready(now: datetime) -> QuerySet[OutboxMessage]:
    earlier = _pending().filter(stream=OuterRef("stream"), position__lt=OuterRef("position"))
    unclaimed = Q(claimed_until=None) | Q(claimed_until__lt=now)
    return _pending().filter(unclaimed, ~Exists(earlier), next_at__lte=now)


def _still(message: CallbackMessage) -> QuerySet[OutboxMessage]:
    """The row, if it has not been claimed anew: every claim counts."""
    return _pending().filter(pk=message.id, attempts=message.deliveries)


def _settle_failure(outcome: CallbackOutcome, now: datetime) -> list[NotificationRecord]:
    message = outcome.message
    failure = {"error_code": outcome.code, "error_message": outcome.error[:512]}
    pause = None
    if outcome.verdict is Verdict.AGAIN:
        pause = retry_pause(message.deliveries, now.timestamp() - message.created_at)
    if pause is None:
        code = CALLBACK_EXPIRED if outcome.verdict is Verdict.AGAIN else outcome.code
        failure["error_code"] = code
        failed = _still(message).update(
            state=OutboxState.FAILED, settled_at=now, claimed_until=None, **failure
        )
        how = "was refused" if outcome.verdict is Verdict.REFUSED else "was given up"
        level = "warning" if code == CALLBACK_ANSWERED_ERROR else "error"
        return [_notification(outcome, code, level, how, now)] if failed else []
    retried = _still(message).update(claimed_until=None, **failure)
    if not retried:
        return []
    # Those behind it wait as long: else every look for what is due would pass over them.
    next_at = now + timedelta(seconds=pause)
    _pending().filter(stream=message.stream, next_at__lt=next_at).update(next_at=next_at)
    if message.deliveries > 1:
        return []
    return [_notification(outcome, outcome.code, "warning", "failed, it is tried again", now)]


def _notification(
    outcome: CallbackOutcome, code: int, level: str, how: str, now: datetime
) -> NotificationRecord:
    message = outcome.message
    what = message.purpose.replace("-", " ")
    return NotificationRecord(
        at=now.timestamp(),
        code=code,
        level=level,
        message=f"The {what} {how}: {outcome.error}.",
        call_sid=message.call_sid,
        account_sid=message.account_sid,
        request_method=message.method,
        request_url=message.url,
        data={"message": message.id, "deliveries": message.deliveries},
    )


def _recorded_attempts(ids: Sequence[str]) -> dict[str, int]:
    """The number of the last HTTP attempt that was stored, by message."""
    if not ids:
        return {}
    attempts = WebhookRequest.objects.filter(request_id__in=ids).order_by()
    return dict(attempts.values_list("request_id").annotate(Max("attempt")))


def _message(row: OutboxMessage, attempts: int) -> CallbackMessage:
    return CallbackMessage(
        id=row.id,
        stream=row.stream,
        purpose=row.purpose,
        call_sid=row.call_id or "",
        account_sid=row.account_id or "",
        created_at=row.created_at.timestamp(),
        method=row.method,
        url=row.url,
        parameters=[(name, value) for name, value in row.parameters],
        deliveries=row.attempts + 1,
        attempts=attempts,
        verify_tls=row.account.verify_tls if row.account else True,
    )
