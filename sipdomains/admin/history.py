"""Who changed what, of all configuration: to look at only."""

from __future__ import annotations

from typing import Any

import auditlog.admin  # noqa: F401 - registers the page that is replaced here
from auditlog.mixins import LogEntryAdminMixin
from auditlog.models import LogEntry
from django.contrib import admin
from django.contrib.contenttypes.models import ContentType
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import localtime

from sipdomains import audit
from sipdomains.admin.loglist import LogAdmin


class KindFilter(admin.SimpleListFilter):
    """By what was changed. The kinds are known: no scan of the whole table for them."""

    title = "kind"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            (str(model._meta.model_name), str(model._meta.verbose_name)) for model in audit.AUDITED
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        for model in audit.AUDITED:
            if model._meta.model_name == self.value():
                return queryset.filter(content_type=ContentType.objects.get_for_model(model))
        return queryset


# The package's own page, which its import registers, does not know who uses the REST API.
admin.site.unregister(LogEntry)


@admin.register(LogEntry)
class HistoryAdmin(LogEntryAdminMixin, LogAdmin):  # type: ignore[misc] # without types
    list_display = ("time", "who", "change", "fields_changed", "remote_addr")
    list_display_links = ("time",)
    list_select_related = ("actor", "content_type")
    list_filter = ("action", KindFilter, "timestamp")
    search_fields = (
        "object_repr", "=object_pk", "actor__username", "additional_data__credential", "changes",
    )  # fmt: skip
    fields = ("time", "who", "remote_addr", "action", "resource_url", "object_pk", "msg")
    readonly_fields = ("time", "who", "resource_url", "msg")

    @admin.display(description="time", ordering="timestamp")
    def time(self, entry: Any) -> SafeString:
        at = f"{localtime(entry.timestamp):%Y-%m-%d %H:%M:%S}"
        return format_html('<time class="at">{}</time>', at)

    @admin.display(description="by", ordering="actor")
    def who(self, entry: Any) -> str:
        return audit.who(entry)

    @admin.display(description="change")
    def change(self, entry: Any) -> str:
        return f"{entry.get_action_display()} {entry.content_type.name} {entry.object_repr}"

    @admin.display(description="fields")
    def fields_changed(self, entry: Any) -> str:
        """Of a change; what is made or deleted is changed in all of them."""
        return ", ".join(entry.changes) if entry.action == LogEntry.Action.UPDATE else ""
