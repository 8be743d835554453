"""One logical request, for a document or of a callback, through all that may happen on its way.

Retries, redirects, cookies, authentication, attempts.
Sources: webhooks.md sections 1, 2, 5 and 6. Holds no state of calls: what a call's HTTP session
knows travels in ``FetchDocument.session`` and ``FetchReply.session``:
``{"cookies": [...], "auth": {origin: challenge}}`` (cookies.py, httpauth.py).
"""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import httpx

from sipdomains.contracts import FetchDocument, FetchReply, WebhookAttempt
from twimlrunner.twiml.redact import without_passwords
from twimlrunner.webhooks import cookies, httpauth, policy
from twimlrunner.webhooks.cache import DocumentCache, Key
from twimlrunner.webhooks.callbacks import CallbackMessage, CallbackOutcome
from twimlrunner.webhooks.config import WebhookConfig
from twimlrunner.webhooks.connection import HttpFailure
from twimlrunner.webhooks.policy import GiveUp, Verdict
from twimlrunner.webhooks.request import HttpRequest, build
from twimlrunner.webhooks.transport import Timings, make_client
from twimlrunner.webhooks.url import (
    InvalidUrl,
    WebhookUrl,
    mask,
    parse_url,
    resolve,
    split_fragment,
)

log = logging.getLogger(__name__)

Record = Callable[[WebhookAttempt], None]

DOCUMENT = "document"  # purpose of an attempt
MAX_AUTH_ROUNDS = 2  # a challenge, and a fresh nonce for a stale one
_SECRET_HEADERS = frozenset({"authorization", "cookie", "set-cookie"})
# What callers type or say may be a card number or a PIN.
_TOLD_PARAMETERS = frozenset({"Digits", "SpeechResult", "UnstableSpeechResult"})


class WebhookClient:
    """Fetches documents and delivers callbacks over one pooled httpx client. Use on one event loop.

    ``record`` is called once per HTTP attempt for a document as it ends; it must not block.
    """

    def __init__(self, config: WebhookConfig, record: Record) -> None:
        self.config = config
        self.record = record
        self.cache = DocumentCache()
        self.http: httpx.AsyncClient = make_client(
            config.egress, ca_file=config.ca_file, max_body=config.max_body
        )

    async def fetch(self, request: FetchDocument, token: str) -> FetchReply:
        """Never raises for a failed request: the reply then has an ``error_code``.

        ``token`` is the account's auth token. Cancelling aborts and still records the attempt.
        """
        return await self._run(_Fetch(self, request, token, self.record))

    async def deliver(self, message: CallbackMessage, token: str) -> CallbackOutcome:
        """Send a promised callback; its attempts are in the outcome. The overrides of the URL's
        fragment hold as for a document; there are no cookies and there is no cache.

        Never raises for a failed request. Cancelling aborts.
        """
        request = FetchDocument(
            request_id=message.id,
            node="",
            call_sid=message.call_sid,
            account_sid=message.account_sid,
            url=message.url,
            method=message.method,
            parameters=message.parameters,
            deadline=math.inf,
            verify_tls=message.verify_tls,
        )
        attempts: list[WebhookAttempt] = []
        course = _Fetch(
            self, request, token, attempts.append,
            purpose=message.purpose, attempts=message.attempts,
        )  # fmt: skip
        reply = await self._run(course)
        status = attempts[-1].status if attempts else 0
        verdict = policy.judge_delivery(status, reply.error_code)
        if verdict is Verdict.DELIVERED:
            return CallbackOutcome(message, verdict, tuple(attempts))
        code = policy.CALLBACK_ANSWERED_ERROR if status >= 400 else reply.error_code
        return CallbackOutcome(message, verdict, tuple(attempts), code, reply.error_message)

    async def _run(self, course: _Fetch) -> FetchReply:
        request, overrides = course.request, course.overrides
        for problem in overrides.problems:
            if problem.code:
                return course.failed(problem.code, problem.message)
            log.warning("call %s: %s: %s", request.call_sid, mask(request.url), problem.message)
        seconds = min(overrides.total_timeout, request.deadline - time.time())
        if seconds <= 0:
            return course.failed(policy.FETCH_FAILED, "the request expired in the queue")
        try:
            async with asyncio.timeout(seconds) as course.limit:
                return await course.follow()
        except TimeoutError:
            failure = policy.timed_out(overrides)
            return course.failed(failure.code, f"{failure.words}: {seconds:g} s")

    async def aclose(self) -> None:
        await self.http.aclose()


class _Fetch:
    """The course of one logical request. ``attempts`` of it were recorded before; what is no
    document has neither cookies nor a cache."""

    def __init__(
        self,
        client: WebhookClient,
        request: FetchDocument,
        token: str,
        record: Record,
        *,
        purpose: str = DOCUMENT,
        attempts: int = 0,
    ) -> None:
        self._client = client
        self.request = request
        self._token = token
        self._tell = record
        self._purpose = purpose
        self._url, fragment = split_fragment(request.url)
        self.overrides = policy.parse_overrides(fragment, client.config.defaults)
        self._method = "GET" if request.method.upper() == "GET" else "POST"
        self._parameters = request.parameters
        self._cookies: list[cookies.Cookie] = list(request.session.get("cookies", ()))
        self._auth: dict[str, httpauth.Challenge] = dict(request.session.get("auth", {}))
        self._attempts = attempts
        self._status = 0
        self.limit: asyncio.Timeout | None = None

    async def follow(self) -> FetchReply:
        """Request, retry and follow redirects until there is an answer or a failure."""
        began = time.monotonic()
        tries = 1
        redirects = 0
        while True:
            try:
                url = parse_url(self._url)
            except InvalidUrl as error:
                return self.failed(policy.URL_INVALID, f"{mask(self._url)}: {error}")
            outcome = await self._authenticated(url)
            if isinstance(outcome, httpx.Response):
                status = outcome.status_code
                if 200 <= status < 300:
                    return self._succeeded(outcome)
                location = outcome.headers.get("location", "")
                step = policy.redirect(
                    status, location, redirects, self._client.config.max_redirects
                )
                if isinstance(step, GiveUp):
                    return self.failed(step.code, step.message)
                if step is not None:
                    redirects += 1
                    try:
                        self._redirect(location, keep=step.keep)
                    except InvalidUrl as error:
                        return self.failed(policy.URL_INVALID, f"redirected to: {error}")
                    continue
                verdict = policy.decide(tries, status, time.monotonic() - began, self.overrides)
                detail = ""
            else:
                verdict = policy.decide(
                    tries, outcome.failure, time.monotonic() - began, self.overrides
                )
                detail = str(outcome)
            if isinstance(verdict, GiveUp):
                return self.failed(verdict.code, detail or verdict.message)
            tries += 1

    def _redirect(self, location: str, *, keep: bool) -> None:
        self._url = resolve(self._url, split_fragment(location)[0])
        # A GET's parameters were in the query that the server has answered with a new one.
        if not keep or self._method == "GET":
            self._method = "GET"
            self._parameters = []

    async def _authenticated(self, url: WebhookUrl) -> httpx.Response | HttpFailure:
        """One exchange, repeated when the server asks for the credentials of the URL."""
        for _ in range(MAX_AUTH_ROUNDS):
            used = self._auth.get(url.origin)
            outcome = await self._exchange(url)
            if isinstance(outcome, HttpFailure) or outcome.status_code != 401 or not url.username:
                return outcome
            challenge = httpauth.choose(outcome.headers.get_list("www-authenticate"))
            if challenge is None or (used and used.get("nonce") == challenge.get("nonce")):
                return outcome  # the credentials themselves are refused
            self._auth[url.origin] = challenge
        return await self._exchange(url)

    async def _exchange(self, url: WebhookUrl) -> httpx.Response | HttpFailure:
        """One HTTP attempt, recorded."""
        request = build(
            self._method,
            url,
            self._parameters,
            token=self._token,
            idempotency_token=self.request.request_id,
        )
        self._add_session_headers(request)
        key = self._cache_key(request)
        cached = self._client.cache.find(key) if key else None
        if cached is not None:
            if cached.fresh(time.time()):
                return cached.response
            request.headers.extend(cached.conditions())
        self._attempts += 1
        attempt = _Attempt(self._attempts)
        outcome: httpx.Response | HttpFailure
        try:
            outcome = await self._send(request, attempt.timings)
        except HttpFailure as failure:
            outcome = failure
            code, words = failure.failure.code, str(failure)
            self._record(request, url, attempt, code, words, status=failure.status)
        except asyncio.CancelledError:
            if self.limit is not None and self.limit.expired():
                late = policy.timed_out(self.overrides)
                self._record(request, url, attempt, late.code, late.words)
            else:
                self._record(request, url, attempt, 0, "aborted: the call no longer needs it")
            raise
        else:
            self._status = outcome.status_code
            if "set-cookie" in outcome.headers and self._purpose == DOCUMENT:
                self._cookies = cookies.store(
                    self._cookies, outcome.headers.get_list("set-cookie"), url, time.time()
                )
            code = 0 if outcome.status_code < 400 else policy.FETCH_FAILED
            message = f"HTTP status {outcome.status_code}" if code else ""
            self._record(request, url, attempt, code, message, outcome)
            if key:
                if cached is not None and outcome.status_code == 304:
                    self._client.cache.still_valid(key, outcome, time.time())
                    return cached.response
                self._client.cache.keep(key, outcome, time.time())
        return outcome

    def _cache_key(self, request: HttpRequest) -> Key | None:
        """None for what is not to be cached: POST, callbacks, and answers to a call's own
        session."""
        if (
            request.method != "GET"
            or self._purpose != DOCUMENT
            or any(name in ("Cookie", "Authorization") for name, _ in request.headers)
        ):
            return None
        return self.request.account_sid, request.url.sent

    def _add_session_headers(self, request: HttpRequest) -> None:
        url = request.url
        if self._cookies:
            value = cookies.header(self._cookies, url, time.time())
            if value:
                request.headers.append(("Cookie", value))
        challenge = self._auth.get(url.origin) if url.username else None
        if challenge is not None:
            challenge = self._auth[url.origin] = {**challenge, "nc": challenge.get("nc", 0) + 1}
            value = httpauth.authorization(
                challenge,
                username=url.username,
                password=url.password,
                method=request.method,
                target=url.target,
                cnonce=secrets.token_hex(8),
            )
            request.headers.append(("Authorization", value))

    async def _send(self, request: HttpRequest, timings: Timings) -> httpx.Response:
        overrides = self.overrides
        message = httpx.Request(
            request.method,
            _origin(request.url.scheme, request.url.host, request.url.port),
            headers=[(name.encode(), value.encode()) for name, value in request.headers],
            content=request.body,
            extensions={
                "target": request.url.target.encode("ascii"),
                "timeout": {
                    "connect": overrides.connect_timeout,
                    "read": overrides.read_timeout,
                },
                "verify": self.request.verify_tls,
                "sni": overrides.sni,
                "timings": timings,
            },
        )
        return await self._client.http.send(message)

    def _record(
        self,
        request: HttpRequest,
        url: WebhookUrl,
        attempt: _Attempt,
        code: int,
        message: str,
        response: httpx.Response | None = None,
        *,
        status: int = 0,
    ) -> None:
        document = self.request
        stored = self._client.config.stored_body
        self._tell(
            WebhookAttempt(
                request_id=document.request_id,
                attempt=attempt.number,
                call_sid=document.call_sid,
                account_sid=document.account_sid,
                purpose=self._purpose,
                at=attempt.at,
                method=request.method,
                # A GET's parameters are in their own field; a redirect may repeat them here.
                url=without_passwords(url.sent),
                parameters=_without_told(self._parameters),
                request_headers=_without_secrets(request.headers),
                status=response.status_code if response is not None else status,
                response_headers=_without_secrets(
                    [
                        (_text(name), without_passwords(_text(value)))
                        for name, value in response.headers.raw
                    ]
                )
                if response is not None
                else [],
                response_body=without_passwords(_text(response.content[:stored]))
                if response is not None
                else "",
                remote_address=attempt.timings.remote,
                error_code=code,
                error_message=message,
                **attempt.durations(),
            )
        )

    def _succeeded(self, response: httpx.Response) -> FetchReply:
        return FetchReply(
            request_id=self.request.request_id,
            node=self.request.node,
            body=response.content.decode("latin-1"),
            content_type=response.headers.get("content-type", ""),
            final_url=self._url,
            status=response.status_code,
            attempts=self._attempts,
            session=self._session(),
        )

    def failed(self, code: int, message: str) -> FetchReply:
        return FetchReply(
            request_id=self.request.request_id,
            node=self.request.node,
            final_url=self._url,
            status=self._status,
            attempts=self._attempts,
            error_code=code,
            error_message=message,
            session=self._session(),
        )

    def _session(self) -> dict[str, Any]:
        session: dict[str, Any] = {}
        if self._cookies:
            session["cookies"] = self._cookies
        if self._auth:
            session["auth"] = self._auth
        return session


class _Attempt:
    __slots__ = ("_began", "at", "number", "timings")

    def __init__(self, number: int) -> None:
        self.number = number
        self.at = time.time()
        self.timings = Timings()
        self._began = asyncio.get_running_loop().time()

    def durations(self) -> dict[str, float]:
        """``duration_ms``, ``connect_ms`` and ``first_byte_ms`` up to now."""

        def since(moment: float) -> float:
            return round((moment - self._began) * 1000, 3) if moment else 0.0

        return {
            "duration_ms": since(asyncio.get_running_loop().time()),
            "connect_ms": since(self.timings.connected),
            "first_byte_ms": since(self.timings.first_byte),
        }


@lru_cache(maxsize=1024)
def _origin(scheme: str, host: str, port: int) -> httpx.URL:
    """For httpx only: what is sent is fixed by the target and the Host header."""
    return httpx.URL(scheme=scheme, host=host, port=port, path="/")


def _text(data: bytes) -> str:
    """For rows and log lines; databases refuse NUL."""
    return data.decode("utf-8", "replace").replace("\x00", "\ufffd")


def _without_told(parameters: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [
        (name, "*" * len(value))
        if name in _TOLD_PARAMETERS and value != "hangup"  # of Record, and no digits
        else (name, value)
        for name, value in parameters
    ]


def _without_secrets(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [
        (name, "(hidden)") if name.lower() in _SECRET_HEADERS else (name, value)
        for name, value in headers
    ]
