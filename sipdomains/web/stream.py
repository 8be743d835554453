"""The call log as it changes: server-sent events (WHATWG HTML section 9.2).

Only where a server with an event loop runs us: elsewhere pages are not told of this address and ask
again every few seconds instead, as they do when too many watch already.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.db import close_old_connections
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.views.decorators.http import require_GET

from sipdomains import selectors
from sipdomains.access import Scope, scope_of
from sipdomains.selectors import CallFilter
from sipdomains.web import feed
from sipdomains.web.forms import CallFilterForm
from sipdomains.web.pages import operator_page

HEARTBEAT_SECONDS = 15.0
# Then the browser comes back by itself, and whether it still may is asked anew.
LIFE_SECONDS = 300.0
_COMEBACK_MS = 2000


@operator_page
@require_GET
def call_stream(request: HttpRequest) -> HttpResponseBase:
    """``ready``: what changes from now on is told, load the list once more. ``rows``: [{sid,
    html}], html empty for a call that is not in the list (any more). ``stale``: load it anew."""
    if not isinstance(request, ASGIRequest):
        return HttpResponse("no event loop here\n", "text/plain", 404)
    form = CallFilterForm(request.GET)
    wanted = form.wanted(timezone.now())
    events = _events(scope_of(request.user), wanted if form.active() else None)
    close_old_connections()  # watchers are many and stay for minutes
    return StreamingHttpResponse(
        events, content_type="text/event-stream", headers={"X-Accel-Buffering": "no"}
    )


async def _events(scope: Scope, wanted: CallFilter | None) -> AsyncIterator[str]:
    try:
        async with feed.current().watch() as changes:
            yield f"retry: {_COMEBACK_MS}\nevent: ready\ndata: \n\n"
            end = time.monotonic() + LIFE_SECONDS
            while time.monotonic() < end:
                try:
                    batch = await asyncio.wait_for(changes.get(), HEARTBEAT_SECONDS)
                except TimeoutError:
                    yield ": still here\n\n"
                    continue
                if not batch.complete:
                    yield "event: stale\ndata: \n\n"
                    continue
                rows = [row for row in batch.rows if scope.sees(row.account_sid)]
                shown = {row.sid for row in rows}
                if wanted is not None and rows:
                    shown = await _matching(wanted, scope, [row.sid for row in rows])
                if rows:
                    told = [
                        {"sid": row.sid, "html": row.html if row.sid in shown else ""}
                        for row in rows
                    ]
                    yield f"event: rows\ndata: {json.dumps(told)}\n\n"
    except feed.TooManyWatchers:
        yield "event: full\ndata: \n\n"


@sync_to_async
def _matching(wanted: CallFilter, scope: Scope, sids: list[str]) -> set[str]:
    try:
        return selectors.matching(wanted, scope, sids)
    finally:
        close_old_connections()
