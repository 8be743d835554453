"""Parts of the call page that are loaded when they are opened; each is a page of its own too."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from sipdomains import selectors, sids
from sipdomains.access import scope_of
from sipdomains.models import Call
from sipdomains.web.course import course
from sipdomains.web.pages import operator_page
from sipdomains.web.steps import documents
from sipdomains.web.webhooks import attempts

_PARTS = {"request": "Request to the application", "response": "Answer of the application"}
_LARGEST = 2**31 - 1


@operator_page
@require_safe
def event(request: HttpRequest, sid: str, seq: int) -> HttpResponse:
    """One SIP message."""
    call = found_call(request, sid)
    fact = selectors.call_event(sid, seq) if seq <= _LARGEST else None
    if fact is None or fact.kind != "sip":
        raise Http404("There is no such message in this call.")
    [row] = course(sid, [fact], call.started_at, inline=1 << 20).rows
    return _part(request, call, "web/_message.html", {"heading": row.words, "row": row})


@operator_page
@require_safe
def request(request: HttpRequest, sid: str, number: int, part: str) -> HttpResponse:
    """What the application was sent, or what it answered."""
    call = found_call(request, sid)
    row = selectors.webhook_request(sid, number) if number < 2**63 else None
    if row is None or part not in _PARTS:
        raise Http404("There is no such request in this call.")
    [attempt] = attempts([row], call.started_at)
    context = {"heading": _PARTS[part], "attempt": attempt}
    return _part(request, call, f"web/_{part}.html", context)


@operator_page
@require_safe
def document(request: HttpRequest, sid: str, number: int) -> HttpResponse:
    """The source of the ``number``-th document of a call, from 1."""
    known = sids.is_sid(sid, sids.CALL)
    story = selectors.call_story(sid, scope_of(request.user)) if known else None
    if story is None:
        raise Http404(f"There is no call {sid[:40]} in the log.")
    found = documents(story.events, story.call.started_at, inline=1 << 30)
    if not 1 <= number <= len(found):
        raise Http404("There is no such document in this call.")
    wanted = found[number - 1]
    context = {
        "heading": wanted.url or "Document",
        "lines": wanted.lines,
        "ended": story.call.ended_at,
    }
    return _part(request, story.call, "web/_source.html", context)


def found_call(request: HttpRequest, sid: str) -> Call:
    """One that the user may see; raises Http404."""
    known = sids.is_sid(sid, sids.CALL)
    call = selectors.call(sid, scope_of(request.user)) if known else None
    if call is None:
        raise Http404(f"There is no call {sid[:40]} in the log.")
    return call


def _part(request: HttpRequest, call: Call, template: str, context: dict[str, Any]) -> HttpResponse:
    if request.headers.get("HX-Request") == "true":
        return render(request, template, context)
    return render(request, "web/part.html", {"call": call, "part": template, **context})
