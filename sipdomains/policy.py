"""What the live side is told of the configuration: values as of one moment. Pure.

Made by ``sipdomains.services.domains``, read by ``sipserver.calls``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network


@dataclass(frozen=True, slots=True)
class OutgoingLimit:
    """How many outgoing calls an account and its subaccounts may have together; 0 = no limit."""

    account_sid: str
    concurrent: int
    per_minute: int


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
    account_parent_sid: str = ""
    outgoing_limits: tuple[OutgoingLimit, ...] = ()  # the account's, then its parent's
    max_incoming_per_second: int = 0  # 0 = no limit
    account_max_incoming_per_second: int = 0  # 0 = no limit
    has_registration_credentials: bool = False
    inband_dtmf: bool = False
    type_ahead: bool = False
    only_domain: str = ""  # of a call without a domain: the account's, if it has exactly one


@dataclass(frozen=True, slots=True)
class CredentialHashes:
    """HA1 of one credential: lower-case hex of MD5 and of SHA-256 (RFC 8760)."""

    username: str
    ha1_md5: str
    ha1_sha256: str


@dataclass(frozen=True, slots=True)
class RegisteredContact:
    """Where a registered phone is reached (sip-domain.md section 7). ``received`` and ``local`` are
    the two ends of the flow that it registered over; ``connection`` its TCP connection on the node
    with boot id ``node`` (0 for UDP). ``expires_at`` is wall clock. ``call_id`` and ``cseq`` are
    those of its last REGISTER."""

    domain_sid: str
    username: str
    contact_uri: str
    q: float
    transport: str
    received: tuple[str, int]
    local: tuple[str, int]
    connection: int
    node: str
    expires_at: float
    call_id: str = ""
    cseq: int = 0
    instance: str = ""
    user_agent: str = ""


_LONGEST_NUMBER = 32
_PUNCTUATION = str.maketrans("", "", " ().-/")
_KEYS = frozenset("0123456789*#")


def phone_number(text: str) -> str | None:
    """Digits, ``*`` and ``#``, perhaps with ``+`` in front; None when it is no number."""
    plain = text.translate(_PUNCTUATION)
    digits = plain.removeprefix("+")
    if not digits or len(plain) > _LONGEST_NUMBER or not _KEYS.issuperset(digits):
        return None
    return plain


@dataclass(frozen=True, slots=True)
class TrunkRulePolicy:
    """Numbers that begin with ``prefix`` are allowed or not; ``strip`` characters are then taken
    off the front and ``prepend`` is put there."""

    prefix: str
    allow: bool
    strip: int
    prepend: str


@dataclass(frozen=True, slots=True)
class TrunkPolicy:
    """A way out to the telephone network. ``port`` None and ``transport`` empty: as DNS says."""

    sid: str
    name: str
    host: str
    port: int | None
    transport: str
    username: str
    password: str = field(repr=False)
    from_host: str
    caller_id: str
    priority: int
    weight: int
    rules: tuple[TrunkRulePolicy, ...]

    def rule_for(self, number: str) -> TrunkRulePolicy | None:
        """The one with the longest prefix that the number, as :func:`phone_number` writes it,
        begins with."""
        fitting = [rule for rule in self.rules if number.startswith(rule.prefix)]
        return max(fitting, key=lambda rule: len(rule.prefix), default=None)
