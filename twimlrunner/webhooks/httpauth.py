"""HTTP authentication of webhooks: Basic (RFC 7617) and Digest (RFC 7616). Pure.

The challenge met is kept as JSON values for the rest of the call; user and password come from the
URL each time and are never stored.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from typing import Any

Challenge = dict[str, Any]
"""``scheme`` (``basic`` or ``digest``); for digest also ``realm nonce opaque algorithm qop`` and
``nc``, the number of requests that used the nonce."""

_HASHES = {"MD5": "md5", "SHA-256": "sha256"}
_PARAMETER = re.compile(r'\s*([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))\s*(?:,|$)')
_SCHEME = re.compile(r"\s*([A-Za-z0-9_-]+)(?:\s+|$)")
MAX_HEADER = 4096


def choose(headers: Iterable[str]) -> Challenge | None:
    """The strongest challenge of the ``WWW-Authenticate`` values that we can answer."""
    usable = [item for text in headers for item in _challenges(text[:MAX_HEADER])]
    return max(usable, key=_strength, default=None)


def _strength(challenge: Challenge) -> int:
    if challenge["scheme"] == "basic":
        return 0
    return 2 if challenge["algorithm"].startswith("SHA-256") else 1


def _challenges(text: str) -> Iterator[Challenge]:
    position = 0
    while match := _SCHEME.match(text, position):
        position = match.end()
        parameters: dict[str, str] = {}
        while item := _PARAMETER.match(text, position):
            position = item.end()
            quoted = item[2]
            value = item[3] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            parameters.setdefault(item[1].lower(), value)
        challenge = _usable(match[1].lower(), parameters)
        if challenge is not None:
            yield challenge
        if not parameters and position >= len(text):
            return


def _usable(scheme: str, parameters: dict[str, str]) -> Challenge | None:
    if scheme == "basic":
        return {"scheme": "basic"}
    if scheme != "digest" or not parameters.get("nonce"):
        return None
    algorithm = parameters.get("algorithm", "MD5").upper()
    if algorithm.removesuffix("-SESS") not in _HASHES:
        return None
    offered = [item.strip().lower() for item in parameters.get("qop", "").split(",")]
    if offered != [""] and "auth" not in offered:
        return None
    return {
        "scheme": "digest",
        "realm": parameters.get("realm", ""),
        "nonce": parameters["nonce"],
        "opaque": parameters.get("opaque", ""),
        "algorithm": algorithm,
        "qop": "auth" if "auth" in offered else "",
        "nc": 0,
    }


def authorization(
    challenge: Challenge, *, username: str, password: str, method: str, target: str, cnonce: str
) -> str:
    """The ``Authorization`` value. ``challenge["nc"]`` must count this request already."""
    if challenge["scheme"] == "basic":
        return "Basic " + b64encode(f"{username}:{password}".encode()).decode("ascii")
    algorithm = challenge["algorithm"]
    name = _HASHES[algorithm.removesuffix("-SESS")]
    realm, nonce, qop = challenge["realm"], challenge["nonce"], challenge["qop"]

    def digest(text: str) -> str:
        return hashlib.new(name, text.encode(), usedforsecurity=False).hexdigest()

    secret = digest(f"{username}:{realm}:{password}")
    if algorithm.endswith("-SESS"):
        secret = digest(f"{secret}:{nonce}:{cnonce}")
    count = f"{challenge['nc']:08x}"
    request = digest(f"{method}:{target}")
    middle = f"{nonce}:{count}:{cnonce}:{qop}" if qop else nonce
    fields = [
        ("username", _quote(username)),
        ("realm", _quote(realm)),
        ("nonce", _quote(nonce)),
        ("uri", _quote(target)),
        ("algorithm", algorithm),
        ("response", _quote(digest(f"{secret}:{middle}:{request}"))),
    ]
    if challenge["opaque"]:
        fields.append(("opaque", _quote(challenge["opaque"])))
    if qop:
        fields += [("qop", qop), ("nc", count)]
    if qop or algorithm.endswith("-SESS"):
        fields.append(("cnonce", _quote(cnonce)))
    return "Digest " + ", ".join(f"{key}={value}" for key, value in fields)


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
