"""What the live side is told of the configuration: values as of one moment. Pure.

Made by ``sipdomains.services.domains``, read by ``sipserver.calls``.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network


@dataclass(frozen=True, slots=True)
class DomainPolicy:
    """All that the live side needs of a domain, as of one moment. Times in seconds."""

    account_sid: str
    account_active: bool
    domain_sid: str
    domain_name: str
    voice_url: str
    voice_method: str
    voice_fallback_url: str
    voice_fallback_method: str
    status_callback_url: str
    status_callback_method: str
    secure: bool
    sip_registration: bool
    acl_networks: tuple[tuple[str, IPv4Network | IPv6Network], ...]  # (list name, network)
    has_acl: bool
    has_credentials: bool
    drop_unlisted: bool  # silently drop instead of 403
    match_from_user: bool  # From user must equal the digest user
    fail_with_503: bool  # on application error: 503 instead of the spoken message
    extra_headers: tuple[str, ...]  # non-X headers passed to the application
    max_concurrent_calls: int  # 0 = no limit
    account_max_concurrent_calls: int  # 0 = no limit
    max_call_seconds: int
    verify_tls: bool


@dataclass(frozen=True, slots=True)
class CredentialHashes:
    """HA1 of one credential: lower-case hex of MD5 and of SHA-256 (RFC 8760)."""

    username: str
    ha1_md5: str
    ha1_sha256: str
