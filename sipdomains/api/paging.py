"""Pages of a list, by key: each begins where its neighbour ends, however many rows there are.

The token of a page is the place of a row in the order (newest first, then SID): ``PA`` + SID + time
leads to what is older, ``PB`` to what is newer. Clients take it as it is (rest-api.md section 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Q, QuerySet
from django.http import QueryDict
from rest_framework.request import Request

from sipdomains import sids
from sipdomains.api import vendor
from sipdomains.api.errors import ApiError

DEFAULT_SIZE = 50
MAX_SIZE = 1000
_MAX_NUMBER = 10**9
_OLDER, _NEWER = "PA", "PB"
_SID_LENGTH = 34
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Token:
    """``newer``: the page before this row, else the one after it."""

    newer: bool
    at: datetime
    sid: str

    def __str__(self) -> str:
        micros = (self.at - _EPOCH) // timedelta(microseconds=1)
        return f"{_NEWER if self.newer else _OLDER}{self.sid}{micros}"

    @classmethod
    def parse(cls, text: str) -> Token:
        kind, sid, micros = text[:2], text[2 : 2 + _SID_LENGTH], text[2 + _SID_LENGTH :]
        plain = micros.isascii() and micros.isdecimal() and len(micros) <= 17
        if kind not in (_OLDER, _NEWER) or not sids.is_sid(sid) or not plain:
            raise ApiError(vendor.INVALID_PARAMETER, "PageToken is none that this API gave out")
        return cls(kind == _NEWER, _EPOCH + timedelta(microseconds=int(micros)), sid)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a request asks for."""

    size: int
    number: int
    token: Token | None

    @classmethod
    def of(cls, query: QueryDict) -> Wanted:
        size = _number(query.get("PageSize", ""), DEFAULT_SIZE)
        if not 1 <= size <= MAX_SIZE:
            raise ApiError(vendor.BAD_PAGE_SIZE, f"PageSize must be from 1 to {MAX_SIZE}")
        number = _number(query.get("Page", ""), 0)
        if not 0 <= number <= _MAX_NUMBER:
            raise ApiError(vendor.INVALID_PARAMETER, "Page must be a number from 0")
        token = query.get("PageToken", "")
        return cls(size, number, Token.parse(token) if token else None)


def _number(text: str, otherwise: int) -> int:
    if not text:
        return otherwise
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else -1


@dataclass(frozen=True, slots=True)
class Page:
    """Rows, newest first; ``older`` and ``newer`` lead to the neighbours where there are any."""

    rows: list[Any]
    older: Token | None
    newer: Token | None


def keyset(rows: QuerySet[Any], key: str, wanted: Wanted) -> Page:
    """The page of ``rows`` that is wanted, in the order of ``key`` (a time), newest first."""
    token = wanted.token
    if token is not None and token.newer:
        found = list(_beyond(rows, key, token).order_by(key, "pk")[: wanted.size + 1])
        more = len(found) > wanted.size
        found = found[: wanted.size][::-1]
        newer = _token(found, key, newer=True) if more else None
        return Page(found, _token(found, key, newer=False), newer)
    if token is not None:
        rows = _beyond(rows, key, token)
    first = 0 if token is not None else wanted.number * wanted.size
    found = list(rows.order_by(f"-{key}", "-pk")[first : first + wanted.size + 1])
    more = len(found) > wanted.size
    found = found[: wanted.size]
    older = _token(found, key, newer=False) if more else None
    begins = token is None and first == 0
    return Page(found, older, None if begins else _token(found, key, newer=True))


def _beyond(rows: QuerySet[Any], key: str, token: Token) -> QuerySet[Any]:
    # The first condition is implied by the second; it is the one that an index can use.
    if token.newer:
        beyond = Q(**{f"{key}__gt": token.at}) | Q(pk__gt=token.sid)
        return rows.filter(beyond, **{f"{key}__gte": token.at})
    beyond = Q(**{f"{key}__lt": token.at}) | Q(pk__lt=token.sid)
    return rows.filter(beyond, **{f"{key}__lte": token.at})


def _token(rows: list[Any], key: str, *, newer: bool) -> Token | None:
    if not rows:
        return None
    row = rows[0] if newer else rows[-1]
    return Token(newer, getattr(row, key), row.pk)


def envelope(
    request: Request, wanted: Wanted, page: Page, name: str, items: list[Any]
) -> dict[str, Any]:
    """The body of a list: ``items`` under ``name`` and the keys that clients take for meta."""

    def uri(number: int, token: Token | None) -> str:
        query = request.query_params.copy()
        for parameter in ("Page", "PageSize", "PageToken"):
            query.pop(parameter, None)
        query["PageSize"], query["Page"] = str(wanted.size), str(number)
        if token is not None:
            query["PageToken"] = str(token)
        return f"{request.path}?{query.urlencode()}"

    start = wanted.number * wanted.size
    return {
        name: items,
        "end": start + max(len(items) - 1, 0),
        "first_page_uri": uri(0, None),
        "next_page_uri": uri(wanted.number + 1, page.older) if page.older else None,
        "page": wanted.number,
        "page_size": wanted.size,
        "previous_page_uri": (
            uri(wanted.number - 1, page.newer) if page.newer and wanted.number else None
        ),
        "start": start,
        "uri": request.get_full_path(),
    }
