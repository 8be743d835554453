"""Documents fetched by GET that their server lets us keep (webhooks.md section 1, caching).

Only what an answer says itself counts: without Cache-Control, Expires or a validator nothing is
kept, for a document is made for one moment of one call. A worker process has its own cache.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import httpx

from twimlrunner.webhooks.freshness import Freshness, HeaderMap, freshness

MAX_DOCUMENTS = 256

Key = tuple[str, str]
"""(account SID, URL as sent)."""


@dataclass(frozen=True, slots=True)
class CachedDocument:
    response: httpx.Response
    freshness: Freshness

    def fresh(self, now: float) -> bool:
        return now < self.freshness.until

    def conditions(self) -> list[tuple[str, str]]:
        """Headers that ask whether it still holds."""
        found = []
        if self.freshness.etag:
            found.append(("If-None-Match", self.freshness.etag))
        if self.freshness.last_modified:
            found.append(("If-Modified-Since", self.freshness.last_modified))
        return found


class DocumentCache:
    """Least recently used go first. ``now`` is epoch seconds."""

    def __init__(self) -> None:
        self._documents: OrderedDict[Key, CachedDocument] = OrderedDict()

    def find(self, key: Key) -> CachedDocument | None:
        document = self._documents.get(key)
        if document is not None:
            self._documents.move_to_end(key)
        return document

    def keep(self, key: Key, response: httpx.Response, now: float) -> None:
        """Store an answer with status 200, or forget the URL when it may not be stored."""
        rule = _rule(response, now)
        if rule is None:
            self._documents.pop(key, None)
            return
        self._documents[key] = CachedDocument(response, rule)
        self._documents.move_to_end(key)
        if len(self._documents) > MAX_DOCUMENTS:
            self._documents.popitem(last=False)

    def still_valid(self, key: Key, confirmation: httpx.Response, now: float) -> None:
        """A 304 came: the stored answer lives on, by the confirmation's headers."""
        document = self._documents.get(key)
        if document is None:
            return
        told = freshness(_headers(confirmation), now)
        until = told.until if "cache-control" in confirmation.headers else now
        renewed = Freshness(True, until, document.freshness.etag, document.freshness.last_modified)
        self._documents[key] = CachedDocument(document.response, renewed)


def _rule(response: httpx.Response, now: float) -> Freshness | None:
    headers = _headers(response)
    if response.status_code != 200 or "set-cookie" in headers or "vary" in headers:
        return None
    rule = freshness(headers, now)
    if not rule.store:
        return None
    if "cache-control" not in headers and "expires" not in headers:
        rule = Freshness(True, now, rule.etag, rule.last_modified)  # no guess: ask each time
    useful = rule.until > now or rule.etag or rule.last_modified
    return rule if useful else None


def _headers(response: httpx.Response) -> HeaderMap:
    return HeaderMap(response.headers.multi_items())
