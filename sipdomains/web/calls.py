"""The call log: list and detail. Each answers a refresh by htmx with 204 when nothing changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.core.handlers.asgi import ASGIRequest
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from sipdomains import selectors, sids
from sipdomains.access import scope_of
from sipdomains.models import CallDirection
from sipdomains.models.recordings import UNDER_WAY
from sipdomains.selectors import CallStory, Cursor
from sipdomains.web.course import FIRST_ROWS, course
from sipdomains.web.formatting import party
from sipdomains.web.forms import CallFilterForm
from sipdomains.web.media import media_rows, remote_rows
from sipdomains.web.pages import operator_page
from sipdomains.web.related import callbacks, legs, sounds, transfers
from sipdomains.web.series import charts, remote_charts
from sipdomains.web.steps import documents
from sipdomains.web.verdict import verdict
from sipdomains.web.webhooks import attempts

# The last SIP messages and webhook attempts of a call are stored a little after its end.
SETTLING = timedelta(seconds=15)
# A recording is stored and a transfer followed up after the call has ended.
FOLLOWING_UP = timedelta(minutes=5)


@operator_page
@require_safe
def call_list(request: HttpRequest) -> HttpResponse:
    form = CallFilterForm(request.GET)
    wanted = form.wanted(timezone.now())
    found = selectors.calls_page(
        wanted,
        scope_of(request.user),
        before=_cursor(request.GET.get("before", "")),
        after=_cursor(request.GET.get("after", "")),
    )
    version = _version((call.sid, call.updated_at) for call in found.calls)
    if _refreshed(request, version):
        return HttpResponse(status=204)
    query = request.GET.copy()
    for name in ("before", "after", "version"):
        query.pop(name, None)
    context: dict[str, Any] = {
        "streams": isinstance(request, ASGIRequest),
        "form": form,
        "filtered": form.active(),
        "page": found,
        "query": query.urlencode(),
        "version": version,
        "ordinary": selectors.ORDINARY_CAUSES,
    }
    if request.headers.get("HX-Request") == "true":
        return render(request, "web/_results.html", context)
    context["saved"] = selectors.saved_filters(request.user, scope_of(request.user))
    context["own_query"] = form.query()
    context["domains"] = selectors.domain_names(scope_of(request.user))
    return render(request, "web/calls.html", context)


@operator_page
@require_safe
def call_detail(request: HttpRequest, sid: str) -> HttpResponse:
    known = sids.is_sid(sid, sids.CALL)
    story = selectors.call_story(sid, scope_of(request.user)) if known else None
    if story is None:
        raise Http404(f"There is no call {sid[:40]} in the log.")
    now = timezone.now()
    version = _version(
        (
            _unsettled(story, now),  # with the last refresh the page stops asking
            story.call.updated_at,
            _measured(story.call.media),
            len(story.events),
            len(story.others),
            len(story.webhook_requests),
            len(story.notifications),
            *(leg.updated_at for leg in story.legs),
            *(row.status for row in story.recordings),
            *(row.changed_at for row in story.transfers),
            *((row.state, row.attempts) for row in story.callbacks),
        )
    )
    if _refreshed(request, version):
        return HttpResponse(status=204)
    every_row = request.GET.get("rows") == "all"
    context = _story_context(story, now, every_row) | {"version": version}
    fragment = request.headers.get("HX-Request") == "true"
    return render(request, "web/_call.html" if fragment else "web/call.html", context)


def _story_context(story: CallStory, now: datetime, every_row: bool) -> dict[str, Any]:
    call = story.call
    zero = beginning(story)
    placed = call.direction != CallDirection.INBOUND
    peer = "called party" if placed else "caller"
    related = legs(story.legs, call)
    tries = attempts(story.webhook_requests, zero)
    return {
        "call": call,
        "story": story,
        "peer": peer,
        "refreshing": _unsettled(story, now),
        "every_row": every_row,
        "verdict": verdict(call, story.events, story.notifications),
        "legs": related,
        "sounds": sounds(story.recordings),
        "transfers": transfers(story.transfers),
        "callbacks": callbacks(story.callbacks, tries),
        "course": course(
            call.sid,
            [*story.events, *story.others],
            zero,
            legs=related,
            attempts=tries,
            notes=story.notifications,
            placed=placed,
            peer=party(call.to_uri if placed else call.from_uri, call.domain_name),
            limit=None if every_row else FIRST_ROWS,
        ),
        "documents": documents(story.events, zero),
        "media": media_rows(call.media, peer),
        "charts": charts(call.media),
        "remote_media": remote_rows(call.media, peer),
        "remote_charts": remote_charts(call.media),
    }


def beginning(story: CallStory) -> datetime:
    """What the times of the page count from."""
    return min([story.call.started_at, *(event.at for event in story.events[:1])])


def _measured(media: Any) -> Any:
    """Differs whenever the figures of a call that goes on are newer."""
    return media.get("duration_s") if isinstance(media, dict) else None


def _unsettled(story: CallStory, now: datetime) -> bool:
    """Whether something may still come."""
    ended_at = story.call.ended_at
    if ended_at is None or now - ended_at < SETTLING:
        return True
    open_ends = any(row.status in UNDER_WAY for row in story.recordings) or any(
        row.settled_at is None for row in story.transfers
    )
    return open_ends and now - ended_at < FOLLOWING_UP


def _refreshed(request: HttpRequest, version: str) -> bool:
    """Whether the page that asks shows this version already."""
    return request.headers.get("HX-Request") == "true" and request.GET.get("version") == version


def _version(parts: Iterable[object]) -> str:
    return hashlib.blake2s(repr(tuple(parts)).encode(), digest_size=8).hexdigest()


def _cursor(text: str) -> Cursor | None:
    if not text:
        return None
    try:
        return Cursor.parse(text)
    except ValueError:
        raise Http404("This page of the call log does not exist.") from None
