"""What the pages of the call log read: the list, a call with its story, recordings.

The call log is paged by key, never by OFFSET or COUNT, and no request looks at an unbounded number
of rows: what an index cannot answer (a search in the middle of a text, two filters at once) is
sought among the next SCAN_LIMIT calls only, and the page says how far that reached, so that the
reader can go on from there. The cost of a page is thus the same on a thousand rows and a million.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db.models import Q, QuerySet

from sipdomains import sids
from sipdomains.access import Scope
from sipdomains.contracts import FINAL_STATUSES
from sipdomains.models import (
    Call,
    CallEvent,
    CallStatus,
    Notification,
    OutboxMessage,
    Recording,
    SipDomain,
    Transfer,
    WebhookRequest,
)

PAGE_SIZE = 50
SCAN_LIMIT = 10_000
MAX_EVENTS = 600
MAX_RELATED = 100  # of each kind of thing that belongs to the call on one page

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

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BEFORE_ANY_SID, _AFTER_ANY_SID = "", "~"

_LIST_FIELDS = (
    "sid",
    "parent_id",
    "domain_name",
    "direction",
    "from_uri",
    "to_uri",
    "username",
    "source_ip",
    "status",
    "cause",
    "reason",
    "error_code",
    "sip_status",
    "started_at",
    "answered_at",
    "ended_at",
    "updated_at",
    "duration",
)


@dataclass(frozen=True, slots=True)
class CallFilter:
    """What to list. Empty means any. ``domain`` is a name or an alias, or a part of what was
    dialled; ``status`` a CallStatus or LIVE; ``direction`` a CallDirection; ``text`` a SID, or part
    of an address, user name, Call-ID or source address; ``since`` is included, ``until`` is not."""

    domain: str = ""
    status: str = ""
    text: str = ""
    since: datetime | None = None
    until: datetime | None = None
    errors: bool = False
    direction: str = ""


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place between two calls of the log, which is ordered by (started_at, sid)."""

    started_at: datetime
    sid: str

    def __str__(self) -> str:
        return f"{(self.started_at - _EPOCH) // timedelta(microseconds=1)}-{self.sid}"

    @classmethod
    def parse(cls, text: str, prefix: str = sids.CALL) -> Cursor:
        """Of what ``str`` gave. Raises ValueError."""
        micros, _, sid = text.partition("-")
        if not (micros.isascii() and micros.isdecimal() and len(micros) <= 17):
            raise ValueError("not a cursor")
        if sid not in (_BEFORE_ANY_SID, _AFTER_ANY_SID) and not sids.is_sid(sid, prefix):
            raise ValueError("not a cursor")
        return cls(_EPOCH + timedelta(microseconds=int(micros)), sid)


@dataclass(frozen=True, slots=True)
class CallPage:
    """Calls, newest first. ``older`` and ``newer`` lead to the neighbouring pages; ``newest`` when
    nothing newer exists; ``scanned_to`` when a bounded search stopped before the page was full."""

    calls: list[Call]
    older: Cursor | None
    newer: Cursor | None
    newest: bool
    scanned_to: datetime | None = None


@dataclass(frozen=True, slots=True)
class CallStory:
    """A call with everything that belongs to it, each list in order of time and bounded;
    ``complete`` is False when there were more events than were asked for. ``legs`` are the call,
    the one that placed it, and those that either of them placed; the first one came first.
    ``others`` are the events of the legs that the call placed or was placed by; webhook requests
    are those of these legs too."""

    call: Call
    events: list[CallEvent]
    webhook_requests: list[WebhookRequest]
    notifications: list[Notification]
    legs: list[Call]
    recordings: list[Recording]
    transfers: list[Transfer]
    callbacks: list[OutboxMessage]
    complete: bool
    others: list[CallEvent]


@dataclass(frozen=True, slots=True)
class RecordingPage:
    """Recordings with their calls, newest first; ``older`` leads to the next page."""

    recordings: list[Recording]
    older: Cursor | None


def calls_page(
    wanted: CallFilter,
    scope: Scope,
    *,
    before: Cursor | None = None,
    after: Cursor | None = None,
    size: int = PAGE_SIZE,
    scan: int = SCAN_LIMIT,
) -> CallPage:
    """The newest page, the one older than ``before`` or the one newer than ``after``.

    Calls that arrive in the meantime shift nothing: a page is bounded by its neighbour. When fewer
    than ``size`` calls are newer than ``after``, the newest page is given in full instead.
    """
    indexed, rest = _conditions(wanted, scope)
    calls = scope.narrow(Call.objects.filter(indexed)).only(*_LIST_FIELDS)
    if after is not None:
        page = _newer_page(calls, rest, after, size, scan)
        if page is not None:
            return page
        before = None
    return _older_page(calls, rest, before, size, scan)


def domain_names(scope: Scope, limit: int = 200) -> list[str]:
    """Names to offer while someone types one."""
    domains = scope.narrow(SipDomain.objects.order_by("domain_name"))
    return list(domains.values_list("domain_name", flat=True)[:limit])


def call_story(sid: str, scope: Scope, most: int | None = None) -> CallStory | None:
    """Everything about one call in nine queries, of its events the first ``most``; None when there
    is no such call."""
    most = MAX_EVENTS if most is None else most
    call = scope.narrow(Call.objects.filter(sid=sid)).first()
    if call is None:
        return None
    events = list(CallEvent.objects.filter(call_id=sid).order_by("seq")[: most + 1])
    notes = Notification.objects.filter(call_id=sid).order_by("at")
    root = call.parent_id or sid
    found = scope.narrow(Call.objects.filter(Q(sid=root) | Q(parent_id=root) | Q(parent_id=sid)))
    legs = list(found.only(*_LIST_FIELDS).order_by("started_at", "sid")[:MAX_RELATED])
    near = [leg.sid for leg in legs if leg.parent_id == sid or leg.sid == call.parent_id]
    requests = WebhookRequest.objects.filter(call_id__in=[sid, *near]).order_by("at", "attempt")
    others = CallEvent.objects.filter(call_id__in=near).order_by("at", "seq")
    return CallStory(
        call=call,
        events=events[:most],
        webhook_requests=list(requests[:MAX_RELATED]),
        notifications=list(notes[:MAX_RELATED]),
        legs=legs,
        recordings=list(call.recordings.order_by("started_at")[:MAX_RELATED]),
        transfers=list(call.transfers.order_by("number")[:MAX_RELATED]),
        callbacks=list(
            call.outbox_messages.order_by("created_at", "stream", "position")[:MAX_RELATED]
        ),
        complete=len(events) <= most,
        others=list(others[:most]),
    )


def call(sid: str, scope: Scope) -> Call | None:
    return scope.narrow(Call.objects.filter(sid=sid)).first()


def call_event(sid: str, seq: int) -> CallEvent | None:
    return CallEvent.objects.filter(call_id=sid, seq=seq).first()


def webhook_request(call_sid: str, number: int) -> WebhookRequest | None:
    return WebhookRequest.objects.filter(call_id=call_sid, pk=number).first()


def webhook_attempts(call_sid: str, request_id: str) -> list[WebhookRequest]:
    found = WebhookRequest.objects.filter(call_id=call_sid, request_id=request_id)
    return list(found.order_by("attempt")[:MAX_RELATED])


def recordings_page(
    scope: Scope, before: Cursor | None = None, size: int = PAGE_SIZE
) -> RecordingPage:
    """The newest page, or the one older than ``before``."""
    found = scope.narrow(Recording.objects.select_related("call"))
    found = found.order_by("-started_at", "-sid")
    if before is not None:
        older = Q(started_at__lt=before.started_at) | Q(sid__lt=before.sid)
        found = found.filter(older, started_at__lte=before.started_at)
    rows = list(found[: size + 1])
    full = len(rows) > size
    del rows[size:]
    return RecordingPage(rows, Cursor(rows[-1].started_at, rows[-1].sid) if full else None)


def recording(account_sid: str, sid: str) -> Recording | None:
    return Recording.objects.filter(sid=sid, account_id=account_sid).first()


# --- what an index answers, and the rest --------------------------------------------------------


def _conditions(wanted: CallFilter, scope: Scope) -> tuple[Q, Q | None]:
    """The part that one index serves in order of time, and what has to be looked at row by row."""
    indexed, rest = Q(), []
    if wanted.since is not None:
        indexed &= Q(started_at__gte=wanted.since)
    if wanted.until is not None:
        indexed &= Q(started_at__lt=wanted.until)
    led = False  # whether an index on (column, started_at) is spoken for
    for condition, leads in _wishes(wanted, scope):
        if leads and not led:
            indexed &= condition
            led = True
        else:
            rest.append(condition)
    return indexed, Q(*rest) if rest else None


def _wishes(wanted: CallFilter, scope: Scope) -> Iterator[tuple[Q, bool]]:
    """Each condition, and whether there is an index for it; the most selective one first."""
    if sids.is_sid(wanted.text, sids.CALL):
        yield Q(sid=wanted.text), True
    elif wanted.text:
        yield _contains(wanted.text), False
    if wanted.domain:
        name = wanted.domain.lower()
        named = SipDomain.objects.filter(Q(domain_name=name) | Q(aliases__name=name))
        domain_sid = scope.narrow(named).values_list("sid", flat=True).first()
        if domain_sid is None:
            yield Q(domain_name__icontains=name), False
        else:
            yield Q(domain_id=domain_sid), True
    if wanted.status:
        yield _status(wanted.status), True
    if wanted.direction:
        yield Q(direction=wanted.direction), False
    if wanted.errors:
        yield ~Q(cause__in=("", *ORDINARY_CAUSES)), False


def _status(wanted: str) -> Q:
    return Q(status__in=LIVE_STATUSES) if wanted == LIVE else Q(status=wanted)


def _contains(text: str) -> Q:
    return (
        Q(from_uri__icontains=text)
        | Q(to_uri__icontains=text)
        | Q(username__icontains=text)
        | Q(sip_call_id__icontains=text)
        | Q(source_ip__icontains=text)
    )


# --- pages by key -------------------------------------------------------------------------------


def _older_page(
    calls: QuerySet[Call], rest: Q | None, before: Cursor | None, size: int, scan: int
) -> CallPage:
    reach, beyond = calls.order_by("-started_at"), Q()
    if before is not None and before.sid == _BEFORE_ANY_SID:
        reach = reach.filter(started_at__lt=before.started_at)
    elif before is not None:
        # The first condition is implied by the second; it is the one that the index can use.
        reach = reach.filter(started_at__lte=before.started_at)
        beyond = Q(started_at__lt=before.started_at) | Q(sid__lt=before.sid)
    calls = reach.filter(beyond).order_by("-started_at", "-sid")
    edge = None
    if rest is not None:
        edge = _edge(reach, scan)
        calls = calls.filter(rest)
        if edge is not None:
            calls = calls.filter(started_at__gte=edge)
    rows = list(calls[: size + 1])
    full = len(rows) > size
    del rows[size:]
    older, scanned_to = None, None
    if full:
        older = _at(rows[-1])
    elif edge is not None:
        older, scanned_to = Cursor(edge, _BEFORE_ANY_SID), edge
    newer = None
    if before is not None:
        newer = _at(rows[0]) if rows else Cursor(before.started_at, _BEFORE_ANY_SID)
    return CallPage(rows, older, newer, newest=before is None, scanned_to=scanned_to)


def _newer_page(
    calls: QuerySet[Call], rest: Q | None, after: Cursor, size: int, scan: int
) -> CallPage | None:
    """None when fewer than ``size`` calls are newer: then the newest page serves better."""
    reach, beyond = calls.order_by("started_at"), Q()
    if after.sid == _AFTER_ANY_SID:
        reach = reach.filter(started_at__gt=after.started_at)
    else:
        reach = reach.filter(started_at__gte=after.started_at)
        beyond = Q(started_at__gt=after.started_at) | Q(sid__gt=after.sid)
    calls = reach.filter(beyond).order_by("started_at", "sid")
    edge = None
    if rest is not None:
        edge = _edge(reach, scan)
        calls = calls.filter(rest)
        if edge is not None:
            calls = calls.filter(started_at__lte=edge)
    rows = list(calls[: size + 1])
    if len(rows) > size:
        del rows[size:]
        newer = _at(rows[-1])
    elif edge is not None:
        newer = Cursor(edge, _AFTER_ANY_SID)
    else:
        return None
    rows.reverse()
    older = _at(rows[-1]) if rows else Cursor(after.started_at, _AFTER_ANY_SID)
    return CallPage(rows, older, newer, newest=False)


def _edge(calls: QuerySet[Call], scan: int) -> datetime | None:
    """When the call after the next ``scan`` ones started; None when there are not that many.

    ``calls`` is ordered and filtered by indexed columns only, so that no row is read.
    """
    return calls.values_list("started_at", flat=True)[scan : scan + 1].first()


def _at(call: Call) -> Cursor:
    return Cursor(call.started_at, call.sid)
