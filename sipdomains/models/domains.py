"""SipDomain and its aliases (sip-domain.md section 1)."""

from __future__ import annotations

import re
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from sipdomains import sids
from sipdomains.models.accounts import Account
from sipdomains.models.configuration import ConfigurationModel, check_room, check_same_account
from sipdomains.models.fields import method_field, new_sid, sid_field, url_field
from sipdomains.models.limits import IncomingLimits
from sipdomains.models.names import (
    MAX_HOST_LENGTH,
    ancestors,
    is_host,
    is_reserved,
    normalise_host,
)

MAX_DOMAINS_PER_ACCOUNT = 100
MAX_ALIASES_PER_DOMAIN = 20
MAX_EXTRA_HEADERS = 32
MAX_CALL_SECONDS = 24 * 3600
DEFAULT_CALL_SECONDS = 4 * 3600

_HEADER_NAME = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]{1,64}\Z")  # token of RFC 3261 section 25.1


def new_domain_sid() -> str:
    return new_sid(sids.DOMAIN)


def name_taken(host: str, *, domain: SipDomain | None = None, alias_pk: int | None = None) -> bool:
    """Whether ``host`` is the name or an alias of a domain, apart from the given rows."""
    domains = SipDomain.objects.filter(domain_name=host)
    if domain is not None:
        domains = domains.exclude(pk=domain.pk)
    aliases = DomainAlias.objects.filter(name=host)
    if alias_pk is not None:
        aliases = aliases.exclude(pk=alias_pk)
    return domains.exists() or aliases.exists()


class SipDomain(IncomingLimits, ConfigurationModel):
    """A host name at which phones call an application."""

    sid = sid_field(new_domain_sid)
    account = models.ForeignKey(Account, models.PROTECT, related_name="domains")
    domain_name = models.CharField(
        max_length=MAX_HOST_LENGTH,
        unique=True,
        help_text="The host part of what phones dial: pbx.example.net for sip:100@pbx.example.net.",
    )
    friendly_name = models.CharField("description", max_length=64, blank=True)
    enabled = models.BooleanField(
        default=True, help_text="When off, callers hear that the domain does not exist (404)."
    )

    voice_url = url_field(
        "voice URL", "Asked for TwiML when a call comes in. Without it each call fails."
    )
    voice_method = method_field("voice method")
    voice_fallback_url = url_field(
        "fallback URL", "Asked when the voice URL fails or its TwiML cannot be run."
    )
    voice_fallback_method = method_field("fallback method")
    voice_status_callback_url = url_field("status callback URL", "Told when a call has ended.")
    voice_status_callback_method = method_field("status callback method")

    sip_registration = models.BooleanField(
        "registration",
        default=False,
        help_text="Let phones register, so that applications can call them.",
    )
    secure = models.BooleanField(
        default=False, help_text="Take calls over TLS with encrypted media (SRTP) only."
    )
    drop_unlisted = models.BooleanField(
        "ignore unlisted addresses",
        default=False,
        help_text="Do not answer at all, instead of 403, when the source address is in no mapped "
        "IP access control list.",
    )
    match_from_user = models.BooleanField(
        "caller must be the credential's user",
        default=False,
        help_text="Refuse calls whose From user differs from the user name they authenticate with.",
    )
    fail_with_503 = models.BooleanField(
        "fail with 503",
        default=False,
        help_text="When the application fails, refuse the call with 503 instead of answering it "
        "and playing an error announcement.",
    )
    extra_headers = models.CharField(
        max_length=1024,
        blank=True,
        help_text="Names of further SIP headers to pass to the application, separated by commas. "
        "X- headers and User-to-User are always passed.",
    )
    max_call_seconds = models.PositiveIntegerField(
        "longest call",
        default=DEFAULT_CALL_SECONDS,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_CALL_SECONDS)],
        help_text="In seconds; at most 86400 (24 hours).",
    )

    inband_dtmf = models.BooleanField(
        "listen for key tones",
        default=False,
        help_text="Detect keys in the sound itself, for callers that send neither telephone-event "
        "nor SIP INFO. Costs processor time.",
    )
    type_ahead = models.BooleanField(
        "type-ahead",
        default=False,
        help_text="Keys pressed before a Gather begins belong to it.",
    )

    class Meta:
        ordering = ["domain_name"]
        verbose_name = "SIP domain"

    def __str__(self) -> str:
        return self.domain_name

    @property
    def extra_header_names(self) -> tuple[str, ...]:
        return tuple(name for part in self.extra_headers.split(",") if (name := part.strip()))

    @property
    def auth_type(self) -> str:
        """What is mapped to Auth/Calls; empty means that the domain takes no calls."""
        kinds = []
        if self.call_acl_mappings.exists():
            kinds.append("IP_ACL")
        if self.call_credential_list_mappings.exists():
            kinds.append("CREDENTIAL_LIST")
        return ",".join(kinds)

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.domain_name = normalise_host(self.domain_name)
        super().save(*args, **kwargs)

    def clean(self) -> None:
        super().clean()
        self.domain_name = normalise_host(self.domain_name)
        errors: dict[str, ValidationError] = {}
        for field, check in (
            ("domain_name", self._check_name),
            ("voice_fallback_url", self._check_fallback),
            ("extra_headers", self._check_extra_headers),
        ):
            try:
                check()
            except ValidationError as error:
                errors[field] = error
        if errors:
            raise ValidationError(errors)
        if self.account_id:
            check_room(
                SipDomain.objects.filter(account_id=self.account_id),
                self,
                MAX_DOMAINS_PER_ACCOUNT,
                "21230",
                "This account already has %(limit)d SIP domains, which is the limit.",
            )
            mine = self.account_id
            check_same_account(self.call_acl_mappings.exclude(acl__account_id=mine))
            for mappings in (
                self.call_credential_list_mappings,
                self.registration_credential_list_mappings,
            ):
                check_same_account(mappings.exclude(credential_list__account_id=mine))

    def _check_name(self) -> None:
        name = self.domain_name
        if not name:
            return  # the field itself says that it is required
        if not is_host(name):
            raise ValidationError(
                "Use letters, digits and hyphens, in parts separated by dots.", code="21232"
            )
        if is_reserved(name) and not name.startswith((self.account_id or "-").lower()):
            raise ValidationError("Names that begin with an AccountSid are reserved.", code="21232")
        if name_taken(name, domain=self):
            raise ValidationError("Another domain has this name or alias already.", code="21232")
        self._check_parent(name)

    def _check_parent(self, name: str) -> None:
        """A sub-domain belongs to whoever owns the domain above it, and needs it to exist."""
        above = ancestors(name)
        suffix = settings.SIP_DOMAIN_SUFFIX
        if suffix and suffix in above:
            above = above[: above.index(suffix)]
            if above and not SipDomain.objects.filter(domain_name=above[0]).exists():
                raise ValidationError(
                    "Create %(parent)s first: a sub-domain needs the domain above it.",
                    code="21232",
                    params={"parent": above[0]},
                )
        if not self.account_id:
            return
        owners = {self.account_id, self.account.parent_id}
        parents = SipDomain.objects.filter(domain_name__in=above)
        if parents.exclude(account_id__in=[owner for owner in owners if owner]).exists():
            raise ValidationError(
                "The domain above this one belongs to another account.", code="21232"
            )

    def _check_fallback(self) -> None:
        if self.voice_fallback_url and not self.voice_url:
            raise ValidationError("A fallback URL needs a voice URL.", code="21405")

    def _check_extra_headers(self) -> None:
        names = self.extra_header_names
        if len(names) > MAX_EXTRA_HEADERS:
            raise ValidationError(
                "At most %(limit)d header names.", code="21231", params={"limit": MAX_EXTRA_HEADERS}
            )
        for name in names:
            if not _HEADER_NAME.match(name):
                raise ValidationError(
                    "%(name)s is not the name of a SIP header.", code="21231", params={"name": name}
                )

    def check_deletable(self) -> None:
        below = SipDomain.objects.filter(domain_name__endswith=f".{self.domain_name}")
        if child := below.first():
            raise ValidationError(
                "%(domain)s still has sub-domains (%(child)s): delete those first.",
                code="21233",
                params={"domain": self.domain_name, "child": child.domain_name},
            )


class DomainAlias(ConfigurationModel):
    """A further name, or an address of ours, at which a domain is called."""

    domain = models.ForeignKey(SipDomain, models.CASCADE, related_name="aliases")
    name = models.CharField(
        max_length=MAX_HOST_LENGTH,
        unique=True,
        help_text="Host name or IP address that phones may dial instead of the domain name.",
    )

    class Meta:
        ordering = ["name"]
        verbose_name = "alias"
        verbose_name_plural = "aliases"

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.name = normalise_host(self.name)
        super().save(*args, **kwargs)

    def clean(self) -> None:
        super().clean()
        self.name = normalise_host(self.name)
        if self.name and (not is_host(self.name) or is_reserved(self.name)):
            raise ValidationError(
                {"name": ValidationError("Enter a host name or an IP address.", code="21232")}
            )
        if name_taken(self.name, alias_pk=self.pk):
            raise ValidationError(
                {
                    "name": ValidationError(
                        "Another domain has this name or alias already.", code="21232"
                    )
                }
            )
        if self.domain_id:
            check_room(
                DomainAlias.objects.filter(domain_id=self.domain_id),
                self,
                MAX_ALIASES_PER_DOMAIN,
                "21231",
                "A domain can have at most %(limit)d aliases.",
            )
