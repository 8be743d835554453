"""httpx transport: pinned, vetted addresses and pooled keep-alive connections. No Django.

Lean on purpose: httpx's own transport costs several times the CPU of the whole fetch here
(design decision 3). What a request may carry in ``extensions``: ``timeout`` (httpx's dict:
``connect`` and ``read`` seconds), ``target`` (bytes sent instead of the URL's path and query),
``verify`` and ``sni`` (bool), ``max_body`` (bytes, decoded), ``timings`` (a :class:`Timings` to be
filled). Redirects are never followed here, so that each hop is vetted and signed by the caller.
"""

from __future__ import annotations

import asyncio
import http.cookiejar
import ssl
from collections import defaultdict
from dataclasses import dataclass

import httpx

from twimlrunner.webhooks.connection import Connection, HttpFailure, RawResponse
from twimlrunner.webhooks.egress import (
    EgressDenied,
    EgressPolicy,
    HostUnknown,
    Resolver,
)
from twimlrunner.webhooks.policy import MAX_BODY, Failure
from twimlrunner.webhooks.tls import TlsContexts, classify, name_matches

IDLE_SECONDS = 20.0
MAX_AGE_SECONDS = 120.0  # so that a change in DNS is seen by a busy origin as well
MAX_IDLE_PER_ORIGIN = 64
AVOID_SECONDS = 30.0


@dataclass(slots=True)
class Timings:
    """Of one exchange, in the loop's time; 0 for what was not reached."""

    remote: str = ""
    connected: float = 0.0
    first_byte: float = 0.0


@dataclass(frozen=True, slots=True)
class Origin:
    """What a pooled connection may be used for."""

    tls: bool
    host: str
    port: int
    verify: bool
    sni: bool


class PinnedTransport(httpx.AsyncBaseTransport):
    """See the module. Use on one event loop; raises HttpFailure for every failed exchange."""

    def __init__(
        self,
        policy: EgressPolicy,
        *,
        verify: bool = True,
        ca_file: str = "",
        max_body: int = MAX_BODY,
    ) -> None:
        self._policy = policy
        self._verify = verify
        self._max_body = max_body
        self._tls = TlsContexts(ca_file)
        self._resolver = Resolver()
        self._idle: defaultdict[Origin, list[Connection]] = defaultdict(list)
        self._avoid: dict[str, float] = {}
        self._sweeper: asyncio.TimerHandle | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        extensions = request.extensions
        timeout = extensions.get("timeout", {})
        verify = extensions.get("verify", self._verify)
        tls = url.scheme == "https"
        origin = Origin(
            tls, url.host, url.port or (443 if tls else 80), verify, extensions.get("sni", True)
        )
        head = _head(request, extensions.get("target") or url.raw_path)
        body = await request.aread()
        response = await self._exchange(
            origin,
            head + body,
            timings=extensions.get("timings") or Timings(),
            connect_timeout=timeout.get("connect") or 5.0,
            read_timeout=timeout.get("read") or 15.0,
            max_body=extensions.get("max_body", self._max_body),
        )
        # The body is decoded already: httpx must not try again.
        headers = [item for item in response.headers if item[0].lower() != b"content-encoding"]
        return httpx.Response(
            response.status, headers=headers, stream=httpx.ByteStream(response.body)
        )

    async def _exchange(
        self,
        origin: Origin,
        request: bytes,
        *,
        timings: Timings,
        connect_timeout: float,
        read_timeout: float,
        max_body: int,
    ) -> RawResponse:
        loop = asyncio.get_running_loop()
        connection = self._checkout(origin, loop.time())
        while True:
            reused = connection is not None
            if connection is None:
                connection = await self._connect(origin, connect_timeout, timings)
            timings.connected = loop.time()
            timings.remote = connection.remote
            try:
                response = await connection.exchange(
                    request, read_timeout=read_timeout, max_body=max_body
                )
            except HttpFailure as error:
                # A server may close an idle connection just as it is used again. Nothing was
                # answered, and the idempotency token tells an application of a repetition.
                if reused and error.failure is Failure.NETWORK and not connection.received:
                    connection = None
                    continue
                raise
            timings.first_byte = response.first_byte
            self._release(origin, connection, loop)
            return response

    # --- the pool ---

    def _checkout(self, origin: Origin, now: float) -> Connection | None:
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            if connection.reusable and now - connection.idle_since < IDLE_SECONDS:
                return connection
            connection.close()
        return None

    def _release(
        self, origin: Origin, connection: Connection, loop: asyncio.AbstractEventLoop
    ) -> None:
        now = loop.time()
        idle = self._idle[origin]
        if (
            not connection.reusable
            or now - connection.opened > MAX_AGE_SECONDS
            or len(idle) >= MAX_IDLE_PER_ORIGIN
        ):
            connection.close()
            return
        connection.idle_since = now
        idle.append(connection)
        if self._sweeper is None:
            self._sweeper = loop.call_later(IDLE_SECONDS / 2, self._sweep, loop)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for origin in list(self._idle):
            kept = []
            for connection in self._idle[origin]:
                if connection.reusable and now - connection.idle_since < IDLE_SECONDS:
                    kept.append(connection)
                else:
                    connection.close()
            if kept:
                self._idle[origin] = kept
            else:
                del self._idle[origin]
        again = bool(self._idle)
        self._sweeper = loop.call_later(IDLE_SECONDS / 2, self._sweep, loop) if again else None

    async def aclose(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for idle in self._idle.values():
            for connection in idle:
                connection.close()
        self._idle.clear()
        await asyncio.sleep(0)  # aborted transports tell their protocols on the next round

    # --- connecting ---

    async def _connect(self, origin: Origin, seconds: float, timings: Timings) -> Connection:
        try:
            async with asyncio.timeout(seconds):
                addresses = await self._addresses(origin)
                return await self._connect_first(origin, addresses, timings)
        except TimeoutError:
            raise HttpFailure(
                Failure.CONNECT_TIMEOUT, f"{timings.remote or origin.host} after {seconds:g} s"
            ) from None

    async def _addresses(self, origin: Origin) -> list[str]:
        try:
            found = await self._resolver.resolve_vetted(origin.host, origin.port, self._policy)
        except HostUnknown as error:
            raise HttpFailure(Failure.DNS, str(error)) from None
        except EgressDenied as error:
            raise HttpFailure(Failure.EGRESS, str(error)) from None
        if self._avoid:
            found = sorted(found, key=self._avoid.__contains__)
        return found

    async def _connect_first(
        self, origin: Origin, addresses: list[str], timings: Timings
    ) -> Connection:
        """In order until one accepts; the failure of the first is the one reported."""
        first: HttpFailure | None = None
        loop = asyncio.get_running_loop()
        for address in addresses:
            timings.remote = address
            try:
                return await self._open(origin, address, loop)
            except HttpFailure as error:
                first = first or error
                self._shun(address, loop.time())
            except asyncio.CancelledError:
                # It hangs: the next try begins with another address of this host.
                self._shun(address, loop.time())
                raise
        raise first or HttpFailure(Failure.DNS, origin.host)

    def _shun(self, address: str, now: float) -> None:
        self._avoid = {
            name: since for name, since in self._avoid.items() if now - since < AVOID_SECONDS
        }
        self._avoid[address] = now

    async def _open(
        self, origin: Origin, address: str, loop: asyncio.AbstractEventLoop
    ) -> Connection:
        context: ssl.SSLContext | None = None
        server_name: str | None = None
        if origin.tls:
            context = self._tls.context(verify=origin.verify, sni=origin.sni)
            server_name = origin.host if origin.sni else ""
        try:
            transport, connection = await loop.create_connection(
                lambda: Connection(loop),
                address,
                origin.port,
                ssl=context,
                server_hostname=server_name,
            )
        except ssl.SSLError as error:
            message = getattr(error, "verify_message", "") or str(error.reason)
            raise HttpFailure(classify(error), message) from None
        except TimeoutError:  # the system's own limit
            raise HttpFailure(Failure.CONNECT_TIMEOUT, address) from None
        except ConnectionRefusedError:
            raise HttpFailure(Failure.CONNECT_REFUSED, f"{address} port {origin.port}") from None
        except ConnectionError as error:
            failure = Failure.TLS_HANDSHAKE if origin.tls else Failure.NETWORK
            raise HttpFailure(failure, str(error)) from None
        except OSError as error:
            raise HttpFailure(Failure.NETWORK, error.strerror or str(error)) from None
        if origin.tls and origin.verify and not origin.sni:
            certificate = transport.get_extra_info("peercert") or {}
            if not name_matches(certificate, origin.host):
                connection.close()
                raise HttpFailure(Failure.TLS_NAME, origin.host)
        return connection


def _head(request: httpx.Request, target: bytes) -> bytes:
    fields = request.headers.raw
    lines = [b"%s %s HTTP/1.1\r\n" % (request.method.encode("ascii"), target)]
    lines += [b"%s: %s\r\n" % item for item in fields]
    lines.append(b"\r\n")
    head = b"".join(lines)
    if head.count(b"\n") != len(fields) + 2 or head.count(b"\r") != len(fields) + 2:
        raise HttpFailure(Failure.VIOLATION, "line break in a header of ours")
    return head


class _NoCookies(http.cookiejar.DefaultCookiePolicy):
    """Cookies belong to a call (webhooks.md section 1), never to a client shared by all."""

    def set_ok(self, cookie: http.cookiejar.Cookie, request: object) -> bool:
        return False

    def return_ok(self, cookie: http.cookiejar.Cookie, request: object) -> bool:
        return False


def make_client(
    policy: EgressPolicy,
    *,
    verify: bool = True,
    ca_file: str = "",
    max_body: int = MAX_BODY,
    connect_timeout: float = 5.0,
    read_timeout: float = 15.0,
) -> httpx.AsyncClient:
    """An httpx client behind the egress guard; one per event loop.

    Bodies are read whole, at most ``max_body`` bytes decoded. It follows no redirects, keeps no
    cookies and ignores proxy variables. Failed exchanges raise
    :class:`~twimlrunner.webhooks.connection.HttpFailure` with ``failure.code`` of errors.md.
    """
    return httpx.AsyncClient(
        transport=PinnedTransport(policy, verify=verify, ca_file=ca_file, max_body=max_body),
        timeout=httpx.Timeout(read_timeout, connect=connect_timeout),
        cookies=http.cookiejar.CookieJar(_NoCookies()),
        follow_redirects=False,
        trust_env=False,
    )
