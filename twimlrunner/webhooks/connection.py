"""One HTTP/1.1 client connection, lean: asyncio protocol + httptools. No Django, no policy.

The transport (:mod:`twimlrunner.webhooks.transport`) opens, pools and closes connections. A
response is read whole, bounded while it is read; decoding of gzip and deflate counts towards the
bound. RFC 9112.
"""

from __future__ import annotations

import asyncio
import socket
import zlib
from dataclasses import dataclass, field
from typing import cast

import httptools

from twimlrunner.webhooks.policy import Failure

MAX_HEAD = 32 * 1024
MAX_HEADERS = 200
QUICKACK: int = getattr(socket, "TCP_QUICKACK", 0)  # Linux


class HttpFailure(Exception):
    """An exchange failed: how (``failure``), and in words with what was met. ``status`` is that of
    the answer, if it got so far."""

    def __init__(self, failure: Failure, message: str = "") -> None:
        super().__init__(f"{failure.words}: {message}" if message else failure.words)
        self.failure = failure
        self.status = 0


@dataclass(slots=True)
class RawResponse:
    """A response as received; ``body`` decoded from its content coding. ``first_byte`` is the
    loop's time."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    first_byte: float = 0.0


class Connection(asyncio.Protocol):
    """Carries one exchange at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._answer: asyncio.Future[RawResponse] | None = None
        self._head_timer: asyncio.TimerHandle | None = None
        self._socket: socket.socket | None = None
        self.reusable = False
        self.received = False  # any byte of the response under way
        self.remote = ""
        self.idle_since = 0.0
        self.opened = 0.0

    # --- asyncio ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.opened = self._loop.time()
        self.reusable = True
        self._socket = transport.get_extra_info("socket")
        peer = transport.get_extra_info("peername")
        self.remote = str(peer[0]) if peer else ""

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._parser is None:
            self.close()  # bytes that nobody asked for: never believe the next response
            return
        if not self.received:
            self.received = True
            self._response.first_byte = self._loop.time()
        if not self._headers_done:
            self._head_size += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail(HttpFailure(Failure.FATAL_VIOLATION, "unasked protocol upgrade"))
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            if isinstance(cause, HttpFailure):
                self._fail(cause)
            else:
                self._fail(HttpFailure(Failure.VIOLATION, str(error)))
        except httptools.HttpParserError as error:
            if self._answer is None or self._answer.done():
                self.close()  # garbage behind a complete response
            else:
                self._fail(HttpFailure(Failure.VIOLATION, str(error)))
        else:
            if not self._headers_done and self._head_size > MAX_HEAD:
                self._fail(HttpFailure(Failure.FATAL_VIOLATION, "header section too large"))

    def eof_received(self) -> bool:
        return False  # close; what follows is in connection_lost

    def connection_lost(self, exc: Exception | None) -> None:
        self.reusable = False
        self._transport = None
        if self._answer is None or self._answer.done():
            return
        if self._headers_done and not self._framed and exc is None:
            self.on_message_complete()  # a body that ends with the connection
        elif self.received:
            self._fail(HttpFailure(Failure.NETWORK, "connection closed within the answer"))
        else:
            self._fail(HttpFailure(Failure.NETWORK, "connection closed without an answer"))

    # --- one exchange ---

    async def exchange(self, request: bytes, *, read_timeout: float, max_body: int) -> RawResponse:
        """Send ``request`` and read the response. Raises HttpFailure; cancelling closes.

        ``read_timeout`` seconds are allowed until the header section is complete, the caller
        bounds the whole.
        """
        if self._transport is None:
            raise HttpFailure(Failure.NETWORK, "connection closed")
        self.received = False
        self._response = RawResponse()
        self._chunks: list[bytes] = []
        self._size = 0
        self._max_body = max_body
        self._head_size = 0  # bytes received before the section is complete
        self._fields_size = 0
        self._headers_done = False
        self._framed = False
        self._chunked = False
        self._decoder: zlib._Decompress | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._answer = self._loop.create_future()
        self._head_timer = self._loop.call_later(read_timeout, self._head_timed_out)
        self._transport.write(request)
        if self._socket is not None and QUICKACK:
            # Simple servers write head and body apart; Nagle's algorithm on their side would then
            # hold the body back for our delayed acknowledgement, some 40 ms. Not lasting.
            self._socket.setsockopt(socket.IPPROTO_TCP, QUICKACK, 1)
        try:
            return await self._answer
        except BaseException:
            self.close()
            raise
        finally:
            self._head_timer.cancel()
            self._answer = None
            self._parser = None

    def close(self) -> None:
        self.reusable = False
        if self._transport is not None:
            self._transport.abort()

    def _fail(self, failure: HttpFailure) -> None:
        self.reusable = False
        if self._answer is not None and not self._answer.done():
            failure.status = self._response.status
            self._answer.set_exception(failure)

    def _head_timed_out(self) -> None:
        self._fail(HttpFailure(Failure.READ_TIMEOUT))

    # --- httptools ---

    def on_message_begin(self) -> None:
        if self._answer is None or self._answer.done():
            raise HttpFailure(Failure.VIOLATION, "data behind the response")

    def on_header(self, name: bytes, value: bytes) -> None:
        headers = self._response.headers
        self._fields_size += len(name) + len(value)
        if len(headers) >= MAX_HEADERS or self._fields_size > MAX_HEAD:
            raise HttpFailure(Failure.FATAL_VIOLATION, "header section too large")
        headers.append((name, value))
        match name.lower():
            case b"content-length":
                self._framed = True
            case b"transfer-encoding":
                self._framed = self._chunked = True
            case b"content-encoding":
                self._choose_decoder(value)

    def _choose_decoder(self, value: bytes) -> None:
        match value.strip().lower():
            case b"" | b"identity":
                pass
            case b"gzip" | b"x-gzip" | b"deflate":
                self._decoder = zlib.decompressobj(wbits=47)  # zlib or gzip by its header
            case _:
                raise HttpFailure(Failure.VIOLATION, f"content coding {value[:40]!r} not asked for")

    def on_headers_complete(self) -> None:
        if self._parser is None:
            return
        status = self._parser.get_status_code()
        if status >= 200:
            self._response.status = status
            self._headers_done = True
            if status in (204, 304):
                self._framed = True
            if self._head_timer is not None:
                self._head_timer.cancel()
        elif status == 101:
            raise HttpFailure(Failure.FATAL_VIOLATION, "unasked protocol upgrade")

    def on_body(self, data: bytes) -> None:
        if self._decoder is not None:
            data = self._decode(data)
        self._size += len(data)
        if self._size > self._max_body:
            raise HttpFailure(Failure.BODY_TOO_LARGE)
        self._chunks.append(data)

    def _decode(self, data: bytes) -> bytes:
        decoder = self._decoder
        if decoder is None:
            return data
        try:
            # One byte more than is left tells "exactly full" from "too large".
            return decoder.decompress(data, self._max_body - self._size + 1)
        except zlib.error as error:
            raise HttpFailure(Failure.VIOLATION, f"content coding: {error}") from None

    def on_message_complete(self) -> None:
        if not self._headers_done:  # an interim (1xx) response
            self._response = RawResponse(first_byte=self._response.first_byte)
            self._framed = self._chunked = False
            self._decoder = None
            return
        if self._answer is None or self._answer.done():
            return
        response = self._response
        response.body = b"".join(self._chunks)
        if self._decoder is not None and self._chunks and not self._decoder.eof:
            self._fail(HttpFailure(Failure.VIOLATION, "content coding: truncated"))
            return
        parser = self._parser
        if parser is None or not self._framed or not parser.should_keep_alive():
            self.reusable = False
        if self._chunked and not response.body and 200 <= response.status < 300:
            self._fail(HttpFailure(Failure.EMPTY_CHUNKED))
        else:
            self._answer.set_result(response)
