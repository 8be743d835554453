"""From INVITE to "accepted", "challenged" or "refused": named stages, any of which may answer.

The order and the answers are sip-domain.md sections 2-4; the words an operator reads come from
``calls.termination``.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address

from sipdomains.policy import DomainPolicy
from sipserver.calls import digest
from sipserver.calls.admission import (
    IncomingRates,
    Limits,
    Load,
    Refuse,
    SpentNonces,
    admit,
)
from sipserver.calls.ports import (
    Clock,
    Directory,
    DirectoryUnavailable,
)
from sipserver.calls.routing import Network, domain_names, same_ip_version, source_address
from sipserver.sdp.description import SdpError, SessionDescription
from sipserver.sdp.negotiate import Capabilities, LocalMedia, Refusal, negotiate
from sipserver.sip import auth
from sipserver.sip.body import session_description
from sipserver.sip.errors import RemoteProtocolError
from sipserver.sip.events import IncomingInvite
from sipserver.sip.message import Request
from sipserver.sip.uri import SipUri


@dataclass(frozen=True, slots=True)
class IntakeConfig:
    """``nonce_seconds``: how long a challenge may be answered. ``digest_algorithms``: of
    ``sip.auth.OFFERED_ALGORITHMS``, in order of preference."""

    realm: str
    nonce_secret: bytes
    nonce_seconds: float
    trusted_proxies: tuple[Network, ...]
    own_hosts: Collection[str]
    digest_algorithms: tuple[str, ...] = auth.OFFERED_ALGORITHMS
    limits: Limits = field(default_factory=Limits)
    capabilities: Capabilities = field(default_factory=Capabilities)


@dataclass(frozen=True, slots=True)
class Accepted:
    """``offer`` None: the INVITE came without SDP, our answer will carry the offer."""

    policy: DomainPolicy
    addressed: str  # the name the INVITE was sent to
    source: str
    username: str  # empty unless credentials were checked
    access_list: str  # name of the list that let it in, or empty
    offer: SessionDescription | None


@dataclass(frozen=True, slots=True)
class Challenged:
    headers: list[tuple[str, str]]
    stale: bool
    policy: DomainPolicy


@dataclass(frozen=True, slots=True)
class Refused:
    """``cause`` of calls.termination; ``detail`` for the operator only, never on the wire."""

    cause: str
    detail: str = ""
    policy: DomainPolicy | None = None
    source: str = ""
    username: str = ""
    retry_after: int = 0
    drop: bool = False


IntakeResult = Accepted | Challenged | Refused


async def examine(
    invite: IncomingInvite,
    *,
    config: IntakeConfig,
    directory: Directory,
    clock: Clock,
    spent: SpentNonces,
    load: Load,
    live_calls: dict[str, int],
    rates: IncomingRates,
    local_host: str,
) -> IntakeResult:
    """Run all stages. ``live_calls`` counts this node's calls by account and domain SID;
    ``local_host`` is the address of ours that the INVITE came to."""
    request = invite.request
    refuse = admit(load, config.limits)
    if refuse is not None:
        return _not_now(refuse, invite)
    try:
        source = source_address(request, invite.flow.remote[0], config.trusted_proxies)
        names = domain_names(request, {*config.own_hosts, local_host})
    except RemoteProtocolError as error:
        return Refused("protocol", str(error), source=invite.flow.remote[0])
    try:
        policy, addressed = await _find_domain(directory, names)
        if policy is None:
            return Refused("unknown-domain", f"({request.uri_text})", source=str(source))
        barred = _standing(policy, invite)
        if barred:
            return Refused(*barred, policy=policy, source=str(source))
        passed = await _authenticate(request, policy, source, config, directory, clock, spent)
    except DirectoryUnavailable as error:
        return Refused("database-unavailable", str(error), source=str(source), retry_after=10)
    if not isinstance(passed, _Passed):
        return passed
    try:
        if policy.match_from_user and passed.username not in ("", _from_user(request)):
            return Refused("user-mismatch", "", policy, str(source), passed.username)
        offer = _offer(request, policy, config.capabilities, local_host)
    except RemoteProtocolError as error:
        return Refused("protocol", str(error), policy, str(source), passed.username)
    if isinstance(offer, Refused):
        return replace(offer, source=str(source), username=passed.username)
    # Last: strangers need not know that a domain is full, nor can they use up what it may take, and
    # the caller of this function counts the call in before anything else happens.
    full = _full(policy, live_calls) or _too_fast(policy, rates, clock.monotonic())
    if full:
        return replace(full, policy=policy, source=str(source), username=passed.username)
    return Accepted(policy, addressed, str(source), passed.username, passed.access_list, offer)


def _not_now(refuse: Refuse, invite: IncomingInvite) -> Refused:
    return Refused(refuse.cause, source=invite.flow.remote[0], retry_after=refuse.retry_after)


async def _find_domain(
    directory: Directory, names: Sequence[str]
) -> tuple[DomainPolicy | None, str]:
    for name in names:
        policy = await directory.domain(name)
        if policy is not None:
            return policy, name
    return None, ""


def _standing(policy: DomainPolicy, invite: IncomingInvite) -> tuple[str, str] | None:
    if not policy.account_active:
        return "account-inactive", f"({policy.account_sid})"
    if policy.secure and invite.flow.transport != "tls":
        return "tls-required", f"(it came over {invite.flow.transport.upper()})"
    if not policy.has_acl and not policy.has_credentials:
        return "no-auth-mapped", f"(domain {policy.domain_name})"
    return None


def _full(policy: DomainPolicy, live_calls: dict[str, int]) -> Refused | None:
    for sid, limit in (
        (policy.domain_sid, policy.max_concurrent_calls),
        (policy.account_sid, policy.account_max_concurrent_calls),
    ):
        if limit and live_calls.get(sid, 0) >= limit:
            return Refused("concurrency-limit", f"({limit} calls of {sid})")
    return None


def _too_fast(policy: DomainPolicy, rates: IncomingRates, now: float) -> Refused | None:
    spent = rates.spend(
        (
            (policy.domain_sid, policy.max_incoming_per_second),
            (policy.account_sid, policy.account_max_incoming_per_second),
        ),
        now,
    )
    if spent is None:
        return None
    sid, limit = spent
    return Refused("cps-limit", f"({limit} per second of {sid})", retry_after=1)


def _access_list(policy: DomainPolicy, source: IPv4Address | IPv6Address) -> str | None:
    for name, network in policy.acl_networks:
        if source in network:
            return name
    return None


@dataclass(frozen=True, slots=True)
class _Passed:
    access_list: str
    username: str


async def _authenticate(
    request: Request,
    policy: DomainPolicy,
    source: IPv4Address | IPv6Address,
    config: IntakeConfig,
    directory: Directory,
    clock: Clock,
    spent: SpentNonces,
) -> _Passed | Challenged | Refused:
    """Both are enforced when both are mapped; the address first (sip-domain.md section 2)."""
    access_list = ""
    if policy.has_acl:
        found = _access_list(policy, source)
        if found is None:
            detail = f"({source} on domain {policy.domain_name})"
            return Refused(
                "source-not-allowed", detail, policy, str(source), drop=policy.drop_unlisted
            )
        access_list = found
    if not policy.has_credentials:
        return _Passed(access_list, "")
    checked = await _credentials(request, policy, config, directory, clock, spent)
    if isinstance(checked, Refused):
        return replace(checked, source=str(source))
    return checked if isinstance(checked, Challenged) else _Passed(access_list, checked)


async def _credentials(
    request: Request,
    policy: DomainPolicy,
    config: IntakeConfig,
    directory: Directory,
    clock: Clock,
    spent: SpentNonces,
) -> str | Challenged | Refused:
    """The user name when the digest is right (sip-domain.md section 2)."""
    now = clock.wall()
    checked = await digest.check(
        request, config, now, lambda user: directory.credential(policy.domain_sid, user)
    )
    match checked.proof:
        case digest.Proof.MISSING:
            return _challenge(request, policy, config, now, stale=False)
        case digest.Proof.WRONG:
            return Refused("bad-credentials", "", policy, username=checked.username)
        case digest.Proof.RIGHT if spent.spend(checked.nonce, clock.monotonic()):
            return checked.username
        case _:
            return _challenge(request, policy, config, now, stale=True)


def _challenge(
    request: Request, policy: DomainPolicy, config: IntakeConfig, now: float, *, stale: bool
) -> Challenged:
    values = digest.challenges(request, config, now, stale=stale)
    return Challenged([("Proxy-Authenticate", value) for value in values], stale, policy)


def _from_user(request: Request) -> str:
    uri = request.from_.uri
    return (uri.user or "") if isinstance(uri, SipUri) else ""


def _offer(
    request: Request, policy: DomainPolicy, capabilities: Capabilities, local_host: str
) -> SessionDescription | Refused | None:
    """The offer, tried against what we speak before the application is troubled."""
    body = session_description(request)
    if not body:
        return None
    try:
        offer = SessionDescription.parse(body)
    except SdpError as error:
        return Refused("bad-sdp", f"({error})", policy)
    tried = negotiate(offer, capabilities, LocalMedia(local_host, 9, 1, 1))
    if isinstance(tried, Refusal):
        cause = {32207: "srtp-refused", 32208: "srtp-required"}.get(tried.code)
        if cause is None:
            cause = "bad-sdp" if tried.status == 400 else "no-common-codec"
        return Refused(cause, f"({tried.reason})", policy)
    if not same_ip_version(tried.remote[0], local_host):
        return Refused("address-family", f"({tried.remote[0]})", policy)
    return offer
