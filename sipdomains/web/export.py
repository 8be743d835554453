"""The call log as a file: what the filter finds, newest first, as CSV or JSON lines in an array.

It is written while it is sent, page by page, so its length costs no memory; how far it came can be
asked for meanwhile.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import AsyncIterator, Iterator
from threading import BoundedSemaphore
from typing import Any

from asgiref.sync import sync_to_async
from django.core.cache import cache
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.views.decorators.http import require_GET

from sipdomains import selectors
from sipdomains.access import Scope, scope_of
from sipdomains.models import Call
from sipdomains.redaction import masked
from sipdomains.selectors import CallFilter
from sipdomains.web.forms import CallFilterForm
from sipdomains.web.pages import operator_page

CHUNK = 1_000
MAX_ROWS = 1_000_000
MAX_AT_ONCE = 4  # of one process
_KEPT_SECONDS = 600
_ID = re.compile(r"[0-9a-f-]{8,40}")
_COLUMNS = (
    "sid", "parent_id", "account_id", "domain_name", "direction", "from_uri", "to_uri", "username",
    "status", "sip_status", "error_code", "cause", "reason", "started_at", "answered_at",
    "ended_at", "duration", "sip_call_id", "source_ip",
)  # fmt: skip
_NAMES = tuple(name.replace("_id", "_sid") if name in ("parent_id", "account_id") else name
               for name in _COLUMNS)  # fmt: skip
_places = BoundedSemaphore(MAX_AT_ONCE)


@operator_page
@require_GET
def export_calls(request: HttpRequest, kind: str) -> HttpResponseBase:
    """``progress`` names the export, for who wants to ask how far it is."""
    wanted = CallFilterForm(request.GET).wanted(timezone.now())
    scope = scope_of(request.user)
    given = request.GET.get("progress", "")
    name = f"export:{request.user.pk}:{given}" if _ID.fullmatch(given) else ""
    write = _csv if kind == "csv" else _json
    stamp = timezone.now().strftime("%Y%m%d-%H%M%S")
    content_type = "text/csv; charset=utf-8" if kind == "csv" else "application/json"
    parts = write(_pages(wanted, scope, name))
    return streamed(request, parts, content_type, f"calls-{stamp}.{kind}")


def streamed(
    request: HttpRequest, parts: Iterator[str], content_type: str, name: str
) -> HttpResponseBase:
    """A file that is written while it is sent; 503 when too many are. ``parts`` has not begun."""
    if not _places.acquire(blocking=False):
        response = HttpResponse("Too many exports run. Try again in a moment.\n", "text/plain", 503)
        response["Retry-After"] = "10"
        return response
    content = _Chunks(parts)
    return StreamingHttpResponse(
        _AsyncChunks(content) if isinstance(request, ASGIRequest) else content,
        content_type=content_type,
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


@operator_page
@require_GET
def export_progress(request: HttpRequest) -> HttpResponse:
    given = request.GET.get("id", "")
    state = cache.get(f"export:{request.user.pk}:{given}") if _ID.fullmatch(given) else None
    if state is None:  # it may not have begun: no error, which a browser would write down
        return HttpResponse(status=204)
    return JsonResponse({"rows": state[0], "done": state[1]})


class _Chunks:
    """Gives its place back when it is at its end, or the reader has gone. Django closes it."""

    def __init__(self, parts: Iterator[str]) -> None:
        self._parts = parts
        self._open = True

    def __iter__(self) -> Iterator[str]:
        try:
            yield from self._parts
        finally:
            self.close()

    def close(self) -> None:
        if self._open:
            self._open = False
            _places.release()


class _AsyncChunks:
    """The same for a server with a loop, which shall not wait for the database."""

    def __init__(self, chunks: _Chunks) -> None:
        self._parts = iter(chunks)
        self.close = chunks.close

    async def __aiter__(self) -> AsyncIterator[str]:
        step = sync_to_async(lambda: next(self._parts, None))
        try:
            while (part := await step()) is not None:
                yield part
        finally:
            self.close()  # Django does not when the browser has gone


def _pages(wanted: CallFilter, scope: Scope, name: str) -> Iterator[list[Call]]:
    before, count = None, 0
    while count < MAX_ROWS:
        page = selectors.calls_page(wanted, scope, before=before, size=CHUNK)
        count += len(page.calls)
        before = page.older
        if name:
            cache.set(name, (count, before is None), _KEPT_SECONDS)
        yield page.calls
        if before is None:
            return
    if name:
        cache.set(name, (count, True), _KEPT_SECONDS)


def _value(call: Call, name: str) -> Any:
    value = getattr(call, name)
    if name.endswith("_at"):
        return value.isoformat() if value else None
    return masked(value) if isinstance(value, str) else value


def _csv(pages: Iterator[list[Call]]) -> Iterator[str]:
    yield _line(_NAMES)
    for calls in pages:
        rows = ([plain(_value(call, name)) for name in _COLUMNS] for call in calls)
        yield "".join(map(_line, rows))


def plain(value: Any) -> str:
    """As a cell that no spreadsheet takes for a formula (OWASP: CSV injection)."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else text


def _line(cells: Any) -> str:
    out = io.StringIO()
    csv.writer(out).writerow(cells)
    return out.getvalue()


def _json(pages: Iterator[list[Call]]) -> Iterator[str]:
    before = "[\n"
    for calls in pages:
        lines = [
            json.dumps(
                {shown: _value(call, name) for shown, name in zip(_NAMES, _COLUMNS, strict=True)}
            )
            for call in calls
        ]
        if lines:
            yield before + ",\n".join(lines)
            before = ",\n"
    yield "[]\n" if before == "[\n" else "\n]\n"
