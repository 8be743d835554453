"""What the pages about a domain read. Every query is bounded: by the newest SCAN calls, which one
index serves in order of time, and by limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from sipdomains.access import Scope
from sipdomains.models import (
    Call,
    CallAclMapping,
    CallCredentialListMapping,
    CredentialList,
    IpAccessControlList,
    Registration,
    SipDomain,
    WebhookRequest,
)
from sipdomains.selectors.callfilter import LIVE_STATUSES

SCAN = 1000  # calls looked at for refusals and counts
HEALTH_CALLS = 200
HEALTH_REQUESTS = 500
RECENT = timedelta(days=7)
PAGE_SIZE = 50
MAX_GROUPS = 20
MAX_PHONES = 20


@dataclass(frozen=True, slots=True)
class DomainRow:
    """One line of the list. ``live`` calls go on just now."""

    domain: SipDomain
    has_acl: bool
    has_credentials: bool
    live: int


@dataclass(frozen=True, slots=True)
class DomainList:
    """A page of domains by name; ``after`` is the name that the next page begins behind."""

    rows: list[DomainRow]
    after: str


@dataclass(frozen=True, slots=True)
class GuardList:
    """A list in force at a domain, and how much is in it."""

    row: IpAccessControlList | CredentialList
    entries: int


@dataclass(frozen=True, slots=True)
class WebhookHealth:
    """Of the newest requests that calls of the domain made. Times in ms; ``since`` is when the
    oldest of them went out; ``last_failure`` None: none failed."""

    requests: int
    failed: int
    p50: float
    p95: float
    since: datetime | None
    last_failure: WebhookRequest | None

    @property
    def success(self) -> float:
        """Percent."""
        return 100.0 * (self.requests - self.failed) / self.requests if self.requests else 0.0


@dataclass(frozen=True, slots=True)
class Refusals:
    """Refused calls of one cause from one source; ``last`` is the newest of them."""

    cause: str
    reason: str
    source_ip: str
    username: str
    count: int
    last_sid: str
    last_at: datetime
    sip_status: int


@dataclass(frozen=True, slots=True)
class RecentCalls:
    """Of the newest SCAN calls within RECENT: ``complete`` when there were no more. ``day`` and
    ``day_failed`` count those of the last 24 hours."""

    complete: bool
    day: int
    day_failed: int
    refusals: list[Refusals]


def domain_list(scope: Scope, search: str = "", after: str = "") -> DomainList:
    mine = {"domain": OuterRef("pk")}
    found = scope.narrow(SipDomain.objects.select_related("account").order_by("domain_name"))
    if search:
        found = found.filter(
            Q(domain_name__icontains=search)
            | Q(friendly_name__icontains=search)
            | Q(voice_url__in_url=search)
            | Q(account__friendly_name__icontains=search)
        )
    if after:
        found = found.filter(domain_name__gt=after)
    guards = found.annotate(
        with_acl=Exists(CallAclMapping.objects.filter(**mine)),
        with_credentials=Exists(CallCredentialListMapping.objects.filter(**mine)),
    )
    domains = list(guards[: PAGE_SIZE + 1])
    full = len(domains) > PAGE_SIZE
    del domains[PAGE_SIZE:]
    live = _live(scope)
    rows = [
        DomainRow(
            domain,
            domain.with_acl,
            domain.with_credentials,
            live[domain.sid],
        )
        for domain in domains
    ]
    return DomainList(rows, domains[-1].domain_name if full else "")


def domain(scope: Scope, sid: str) -> SipDomain | None:
    return scope.narrow(SipDomain.objects.select_related("account")).filter(sid=sid).first()


def live_calls(domain: SipDomain) -> int:
    return _live(Scope(frozenset({domain.account_id})))[domain.sid]


def _live(scope: Scope) -> Counter[str]:
    """How many calls of each domain go on. By status, which has an index of its own: asked for a
    domain or for what has not ended, databases may walk through every call that ever was."""
    running = scope.narrow(Call.objects.filter(status__in=LIVE_STATUSES)).order_by()
    return Counter([sid for sid in running.values_list("domain_id", flat=True) if sid])


def acls(domain: SipDomain) -> list[GuardList]:
    rows = IpAccessControlList.objects.filter(call_mappings__domain=domain)
    return _counted(rows, "addresses")


def credential_lists(domain: SipDomain) -> list[GuardList]:
    rows = CredentialList.objects.filter(call_mappings__domain=domain)
    return _counted(rows, "credentials")


def registration_lists(domain: SipDomain) -> list[GuardList]:
    rows = CredentialList.objects.filter(registration_mappings__domain=domain)
    return _counted(rows, "credentials")


def _counted(rows: QuerySet[Any], relation: str) -> list[GuardList]:
    counted = rows.annotate(entries=Count(relation, distinct=True)).order_by("friendly_name")
    return [GuardList(row, row.entries) for row in counted]


def phones(domain: SipDomain, now: datetime) -> tuple[list[Registration], int]:
    """The phones registered now, and how many there are."""
    present = Registration.objects.filter(domain=domain, expires_at__gt=now)
    return list(present.order_by("username", "-refreshed_at")[:MAX_PHONES]), present.count()


def webhook_health(domain: SipDomain) -> WebhookHealth:
    calls = Call.objects.filter(domain=domain).order_by("-started_at")
    newest = list(calls.values_list("sid", flat=True)[:HEALTH_CALLS])
    requests = WebhookRequest.objects.filter(call_id__in=newest).order_by("-at")
    facts = list(
        requests.values_list("id", "at", "duration_ms", "status", "error_code")[:HEALTH_REQUESTS]
    )
    times = sorted(duration for _, _, duration, _, _ in facts)
    failed = [pk for pk, _, _, status, code in facts if code or not 200 <= status < 300]
    return WebhookHealth(
        requests=len(facts),
        failed=len(failed),
        p50=percentile(times, 50),
        p95=percentile(times, 95),
        since=facts[-1][1] if facts else None,
        last_failure=WebhookRequest.objects.get(pk=failed[0]) if failed else None,
    )


def percentile(ordered: list[float], percent: int) -> float:
    """The smallest value that at least so many percent do not exceed; 0 of nothing."""
    if not ordered:
        return 0.0
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def recent_calls(domain: SipDomain, now: datetime) -> RecentCalls:
    calls = Call.objects.filter(domain=domain, started_at__gte=now - RECENT)
    rows = list(calls.order_by("-started_at").values_list(*_Seen._fields)[: SCAN + 1])
    newest = [_Seen(*row) for row in rows[:SCAN]]
    day = [seen for seen in newest if seen.started_at >= now - timedelta(days=1)]
    return RecentCalls(
        complete=len(rows) <= SCAN,
        day=len(day),
        day_failed=sum(seen.status == "failed" for seen in day),
        refusals=_grouped([seen for seen in newest if seen.refused]),
    )


class _Seen(NamedTuple):
    """What is read of many calls: no more than it takes, for reading is what costs."""

    sid: str
    started_at: datetime
    status: str
    direction: str
    sip_status: int
    cause: str
    source_ip: str
    username: str

    @property
    def refused(self) -> bool:
        """Turned away by us, whether with an answer or without."""
        return self.status == "failed" and self.direction == "inbound" and self.sip_status != 200


def _grouped(refused: Sequence[_Seen]) -> list[Refusals]:
    """The most frequent first; ``refused`` are newest first."""
    groups: dict[tuple[str, str], list[_Seen]] = {}
    for seen in refused:
        groups.setdefault((seen.cause, seen.source_ip), []).append(seen)
    often = sorted(groups.values(), key=lambda mine: (-len(mine), mine[0].cause, mine[0].source_ip))
    shown = often[:MAX_GROUPS]
    reasons = dict(
        Call.objects.filter(sid__in=[mine[0].sid for mine in shown]).values_list("sid", "reason")
    )
    return [_refusals(mine, reasons.get(mine[0].sid, "")) for mine in shown]


def _refusals(mine: Sequence[_Seen], reason: str) -> Refusals:
    newest = mine[0]
    names = {seen.username for seen in mine} - {""}
    return Refusals(
        cause=newest.cause,
        reason=reason,
        source_ip=newest.source_ip,
        username=names.pop() if len(names) == 1 else "",
        count=len(mine),
        last_sid=newest.sid,
        last_at=newest.started_at,
        sip_status=newest.sip_status,
    )


def call_by_call_id(domain: SipDomain, sip_call_id: str, since: datetime) -> Call | None:
    """The newest call of that Call-ID at the domain. There is no index of Call-IDs: ``since`` keeps
    it to calls of just now."""
    calls = Call.objects.filter(domain=domain, started_at__gte=since, sip_call_id=sip_call_id)
    return calls.order_by("-started_at").first()
