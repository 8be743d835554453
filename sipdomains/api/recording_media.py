"""The files of recordings, at the addresses that applications are told (rest-api.md section 4).

For users who are logged in and may hear them, and for whoever has the account's credentials of the
API. Answers without sound are those of the API.
"""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

from django.core.files.storage import default_storage
from django.core.handlers.asgi import ASGIRequest
from django.db import close_old_connections
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response
from django.utils.http import http_date, parse_http_date_safe
from django.views.decorators.csrf import csrf_exempt
from rest_framework.exceptions import APIException, MethodNotAllowed, NotAuthenticated

from sipdomains import selectors
from sipdomains.access import HEAR_RECORDINGS, may
from sipdomains.api import vendor
from sipdomains.api.auth import authenticate
from sipdomains.api.errors import ApiError, as_json, not_found
from sipdomains.api.ranges import Unsatisfiable, byte_range
from sipdomains.models import Account, Recording, RecordingStatus
from sipdomains.models.recordings import UNDER_WAY
from sipdomains.services import recording_files
from sipdomains.services.recording_files import FORMATS, Busy, Unreadable

log = logging.getLogger(__name__)

_BLOCK = 1 << 16
_METHODS = ("GET", "HEAD")


@csrf_exempt  # nothing can be changed here
def recording_file(request: HttpRequest, account_sid: str, name: str) -> HttpResponseBase:
    """``RE…`` and ``RE….wav`` are WAV, ``RE….mp3`` is MP3; ``?RequestedChannels=1`` mixes two
    channels into one, ``?download`` saves instead of plays. Seekable (RFC 9110 section 14)."""
    try:
        if request.method not in _METHODS:
            raise MethodNotAllowed(str(request.method))
        _admit(request, account_sid)
        return _answer(request, account_sid, name)
    except (ApiError, APIException) as error:
        return _refusal(request, error)


def _answer(request: HttpRequest, account_sid: str, name: str) -> HttpResponseBase:
    """Raises ApiError."""
    sid, _, kind = name.partition(".")
    recording = selectors.recording(account_sid, sid)
    if recording is None:
        raise not_found(request.path)
    if not recording.file or recording.status == RecordingStatus.DELETED:
        raise ApiError(vendor.NOT_FOUND, _why_no_file(recording))
    kind = kind or "wav"
    channels = _channels(request, recording)
    try:
        return _file(request, recording, recording_files.variant(recording, kind, channels), kind)
    except Busy as busy:
        raise ApiError(vendor.UNAVAILABLE, f"{busy}. Ask again in a moment.") from busy
    except (OSError, Unreadable) as error:
        log.error("recording %s cannot be read: %s", sid, error)
        text = "The file of this recording cannot be read."
        raise ApiError(vendor.NOT_FOUND, text) from error


# --- who may --------------------------------------------------------------------------------------


def _admit(request: HttpRequest, account_sid: str) -> None:
    """Users who may hear the account's recordings, and whoever the API lets at that account. Raises
    ApiError and APIException."""
    if may(request.user, HEAR_RECORDINGS, account_sid):
        return
    client = authenticate(request)
    if client is None and request.user.is_authenticated:
        raise not_found(request.path)
    if client is None:
        raise NotAuthenticated
    if not client.active:
        raise ApiError(vendor.ACCOUNT_NOT_ACTIVE, "The account is not active")
    if account_sid == client.account.sid:
        return
    account = Account.objects.select_related("parent").filter(sid=account_sid).first()
    if account is None or not client.reaches(account):
        raise not_found(request.path)
    if not account.active:
        raise ApiError(vendor.ACCOUNT_NOT_ACTIVE, "The account is not active")


def _refusal(request: HttpRequest, error: Exception) -> HttpResponse:
    """As everywhere in the API; in words alone for an operator, who reads it in a browser."""
    response = as_json(request, error)
    if request.user.is_authenticated:
        response.content = f"{json.loads(response.content)['message']}\n".encode()
        response["Content-Type"] = "text/plain; charset=utf-8"
    if response.status_code == 405:
        response["Allow"] = ", ".join(_METHODS)
    return response


# --- what is sent ---------------------------------------------------------------------------------


def _channels(request: HttpRequest, recording: Recording) -> int:
    """Raises ApiError."""
    wanted = request.GET.get("RequestedChannels") or str(recording.channels)
    if wanted not in ("1", "2"):
        raise ApiError(vendor.INVALID_PARAMETER, "RequestedChannels is 1 or 2")
    if int(wanted) > recording.channels:
        text = "Two channels were asked of a recording that has one"
        raise ApiError(vendor.TOO_FEW_CHANNELS, text)
    return int(wanted)


def _why_no_file(recording: Recording) -> str:
    if recording.status in UNDER_WAY:
        return "The recording is not finished."
    return recording.reason or "The recording has no file."


def _file(request: HttpRequest, recording: Recording, stored: str, kind: str) -> HttpResponseBase:
    size = default_storage.size(stored)
    changed = int((recording.ended_at or recording.started_at).timestamp())
    etag = f'"{stored.rpartition("/")[2]}-{size}"'
    placement = "attachment" if "download" in request.GET else "inline"
    headers = {
        "Content-Type": FORMATS[kind],
        "Content-Disposition": f'{placement}; filename="{recording.sid}.{kind}"',
        "Accept-Ranges": "bytes",
        "ETag": etag,
        "Last-Modified": http_date(changed),
        "Cache-Control": "private, no-cache",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Vary": "Authorization, Cookie",
    }
    known = get_conditional_response(request, etag, changed, HttpResponse(headers=headers))
    if known is not None and known.status_code != 200:
        return known
    first, last = 0, size - 1
    status = 200
    if _range_counts(request, etag, changed):
        try:
            wanted = byte_range(request.headers.get("Range", ""), size)
        except Unsatisfiable:
            error = ApiError(
                vendor.INVALID_PARAMETER, "The range lies beyond the end of the file.", 416
            )
            response = _refusal(request, error)
            response["Content-Range"] = f"bytes */{size}"
            return response
        if wanted is not None:
            (first, last), status = wanted, 206
            headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    headers["Content-Length"] = str(last - first + 1)
    if request.method == "HEAD":
        return HttpResponse(status=status, headers=headers)
    span = _Span(default_storage.open(stored), first, last - first + 1)
    if not isinstance(request, ASGIRequest):
        return StreamingHttpResponse(span, status=status, headers=headers)
    close_old_connections()  # of this request's thread: a player may take minutes to hear it
    return StreamingHttpResponse(_AsyncSpan(span), status=status, headers=headers)


def _range_counts(request: HttpRequest, etag: str, changed: int) -> bool:
    """Whether what the client has a part of is what there is now (RFC 9110 section 13.1.5)."""
    validator = request.headers.get("If-Range", "")
    if not validator:
        return True
    return validator == etag or parse_http_date_safe(validator) == changed


class _Span:
    """Some bytes of a file, block by block. Django closes it with the response."""

    def __init__(self, file: Any, first: int, count: int) -> None:
        self._file = file
        self._left = count
        file.seek(first)

    def __iter__(self) -> _Span:
        return self

    def __next__(self) -> bytes:
        block: bytes = self._file.read(min(_BLOCK, self._left)) if self._left else b""
        if not block:
            raise StopIteration
        self._left -= len(block)
        return block

    def close(self) -> None:
        self._file.close()


class _AsyncSpan:
    """The same for a server with a loop, which shall not wait for a disk."""

    def __init__(self, span: _Span) -> None:
        self._span = span
        self.close = span.close

    def __aiter__(self) -> _AsyncSpan:
        return self

    async def __anext__(self) -> bytes:
        block = await asyncio.to_thread(next, self._span, b"")
        if not block:
            raise StopAsyncIteration
        return block
