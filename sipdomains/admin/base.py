"""What the admin pages share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest

if TYPE_CHECKING:  # generic in the stubs only
    ModelAdmin = admin.ModelAdmin[Any]
    TabularInline = admin.TabularInline[Any, Any]
else:
    ModelAdmin = admin.ModelAdmin
    TabularInline = admin.TabularInline


class ConfigurationAdmin(ModelAdmin):
    """Deleting asks the model's own rules first and shows their message."""

    save_on_top = True

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        to_delete, counts, permissions, protected = super().get_deleted_objects(objs, request)
        for row in objs:
            try:
                row.check_deletable()
            except ValidationError as error:
                protected = [*protected, *error.messages]
        return to_delete, counts, permissions, protected


class ReadOnly:
    """For what the system writes: to look at, not to change."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ReadOnlyAdmin(ReadOnly, ModelAdmin):
    show_full_result_count = False  # a second count of the whole table
    list_per_page = 50


class ReadOnlyInline(ReadOnly, TabularInline):
    extra = 0
    can_delete = False
    show_change_link = False
