"""``X-Twilio-Signature``: HMAC-SHA1 over URL and form (webhooks.md section 5). Pure."""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections.abc import Iterable


def sign(token: str, url: str, parameters: Iterable[tuple[str, str]] = ()) -> str:
    """The header's value.

    ``token`` is the account's auth token; ``url`` what was requested, with query, without fragment
    and credentials. ``parameters`` are the decoded pairs of a form POST and empty for GET, JSON and
    WebSocket requests: names in code point order, the values of a repeated name de-duplicated and
    sorted, as the validators of the vendor's libraries do.
    """
    data = url + "".join([name + value for name, value in sorted(set(parameters))])
    digest = hmac.digest(token.encode(), data.encode(), "sha1")
    return b64encode(digest).decode("ascii")
