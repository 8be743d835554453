"""GET of an audio file to disk: vetted and pinned addresses, limits, redirects, authentication.

The lean transport of webhooks holds bodies in memory, which suits documents; audio is streamed
here, under the same egress guard, TLS rules and error codes (webhooks.md section 1, errors.md
section 4). No parameters of the call are sent.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import IO

import httpcore

from twimlrunner.audio.guarded import GuardedBackend, decoded, failure
from twimlrunner.speech.config import PromptConfig
from twimlrunner.speech.ports import PromptError
from twimlrunner.webhooks import httpauth
from twimlrunner.webhooks.connection import HttpFailure
from twimlrunner.webhooks.egress import EgressPolicy
from twimlrunner.webhooks.freshness import HeaderMap
from twimlrunner.webhooks.policy import (
    URL_INVALID,
    Follow,
    GiveUp,
    Overrides,
    Retry,
    decide,
    parse_overrides,
    redirect,
    timed_out,
)
from twimlrunner.webhooks.request import USER_AGENT
from twimlrunner.webhooks.tls import TlsContexts
from twimlrunner.webhooks.url import InvalidUrl, WebhookUrl, parse_url, resolve

HEAD_BYTES = 64


@dataclass(slots=True)
class Download:
    """An answer; for 200 the body is in the file given. ``head`` are its first bytes."""

    status: int
    headers: Mapping[str, str]
    path: str  # of the final URL
    head: bytes = b""
    sha256: str = ""


@dataclass(slots=True)
class _Credentials:
    """Of the URL; used for its own origin only, and only when asked for."""

    origin: str
    username: str
    password: str
    challenge: httpauth.Challenge | None = field(default=None)

    def header(self, target: str) -> str:
        if self.challenge is None:
            return ""
        if self.challenge["scheme"] == "digest":
            self.challenge["nc"] += 1
        return httpauth.authorization(
            self.challenge,
            username=self.username,
            password=self.password,
            method="GET",
            target=target,
            cnonce=secrets.token_hex(8),
        )


class Downloader:
    """One per worker: keeps connections for a few seconds."""

    def __init__(self, config: PromptConfig) -> None:
        self._config = config
        self._policy = EgressPolicy.build(
            allow_private=config.allow_private,
            allow_loopback=config.allow_loopback,
            allow=config.allow_networks,
            deny=config.deny_networks,
            ports=config.ports,
        )
        self._tls = TlsContexts(config.ca_file)
        self._pools: dict[bool, httpcore.AsyncConnectionPool] = {}

    async def get(
        self,
        url: str,
        target: IO[bytes],
        *,
        verify_tls: bool,
        conditions: Iterable[tuple[str, str]],
    ) -> Download:
        """The final answer, 200 or 304 (only if there are ``conditions``: header lines such as
        If-None-Match). The body goes to ``target``, cut at the size limit. Retries as
        the URL's fragment says. Raises PromptError with the code of the cause."""
        overrides = parse_overrides(
            url.partition("#")[2],
            Overrides(
                connect_timeout=self._config.connect_timeout,
                read_timeout=self._config.read_timeout,
                total_timeout=self._config.fetch_timeout,
            ),
        )
        conditions = tuple(conditions)
        started = time.monotonic()
        try:
            async with asyncio.timeout(overrides.total_timeout):
                for attempt in count(1):
                    try:
                        return await self._follow(url, target, verify_tls, conditions, overrides)
                    except (HttpFailure, _BadStatus) as error:
                        outcome = error.failure if isinstance(error, HttpFailure) else error.status
                        elapsed = time.monotonic() - started
                        verdict = decide(attempt, outcome, elapsed, overrides)
                        if not isinstance(verdict, Retry):
                            raise PromptError(verdict.code, str(error)) from error
        except TimeoutError:
            late = timed_out(overrides)
            raise PromptError(late.code, late.words) from None
        raise AssertionError("unreachable")

    async def _follow(
        self,
        url: str,
        target: IO[bytes],
        verify_tls: bool,
        conditions: tuple[tuple[str, str], ...],
        overrides: Overrides,
    ) -> Download:
        parsed = _parse(url)
        credentials = _Credentials(parsed.origin, parsed.username, parsed.password)
        followed = 0
        while True:
            lines = [*conditions]
            if parsed.origin == credentials.origin and (
                authorization := credentials.header(parsed.target)
            ):
                lines.append(("Authorization", authorization))
            async with self._request(parsed, lines, verify_tls, overrides) as answer:
                status, headers = answer.status, _headers(answer)
                if status == 200 or (status == 304 and conditions):
                    download = Download(status, headers, parsed.target.partition("?")[0])
                    if status == 200:
                        await self._save(answer, headers, target, download)
                    return download
            if status == 401 and self._challenged(credentials, parsed, answer):
                continue
            location = headers.get("location", "")
            match redirect(status, location, followed):
                case Follow():
                    followed += 1
                    url = _absolute(url, location)
                    parsed = _parse(url)
                case GiveUp() as verdict:
                    raise PromptError(verdict.code, verdict.message)
                case None:
                    raise _BadStatus(status)

    def _challenged(
        self, credentials: _Credentials, url: WebhookUrl, answer: httpcore.Response
    ) -> bool:
        """Whether to ask again with credentials: once only."""
        if credentials.challenge or not credentials.username or url.origin != credentials.origin:
            return False
        values = [
            v.decode("latin-1") for n, v in answer.headers if n.lower() == b"www-authenticate"
        ]
        credentials.challenge = httpauth.choose(values)
        return credentials.challenge is not None

    @asynccontextmanager
    async def _request(
        self,
        url: WebhookUrl,
        lines: Iterable[tuple[str, str]],
        verify_tls: bool,
        overrides: Overrides,
    ) -> AsyncIterator[httpcore.Response]:
        """One exchange; failures inside the block become HttpFailure as well."""
        headers = [
            ("Host", url.authority),
            ("User-Agent", USER_AGENT),
            ("Accept", "*/*"),
            ("Accept-Encoding", "identity"),
            *lines,
        ]
        # ISO-8859-1 as received: a validator goes back as it came.
        raw = [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers]
        timeout = {
            "connect": overrides.connect_timeout,
            "read": overrides.read_timeout,
            "write": overrides.read_timeout,
            "pool": overrides.total_timeout,
        }
        address = httpcore.URL(
            scheme=url.scheme.encode(),
            host=url.host.encode(),
            port=url.port,
            target=url.target.encode(),
        )
        try:
            async with self._pool(verify_tls).stream(
                "GET", address, headers=raw, extensions={"timeout": timeout}
            ) as answer:
                yield answer
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise failure(error) from error

    def _pool(self, verify_tls: bool) -> httpcore.AsyncConnectionPool:
        if verify_tls not in self._pools:
            self._pools[verify_tls] = httpcore.AsyncConnectionPool(
                self._tls.context(verify=verify_tls, sni=True),
                max_connections=self._config.max_fetches,
                keepalive_expiry=5.0,
                network_backend=GuardedBackend(self._policy),
            )
        return self._pools[verify_tls]

    async def _save(
        self,
        answer: httpcore.Response,
        headers: Mapping[str, str],
        target: IO[bytes],
        download: Download,
    ) -> None:
        digest = hashlib.sha256()
        left = self._config.max_audio_bytes
        target.seek(0)
        target.truncate()  # of an attempt before
        async for block in decoded(answer.aiter_stream(), headers):
            block = block[:left]
            left -= len(block)
            if len(download.head) < HEAD_BYTES:
                download.head += block[: HEAD_BYTES - len(download.head)]
            digest.update(block)
            target.write(block)
            if not left:
                break
        target.flush()
        download.sha256 = digest.hexdigest()


def _parse(url: str) -> WebhookUrl:
    try:
        return parse_url(url)
    except InvalidUrl as error:
        raise PromptError(URL_INVALID, str(error)) from error


def _absolute(base: str, location: str) -> str:
    try:
        return resolve(base, location)
    except InvalidUrl as error:
        raise PromptError(URL_INVALID, f"redirected to: {error}") from error


class _BadStatus(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP status {status}")
        self.status = status


def _headers(answer: httpcore.Response) -> Mapping[str, str]:
    return HeaderMap(
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in answer.headers
    )
