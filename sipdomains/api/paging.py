"""Pages of a list as clients know them (rest-api.md section 1), over ``selectors.keyset``.

The token of a page is the place of a row in the order (newest first, then SID): ``PA`` + SID + time
leads to what is older, ``PB`` to what is newer. Clients take it as it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.http import QueryDict
from rest_framework.request import Request

from sipdomains.api import vendor
from sipdomains.api.errors import ApiError
from sipdomains.selectors.keyset import Page, Turn
from sipdomains.stretch import Place

DEFAULT_SIZE = 50
MAX_SIZE = 1000
_MAX_NUMBER = 10**9
_OLDER, _NEWER = "PA", "PB"
_TOKEN = re.compile(r"(PA|PB)([A-Z]{2}[0-9a-f]{32})([0-9]{1,16})(?:-([0-9]{1,13}))?\Z")
_NO_SID = "XX" + "0" * 32
_NUMBERED = "EV"  # of lists whose rows have no SID but a number
_LARGEST = 2**63 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def token(turn: Turn) -> str | None:
    """``PA…`` or ``PB…``; what is still to be skipped stands behind the place."""
    if turn.place is None:
        return None
    micros = (turn.place.at - _EPOCH) // timedelta(microseconds=1)
    sid = turn.place.sid or _NO_SID
    if isinstance(sid, int):
        sid = f"{_NUMBERED}{sid:032x}"
    skip = f"-{turn.skip}" if turn.skip else ""
    return f"{_NEWER if turn.newer else _OLDER}{sid}{micros}{skip}"


def parse(text: str, *, numeric: bool = False) -> Turn:
    """What :func:`token` gave for such a list. Raises ApiError."""
    match = _TOKEN.match(text)
    if match is None or (match[2].startswith(_NUMBERED) != numeric and match[2] != _NO_SID):
        raise ApiError(vendor.INVALID_PARAMETER, "PageToken is none that this list gave out")
    kind, given, micros, skip = match.groups()
    sid: str | int = "" if given == _NO_SID else given
    if sid and numeric:
        sid = min(int(given[len(_NUMBERED) :], 16), _LARGEST)
    place = Place(_EPOCH + timedelta(microseconds=int(micros)), sid)
    return Turn(place, newer=kind == _NEWER, skip=int(skip or 0))


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a request asks for."""

    size: int
    number: int
    turn: Turn

    @classmethod
    def of(cls, query: QueryDict, *, numeric: bool = False) -> Wanted:
        size = _number(query.get("PageSize", ""), DEFAULT_SIZE)
        if not 1 <= size <= MAX_SIZE:
            raise ApiError(vendor.BAD_PAGE_SIZE, f"PageSize must be from 1 to {MAX_SIZE}")
        number = _number(query.get("Page", ""), 0)
        if not 0 <= number <= _MAX_NUMBER:
            raise ApiError(vendor.INVALID_PARAMETER, "Page must be a number from 0")
        text = query.get("PageToken", "")
        return cls(size, number, parse(text, numeric=numeric) if text else Turn(skip=number * size))


def _number(text: str, otherwise: int) -> int:
    if not text:
        return otherwise
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else -1


def envelope(
    request: Request, wanted: Wanted, page: Page, name: str, items: list[Any]
) -> dict[str, Any]:
    """The body of a list: ``items`` under ``name`` and the keys that clients take for meta."""

    def uri(number: int, turn: Turn) -> str:
        query = request.query_params.copy()
        for parameter in ("Page", "PageSize", "PageToken"):
            query.pop(parameter, None)
        query["PageSize"], query["Page"] = str(wanted.size), str(number)
        if (text := token(turn)) is not None:
            query["PageToken"] = text
        return f"{request.path}?{query.urlencode()}"

    start = wanted.number * wanted.size
    return {
        name: items,
        "end": start + max(len(items) - 1, 0),
        "first_page_uri": uri(0, Turn()),
        "next_page_uri": uri(wanted.number + 1, page.older) if page.older else None,
        "page": wanted.number,
        "page_size": wanted.size,
        "previous_page_uri": (
            uri(wanted.number - 1, page.newer) if page.newer and wanted.number else None
        ),
        "start": start,
        "uri": request.get_full_path(),
    }
