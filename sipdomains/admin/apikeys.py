"""API keys: made here, shown once, revoked."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import pluralize
from django.template.response import TemplateResponse
from django.utils import timezone

from sipdomains.admin.base import ConfigurationAdmin
from sipdomains.models import ApiKey
from sipdomains.services import apikeys


class InForceFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("in-force", "in force"), ("revoked", "revoked")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() in ("in-force", "revoked"):
            return queryset.filter(revoked_at__isnull=self.value() == "in-force")
        return queryset


@admin.register(ApiKey)
class ApiKeyAdmin(ConfigurationAdmin):
    """The secret is in the answer to the request that makes the key, and nowhere else: not in a
    message, which would wait in a cookie, nor on a page that can be opened again."""

    account_path = "account_id"
    list_display = ("friendly_name", "account", "state", "last_used_at", "created_at", "sid")
    list_select_related = ("account",)
    list_filter = (InForceFilter,)
    search_fields = ("friendly_name", "=sid", "account__friendly_name", "=account__sid")
    autocomplete_fields = ("account",)
    actions = ("revoke",)
    save_on_top = False
    hidden_fields = ("secret_hash",)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        made = ("sid", "state", "created_at", "last_used_at", "revoked_at") if obj else ()
        return ("friendly_name", "account", *made)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        made = ("account", "sid", "state", "created_at", "last_used_at", "revoked_at")
        return made if obj else ()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # one that is revoked stays to be seen in the history

    @admin.display(description="state")
    def state(self, key: Any) -> str:
        return "revoked" if key.revoked_at else "in force"

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
        else:
            obj.shown_secret = apikeys.issue(obj)

    def response_add(
        self, request: HttpRequest, obj: Any, post_url_continue: str | None = None
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": f"API key made: {obj}",
            "opts": self.opts,
            "key": obj,
            "secret": obj.shown_secret,
        }
        return TemplateResponse(request, "admin/sipdomains/apikey/made.html", context)

    @admin.action(description="Revoke the chosen keys", permissions=["change"])
    def revoke(self, request: HttpRequest, chosen: QuerySet[ApiKey]) -> HttpResponse | None:
        keys = list(chosen.filter(revoked_at=None).select_related("account"))
        if "sure" in request.POST:
            for key in keys:
                apikeys.revoke(key, timezone.now())
            done = f"{len(keys)} API key{pluralize(len(keys))} revoked."
            self.message_user(request, done, messages.SUCCESS)
            return None
        context = {
            **self.admin_site.each_context(request),
            "title": "Revoke API keys",
            "opts": self.opts,
            "keys": keys,
        }
        return TemplateResponse(request, "admin/sipdomains/apikey/revoke.html", context)
