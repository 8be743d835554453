"""What the call log is searched by: one filter, as conditions of the database.

One condition leads: an index serves it in the order of the list. The others are the rest, for which
a bounded number of rows is looked at (see ``calllog``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db import connection
from django.db.models import Q, Value
from django.db.models.functions import Coalesce
from django.db.models.lookups import In

from sipdomains import sids
from sipdomains.access import Scope
from sipdomains.contracts import FINAL_STATUSES
from sipdomains.models import CallStatus, SipDomain

LIVE = "live"
LIVE_STATUSES = tuple(status for status in CallStatus.values if status not in FINAL_STATUSES)

# Endings that need nobody's attention; every other cause is what "errors only" shows.
ORDINARY_CAUSES = (
    "caller-hangup",
    "document-ended",
    "hangup-verb",
    "reject-busy",
    "reject",
    "canceled",
    "refer-last",
    "callee-hangup",
    "callee-busy",
    "callee-no-answer",
    "callee-declined",
    "ring-timeout",
    "api-hangup",
    "api-cancel",
    "api-refuse",
    "dial-cancelled",
    "caller-gone",
    "released",
    "time-limit",
    "star-hangup",
    "screening-hangup",
    "transferred",
)


@dataclass(frozen=True, slots=True)
class CallFilter:
    """What to list. Empty means any.

    ``domain`` is a name or an alias, or a part of what was dialled; ``status`` a CallStatus or
    LIVE; ``direction`` a CallDirection; ``text`` a SID, or part of an address, user name, Call-ID
    or source address; ``number`` part of either address; ``header`` ``Name: value`` or a value;
    ``sip`` an answer such as 486 or 4xx; ``since`` is included, ``until`` is not; seconds are those
    from answer to end.
    """

    domain: str = ""
    status: str = ""
    text: str = ""
    since: datetime | None = None
    until: datetime | None = None
    errors: bool = False
    direction: str = ""
    user: str = ""
    number: str = ""
    header: str = ""
    cause: str = ""
    sip: str = ""
    error_code: int | None = None
    min_seconds: int | None = None
    max_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Conditions:
    """``indexed`` is served by one index in order of time; ``rest`` row by row, None if there is
    nothing else. ``owned`` says that ``indexed`` leaves only what the scope allows."""

    indexed: Q
    rest: Q | None
    owned: bool


def conditions(wanted: CallFilter, scope: Scope) -> Conditions:
    indexed, rest = Q(), []
    if wanted.since is not None:
        indexed &= Q(started_at__gte=wanted.since)
    if wanted.until is not None:
        indexed &= Q(started_at__lt=wanted.until)
    led = owned = False  # whether an index on (column, started_at) is spoken for
    for condition, leads, owns in _wishes(wanted, scope):
        if leads and not led:
            indexed &= condition
            led, owned = True, owns
        else:
            rest.append(condition)
    if wanted.status:
        statuses = LIVE_STATUSES if wanted.status == LIVE else (wanted.status,)
        if led:
            # An expression, lest SQLite takes the index on the status instead of the leading one.
            rest.append(Q(In(Coalesce("status", Value("")), statuses)))
        else:
            indexed &= Q(status__in=statuses) if len(statuses) > 1 else Q(status=statuses[0])
    return Conditions(indexed, Q(*rest) if rest else None, owned)


def _wishes(wanted: CallFilter, scope: Scope) -> Iterator[tuple[Q, bool, bool]]:
    """Each condition, whether there is an index for it, and whether it leaves only rows of the
    scope; the most selective one first."""
    if sids.is_sid(wanted.text, sids.CALL):
        yield Q(sid=wanted.text), True, False
    elif wanted.text:
        yield _contains(wanted.text), False, False
    if wanted.domain:
        name = wanted.domain.lower()
        named = SipDomain.objects.filter(Q(domain_name=name) | Q(aliases__name=name))
        domain_sid = scope.narrow(named).values_list("sid", flat=True).first()
        if domain_sid is None:
            yield Q(domain_name__icontains=name), False, False
        else:
            yield Q(domain_id=domain_sid), True, True
    for condition in _others(wanted):
        yield condition, False, False


def _others(wanted: CallFilter) -> Iterator[Q]:
    if wanted.direction:
        yield Q(direction=wanted.direction)
    if wanted.cause:
        yield Q(cause=wanted.cause)
    if wanted.errors:
        yield ~Q(cause__in=("", *ORDINARY_CAUSES))
    if wanted.user:
        yield Q(username__icontains=wanted.user)
    if wanted.number:
        yield Q(from_uri__icontains=wanted.number) | Q(to_uri__icontains=wanted.number)
    if wanted.header:
        yield _header(wanted.header)
    if wanted.sip:
        low = int(wanted.sip.replace("x", "0"))
        yield Q(sip_status__range=(low, low + 99 if wanted.sip.endswith("xx") else low))
    if wanted.error_code is not None:
        yield Q(error_code=wanted.error_code)
    if wanted.min_seconds is not None:
        yield Q(duration__gte=wanted.min_seconds)
    if wanted.max_seconds is not None:
        yield Q(duration__lte=wanted.max_seconds)


def _contains(text: str) -> Q:
    return (
        Q(from_uri__icontains=text)
        | Q(to_uri__icontains=text)
        | Q(username__icontains=text)
        | Q(sip_call_id__icontains=text)
        | Q(source_ip__icontains=text)
    )


def _header(text: str) -> Q:
    """In the text of the JSON: what is not ASCII stands for itself in PostgreSQL's only, and there
    may be a space after a comma."""
    name, colon, value = (part.strip() for part in text.partition(":"))
    plain = connection.vendor != "sqlite"

    def quoted(part: str) -> str:
        return json.dumps(part, ensure_ascii=not plain)[1:-1]

    if not colon:
        return Q(headers__icontains=quoted(text.strip()))
    start, end = f'["{quoted(name)}",', f'"{quoted(value)}'
    return Q(headers__icontains=start + end) | Q(headers__icontains=f"{start} {end}")
