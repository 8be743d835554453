"""Domains as the listener sees them, and why a call would be refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

from django.db.models import Q, QuerySet

from sipdomains.models import (
    Account,
    AccountStatus,
    Call,
    ConfigVersion,
    Credential,
    IpAddress,
    SipDomain,
)
from sipdomains.models.names import is_host, normalise_host
from sipdomains.policy import CredentialHashes, DomainPolicy, OutgoingLimit
from sipdomains.services.rows import clean_text


def config_version() -> int:
    """Rises with every change of configuration. One query."""
    return ConfigVersion.objects.values_list("version", flat=True).first() or 0


def policy(name: str) -> DomainPolicy | None:
    """The enabled domain of that name or alias, in any case; None if there is none. Three queries.

    ``name`` may be an IP address, IPv6 with or without brackets.
    """
    host = normalise_host(name)
    if not is_host(host):
        return None
    candidates = (
        SipDomain.objects.filter(Q(domain_name=host) | Q(aliases__name=host), enabled=True)
        .select_related("account__parent")
        .distinct()
    )
    # A name beats an alias, should both exist by an accident of timing.
    domain = min(candidates, key=lambda found: found.domain_name != host, default=None)
    return None if domain is None else _snapshot(domain)


# A call that REST creates may last a day (sip-domain.md section 13); its order says how long.
_ACCOUNT_CALL_SECONDS = 86_400


def account_policy(account: Account) -> DomainPolicy:
    """What holds for a call of the account that came by no domain: one that REST creates."""
    hosts = SipDomain.objects.filter(account=account, enabled=True)[:2].values_list(
        "domain_name", flat=True
    )
    return DomainPolicy(
        **_of_account(account),
        domain_sid="",
        domain_name="",
        voice_url="",
        voice_method="POST",
        voice_fallback_url="",
        voice_fallback_method="POST",
        status_callback_url="",
        status_callback_method="POST",
        secure=False,
        sip_registration=False,
        acl_networks=(),
        has_acl=False,
        has_credentials=False,
        drop_unlisted=False,
        match_from_user=False,
        fail_with_503=False,
        extra_headers=(),
        max_concurrent_calls=0,
        max_call_seconds=_ACCOUNT_CALL_SECONDS,
        only_domain=hosts[0] if len(hosts) == 1 else "",
    )


def _of_account(account: Account) -> dict[str, Any]:
    return {
        "account_sid": account.sid,
        "account_active": account.active,
        "account_max_concurrent_calls": account.max_concurrent_calls,
        "account_max_incoming_per_second": account.max_incoming_per_second or 0,
        "verify_tls": account.verify_tls,
        "account_parent_sid": account.parent_id or "",
        "outgoing_limits": tuple(
            OutgoingLimit(one.sid, one.max_outgoing_calls, one.max_outgoing_per_minute)
            for one in (account, account.parent)
            if one is not None
        ),
    }


def _snapshot(domain: SipDomain) -> DomainPolicy:
    return DomainPolicy(
        **_of_account(domain.account),
        domain_sid=domain.sid,
        domain_name=domain.domain_name,
        voice_url=domain.voice_url,
        voice_method=domain.voice_method,
        voice_fallback_url=domain.voice_fallback_url,
        voice_fallback_method=domain.voice_fallback_method,
        status_callback_url=domain.voice_status_callback_url,
        status_callback_method=domain.voice_status_callback_method,
        secure=domain.secure,
        sip_registration=domain.sip_registration,
        acl_networks=_networks(domain),
        has_acl=domain.call_acl_mappings.exists(),
        has_credentials=domain.call_credential_list_mappings.exists(),
        drop_unlisted=domain.drop_unlisted,
        match_from_user=domain.match_from_user,
        fail_with_503=domain.fail_with_503,
        extra_headers=domain.extra_header_names,
        max_concurrent_calls=domain.max_concurrent_calls,
        max_incoming_per_second=domain.max_incoming_per_second or 0,
        max_call_seconds=domain.max_call_seconds,
        has_registration_credentials=domain.sip_registration
        and domain.registration_credential_list_mappings.exists(),
        inband_dtmf=domain.inband_dtmf,
        type_ahead=domain.type_ahead,
    )


def _networks(domain: SipDomain) -> tuple[tuple[str, IPv4Network | IPv6Network], ...]:
    entries = IpAddress.objects.filter(acl__call_mappings__domain=domain).select_related("acl")
    return tuple((entry.acl.friendly_name, entry.network) for entry in entries)


def credential(domain_sid: str, username: str) -> CredentialHashes | None:
    """The user of any list mapped to the domain's Auth/Calls. One query.

    When several lists have a user of that name the oldest counts.
    """
    return _hashes(
        username, Credential.objects.filter(credential_list__call_mappings__domain_id=domain_sid)
    )


def registration_credential(domain_sid: str, username: str) -> CredentialHashes | None:
    """As :func:`credential`, of the lists mapped to Auth/Registrations."""
    mapped = Credential.objects.filter(credential_list__registration_mappings__domain_id=domain_sid)
    return _hashes(username, mapped)


def _hashes(username: str, mapped: QuerySet[Credential]) -> CredentialHashes | None:
    if clean_text(username) != username:  # databases refuse to look for such text
        return None
    found = mapped.filter(username=username).order_by("created_at", "sid").first()
    if found is None:
        return None
    return CredentialHashes(found.username, found.ha1_md5, found.ha1_sha256)


# --- why would this call be refused? --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Verdict:
    """``accepted`` unless a step refuses; ``steps`` are (passed, what was found), in the order in
    which the listener looks; ``answer`` is the SIP answer in words."""

    accepted: bool
    answer: str
    steps: tuple[tuple[bool, str], ...]


def explain(domain: SipDomain, source_ip: str, username: str = "") -> Verdict:
    """What a call to ``domain`` from that address, by that user, would meet and why.

    Raises ValueError when ``source_ip`` is no IP address. Assumes the right password, an ordinary
    SDP offer, and TLS for a secure domain: those are not known here.
    """
    source = ip_address(source_ip.strip())
    snapshot = _snapshot(domain)
    steps: list[tuple[bool, str]] = []
    for found in (
        *_standing(domain, snapshot),
        *_address(snapshot, source),
        *_password(snapshot, username),
        *_limits(domain),
    ):
        steps.append((not found.answer, found.text))
        if found.answer:
            return Verdict(False, found.answer, tuple(steps))
    if not snapshot.voice_url:
        steps.append((False, "There is no voice URL: the call is taken and then fails."))
    steps.append(_registration(snapshot))
    return Verdict(True, "180 Ringing, then the application decides", tuple(steps))


@dataclass(frozen=True, slots=True)
class _Finding:
    """``answer`` is the SIP answer if this refuses the call."""

    text: str
    answer: str = ""


def _standing(domain: SipDomain, snapshot: DomainPolicy) -> Iterator[_Finding]:
    if domain.enabled:
        yield _Finding("The domain is switched on.")
    else:
        yield _Finding("The domain is switched off.", "404 Not Found")
    if snapshot.secure:
        yield _Finding("The domain is secure: this holds for calls over TLS with SRTP only.")
    if snapshot.account_active:
        yield _Finding("The account is active.")
    else:
        off = domain.account
        if off.status == AccountStatus.ACTIVE and off.parent is not None:
            off = off.parent
        yield _Finding(f"The account {off} is {off.status}.", "403 Forbidden")
    if not snapshot.has_acl and not snapshot.has_credentials:
        yield _Finding(
            "Neither an IP access control list nor a credential list is mapped to the domain for "
            "calls, so it takes none.",
            "403 Forbidden",
        )


def _address(snapshot: DomainPolicy, source: IPv4Address | IPv6Address) -> Iterator[_Finding]:
    if not snapshot.has_acl:
        yield _Finding("No IP access control list is mapped: any source address may call.")
        return
    for name, network in snapshot.acl_networks:
        if source.version == network.version and source in network:
            yield _Finding(f"{source} is allowed by {network} of the list {name}.")
            return
    yield _Finding(
        f"{source} is in none of the domain's IP access control lists "
        f"({len(snapshot.acl_networks)} addresses and networks).",
        "no answer at all (the packets are ignored)" if snapshot.drop_unlisted else "403 Forbidden",
    )


def _password(snapshot: DomainPolicy, username: str) -> Iterator[_Finding]:
    if not snapshot.has_credentials:
        yield _Finding("No credential list is mapped: callers need no password.")
    elif not username:
        yield _Finding(
            "A credential list is mapped: the caller has to authenticate as one of its users.",
            "407 Proxy Authentication Required",
        )
    elif credential(snapshot.domain_sid, username) is None:
        yield _Finding(
            f"No credential list mapped for calls has a user {username} "
            "(capital and small letters differ).",
            "403 Forbidden",
        )
    else:
        yield _Finding(f"The user {username} exists: with the right password the call passes.")


def _registration(snapshot: DomainPolicy) -> tuple[bool, str]:
    """Not a matter of this call, but what people take for one: a phone that cannot register."""
    if not snapshot.sip_registration:
        return True, "Phones cannot register here; they need not, to call."
    if not snapshot.has_registration_credentials:
        return False, "Registration is on, but no credential list is mapped for it: none can."
    return True, "Phones can register with a user of the lists that are mapped for registrations."


def _limits(domain: SipDomain) -> Iterator[_Finding]:
    """Limits of calls at the same time that are reached just now."""
    running = Call.objects.filter(ended_at=None).exclude(sip_call_id="")
    for limit, calls, owner in (
        (domain.max_concurrent_calls, running.filter(domain=domain), "domain"),
        (domain.account.max_concurrent_calls, running.filter(account=domain.account), "account"),
    ):
        if limit and calls.count() >= limit:
            yield _Finding(
                f"The {owner} has as many calls as it may have at the same time ({limit}).",
                "503 Service Unavailable",
            )
