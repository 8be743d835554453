"""Which lists guard which domain: Auth/Calls and Auth/Registrations (sip-domain.md section 2)."""

from __future__ import annotations

from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.db import models

from sipdomains.models.access import IpAccessControlList
from sipdomains.models.configuration import ConfigurationModel, check_room
from sipdomains.models.credentials import CredentialList
from sipdomains.models.domains import SipDomain

MAX_LISTS_PER_DOMAIN = 100


def _once_per_domain(field: str, name: str) -> models.UniqueConstraint:
    return models.UniqueConstraint(
        fields=["domain", field],
        name=name,
        violation_error_code="20409",
        violation_error_message="This list is mapped to the domain already.",
    )


class Mapping(ConfigurationModel):
    """A list in force at a domain of the same account."""

    LIST_FIELD: ClassVar[str]
    LIMIT_CODE: ClassVar[str] = "21239"

    domain: Any  # a foreign key in each subclass, for the sake of its related name
    domain_id: Any

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{getattr(self, self.LIST_FIELD)} at {self.domain}"

    def siblings(self) -> models.QuerySet[Any]:
        """The lists of this kind at the domain."""
        manager: models.Manager[Any] = type(self)._default_manager
        return manager.filter(domain=self.domain_id)

    def clean(self) -> None:
        super().clean()
        # Either may be missing, and the domain may not be saved yet, when a form is being filled.
        domain, mapped = getattr(self, "domain", None), getattr(self, self.LIST_FIELD, None)
        if domain is None or mapped is None:
            return
        if domain.account_id and mapped.account_id != domain.account_id:
            raise ValidationError(
                {
                    self.LIST_FIELD: ValidationError(
                        "The list belongs to another account than the domain.", code="20404"
                    )
                }
            )
        check_room(
            self.siblings(),
            self,
            MAX_LISTS_PER_DOMAIN,
            self.LIMIT_CODE,
            "A domain can have at most %(limit)d lists of this kind.",
        )


class CallCredentialListMapping(Mapping):
    """Callers must authenticate as a user of one of the domain's credential lists."""

    LIST_FIELD = "credential_list"
    domain = models.ForeignKey(
        SipDomain, models.CASCADE, related_name="call_credential_list_mappings"
    )
    credential_list = models.ForeignKey(
        CredentialList, models.PROTECT, related_name="call_mappings"
    )

    class Meta:
        verbose_name = "credential list for calls"
        verbose_name_plural = "credential lists for calls"
        constraints = [_once_per_domain("credential_list", "call_credential_list_mapped_once")]


class CallAclMapping(Mapping):
    """Callers must come from an address of one of the domain's access control lists."""

    LIST_FIELD = "acl"
    LIMIT_CODE = "21255"
    domain = models.ForeignKey(SipDomain, models.CASCADE, related_name="call_acl_mappings")
    acl = models.ForeignKey(
        IpAccessControlList,
        models.PROTECT,
        related_name="call_mappings",
        verbose_name="IP access control list",
    )

    class Meta:
        verbose_name = "IP access control list for calls"
        verbose_name_plural = "IP access control lists for calls"
        constraints = [_once_per_domain("acl", "call_acl_mapped_once")]


class RegistrationCredentialListMapping(Mapping):
    """Phones must authenticate as a user of one of these lists to register."""

    LIST_FIELD = "credential_list"
    domain = models.ForeignKey(
        SipDomain, models.CASCADE, related_name="registration_credential_list_mappings"
    )
    credential_list = models.ForeignKey(
        CredentialList, models.PROTECT, related_name="registration_mappings"
    )

    class Meta:
        verbose_name = "credential list for registrations"
        verbose_name_plural = "credential lists for registrations"
        constraints = [
            _once_per_domain("credential_list", "registration_credential_list_mapped_once")
        ]
