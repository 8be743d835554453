"""What the pages of the call log read: the list, a call with its story, recordings.

The call log is paged by key, never by OFFSET or COUNT, and no request looks at an unbounded number
of rows: what an index cannot answer (a search in the middle of a text, two filters at once) is
sought among the next SCAN_LIMIT calls only, and the page says how far that reached, so that the
reader can go on from there. The cost of a page is thus the same on a thousand rows and a million.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from django.db.models import Q, QuerySet

from sipdomains import sids
from sipdomains.access import Scope
from sipdomains.models import (
    Call,
    CallEvent,
    Notification,
    OutboxMessage,
    Recording,
    SipDomain,
    Transfer,
    WebhookRequest,
)
from sipdomains.selectors.callfilter import LIVE, LIVE_STATUSES, CallFilter, conditions

PAGE_SIZE = 50
SCAN_LIMIT = 10_000
MAX_EVENTS = 600
MAX_PARTS = 20  # accounts of one user; of more, rows are looked at one by one
MAX_RELATED = 100  # of each kind of thing that belongs to the call on one page

Part = tuple[QuerySet[Call], Q | None]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BEFORE_ANY_SID, _AFTER_ANY_SID = "", "~"

_LIST_FIELDS = (
    "sid",
    "account_id",
    "parent_id",
    "domain_name",
    "direction",
    "from_uri",
    "to_uri",
    "username",
    "source_ip",
    "sip_call_id",
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
    parts = _parts(wanted, scope)
    scan = max(1, scan // len(parts)) if parts else scan
    if after is not None:
        page = _newer_page(parts, after, size, scan)
        if page is not None:
            return page
        before = None
    return _older_page(parts, before, size, scan)


def matching(wanted: CallFilter, scope: Scope, call_sids: Sequence[str]) -> set[str]:
    """Which of these calls the list holds. They are few: each is looked up by its SID."""
    found = conditions(wanted, scope)
    calls = scope.narrow(Call.objects.filter(found.rest or Q(), found.indexed, sid__in=call_sids))
    return set(calls.values_list("sid", flat=True))


def calls_by_sid(call_sids: Sequence[str]) -> list[Call]:
    """As the list shows them, of every account."""
    return list(Call.objects.filter(sid__in=call_sids).only(*_LIST_FIELDS))


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
    found = Recording.objects.select_related("call").order_by("-started_at", "-sid")
    if before is not None:
        older = Q(started_at__lt=before.started_at) | Q(sid__lt=before.sid)
        found = found.filter(older, started_at__lte=before.started_at)
    if scope.accounts is None:
        rows = list(found[: size + 1])
    else:  # no index has those of several accounts in order together
        each = (found.filter(account=account)[: size + 1] for account in sorted(scope.accounts))
        rows = [row for part in each for row in part]
        rows.sort(key=lambda row: (row.started_at, row.sid), reverse=True)
    full = len(rows) > size
    del rows[size:]
    return RecordingPage(rows, Cursor(rows[-1].started_at, rows[-1].sid) if full else None)


def recording(account_sid: str, sid: str) -> Recording | None:
    if not sids.is_sid(account_sid, sids.ACCOUNT):
        return None
    return Recording.objects.filter(sid=sid, account_id=account_sid).first()


# --- pages by key -------------------------------------------------------------------------------


def _parts(wanted: CallFilter, scope: Scope) -> list[Part]:
    """Rows that one index each serves in order of time, and what has to be looked at row by row.

    Those of several accounts are one part each, as no index has them in order together; so are the
    statuses of an account's live calls.
    """
    if scope.accounts is not None and wanted.status == LIVE:
        each = (_parts(replace(wanted, status=status), scope) for status in LIVE_STATUSES)
        return [part for parts in each for part in parts]
    found = conditions(wanted, scope)
    calls, rest = Call.objects.filter(found.indexed).only(*_LIST_FIELDS), found.rest
    if scope.accounts is None or found.owned:
        return [(calls, rest)]
    if len(scope.accounts) > MAX_PARTS:
        return [(calls, Q(account_id__in=scope.accounts) & (rest or Q()))]
    return [(calls.filter(account_id=account), rest) for account in sorted(scope.accounts)]


def _older_page(parts: list[Part], before: Cursor | None, size: int, scan: int) -> CallPage:
    rows: list[Call] = []
    edge: datetime | None = None
    for part, rest in parts:
        reach, beyond = part.order_by("-started_at"), Q()
        if before is not None and before.sid == _BEFORE_ANY_SID:
            reach = reach.filter(started_at__lt=before.started_at)
        elif before is not None:
            # The first condition is implied by the second; it is the one that the index can use.
            reach = reach.filter(started_at__lte=before.started_at)
            beyond = Q(started_at__lt=before.started_at) | Q(sid__lt=before.sid)
        found = reach.filter(beyond).order_by("-started_at", "-sid")
        if rest is not None:
            reached = _edge(reach, scan)
            found = found.filter(rest)
            if reached is not None:
                found = found.filter(started_at__gte=reached)
                edge = max(edge, reached) if edge is not None else reached
        rows += found[: size + 1]
    if len(parts) > 1:
        rows = [call for call in rows if edge is None or call.started_at >= edge]
        rows.sort(key=_order, reverse=True)
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


def _newer_page(parts: list[Part], after: Cursor, size: int, scan: int) -> CallPage | None:
    """None when fewer than ``size`` calls are newer: then the newest page serves better."""
    rows: list[Call] = []
    edge: datetime | None = None
    for part, rest in parts:
        reach, beyond = part.order_by("started_at"), Q()
        if after.sid == _AFTER_ANY_SID:
            reach = reach.filter(started_at__gt=after.started_at)
        else:
            reach = reach.filter(started_at__gte=after.started_at)
            beyond = Q(started_at__gt=after.started_at) | Q(sid__gt=after.sid)
        found = reach.filter(beyond).order_by("started_at", "sid")
        if rest is not None:
            reached = _edge(reach, scan)
            found = found.filter(rest)
            if reached is not None:
                found = found.filter(started_at__lte=reached)
                edge = min(edge, reached) if edge is not None else reached
        rows += found[: size + 1]
    if len(parts) > 1:
        rows = [call for call in rows if edge is None or call.started_at <= edge]
        rows.sort(key=_order)
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


def _order(call: Call) -> tuple[datetime, str]:
    return call.started_at, call.sid


def _at(call: Call) -> Cursor:
    return Cursor(call.started_at, call.sid)
