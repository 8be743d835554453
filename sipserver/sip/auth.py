"""Digest authentication for SIP, both sides (RFC 3261 22, RFC 2617, RFC 7616, RFC 8760).

Stateless: a nonce is an HMAC over its time of issue and the Call-ID it was issued for, so any node
that has the key can check it. Only ``qop=auth`` and no qop are spoken. HA1 and responses are
secrets: nothing here logs, and ``repr`` of the credentials leaves the response out.
"""

from __future__ import annotations

import base64
import enum
import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from sipserver.sip import grammar, limits
from sipserver.sip.errors import LocalProtocolError, RemoteProtocolError

MD5: Final = "MD5"
SHA256: Final = "SHA-256"
SHA512_256: Final = "SHA-512-256"

OFFERED_ALGORITHMS: Final = (MD5, SHA256)
"""What we can challenge with, for we hold their HA1."""

_HASHES: Final = {MD5: "md5", SHA256: "sha256", SHA512_256: "sha512_256"}
_STRENGTH: Final = {MD5: 1, SHA512_256: 2, SHA256: 3}
_HEX = re.compile(r"[0-9a-f]+")
_NONCE_COUNT = re.compile(r"[0-9A-Fa-f]{1,8}")


def _digest(algorithm: str, *parts: str) -> str:
    data = ":".join(parts).encode("utf-8", "surrogateescape")
    # MD5 is what the protocol prescribes, not a choice of ours.
    return hashlib.new(_HASHES[algorithm], data, usedforsecurity=False).hexdigest()


def ha1(algorithm: str, user: str, realm: str, password: str) -> str:
    """Return H(user:realm:password) in lower-case hex. Raises LocalProtocolError for an algorithm
    other than MD5, SHA-256 and SHA-512-256."""
    if algorithm not in _HASHES:
        raise LocalProtocolError(f"Unknown digest algorithm: {algorithm}")
    return _digest(algorithm, user, realm, password)


# ---- nonce ---------------------------------------------------------------------------------


class NonceState(enum.Enum):
    """What a nonce that comes back is worth."""

    VALID = "valid"
    STALE = "stale"
    """Ours, but too old: challenge again with ``stale=true``."""
    FORGED = "forged"
    """Never issued by us for this Call-ID: challenge anew."""


def make_nonce(secret: bytes, issued_at: int, call_id: str) -> str:
    """Return a nonce bound to a time (Unix seconds) and a Call-ID, 51 characters."""
    stamp = f"{issued_at:08x}"
    return stamp + _nonce_mac(secret, stamp, call_id)


def check_nonce(secret: bytes, nonce: str, call_id: str, now: float, lifetime: float) -> NonceState:
    """Judge a nonce in constant time. A time of issue in the future (clocks of two nodes) of more
    than ``lifetime`` seconds counts as forged."""
    stamp = nonce[:8]
    expected = _nonce_mac(secret, stamp, call_id)
    given = nonce[8:].encode("utf-8", "surrogateescape")
    if not hmac.compare_digest(given, expected.encode()) or not _HEX.fullmatch(stamp):
        return NonceState.FORGED
    age = now - int(stamp, 16)
    if age < -lifetime:
        return NonceState.FORGED
    return NonceState.VALID if age <= lifetime else NonceState.STALE


def _nonce_mac(secret: bytes, stamp: str, call_id: str) -> str:
    text = f"{stamp}:{call_id}".encode("utf-8", "surrogateescape")
    mac = hmac.digest(secret, text, "sha256")
    return base64.urlsafe_b64encode(mac).rstrip(b"=").decode()


# ---- server side ---------------------------------------------------------------------------


def challenges(
    realm: str, nonce: str, algorithms: Iterable[str] = OFFERED_ALGORITHMS, *, stale: bool = False
) -> list[str]:
    """Return one WWW-Authenticate or Proxy-Authenticate value per algorithm, in the order given:
    a peer answers the first that it knows (RFC 8760 2.4), and many look at the first only."""
    tail = ", stale=true" if stale else ""
    return [
        f"Digest realm={grammar.quote(realm)}, nonce={grammar.quote(nonce)}, "
        f'algorithm={algorithm}, qop="auth"{tail}'
        for algorithm in algorithms
    ]


@dataclass(frozen=True, slots=True)
class DigestCredentials:
    """An Authorization or Proxy-Authorization value. ``algorithm`` is normalised (MD5 when
    absent); ``qop``, ``cnonce`` and ``nonce_count`` are None together (RFC 2069 style)."""

    username: str
    realm: str
    nonce: str
    uri: str
    response: str = field(repr=False)
    algorithm: str = MD5
    qop: str | None = None
    cnonce: str | None = None
    nonce_count: str | None = None

    @classmethod
    def parse(cls, value: str) -> DigestCredentials:
        """Read an Authorization or Proxy-Authorization value; unknown parameters are ignored.

        Raises RemoteProtocolError when the scheme is not Digest, a mandatory parameter is
        missing, one is repeated, or algorithm or qop is none we know.
        """
        params = _digest_params(value)
        for name in ("username", "realm", "nonce", "uri", "response"):
            if name not in params:
                raise RemoteProtocolError(f"Digest credentials lack {name}")
        qop, cnonce, nonce_count = params.get("qop"), params.get("cnonce"), params.get("nc")
        if qop is None:
            cnonce = nonce_count = None
        elif qop.lower() != "auth":
            raise RemoteProtocolError("Unsupported qop")
        elif cnonce is None or nonce_count is None or not _NONCE_COUNT.fullmatch(nonce_count):
            raise RemoteProtocolError("qop without cnonce and nonce count")
        return cls(
            username=params["username"],
            realm=params["realm"],
            nonce=params["nonce"],
            uri=params["uri"],
            response=params["response"].lower(),
            algorithm=_known_algorithm(params.get("algorithm", MD5)),
            qop=qop,
            cnonce=cnonce,
            nonce_count=nonce_count,
        )


def verify(
    credentials: DigestCredentials,
    ha1_md5: str,
    ha1_sha256: str,
    method: str,
) -> bool:
    """Check the response against a stored HA1 in constant time.

    An empty HA1 means that algorithm is not available for this user: False. The caller checks
    realm and nonce.
    """
    stored = {MD5: ha1_md5, SHA256: ha1_sha256}.get(credentials.algorithm)
    # Computed for an unknown user too: the time it takes must not tell who exists.
    expected = _response(stored or "", credentials, method)
    given = credentials.response.encode("utf-8", "surrogateescape")
    return hmac.compare_digest(expected.encode(), given) and bool(stored)


def _response(stored_ha1: str, credentials: DigestCredentials, method: str) -> str:
    algorithm = credentials.algorithm
    ha2 = _digest(algorithm, method, credentials.uri)
    if credentials.qop is None:
        return _digest(algorithm, stored_ha1, credentials.nonce, ha2)
    return _digest(
        algorithm,
        stored_ha1,
        credentials.nonce,
        credentials.nonce_count or "",
        credentials.cnonce or "",
        credentials.qop,
        ha2,
    )


# ---- client side ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Challenge:
    """A WWW-Authenticate or Proxy-Authenticate value that we can answer. ``qop_auth`` tells
    whether qop=auth is offered."""

    realm: str
    nonce: str
    algorithm: str = MD5
    qop_auth: bool = False
    opaque: str | None = None
    stale: bool = False


def parse_challenge(value: str) -> Challenge:
    """Read a challenge. Raises RemoteProtocolError when it is malformed, of another scheme or
    algorithm, or offers only a qop other than auth."""
    params = _digest_params(value)
    if "realm" not in params or "nonce" not in params:
        raise RemoteProtocolError("Digest challenge lacks realm or nonce")
    offered = [option.strip().lower() for option in params.get("qop", "").split(",")]
    if "auth" not in offered and any(offered):
        raise RemoteProtocolError("Unsupported qop")
    return Challenge(
        realm=params["realm"],
        nonce=params["nonce"],
        algorithm=_known_algorithm(params.get("algorithm", MD5)),
        qop_auth="auth" in offered,
        opaque=params.get("opaque"),
        stale=params.get("stale", "").lower() == "true",
    )


def choose_challenge(values: Iterable[str]) -> Challenge:
    """Pick the strongest challenge we can answer; of equals the first. Raises RemoteProtocolError
    when there is none."""
    best: Challenge | None = None
    for value in values:
        try:
            challenge = parse_challenge(value)
        except RemoteProtocolError:
            continue  # RFC 8760 2.4: what is not understood is passed over
        if best is None or _STRENGTH[challenge.algorithm] > _STRENGTH[best.algorithm]:
            best = challenge
    if best is None:
        raise RemoteProtocolError("No digest challenge we can answer")
    return best


def answer_challenge(
    challenge: str | Iterable[str],
    *,
    username: str,
    password: str,
    method: str,
    uri: str,
    nonce_count: int,
    cnonce: str,
) -> str:
    """Return the (Proxy-)Authorization value that answers a challenge.

    ``challenge`` is the header value, or all values of that header in the response, of which the
    strongest supported is answered. ``uri`` is the Request-URI of the request to be sent;
    ``nonce_count`` counts requests with this nonce from 1; ``cnonce`` is fresh random text.
    Raises RemoteProtocolError when no challenge can be answered.
    """
    chosen = choose_challenge([challenge] if isinstance(challenge, str) else challenge)
    return _authorization(chosen, username, password, method, uri, nonce_count, cnonce)


AUTH_HEADERS: Final = {
    401: ("WWW-Authenticate", "Authorization"),
    407: ("Proxy-Authenticate", "Proxy-Authorization"),
}
"""Status of a response to the header that challenges in it and the one that answers it."""


def answer(
    challenges: Iterable[str],
    *,
    status: int,
    username: str,
    password: str,
    method: str,
    uri: str,
    cnonce: str,
    nonce_count: int = 1,
    again: bool = False,
) -> tuple[str, str] | None:
    """Return the header (name, value) that answers a 401 or 407 whose challenge headers have these
    values; None when there is nothing to say.

    ``again`` tells that credentials for this status have been sent already: then only a stale
    nonce is answered, for the same password would be wrong again (RFC 3261 22.2). All else as
    ``answer_challenge``; without a user name, for another status or when no challenge can be
    answered: None.
    """
    if status not in AUTH_HEADERS or not username:
        return None
    try:
        chosen = choose_challenge(challenges)
    except RemoteProtocolError:
        return None
    if again and not chosen.stale:
        return None
    value = _authorization(chosen, username, password, method, uri, nonce_count, cnonce)
    return AUTH_HEADERS[status][1], value


def _authorization(
    chosen: Challenge,
    username: str,
    password: str,
    method: str,
    uri: str,
    nonce_count: int,
    cnonce: str,
) -> str:
    credentials = DigestCredentials(
        username=username,
        realm=chosen.realm,
        nonce=chosen.nonce,
        uri=uri,
        response="",
        algorithm=chosen.algorithm,
        qop="auth" if chosen.qop_auth else None,
        cnonce=cnonce if chosen.qop_auth else None,
        nonce_count=f"{nonce_count:08x}" if chosen.qop_auth else None,
    )
    secret = ha1(chosen.algorithm, username, chosen.realm, password)
    parts = [
        f"username={grammar.quote(username)}",
        f"realm={grammar.quote(chosen.realm)}",
        f"nonce={grammar.quote(chosen.nonce)}",
        f"uri={grammar.quote(uri)}",
        f'response="{_response(secret, credentials, method)}"',
        f"algorithm={chosen.algorithm}",
    ]
    if chosen.qop_auth:
        parts.append(f"cnonce={grammar.quote(cnonce)}, qop=auth, nc={credentials.nonce_count}")
    if chosen.opaque is not None:
        parts.append(f"opaque={grammar.quote(chosen.opaque)}")
    return "Digest " + ", ".join(parts)


# ---- shared --------------------------------------------------------------------------------


def _known_algorithm(name: str) -> str:
    normalised = name.upper()
    if normalised not in _HASHES:
        raise RemoteProtocolError("Unsupported digest algorithm")
    return normalised


def _digest_params(value: str) -> dict[str, str]:
    """Read ``Digest name=value, …`` into lower-case names and unquoted values."""
    scheme, _, rest = value.strip().partition(" ")
    if scheme.lower() != "digest":
        raise RemoteProtocolError("Not a Digest value")
    params: dict[str, str] = {}
    for element in grammar.split_elements(rest):
        name, equals, text = element.partition("=")
        name, text = name.strip().lower(), text.strip()
        if not equals or not grammar.is_token(name):
            raise RemoteProtocolError("Malformed digest parameter")
        if text[:1] == '"' and grammar.quoted_prefix(text) != len(text):
            raise RemoteProtocolError("Malformed quoted digest parameter")
        if name in params:
            raise RemoteProtocolError("Repeated digest parameter")
        params[name] = grammar.unquote(text)
    if len(params) > limits.MAX_PARAMS:
        raise RemoteProtocolError("Too many digest parameters")
    return params
