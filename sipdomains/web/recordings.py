"""The list of all recordings, to play and to download."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from sipdomains import selectors, sids
from sipdomains.access import HEAR_RECORDINGS, scope_of
from sipdomains.selectors import Cursor
from sipdomains.web.pages import permitted
from sipdomains.web.related import sounds


@permitted(HEAR_RECORDINGS)
@require_safe
def recording_list(request: HttpRequest) -> HttpResponse:
    given = request.GET.get("before", "")
    try:
        before = Cursor.parse(given, sids.RECORDING) if given else None
    except ValueError:
        raise Http404("This page of the recordings does not exist.") from None
    page = selectors.recordings_page(scope_of(request.user), before)
    context = {"sounds": sounds(page.recordings), "older": page.older, "newest": before is None}
    return render(request, "web/recordings.html", context)
