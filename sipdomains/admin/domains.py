"""SIP domains with their aliases and lists, and why a call to one would be refused."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse

from sipdomains.admin.base import ConfigurationAdmin, TabularInline
from sipdomains.models import (
    CallAclMapping,
    CallCredentialListMapping,
    DomainAlias,
    RegistrationCredentialListMapping,
    SipDomain,
)
from sipdomains.models.domains import MAX_ALIASES_PER_DOMAIN
from sipdomains.models.mappings import MAX_LISTS_PER_DOMAIN
from sipdomains.services.domains import explain


class AliasInline(TabularInline):
    model = DomainAlias
    extra = 0
    max_num = MAX_ALIASES_PER_DOMAIN


class MappingInline(TabularInline):
    extra = 0
    max_num = MAX_LISTS_PER_DOMAIN


class CallCredentialListInline(MappingInline):
    model = CallCredentialListMapping
    autocomplete_fields = ("credential_list",)


class CallAclInline(MappingInline):
    model = CallAclMapping
    autocomplete_fields = ("acl",)


class RegistrationCredentialListInline(MappingInline):
    model = RegistrationCredentialListMapping
    autocomplete_fields = ("credential_list",)


class ExplainForm(forms.Form):
    """Who calls, from where."""

    source_ip = forms.GenericIPAddressField(label="Call from address")
    username = forms.CharField(label="as user", max_length=255, required=False)


@admin.register(SipDomain)
class SipDomainAdmin(ConfigurationAdmin):
    account_path = "account_id"
    change_form_template = "admin/sipdomains/sipdomain/change_form.html"
    list_display = ("domain_name", "account", "guarded_by", "enabled", "voice_url")
    list_filter = ("enabled", "secure", "sip_registration")
    list_select_related = ("account",)
    search_fields = (
        "domain_name", "friendly_name", "aliases__name", "=sid", "voice_url__in_url",
        "account__friendly_name",
    )  # fmt: skip
    autocomplete_fields = ("account",)
    inlines = (
        AliasInline,
        CallAclInline,
        CallCredentialListInline,
        RegistrationCredentialListInline,
    )
    fieldsets = (
        (None, {"fields": ("domain_name", "friendly_name", "account", "enabled")}),
        (
            "Application",
            {
                "description": "The web application that says, in TwiML, what happens in a call.",
                "fields": (
                    ("voice_url", "voice_method"),
                    ("voice_fallback_url", "voice_fallback_method"),
                    ("voice_status_callback_url", "voice_status_callback_method"),
                    "extra_headers",
                    "fail_with_503",
                ),
            },
        ),
        (
            "Callers",
            {
                "description": "Who may call is settled by the lists below. When both an IP access "
                "control list and a credential list are mapped, a caller must satisfy both. "
                "Without either the domain takes no calls.",
                "fields": ("secure", "drop_unlisted", "match_from_user", "sip_registration"),
            },
        ),
        ("Keys", {"fields": ("inband_dtmf", "type_ahead")}),
        (
            "Limits",
            {"fields": ("max_call_seconds", "max_concurrent_calls", "max_incoming_per_second")},
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        mine = {"domain": OuterRef("pk")}
        rows: QuerySet[Any] = (
            super()
            .get_queryset(request)
            .annotate(
                _acl=Exists(CallAclMapping.objects.filter(**mine)),
                _credentials=Exists(CallCredentialListMapping.objects.filter(**mine)),
            )
        )
        return rows

    @admin.display(description="calls are guarded by")
    def guarded_by(self, domain: Any) -> str:
        guards = [
            text
            for text, present in (("addresses", domain._acl), ("passwords", domain._credentials))
            if present
        ]
        return " and ".join(guards) or "nothing: takes no calls"

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("account",) if obj else ()

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        asked = ExplainForm(request.GET) if "source_ip" in request.GET else None
        context: dict[str, Any] = {"explain_form": asked or ExplainForm()}
        if asked is not None and asked.is_valid() and self.has_view_permission(request):
            mine = self.get_queryset(request).select_related("account")
            domain = mine.filter(pk=object_id).first()
            if domain is not None:
                context["verdict"] = explain(domain, **asked.cleaned_data)
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))
