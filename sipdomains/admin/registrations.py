"""Who is registered, from where. Phones write this; an operator may end a registration."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone

from sipdomains.admin.base import ReadOnlyAdmin, ScopedRelatedFilter
from sipdomains.models import Registration


@admin.register(Registration)
class RegistrationAdmin(ReadOnlyAdmin):
    """Deleting one unregisters the phone until it registers again."""

    account_path = "domain__account_id"

    list_display = (
        "username", "domain", "contact_uri", "source", "transport", "user_agent", "expires_in",
        "registered_at",
    )  # fmt: skip
    list_filter = (("domain", ScopedRelatedFilter), "transport")
    list_select_related = ("domain",)
    search_fields = ("username", "contact_uri", "=received_host", "domain__domain_name")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm("sipdomains.delete_registration"))

    @admin.display(description="source address", ordering="received_host")
    def source(self, row: Any) -> str:
        host = f"[{row.received_host}]" if ":" in row.received_host else row.received_host
        return f"{host}:{row.received_port}"

    @admin.display(description="expires in", ordering="expires_at")
    def expires_in(self, row: Any) -> str:
        left = int((row.expires_at - timezone.now()).total_seconds())
        return f"{left // 60} min {left % 60} s" if left > 0 else "expired"
