"""Applications: voice settings under one SID."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from sipdomains.admin.base import ConfigurationAdmin
from sipdomains.models import Application


@admin.register(Application)
class ApplicationAdmin(ConfigurationAdmin):
    account_path = "account_id"
    list_display = ("friendly_name", "account", "voice_url", "sid")
    list_select_related = ("account",)
    search_fields = (
        "friendly_name",
        "=sid",
        "voice_url__in_url",
        "account__friendly_name",
        "=account__sid",
    )
    autocomplete_fields = ("account",)
    fieldsets = (
        (None, {"fields": ("friendly_name", "account", "sid")}),
        (
            "Voice",
            {
                "description": "What runs a call that REST creates with the SID of this "
                "application.",
                "fields": (
                    ("voice_url", "voice_method"),
                    ("voice_fallback_url", "voice_fallback_method"),
                    ("status_callback", "status_callback_method"),
                ),
            },
        ),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("sid", "account") if obj else ("sid",)
