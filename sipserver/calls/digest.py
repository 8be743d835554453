"""Who sent a request: digest credentials checked and asked for, the same for calls and
registrations (sip-domain.md section 2).

Which answer a missing or wrong password gets, and how often a nonce may come back, is up to the
caller of :func:`check`.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from sipdomains.policy import CredentialHashes
from sipserver.sip import auth
from sipserver.sip.errors import RemoteProtocolError
from sipserver.sip.message import Request

# Compared against when the user is unknown, so that the answer takes as long as for a known one.
_NOBODY = CredentialHashes("", "0" * 32, "0" * 64)
# They give up when any challenge, also a later one, names an algorithm that they do not know.
_MD5_AGENTS = ("baresip v0.", "baresip v1.")


class DigestConfig(Protocol):
    """``nonce_seconds``: how long a challenge may be answered. ``digest_algorithms``: of
    ``sip.auth.OFFERED_ALGORITHMS``, in order of preference."""

    @property
    def realm(self) -> str: ...

    @property
    def nonce_secret(self) -> bytes: ...

    @property
    def nonce_seconds(self) -> float: ...

    @property
    def digest_algorithms(self) -> tuple[str, ...]: ...


class Proof(enum.Enum):
    """What credentials are worth."""

    RIGHT = "right"
    STALE = "stale"
    """The password is right, the nonce too old: challenge again with ``stale=true``."""
    WRONG = "wrong"
    MISSING = "missing"
    """None for our realm, or for a nonce that is not ours: challenge."""


@dataclass(frozen=True, slots=True)
class Checked:
    """``username`` is empty when credentials are missing. ``nonce_use`` is the nonce with its
    count: the same for two requests only if one is a copy of the other."""

    proof: Proof
    username: str = ""
    nonce: str = ""
    nonce_use: str = ""


async def check(
    request: Request,
    config: DigestConfig,
    now: float,
    known: Callable[[str], Awaitable[CredentialHashes | None]],
) -> Checked:
    """Judge the credentials of ``request``; ``known`` looks a user name up. ``now`` is wall clock.

    Raises what ``known`` raises.
    """
    given = _credentials(request, config.realm)
    if given is None or given.algorithm not in config.digest_algorithms:
        return Checked(Proof.MISSING)
    state = auth.check_nonce(
        config.nonce_secret, given.nonce, request.call_id, now, config.nonce_seconds
    )
    if state is auth.NonceState.FORGED:
        return Checked(Proof.MISSING)
    found = await known(given.username)
    hashes = found or _NOBODY
    # The digest's uri need not be the Request-URI: proxies rewrite that one, and SIPp among others
    # puts the server's address there. The nonce is bound to the Call-ID instead.
    right = auth.verify(given, hashes.ha1_md5, hashes.ha1_sha256, request.method)
    if found is None or not right:
        proof = Proof.WRONG
    else:
        proof = Proof.STALE if state is auth.NonceState.STALE else Proof.RIGHT
    return Checked(proof, given.username, given.nonce, f"{given.nonce}:{given.nonce_count or ''}")


def challenges(request: Request, config: DigestConfig, now: float, *, stale: bool) -> list[str]:
    """Values of WWW-Authenticate or Proxy-Authenticate for that request."""
    nonce = auth.make_nonce(config.nonce_secret, int(now), request.call_id)
    offered: Sequence[str] = config.digest_algorithms
    if auth.MD5 in offered and (request.headers.get("User-Agent") or "").startswith(_MD5_AGENTS):
        offered = (auth.MD5,)
    return auth.challenges(config.realm, nonce, offered, stale=stale)


def _credentials(request: Request, realm: str) -> auth.DigestCredentials | None:
    """The credentials for our realm; ones for other realms (further proxies) are not ours."""
    for name in ("Proxy-Authorization", "Authorization"):
        for value in request.headers.get_all(name):
            try:
                given = auth.DigestCredentials.parse(value)
            except RemoteProtocolError:
                continue
            if given.realm == realm:
                return given
    return None
