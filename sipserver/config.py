"""SipServerConfig: everything the node is told, validated, as one frozen value. Pure.

The command builds it from Django's settings once; nothing below reads settings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from sipdomains.settings.env import EnvError, dns_server, listen_address, network, port_range
from sipserver.sip.auth import OFFERED_ALGORITHMS

T = TypeVar("T")


class Listen(NamedTuple):
    transport: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class SipServerConfig:
    """Seconds are floats. ``external_address`` empty: the local address that the peer reaches."""

    listen: tuple[Listen, ...]
    realm: str
    nonce_secret: bytes
    digest_algorithms: tuple[str, ...]
    external_address: str
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...]
    user_agent: str
    dns_servers: tuple[tuple[str, int], ...]
    sip_egress_allow_private: bool
    sip_egress_allow_loopback: bool
    rtp_ports: tuple[int, int]
    rtp_bind: str
    media_workers: int
    max_calls: int
    rtp_silence_seconds: float
    refer_seconds: float
    audio_cache: Path
    recording_spool: Path
    public_url: str
    egress_allow_private: bool
    egress_allow_loopback: bool
    egress_allow_networks: tuple[str, ...]
    egress_deny_networks: tuple[str, ...]
    egress_ports: tuple[int, ...]
    ca_file: str
    webhook_total_seconds: float
    nonce_seconds: float = 60.0
    drain_seconds: float = 30.0

    @classmethod
    def from_settings(cls, settings: Any) -> SipServerConfig:
        """Of Django's settings (or any object with those attributes). Raises EnvError, which names
        the setting."""
        first, last = _named("RTP_PORT_RANGE", port_range, settings.RTP_PORT_RANGE)
        return cls(
            listen=tuple(
                Listen(*_named("SIP_LISTEN", listen_address, text)) for text in settings.SIP_LISTEN
            ),
            realm=settings.SIP_REALM,
            nonce_secret=settings.SIP_NONCE_SECRET.encode(),
            digest_algorithms=_algorithms(settings.SIP_DIGEST_ALGORITHMS),
            external_address=_external(settings.SIP_EXTERNAL_ADDRESS),
            trusted_proxies=tuple(
                ip_network(_named("SIP_TRUSTED_PROXIES", network, text))
                for text in settings.SIP_TRUSTED_PROXIES
            ),
            user_agent=settings.SIP_USER_AGENT,
            dns_servers=tuple(
                _named("DNS_SERVERS", dns_server, text) for text in settings.DNS_SERVERS
            ),
            sip_egress_allow_private=settings.SIP_EGRESS_ALLOW_PRIVATE,
            sip_egress_allow_loopback=settings.SIP_EGRESS_ALLOW_LOOPBACK,
            rtp_ports=(first + first % 2, last),
            rtp_bind=settings.RTP_BIND,
            media_workers=settings.MEDIA_WORKERS,
            max_calls=settings.MAX_CONCURRENT_CALLS,
            rtp_silence_seconds=settings.RTP_SILENCE_SECONDS,
            refer_seconds=settings.REFER_TIMEOUT,
            audio_cache=Path(settings.AUDIO_CACHE),
            recording_spool=Path(settings.RECORDING_SPOOL),
            public_url=settings.PUBLIC_URL,
            egress_allow_private=settings.EGRESS_ALLOW_PRIVATE,
            egress_allow_loopback=settings.EGRESS_ALLOW_LOOPBACK,
            egress_allow_networks=tuple(settings.EGRESS_ALLOW_NETWORKS),
            egress_deny_networks=tuple(settings.EGRESS_DENY_NETWORKS),
            egress_ports=tuple(settings.EGRESS_PORTS),
            ca_file=settings.WEBHOOK_CA_FILE,
            webhook_total_seconds=settings.WEBHOOK_TOTAL_TIMEOUT,
        )


def _external(text: str) -> str:
    try:
        return str(ip_address(text.strip("[]"))) if text else ""
    except ValueError:
        raise EnvError(f"SIP_EXTERNAL_ADDRESS: {text!r} is not an IP address") from None


def _algorithms(names: Sequence[str]) -> tuple[str, ...]:
    wanted = tuple(name.upper() for name in names)
    if not wanted or not set(wanted) <= set(OFFERED_ALGORITHMS):
        known = ", ".join(OFFERED_ALGORITHMS)
        raise EnvError(f"SIP_DIGEST_ALGORITHMS: expected one or more of {known}")
    return wanted


def _named(name: str, read: Callable[[str], T], text: str) -> T:
    try:
        return read(text)
    except EnvError as error:
        raise EnvError(f"{name}: {error}") from None
