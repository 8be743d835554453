"""The files of recordings, at the addresses that applications are told (rest-api.md section 4).

For operators who are logged in, and for the account's own application by HTTP Basic with AccountSid
and AuthToken. Answers are plain text where there is no sound to send.
"""

from __future__ import annotations

import asyncio
import binascii
import hmac
import logging
from base64 import b64decode
from typing import Any

from django.core.files.storage import default_storage
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response
from django.utils.http import http_date, parse_http_date_safe
from django.views.decorators.http import require_safe

from sipdomains import selectors, sids
from sipdomains.models import Account, AccountStatus, Recording, RecordingStatus
from sipdomains.services import recording_files
from sipdomains.services.recording_files import FORMATS, Busy, Unreadable
from sipdomains.web.ranges import Unsatisfiable, byte_range

log = logging.getLogger(__name__)

_BLOCK = 1 << 16
_LONGEST_CREDENTIALS = 512


@require_safe
def recording_file(request: HttpRequest, account_sid: str, name: str) -> HttpResponseBase:
    """``RE…`` and ``RE….wav`` are WAV, ``RE….mp3`` is MP3; ``?RequestedChannels=1`` mixes two
    channels into one, ``?download`` saves instead of plays. Seekable (RFC 9110 section 14)."""
    refused = _refused(request, account_sid)
    if refused is not None:
        return refused
    sid, _, kind = name.partition(".")
    kind = kind or "wav"
    if kind not in FORMATS or not sids.is_sid(sid, sids.RECORDING):
        return _plain(404, "There is no such recording.")
    recording = selectors.recording(account_sid, sid)
    if recording is None:
        return _plain(404, "There is no such recording.")
    if not recording.file:
        return _plain(404, _why_no_file(recording))
    try:
        stored = recording_files.variant(recording, kind, _channels(request, recording))
        return _file(request, recording, stored, kind)
    except Busy as busy:
        response = _plain(503, f"{busy}. Ask again in a moment.")
        response["Retry-After"] = "5"
        return response
    except (OSError, Unreadable) as error:
        log.error("recording %s cannot be read: %s", sid, error)
        return _plain(404, "The file of this recording cannot be read.")


# --- who may --------------------------------------------------------------------------------------


def _refused(request: HttpRequest, account_sid: str) -> HttpResponse | None:
    if request.user.is_authenticated:
        return None
    account = _authenticated(request.headers.get("Authorization", ""))
    if account is None or account.sid != account_sid:
        response = _plain(401, "Log in, or send AccountSid and AuthToken of the account.")
        response["WWW-Authenticate"] = 'Basic realm="sipdomains", charset="UTF-8"'
        return response
    if account.status != AccountStatus.ACTIVE:
        return _plain(403, "The account is suspended or closed.")
    return None


def _authenticated(header: str) -> Account | None:
    """The account of HTTP Basic credentials; each of its two tokens will do."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic" or len(encoded) > _LONGEST_CREDENTIALS:
        return None
    try:
        sid, _, token = b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    if not sids.is_sid(sid, sids.ACCOUNT):
        return None
    account = Account.objects.filter(sid=sid).first()
    tokens = (account.auth_token, account.secondary_auth_token) if account else ("", "")
    matches = [bool(known) & _same(token, known) for known in tokens]
    return account if any(matches) else None


def _same(given: str, known: str) -> bool:
    return hmac.compare_digest(given.encode(), known.encode())


# --- what is sent ---------------------------------------------------------------------------------


def _channels(request: HttpRequest, recording: Recording) -> int:
    wanted = request.GET.get("RequestedChannels", "")
    return int(wanted) if wanted in ("1", "2") else recording.channels


def _why_no_file(recording: Recording) -> str:
    if recording.status == RecordingStatus.IN_PROGRESS:
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
            response = _plain(416, "The range lies beyond the end of the file.")
            response["Content-Range"] = f"bytes */{size}"
            return response
        if wanted is not None:
            (first, last), status = wanted, 206
            headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    headers["Content-Length"] = str(last - first + 1)
    if request.method == "HEAD":
        return HttpResponse(status=status, headers=headers)
    span = _Span(default_storage.open(stored), first, last - first + 1)
    content = _AsyncSpan(span) if isinstance(request, ASGIRequest) else span
    return StreamingHttpResponse(content, status=status, headers=headers)


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


def _plain(status: int, text: str) -> HttpResponse:
    return HttpResponse(
        f"{text}\n",
        status=status,
        headers={"Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-store"},
    )
