"""What the admin pages share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import UniqueConstraint
from django.forms import BaseInlineFormSet
from django.http import HttpRequest

if TYPE_CHECKING:  # generic in the stubs only
    ModelAdmin = admin.ModelAdmin[Any]
    _TabularInline = admin.TabularInline[Any, Any]
else:
    ModelAdmin = admin.ModelAdmin
    _TabularInline = admin.TabularInline


class ConstrainedFormSet(BaseInlineFormSet):  # type: ignore[type-arg] # generic in the stubs only
    """Checks unique constraints, which Django leaves out where they involve the parent's key: what
    is there twice is told at its line instead of failing when it is saved."""

    def clean(self) -> None:
        super().clean()
        seen: set[tuple[object, ...]] = set()
        for form in self.forms:
            wanted = form.is_valid() and form.has_changed()
            if not wanted or form.cleaned_data.get("DELETE"):
                continue
            try:
                if self.instance.pk:
                    form.instance.validate_constraints()
                _refuse_twice(form.instance, seen)
            except ValidationError as error:
                form.add_error(None, ValidationError(error.messages))


def _refuse_twice(row: Any, seen: set[tuple[object, ...]]) -> None:
    for constraint in row._meta.constraints:
        if not isinstance(constraint, UniqueConstraint) or not constraint.fields:
            continue
        key = (constraint.name, *(getattr(row, name, None) for name in constraint.fields[1:]))
        if key in seen:
            raise ValidationError("This is here twice.", code="20409")
        seen.add(key)


class TabularInline(_TabularInline):
    formset = ConstrainedFormSet


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
