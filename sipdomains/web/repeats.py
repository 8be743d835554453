"""A request to an application, sent again from the page of its call after a confirmation."""

from __future__ import annotations

import re
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from sipdomains import selectors
from sipdomains.access import OPERATE_CALLS
from sipdomains.models import Call
from sipdomains.services import repeats
from sipdomains.web.call_parts import found_call
from sipdomains.web.pages import operator_page, permitted
from sipdomains.web.webhooks import attempts

_NAME = re.compile(rf"{repeats.PURPOSE}-[0-9a-f]{{1,32}}")
# The longest request takes 15 s and may be tried again.
MAX_POLLS = 45


@permitted(OPERATE_CALLS)
@require_http_methods(["GET", "HEAD", "POST"])
def repeat(request: HttpRequest, sid: str, number: int) -> HttpResponse:
    """What would be sent, and on POST: send it."""
    call = found_call(request, sid)
    row = selectors.webhook_request(sid, number) if number < 2**63 else None
    if row is None:
        raise Http404("There is no such request in this call.")
    [attempt] = attempts([row], call.started_at)
    context: dict[str, Any] = {"call": call, "attempt": attempt}
    if request.method != "POST":
        return render(request, "web/repeat.html", context)
    try:
        request_id = repeats.ask(row, request.user)
    except repeats.NotRepeatable as refused:
        return render(request, "web/repeat.html", context | {"refused": str(refused)}, status=409)
    return HttpResponseRedirect(reverse("web:call-repeated", args=(sid, request_id)))


@operator_page
@require_safe
def outcome(request: HttpRequest, sid: str, request_id: str) -> HttpResponse:
    """The answer, as soon as it is there; asks again by itself, a bounded number of times."""
    call = found_call(request, sid)
    if not _NAME.fullmatch(request_id):
        raise Http404("No request was repeated under that name.")
    polls = _polls(request.GET.get("polls", ""))
    tries = attempts(selectors.webhook_attempts(sid, request_id), call.started_at)
    context = _outcome(call, request_id, polls) | {"tries": tries}
    fragment = request.headers.get("HX-Request") == "true"
    return render(request, "web/_repeated.html" if fragment else "web/repeated.html", context)


def _polls(given: str) -> int:
    return min(int(given), MAX_POLLS) if given.isascii() and given.isdecimal() else 0


def _outcome(call: Call, request_id: str, polls: int) -> dict[str, Any]:
    return {
        "call": call,
        "request_id": request_id,
        "next_poll": polls + 1,
        "waiting": polls < MAX_POLLS,
    }
