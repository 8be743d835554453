"""Accounts, and their tokens on a page of its own: shown on request only, exchanged, on record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Count, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from sipdomains.access import scope_of
from sipdomains.admin.base import ConfigurationAdmin
from sipdomains.models import Account
from sipdomains.services import accounts


@dataclass(frozen=True, slots=True)
class TokenAction:
    """``text`` asks first, when there is something to lose."""

    name: str
    act: Callable[[str], Account]
    done: str = ""
    shows: bool = False
    title: str = ""
    text: str = ""
    button: str = ""


_TOKEN_ACTIONS = {
    action.name: action
    for action in (
        TokenAction("show", accounts.show_tokens, shows=True),
        TokenAction("make", accounts.make_secondary_token, "There is a secondary token now."),
        TokenAction(
            "promote",
            accounts.promote_secondary_token,
            "The secondary token is the primary one now.",
            title="Promote the secondary token?",
            text="Requests to applications are signed with it from now on, and the present primary "
            "token is forgotten: it opens nothing and verifies nothing any more.",
            button="Promote",
        ),
        TokenAction(
            "remove",
            accounts.remove_secondary_token,
            "There is no secondary token any more.",
            title="Remove the secondary token?",
            text="API clients that use it are refused from now on (401).",
            button="Remove",
        ),
    )
}


@admin.register(Account)
class AccountAdmin(ConfigurationAdmin):
    """Who is bound to accounts reads them; limits are set by who sees every account."""

    account_path = "sid"
    change_form_template = "admin/sipdomains/account/change_form.html"
    list_display = ("friendly_name", "sid", "status", "domain_count", "created_at")
    list_filter = ("status",)
    ordering = ("friendly_name",)
    search_fields = ("friendly_name", "sid")
    readonly_fields = ("sid", "created_at", "updated_at")
    autocomplete_fields = ("parent",)
    fieldsets = (
        (None, {"fields": ("friendly_name", "status", "parent")}),
        ("Calls", {"fields": ("max_concurrent_calls", "max_incoming_per_second", "verify_tls")}),
        (
            "Outgoing calls",
            {
                "description": "A guard against toll fraud. Numbers go out by trunks, by rules "
                "that allow them. Registered phones of the account's own do not count; calls of "
                "subaccounts count for their parent, too.",
                "fields": ("max_outgoing_calls", "max_outgoing_per_minute", "calls_per_second"),
            },
        ),
        ("Identity", {"fields": ("sid", "created_at", "updated_at")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = (
            super()
            .get_queryset(request)
            .defer("auth_token", "secondary_auth_token")
            .annotate(_domains=Count("domains"))
        )
        return rows

    def has_add_permission(self, request: HttpRequest) -> bool:
        return scope_of(request.user).everything and super().has_add_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return scope_of(request.user).everything and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return scope_of(request.user).everything and super().has_delete_permission(request, obj)

    @admin.display(description="domains", ordering="_domains")
    def domain_count(self, account: Any) -> int:
        return int(account._domains)

    def get_urls(self) -> list[URLPattern]:
        page = self.admin_site.admin_view(self.tokens)
        mine = path("<str:sid>/tokens/", page, name="sipdomains_account_tokens")
        return [mine, *super().get_urls()]

    def tokens(self, request: HttpRequest, sid: str) -> HttpResponse:
        account = Account.objects.filter(sid=sid).first()
        if not self.has_change_permission(request, account):
            raise PermissionDenied
        if account is None:
            raise Http404
        context: dict[str, Any] = {}
        action = _TOKEN_ACTIONS.get(request.POST.get("do", ""))
        if action is not None and action.text and "sure" not in request.POST:
            context["ask"] = action
        elif action is not None:
            try:
                account = action.act(sid)
                context |= {"done": action.done, "shown": action.shows}
            except ValidationError as error:
                context["error"] = " ".join(error.messages)
        context |= {
            **self.admin_site.each_context(request),
            "title": f"Auth tokens of {account}",
            "opts": self.opts,
            "account": account,
            "has_secondary": bool(account.secondary_auth_token),
        }
        return TemplateResponse(request, "admin/sipdomains/account/tokens.html", context)
