"""Accounts. Their tokens are never shown here."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest

from sipdomains.admin.base import ConfigurationAdmin
from sipdomains.models import Account


@admin.register(Account)
class AccountAdmin(ConfigurationAdmin):
    list_display = ("friendly_name", "sid", "status", "domain_count", "created_at")
    list_filter = ("status",)
    search_fields = ("friendly_name", "sid")
    readonly_fields = ("sid", "token_note", "created_at", "updated_at")
    autocomplete_fields = ("parent",)
    fieldsets = (
        (None, {"fields": ("friendly_name", "status", "parent")}),
        ("Calls", {"fields": ("max_concurrent_calls", "verify_tls")}),
        (
            "Outgoing calls",
            {
                "description": "A guard against toll fraud. Numbers go out by trunks, by rules "
                "that allow them. Registered phones of the account's own do not count.",
                "fields": ("max_outgoing_calls", "max_outgoing_per_minute"),
            },
        ),
        ("Identity", {"fields": ("sid", "token_note", "created_at", "updated_at")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = (
            super()
            .get_queryset(request)
            .defer("auth_token", "secondary_auth_token")
            .annotate(_domains=Count("domains"))
        )
        return rows

    @admin.display(description="domains", ordering="_domains")
    def domain_count(self, account: Any) -> int:
        return int(account._domains)

    @admin.display(description="auth token")
    def token_note(self, account: Account) -> str:
        return (
            "Made with the account and kept encrypted. To hand it to the application: "
            "manage.py createdomain NAME --show-token, with the name of a domain of this account."
        )
