"""Streamed HTTP to vetted addresses only: what httpcore needs of us, its failures as ours."""

from __future__ import annotations

import asyncio
import ssl
import zlib
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import TypeVar

import httpcore

from twimlrunner.webhooks.connection import HttpFailure
from twimlrunner.webhooks.egress import EgressDenied, EgressPolicy, HostUnknown, Resolver
from twimlrunner.webhooks.policy import Failure
from twimlrunner.webhooks.tls import classify

E = TypeVar("E", bound=BaseException)
_CODINGS = frozenset({"gzip", "x-gzip", "deflate"})
_INFLATED = 1 << 20  # bytes at a time


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Connects only to addresses that the egress policy allows; TLS keeps the host's name."""

    def __init__(self, policy: EgressPolicy) -> None:
        self._policy = policy
        self._resolver = Resolver()
        self._sockets = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Raises HttpFailure."""
        failure = HttpFailure(Failure.NETWORK)
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._resolver.resolve_vetted(host, port, self._policy)
                for address in addresses:
                    try:
                        return await self._sockets.connect_tcp(address, port)
                    except httpcore.ConnectError as error:
                        failure = HttpFailure(_refusal(error), f"{address} port {port}")
        except TimeoutError:
            raise HttpFailure(Failure.CONNECT_TIMEOUT) from None
        except HostUnknown as error:
            raise HttpFailure(Failure.DNS, str(error)) from error
        except EgressDenied as error:
            raise HttpFailure(Failure.EGRESS, str(error)) from error
        raise failure

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def decoded(blocks: AsyncIterator[bytes], headers: Mapping[str, str]) -> AsyncIterator[bytes]:
    """Undo a content coding that the server used unasked; each block stays bounded."""
    coding = headers.get("content-encoding", "").strip().lower()
    if coding in {"", "identity"}:
        async for block in blocks:
            yield block
        return
    if coding not in _CODINGS:
        raise HttpFailure(Failure.VIOLATION, f"content coding {coding[:40]!r} not asked for")
    decoder = zlib.decompressobj(wbits=47)
    try:
        async for block in blocks:
            yield decoder.decompress(block, _INFLATED)
            while decoder.unconsumed_tail:
                yield decoder.decompress(decoder.unconsumed_tail, _INFLATED)
        if not decoder.eof:
            raise HttpFailure(Failure.VIOLATION, "content coding: truncated")
    except zlib.error as error:
        raise HttpFailure(Failure.VIOLATION, f"content coding: {error}") from None


def _refusal(error: httpcore.ConnectError) -> Failure:
    refused = _cause(error, ConnectionRefusedError)
    return Failure.CONNECT_REFUSED if refused is not None else Failure.NETWORK


def _cause(error: BaseException, kind: type[E]) -> E | None:
    """The exception of ``kind`` that ``error`` was raised from, however many layers down."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, kind):
        cause = cause.__cause__ or cause.__context__
    return cause


def failure(error: Exception) -> HttpFailure:
    """httpcore's exception as ours."""
    tls = _cause(error, ssl.SSLError)
    if tls is not None:
        return HttpFailure(classify(tls), tls.reason or "")
    match error:
        case httpcore.ConnectTimeout():
            return HttpFailure(Failure.CONNECT_TIMEOUT)
        case httpcore.TimeoutException():
            return HttpFailure(Failure.READ_TIMEOUT)
        case httpcore.ConnectError():  # the address answered, TLS did not begin
            return HttpFailure(Failure.TLS_HANDSHAKE)
        case httpcore.RemoteProtocolError():
            return HttpFailure(Failure.VIOLATION, str(error)[:200])
        case httpcore.ProtocolError():
            return HttpFailure(Failure.FATAL_VIOLATION, str(error)[:200])
        case _:
            return HttpFailure(Failure.NETWORK, str(error)[:200])
