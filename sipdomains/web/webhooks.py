"""Webhook attempts as the call's page shows them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sipdomains.models import WebhookRequest
from sipdomains.redaction import masked, masked_pairs
from sipdomains.web.errorcodes import CodeInfo, explain
from sipdomains.web.formatting import milliseconds, offset
from sipdomains.web.source import Line, numbered

SIGNATURE = "X-Twilio-Signature"
_MARKUP = 60


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of the time of an attempt; ``start`` and ``share`` in percent of the longest one."""

    name: str
    start: float
    share: float
    words: str


@dataclass(frozen=True, slots=True)
class Attempt:
    row: WebhookRequest
    url: str
    offset: str
    duration: str
    phases: list[Phase]
    parameters: list[tuple[str, str]]
    request_headers: list[tuple[str, str]]
    response_headers: list[tuple[str, str]]
    error: CodeInfo | None
    message: str

    @property
    def good(self) -> bool:
        return not self.row.error_code and 200 <= self.row.status < 300

    @property
    def body(self) -> list[Line]:
        return numbered(self.row.response_body)

    @property
    def signature(self) -> str:
        """What the application could check the request by, empty when it was not signed."""
        return next((value for name, value in self.request_headers if name == SIGNATURE), "")

    def weight(self, part: str) -> int:
        """About how many characters it takes to show the ``request`` or the ``response``."""
        request = (*self.parameters, *self.request_headers)
        pairs = request if part == "request" else self.response_headers
        size = sum(len(name) + len(value) + _MARKUP for name, value in pairs)
        return size + (0 if part == "request" else 3 * len(self.row.response_body))


def attempts(rows: Iterable[WebhookRequest], zero: datetime) -> list[Attempt]:
    kept = list(rows)
    longest = max((row.duration_ms for row in kept), default=0.0) or 1.0
    return [
        Attempt(
            row=row,
            url=masked(row.url),
            offset=offset(row.at, zero),
            duration=milliseconds(row.duration_ms),
            phases=phases(row.duration_ms, row.connect_ms, row.first_byte_ms, longest),
            parameters=masked_pairs(row.parameters),
            request_headers=masked_pairs(row.request_headers),
            response_headers=masked_pairs(row.response_headers),
            error=explain(row.error_code) if row.error_code else None,
            message=masked(row.error_message),
        )
        for row in kept
    ]


def phases(total: float, connect: float, first_byte: float, longest: float) -> list[Phase]:
    """Connecting, waiting and receiving, as far as they are known; times in ms from the start."""
    last = "receive" if first_byte else "unanswered"
    marks = [("connect", connect), ("wait", first_byte), (last, total)]
    found: list[Phase] = []
    begun = 0.0
    for name, end in marks:
        end = min(end, total)
        if end <= begun:
            continue
        span = end - begun
        start, share = round(100 * begun / longest, 2), round(100 * span / longest, 2)
        found.append(Phase(name, start, share, milliseconds(span)))
        begun = end
    return found
