"""IP access control lists (sip-domain.md section 2)."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models

from sipdomains import sids
from sipdomains.models.accounts import Account
from sipdomains.models.configuration import ConfigurationModel, check_room, check_same_account
from sipdomains.models.fields import new_sid, sid_field

MAX_LISTS_PER_ACCOUNT = 1000
MAX_ADDRESSES_PER_LIST = 100


def new_ip_access_control_list_sid() -> str:
    return new_sid(sids.IP_ACCESS_CONTROL_LIST)


def new_ip_address_sid() -> str:
    return new_sid(sids.IP_ADDRESS)


class IpAccessControlList(ConfigurationModel):
    """Addresses from which a domain takes calls, once the list is mapped to it."""

    sid = sid_field(new_ip_access_control_list_sid)
    account = models.ForeignKey(Account, models.PROTECT, related_name="ip_access_control_lists")
    friendly_name = models.CharField("name", max_length=255)

    class Meta:
        ordering = ["friendly_name"]
        verbose_name = "IP access control list"

    def __str__(self) -> str:
        return self.friendly_name

    def clean(self) -> None:
        super().clean()
        if self.account_id:
            check_room(
                IpAccessControlList.objects.filter(account_id=self.account_id),
                self,
                MAX_LISTS_PER_ACCOUNT,
                "21255",
                "This account already has %(limit)d IP access control lists, which is the limit.",
            )
            check_same_account(self.call_mappings.exclude(domain__account_id=self.account_id))

    def check_deletable(self) -> None:
        if mapping := self.call_mappings.select_related("domain").first():
            raise ValidationError(
                "The list is still mapped to %(domain)s: remove it there first.",
                code="21236",
                params={"domain": mapping.domain.domain_name},
            )


class IpAddress(ConfigurationModel):
    """One address or network of a list. The stored address is the network's first."""

    sid = sid_field(new_ip_address_sid)
    acl = models.ForeignKey(
        IpAccessControlList, models.CASCADE, related_name="addresses", verbose_name="list"
    )
    friendly_name = models.CharField("description", max_length=255, blank=True)
    ip_address = models.CharField(
        "IP address", max_length=45, help_text="IPv4 or IPv6, e.g. 192.0.2.0 or 2001:db8::1."
    )
    cidr_prefix_length = models.PositiveSmallIntegerField(
        "prefix length",
        null=True,
        blank=True,
        help_text="Leading bits that must match: 24 for a.b.c.0/24. Empty means this address only.",
    )

    class Meta:
        ordering = ["ip_address", "cidr_prefix_length"]
        verbose_name = "IP address"
        verbose_name_plural = "IP addresses"
        constraints = [
            models.UniqueConstraint(
                fields=["acl", "ip_address", "cidr_prefix_length"],
                name="ip_address_unique_in_list",
                violation_error_code="21238",
                violation_error_message="This list has that address already.",
            )
        ]

    def __str__(self) -> str:
        return f"{self.ip_address}/{self.cidr_prefix_length}"

    @property
    def network(self) -> IPv4Network | IPv6Network:
        """Raises ValueError for a row that was never cleaned."""
        return ip_network(str(self), strict=True)

    def clean(self) -> None:
        super().clean()
        try:
            address = ip_address(self.ip_address.strip())
        except ValueError:
            raise ValidationError(
                {"ip_address": ValidationError("Enter an IPv4 or IPv6 address.", code="21238")}
            ) from None
        longest = address.max_prefixlen
        prefix = longest if self.cidr_prefix_length is None else self.cidr_prefix_length
        if prefix > longest:
            raise ValidationError(
                {
                    "cidr_prefix_length": ValidationError(
                        "At most %(longest)d for this kind of address.",
                        code="21238",
                        params={"longest": longest},
                    )
                }
            )
        if address.version == 6 and "%" in self.ip_address:
            raise ValidationError(
                {"ip_address": ValidationError("Leave out the zone after %%.", code="21238")}
            )
        self.ip_address = str(ip_network((address, prefix), strict=False).network_address)
        self.cidr_prefix_length = prefix
        if self.acl_id:
            check_room(
                IpAddress.objects.filter(acl_id=self.acl_id),
                self,
                MAX_ADDRESSES_PER_LIST,
                "21237",
                "The list already has %(limit)d addresses, which is the limit.",
            )

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.cidr_prefix_length is None:
            self.cidr_prefix_length = ip_address(self.ip_address).max_prefixlen
        super().save(*args, **kwargs)
