"""Bring a domain with its user, addresses and aliases into being. Repeating it changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models, transaction

from sipdomains.models import (
    Account,
    CallAclMapping,
    CallCredentialListMapping,
    Credential,
    CredentialList,
    DomainAlias,
    IpAccessControlList,
    IpAddress,
    RegistrationCredentialListMapping,
    SipDomain,
    Trunk,
    TrunkRule,
)
from sipdomains.models.names import normalise_host

DEFAULT_ACCOUNT = "default"


@dataclass(frozen=True, slots=True)
class DomainPlan:
    """What is wanted. An empty text or sequence leaves that part as it is.

    ``allow`` are addresses or networks in CIDR form. Nothing that exists is taken away.
    """

    name: str
    voice_url: str = ""
    fallback_url: str = ""
    username: str = ""
    password: str = ""
    allow: Sequence[str] = ()
    aliases: Sequence[str] = ()
    account_sid: str = ""
    account_name: str = DEFAULT_ACCOUNT  # found or made when no SID is given
    description: str = ""
    registration: bool = False  # phones may register, as users of the domain's credential list
    inband_dtmf: bool = False
    type_ahead: bool = False


@transaction.atomic
def provision(plan: DomainPlan) -> SipDomain:
    """The domain as planned. Raises ValidationError; then nothing has changed."""
    domain = SipDomain.objects.filter(domain_name=normalise_host(plan.name)).first()
    account = _account(plan, domain)
    if domain is None:
        domain = SipDomain(account=account, domain_name=plan.name, friendly_name=plan.description)
    elif domain.account_id != account.sid:
        raise ValidationError(f"{domain} belongs to the account {domain.account_id}.", code="21232")
    _set(domain, voice_url=plan.voice_url, voice_fallback_url=plan.fallback_url)
    for alias in plan.aliases:
        _ensure_alias(domain, alias)
    if plan.username:
        _ensure_user(domain, plan.username, plan.password)
    if plan.allow:
        _ensure_addresses(domain, plan.allow)
    _switch_on(domain, plan)
    return domain


def _switch_on(domain: SipDomain, plan: DomainPlan) -> None:
    wanted = {
        "sip_registration": plan.registration,
        "inband_dtmf": plan.inband_dtmf,
        "type_ahead": plan.type_ahead,
    }
    _set(domain, **{name: True for name, on in wanted.items() if on})
    if plan.registration and not domain.registration_credential_list_mappings.exists():
        users = _credential_list(domain)
        _saved(RegistrationCredentialListMapping(domain=domain, credential_list=users))


@dataclass(frozen=True, slots=True)
class TrunkPlan:
    """``prefixes`` are those to allow; nothing that exists is taken away."""

    name: str
    host: str
    port: int | None = None
    transport: str = ""
    username: str = ""
    password: str = ""
    prefixes: Sequence[str] = ()
    priority: int = 10
    account_sid: str = ""
    account_name: str = DEFAULT_ACCOUNT


@transaction.atomic
def provision_trunk(plan: TrunkPlan) -> Trunk:
    """The trunk as planned. Raises ValidationError; then nothing has changed."""
    owner = DomainPlan("", account_sid=plan.account_sid, account_name=plan.account_name)
    account = _account(owner, None)
    trunk = Trunk.objects.filter(account=account, friendly_name=plan.name).first()
    trunk = trunk or Trunk(account=account, friendly_name=plan.name)
    trunk.host, trunk.port, trunk.transport = plan.host, plan.port, plan.transport
    trunk.username, trunk.priority = plan.username, plan.priority
    if plan.password:
        trunk.password = plan.password
    _saved(trunk)
    for prefix in plan.prefixes:
        if not trunk.rules.filter(prefix=prefix).exists():
            _saved(TrunkRule(trunk=trunk, prefix=prefix))
    return trunk


def _account(plan: DomainPlan, domain: SipDomain | None) -> Account:
    if plan.account_sid:
        account = Account.objects.filter(sid=plan.account_sid).first()
        if account is None:
            raise ValidationError(f"There is no account {plan.account_sid}.", code="20404")
        return account
    if domain is not None:
        return domain.account
    account = Account.objects.filter(friendly_name=plan.account_name).order_by("created_at").first()
    return account or _saved(Account(friendly_name=plan.account_name))


def _set(row: models.Model, **values: str | bool) -> None:
    """Save ``row`` if it is new or one of the non-empty values differs from what it has."""
    changed = {name: value for name, value in values.items() if value != getattr(row, name)}
    changed = {name: value for name, value in changed.items() if value}
    for name, value in changed.items():
        setattr(row, name, value)
    if changed or row._state.adding:
        _saved(row)


def _saved(row: Any) -> Any:
    row.full_clean()
    row.save()
    return row


def _ensure_alias(domain: SipDomain, alias: str) -> None:
    name = normalise_host(alias)
    if name != domain.domain_name and not domain.aliases.filter(name=name).exists():
        _saved(DomainAlias(domain=domain, name=name))


def _ensure_user(domain: SipDomain, username: str, password: str) -> None:
    users = Credential.objects.filter(
        credential_list__call_mappings__domain=domain, username=username
    )
    user = users.order_by("created_at", "sid").first()
    if user is None:
        if not password:
            raise ValidationError(f"The new user {username} needs a password.", code="21243")
        user = Credential(credential_list=_credential_list(domain), username=username)
    if password and not user.has_password(password):
        user.set_password(password)
        _saved(user)


def _credential_list(domain: SipDomain) -> CredentialList:
    mapping = domain.call_credential_list_mappings.select_related("credential_list").first()
    if mapping is not None:
        return mapping.credential_list
    made: CredentialList = _saved(
        CredentialList(account=domain.account, friendly_name=f"Users of {domain}"[:64])
    )
    _saved(CallCredentialListMapping(domain=domain, credential_list=made))
    return made


def _ensure_addresses(domain: SipDomain, allow: Sequence[str]) -> None:
    mapping = domain.call_acl_mappings.select_related("acl").first()
    if mapping is None:
        acl: IpAccessControlList = _saved(
            IpAccessControlList(account=domain.account, friendly_name=f"Callers of {domain}"[:255])
        )
        _saved(CallAclMapping(domain=domain, acl=acl))
    else:
        acl = mapping.acl
    for text in allow:
        try:
            network = ip_network(text.strip(), strict=False)
        except ValueError:
            raise ValidationError(
                f"{text} is neither an IP address nor a network such as 10.0.0.0/8.", code="21238"
            ) from None
        address, prefix = str(network.network_address), network.prefixlen
        if not acl.addresses.filter(ip_address=address, cidr_prefix_length=prefix).exists():
            _saved(IpAddress(acl=acl, ip_address=address, cidr_prefix_length=prefix))
