"""Let one more address call a domain: what the desk offers beside a refusal.

One address at a time, never a network. It goes into an access control list that guards the domain;
where nothing guards the domain yet, into a new one. A domain that asks for passwords and has no
list is left alone: its first list would shut out everybody else.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from django.core.exceptions import ValidationError
from django.db import transaction

from sipdomains.models import CallAclMapping, IpAccessControlList, IpAddress, SipDomain
from sipdomains.services.configuration import write

_OTHER_DOMAINS = 20


@dataclass(frozen=True, slots=True)
class Opening:
    """What allowing ``address`` would do. ``acl`` is the list it goes into, None: a new one.
    ``already`` the network that allows it now, empty if none does. ``others`` are the domains
    that the same list guards; ``password`` whether callers need one as well."""

    address: str
    acl: IpAccessControlList | None
    already: str
    others: tuple[str, ...]
    password: bool
    loopback: bool


def lists_of(domain: SipDomain) -> list[IpAccessControlList]:
    """The access control lists that guard calls to the domain, the oldest mapping first."""
    mappings = domain.call_acl_mappings.select_related("acl").order_by("created_at", "pk")
    return [mapping.acl for mapping in mappings]


def opening(domain: SipDomain, address: str, acl_sid: str = "") -> Opening:
    """What :func:`allow` would do, without doing it. Raises ValidationError where it cannot."""
    source = _address(address)
    lists = lists_of(domain)
    acl = _chosen(lists, acl_sid)
    password = domain.call_credential_list_mappings.exists()
    if acl is None and password:
        raise ValidationError(
            "Any address may call this domain already: callers need a password only. A first "
            "access control list would shut out everybody else, so none is made here.",
            code="21255",
        )
    others: tuple[str, ...] = ()
    if acl is not None:
        shared = acl.call_mappings.exclude(domain=domain).order_by("domain__domain_name")
        others = tuple(shared.values_list("domain__domain_name", flat=True)[:_OTHER_DOMAINS])
    return Opening(
        str(source), acl, _allowed_by(lists, source), others, password, source.is_loopback
    )


@transaction.atomic
def allow(domain: SipDomain, address: str, acl_sid: str = "", description: str = "") -> IpAddress:
    """Do it. Raises ValidationError: no address, not a list of the domain, list full, allowed
    already."""
    planned = opening(domain, address, acl_sid)
    if planned.already:
        raise ValidationError(
            f"{planned.address} is allowed already, by {planned.already}.", code="21238"
        )
    acl = planned.acl or _new_list(domain)
    source = ip_address(planned.address)
    return write(
        IpAddress(acl=acl),
        {
            "ip_address": planned.address,
            "cidr_prefix_length": source.max_prefixlen,
            "friendly_name": description[:255],
        },
    )


def _new_list(domain: SipDomain) -> IpAccessControlList:
    made = write(
        IpAccessControlList(account=domain.account),
        {"friendly_name": f"Callers of {domain}"[:255]},
    )
    write(CallAclMapping(domain=domain), {"acl": made})
    return made


def _chosen(lists: list[IpAccessControlList], sid: str) -> IpAccessControlList | None:
    if not sid:
        return lists[0] if lists else None
    for acl in lists:
        if acl.sid == sid:
            return acl
    raise ValidationError("That list does not guard calls to this domain.", code="20404")


def _address(text: str) -> IPv4Address | IPv6Address:
    try:
        found = ip_address(text.strip())
    except ValueError:
        raise ValidationError("Enter one IPv4 or IPv6 address.", code="21238") from None
    if isinstance(found, IPv6Address):
        if found.scope_id:
            raise ValidationError("Leave out the zone after %.", code="21238")
        found = found.ipv4_mapped or found
    if found.is_unspecified or found.is_multicast:
        raise ValidationError("Nobody calls from that address.", code="21238")
    return found


def _allowed_by(lists: list[IpAccessControlList], source: IPv4Address | IPv6Address) -> str:
    for entry in IpAddress.objects.filter(acl__in=lists):
        network = entry.network
        if network.version == source.version and source in network:
            return str(network)
    return ""
