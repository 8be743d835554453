"""What the REST API has to say of requests that it carried out: notifications that are warnings."""

from __future__ import annotations

from collections.abc import Iterable

from django.utils import timezone

from sipdomains.contracts import NotificationRecord
from sipdomains.services import calls


def warn(
    account_sid: str,
    warnings: Iterable[tuple[int, str]],
    *,
    call_sid: str = "",
    method: str = "",
    url: str = "",
) -> None:
    """(code, text) each, of a call or, without ``call_sid``, of the account alone. Within a
    transaction they are part of it."""
    at = timezone.now().timestamp()
    notes = [
        NotificationRecord(
            at=at,
            code=code,
            level="warning",
            message=text,
            call_sid=call_sid,
            account_sid=account_sid,
            request_method=method,
            request_url=url,
        )
        for code, text in warnings
    ]
    if notes:
        calls.apply(notes)
