"""Trunks with their rules. The password is written, never shown."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from sipdomains.admin.base import ConfigurationAdmin, TabularInline
from sipdomains.models import Trunk, TrunkRule


class TrunkForm(forms.ModelForm):  # type: ignore[type-arg] # generic in the stubs only
    new_password = forms.CharField(
        label="password",
        required=False,
        strip=False,
        widget=forms.PasswordInput(render_value=False, attrs={"autocomplete": "new-password"}),
        help_text="Answers the trunk's challenges. Leave empty to keep the one that is stored.",
    )
    forget_password = forms.BooleanField(label="forget the stored password", required=False)

    class Meta:
        model = Trunk
        exclude = ("password",)

    def save(self, commit: bool = True) -> Any:
        if self.cleaned_data["forget_password"]:
            self.instance.password = ""
        elif self.cleaned_data["new_password"]:
            self.instance.password = self.cleaned_data["new_password"]
        return super().save(commit)


class TrunkRuleInline(TabularInline):
    model = TrunkRule
    extra = 1
    verbose_name_plural = (
        "rules: which numbers may go out here (the longest prefix decides; without one that fits "
        "a number is denied)"
    )


@admin.register(Trunk)
class TrunkAdmin(ConfigurationAdmin):
    account_path = "account_id"
    form = TrunkForm
    list_display = ("friendly_name", "account", "host", "enabled", "priority", "weight", "allows")
    list_filter = ("enabled",)
    list_select_related = ("account",)
    search_fields = ("friendly_name", "host", "=sid", "account__friendly_name")
    autocomplete_fields = ("account",)
    inlines = (TrunkRuleInline,)
    fieldsets = (
        (None, {"fields": ("friendly_name", "account", "enabled")}),
        ("Where", {"fields": (("host", "port", "transport"), ("priority", "weight"))}),
        ("Who we are there", {
            "fields": ("username", "new_password", "forget_password", "from_host", "caller_id"),
        }),
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = (
            super().get_queryset(request).defer("password").prefetch_related("rules")
        )
        return rows

    @admin.display(description="allows")
    def allows(self, trunk: Any) -> str:
        prefixes = [rule.prefix or "every number" for rule in trunk.rules.all() if rule.allow]
        return ", ".join(prefixes) or "nothing"
