"""Users, with the accounts they are bound to. Superusers alone see this: who may change users could
give himself anything."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User
from django.http import HttpRequest

from sipdomains.admin.base import ReadOnlyInline, TabularInline
from sipdomains.models import AccountMember, Authenticator

admin.site.unregister(User)


class AccountMemberInline(TabularInline):
    model = AccountMember
    extra = 0
    autocomplete_fields = ("account",)
    verbose_name_plural = "accounts: all that the user sees, unless in the group “every account”"


class AuthenticatorInline(ReadOnlyInline):
    """To look at, and to delete for who has lost the phone."""

    model = Authenticator
    fields = readonly_fields = ("confirmed", "created_at", "last_used_at")
    can_delete = True
    verbose_name_plural = "second factor: delete it when the phone is lost"

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("sipdomains.delete_authenticator")


@admin.register(User)
class DeskUserAdmin(UserAdmin):  # type: ignore[type-arg] # generic in the stubs only
    inlines = (AccountMemberInline, AuthenticatorInline)
    list_display = ("username", "roles", "accounts", "is_staff", "is_superuser", "last_login")
    readonly_fields = ("last_login", "date_joined")
    list_filter = ("is_superuser", "is_active", "groups")

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("groups", "account_members__account")

    @admin.display(description="groups")
    def roles(self, user: Any) -> str:
        return ", ".join(group.name for group in user.groups.all()) or "-"

    @admin.display(description="accounts")
    def accounts(self, user: Any) -> str:
        return ", ".join(str(member.account) for member in user.account_members.all()) or "-"
