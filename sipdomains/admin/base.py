"""What the admin pages share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.contrib.admin.views.main import PAGE_VAR, ChangeList
from django.contrib.admin.widgets import AdminTextInputWidget
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.core.paginator import Paginator
from django.db.models import (
    CharField,
    JSONField,
    Model,
    QuerySet,
    TextField,
    UniqueConstraint,
)
from django.forms import BaseInlineFormSet
from django.forms.formsets import DELETION_FIELD_NAME
from django.forms.models import _get_foreign_key
from django.http import HttpRequest

from sipdomains import audit
from sipdomains.access import scope_of
from sipdomains.models.fields import validate_url
from sipdomains.redaction import masked_json

if TYPE_CHECKING:  # generic in the stubs only
    _ModelAdmin = admin.ModelAdmin[Any]
    _TabularInline = admin.TabularInline[Any, Any]
    _BaseModelAdmin = admin.options.BaseModelAdmin[Any]
else:
    _ModelAdmin = admin.ModelAdmin
    _TabularInline = admin.TabularInline
    _BaseModelAdmin = object


class _ScopedChoices(_BaseModelAdmin):
    """What a row can refer to is only what the user sees."""

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        related = self.admin_site._registry.get(db_field.remote_field.model)
        if related is not None:
            kwargs["queryset"] = related.get_queryset(request)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


def conceal(row: Any) -> None:
    """Mask secrets, such as passwords within URLs, in a row that is only shown, never saved."""
    loaded = row.__dict__
    for field in row._meta.concrete_fields:
        if isinstance(loaded.get(field.attname), str | dict | list):
            loaded[field.attname] = masked_json(loaded[field.attname])


class ConcealingList(ChangeList):
    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = list(self.result_list)
        for row in self.result_list:
            conceal(row)


class ModelAdmin(_ScopedChoices, _ModelAdmin):
    """Shows the rows of accounts that the user sees (``access``). ``account_path`` leads from a row
    to the SID of its account; without one only who sees every account sees any row.

    Who may not change a row sees it without secrets. ``hidden_fields`` are shown to nobody, nor can
    an address filter by them."""

    account_path = ""
    hidden_fields: tuple[str, ...] = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request).defer(*self.hidden_fields)
        return scope_of(request.user).narrow(rows, self.account_path)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return ConcealingList

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Any:
        row = super().get_object(request, object_id, from_field)
        if row is not None and not self.has_change_permission(request, row):
            conceal(row)
        return row

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        """By texts only where the list offers it, and whole keys: what is masked on pages could
        be guessed letter by letter."""
        name, _, how = lookup.partition("__")
        if name in self.hidden_fields or not super().lookup_allowed(lookup, value, request):
            return False
        if name in _offered(self):
            return True
        try:
            field = self.opts.pk if name == "pk" else self.opts.get_field(name)
        except FieldDoesNotExist:
            return True  # the parameter of a filter of ours
        whole = field is self.opts.pk and how in ("", "exact", "in")
        return whole or not isinstance(field, _TEXTS)


_TEXTS = (CharField, TextField, JSONField)


def _offered(model_admin: ModelAdmin) -> set[str]:
    """The fields that the list offers to filter by."""
    filters = [one[0] if isinstance(one, tuple) else one for one in model_admin.list_filter]
    return {one for one in filters if isinstance(one, str)}


class ScopedRelatedFilter(admin.RelatedFieldListFilter):
    """Offers only what the user sees of the related rows."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> Any:
        related = model_admin.admin_site._registry[field.remote_field.model]
        return [(row.pk, str(row)) for row in related.get_queryset(request)]


_HISTORY_PAGE = 100


class ConstrainedFormSet(BaseInlineFormSet):  # type: ignore[type-arg] # generic in the stubs only
    """Checks unique constraints, which Django leaves out where they involve the parent's key: what
    is there twice is told at its line instead of failing when it is saved."""

    def add_fields(self, form: Any, index: int | None) -> None:
        """The heading of a column is no label: each field says itself what it is."""
        super().add_fields(form, index)
        for name, field in form.fields.items():
            label = "Delete" if name == DELETION_FIELD_NAME else str(field.label or name)
            field.widget.attrs.setdefault("aria-label", label.capitalize())

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


class TabularInline(_ScopedChoices, _TabularInline):
    formset = ConstrainedFormSet


class ConfigurationAdmin(ModelAdmin):
    """Deleting asks the model's own rules first and shows their message. The history of a row is
    that of the audit: by whatever way it was changed, with what is or was in it."""

    save_on_top = True
    object_history_template = "admin/sipdomains/object_history.html"

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        to_delete, counts, permissions, protected = super().get_deleted_objects(objs, request)
        for row in objs:
            try:
                row.check_deletable()
            except ValidationError as error:
                protected = [*protected, *error.messages]
        return to_delete, counts, permissions, protected

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if validate_url in db_field.validators:
            kwargs["widget"] = AdminTextInputWidget(
                attrs={"class": "vURLField", "inputmode": "url"}
            )
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def _children(self) -> list[tuple[type[Model], str]]:
        """The models that are edited within this one, and how they point to it."""
        return [
            (inline.model, _get_foreign_key(self.model, inline.model).name)
            for inline in self.inlines
        ]

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> Any:
        pages = Paginator(
            audit.history(self.model, unquote(object_id), self._children()), _HISTORY_PAGE
        )
        page = pages.get_page(request.GET.get(PAGE_VAR, 1))
        for entry in page:
            entry.who, entry.told = audit.who(entry), audit.changes(entry)
        context = {
            "entries": page,
            "page_range": pages.get_elided_page_range(page.number),
            "pagination_required": pages.num_pages > 1,
        }
        return super().history_view(request, object_id, context | (extra_context or {}))


class ReadOnly:
    """For what the system writes: to look at, not to change."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ReadOnlyAdmin(ReadOnly, ModelAdmin):
    show_full_result_count = False  # a second count of all rows
    list_per_page = 50


class _ConcealingFormSet(ConstrainedFormSet):
    def get_queryset(self) -> Any:
        first = not hasattr(self, "_queryset")  # asked for with each form
        rows = super().get_queryset()
        if first:
            for row in rows:
                conceal(row)
        return rows


class ReadOnlyInline(ReadOnly, TabularInline):
    formset = _ConcealingFormSet
    extra = 0
    can_delete = False
    show_change_link = False
