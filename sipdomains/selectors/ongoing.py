"""Calls that go on, with the last thing that happened in each."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import OuterRef, QuerySet, Subquery

from sipdomains.access import Scope
from sipdomains.models import Application, Call, CallEvent
from sipdomains.selectors.callfilter import LIVE, CallFilter
from sipdomains.selectors.calllog import Cursor, calls_page

PAGE_SIZE = 100
MAX_APPLICATIONS = 200
# What of a verb says what the call is doing; that a verb ended says so too.
_VERBS = ("verb-started", "verb-ended")


@dataclass(frozen=True, slots=True)
class Ongoing:
    call: Call
    last: CallEvent | None
    verb: CallEvent | None


@dataclass(frozen=True, slots=True)
class OngoingPage:
    calls: list[Ongoing]
    older: Cursor | None


def ongoing_page(scope: Scope, before: Cursor | None = None) -> OngoingPage:
    """The newest ones, or those older than ``before``. Three queries for one account or all."""
    page = calls_page(CallFilter(status=LIVE), scope, before=before, size=PAGE_SIZE)
    sids = [call.sid for call in page.calls]
    mine = CallEvent.objects.filter(call=OuterRef("pk")).order_by("-seq")
    latest = (
        Call.objects.filter(sid__in=sids)
        .order_by()
        .values_list("sid", Subquery(mine.values("pk")[:1]),
                     Subquery(mine.filter(kind__in=_VERBS).values("pk")[:1]))
    )  # fmt: skip
    found = {sid: (last, verb) for sid, last, verb in latest}
    wanted = {pk for pair in found.values() for pk in pair if pk is not None}
    events = CallEvent.objects.in_bulk(wanted)
    rows = []
    for call in page.calls:
        last, verb = found.get(call.sid, (None, None))
        rows.append(Ongoing(call, events.get(last), events.get(verb)))
    return OngoingPage(rows, page.older)


def call_going_on(sid: str, scope: Scope) -> Call | None:
    """Also one that has ended: the page says so."""
    return scope.narrow(Call.objects.filter(sid=sid)).first()


def applications_of(account_sid: str | None) -> QuerySet[Application]:
    """That a call of the account may be sent to."""
    rows = Application.objects.filter(account_id=account_sid).exclude(voice_url="")
    return rows.order_by("friendly_name")[:MAX_APPLICATIONS]
