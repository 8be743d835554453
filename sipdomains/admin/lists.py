"""Credential lists and IP access control lists, with what is in them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Count, QuerySet
from django.http import HttpRequest

from sipdomains.admin.base import TabularInline
from sipdomains.admin.listfiles import ListFilesAdmin
from sipdomains.models import Credential, CredentialList, IpAccessControlList, IpAddress
from sipdomains.models.access import MAX_ADDRESSES_PER_LIST
from sipdomains.models.credentials import MAX_CREDENTIALS_PER_LIST, MIN_PASSWORD_LENGTH


class CredentialForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    """The password goes in and never comes out."""

    password = forms.CharField(
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password", "size": 30}),
        help_text=f"At least {MIN_PASSWORD_LENGTH} characters with a digit, small and capital "
        "letters. Leave empty to keep the present one; it cannot be read back.",
    )

    class Meta:
        model = Credential
        fields = ("username",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.instance._state.adding:
            self.fields["username"].disabled = True  # the stored hashes contain it

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        password, username = cleaned.get("password"), cleaned.get("username")
        if password and username:
            self.instance.username = username
            try:
                self.instance.set_password(password)
            except ValidationError as error:
                self.add_error("password", error)
        elif self.instance._state.adding and username:
            self.add_error("password", ValidationError("Enter a password.", code="21243"))
        return cleaned


class CredentialInline(TabularInline):
    model = Credential
    form = CredentialForm
    fields = ("username", "password")
    extra = 1
    max_num = MAX_CREDENTIALS_PER_LIST
    verbose_name = "user"
    verbose_name_plural = "users"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("ha1_md5", "ha1_sha256")


class OwnedListAdmin(ListFilesAdmin):
    """A list belongs to one account for good."""

    account_path = "account_id"
    entries_relation: str
    autocomplete_fields = ("account",)
    list_select_related = ("account",)
    ordering = ("friendly_name",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("sid", "account", "used_by") if obj else ()

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("friendly_name", "account", *(("sid", "used_by") if obj else ()))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = (
            super()
            .get_queryset(request)
            .annotate(
                _entries=Count(self.entries_relation, distinct=True),
                _domains=Count("call_mappings", distinct=True),
            )
        )
        return rows

    @admin.display(description="entries", ordering="_entries")
    def entries(self, row: Any) -> int:
        return int(row._entries)

    @admin.display(description="domains", ordering="_domains")
    def domains(self, row: Any) -> int:
        return int(row._domains)

    @admin.display(description="in force at")
    def used_by(self, row: Any) -> str:
        names = row.call_mappings.values_list("domain__domain_name", flat=True)
        return ", ".join(names) or "no domain yet: add the list on a domain's page"


@admin.register(CredentialList)
class CredentialListAdmin(OwnedListAdmin):
    list_display = ("friendly_name", "account", "entries", "domains")
    search_fields = ("friendly_name", "=sid", "credentials__username", "account__friendly_name")
    inlines = (CredentialInline,)

    entries_relation = "credentials"
    entries_name = "users"
    entry_permission = "sipdomains.add_credential"
    columns_help = "Each line: user name, password. A user who is there already is a bad line."


class IpAddressInline(TabularInline):
    model = IpAddress
    fields = ("ip_address", "cidr_prefix_length", "friendly_name")
    extra = 1
    max_num = MAX_ADDRESSES_PER_LIST


@admin.register(IpAccessControlList)
class IpAccessControlListAdmin(OwnedListAdmin):
    list_display = ("friendly_name", "account", "entries", "domains")
    search_fields = ("friendly_name", "=sid", "addresses__ip_address", "account__friendly_name")
    inlines = (IpAddressInline,)

    entries_relation = "addresses"
    entries_name = "addresses"
    entry_permission = "sipdomains.add_ipaddress"
    columns_help = (
        "Each line: address, prefix length, description; the last two may be left out, and "
        "192.0.2.0/24 may be written in one."
    )
