"""What is stored of requests, as people and applications may see it: without secrets. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from twimlrunner.twiml.redact import without_passwords

# As greedy as a browser: an "@" may stand in the password, which belongs in no document. It begins
# at "://": with the scheme before it, a long word took time by the square of its length.
_URL_PASSWORD = re.compile(r"(://[^\s/?#:@]*):[^\s/?#]*@")
_SECRET_HEADERS = frozenset(
    {"authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key"}
)


def masked(text: str) -> str:
    """``text`` with the passwords of the URLs in it, and typed digits, made unreadable."""
    if ":" not in text and "=" not in text:
        return text
    return without_passwords(_URL_PASSWORD.sub(r"\1:…@", text))


def masked_json(value: Any) -> Any:
    """Texts within lists and objects masked, and values beside the names of secret headers."""
    match value:
        case str():
            return masked(value)
        case dict():
            return {name: masked_json(one) for name, one in value.items()}
        case [str() as name, str()] if name.lower() in _SECRET_HEADERS:
            return [name, "…"]
        case list() | tuple():
            return [masked_json(one) for one in value]
    return value


def masked_pairs(pairs: Any) -> list[tuple[str, str]]:
    """Header or parameter pairs for display: secrets hidden, oddly stored ones left out."""
    if not isinstance(pairs, Iterable) or isinstance(pairs, (str, bytes, dict)):
        return []
    shown = []
    for pair in pairs:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            continue
        name, value = str(pair[0]), str(pair[1])
        shown.append((name, "…" if name.lower() in _SECRET_HEADERS else masked(value)))
    return shown
