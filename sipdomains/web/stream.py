"""The call log as it changes: server-sent events (WHATWG HTML section 9.2).

Only where a server with an event loop runs us: elsewhere pages are not told of this address and ask
again every few seconds instead, as they do when too many watch already.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from importlib import import_module
from typing import TypeVar

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import get_user
from django.core.handlers.asgi import ASGIRequest
from django.db import DatabaseError, InterfaceError, close_old_connections
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.views.decorators.http import require_GET

from sipdomains import selectors
from sipdomains.access import SEE_CALLS, Scope, scope_of
from sipdomains.selectors import CallFilter
from sipdomains.web import feed
from sipdomains.web.forms import CallFilterForm
from sipdomains.web.pages import operator_page

# So often a sign of life is sent, and whether the session may still watch is asked anew.
HEARTBEAT_SECONDS = 15.0
# Then the browser comes back by itself.
LIFE_SECONDS = 300.0
_COMEBACK_MS = 2000

T = TypeVar("T")


@operator_page
@require_GET
def call_stream(request: HttpRequest) -> HttpResponseBase:
    """``ready``: what changes from now on is told, load the list once more. ``rows``: [{sid,
    html}], html empty for a call that is not in the list (any more). ``stale``: load it anew."""
    if not isinstance(request, ASGIRequest):
        return HttpResponse("no event loop here\n", "text/plain", 404)
    form = CallFilterForm(request.GET)
    wanted = form.wanted(timezone.now())
    key = request.session.session_key or ""
    events = _events(
        scope_of(request.user), wanted if form.active() else None, lambda: _scope_now(key)
    )
    close_old_connections()  # watchers are many and stay for minutes
    return StreamingHttpResponse(
        events, content_type="text/event-stream", headers={"X-Accel-Buffering": "no"}
    )


async def _events(
    scope: Scope, wanted: CallFilter | None, scope_now: Callable[[], Scope | None]
) -> AsyncIterator[str]:
    try:
        async with feed.current().watch() as changes:
            yield f"retry: {_COMEBACK_MS}\nevent: ready\ndata: \n\n"
            asked = time.monotonic()
            end = asked + LIFE_SECONDS
            while (now := time.monotonic()) < end:
                left = asked + HEARTBEAT_SECONDS - now
                if left <= 0:
                    may = await _asked(scope_now)
                    if may is None:
                        return
                    scope, asked = may, now
                    yield ": still here\n\n"
                    continue
                try:
                    batch = await asyncio.wait_for(changes.get(), left)
                except TimeoutError:
                    continue
                if not batch.complete:
                    yield "event: stale\ndata: \n\n"
                    continue
                rows = [row for row in batch.rows if scope.sees(row.account_sid)]
                shown = {row.sid for row in rows}
                if wanted is not None and rows:
                    sids = [row.sid for row in rows]
                    shown = await _asked(partial(selectors.matching, wanted, scope, sids))
                if rows:
                    told = [
                        {"sid": row.sid, "html": row.html if row.sid in shown else ""}
                        for row in rows
                    ]
                    yield f"event: rows\ndata: {json.dumps(told)}\n\n"
    except feed.TooManyWatchers:
        yield "event: full\ndata: \n\n"


@sync_to_async
def _asked(ask: Callable[[], T]) -> T:
    """Of the database, which is let go again."""
    try:
        return ask()
    finally:
        close_old_connections()


def _scope_now(session_key: str) -> Scope | None:
    """What the session lets its user see by now; None: it has ended, or the user may see no calls
    any more. A handful of queries by keys."""
    again = HttpRequest()
    again.session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    try:
        user = get_user(again)
        return scope_of(user) if user.has_perm(SEE_CALLS) else None
    except (DatabaseError, InterfaceError):
        return None  # the browser comes back, as after any failure
