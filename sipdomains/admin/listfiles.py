"""Import and export of what is in a list, on the list's admin pages."""

from __future__ import annotations

import re
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import path, reverse
from django.views.decorators.debug import sensitive_variables

from sipdomains.admin.base import ConfigurationAdmin
from sipdomains.services.listfiles import EXPORTS, IMPORTS, MAX_BYTES, MAX_LINES, UnusableFile

MAX_SHOWN = 200


class ImportForm(forms.Form):
    """The file is sent anew each time: what is in it is kept nowhere."""

    file = forms.FileField(
        label="CSV file",
        allow_empty_file=True,
        help_text=f"UTF-8, at most {MAX_BYTES // 1024} kB and {MAX_LINES} lines.",
    )
    leave_out_bad = forms.BooleanField(
        label="Leave out bad lines and import the good ones", required=False
    )

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file.size > MAX_BYTES:
            raise forms.ValidationError(f"The file is larger than {MAX_BYTES // 1024} kB.")
        return file


class ListFilesAdmin(ConfigurationAdmin):
    """``entries_name`` says what is in the list, ``entry_permission`` is needed to add one,
    ``columns_help`` describes a line."""

    change_form_template = "admin/sipdomains/list_change_form.html"
    entries_name = ""
    entry_permission = ""
    columns_help = ""

    def get_urls(self) -> list[Any]:
        info = f"{self.opts.app_label}_{self.opts.model_name}"
        wrap = self.admin_site.admin_view
        return [
            path("<str:object_id>/import/", wrap(self.import_view), name=f"{info}_import"),
            path("<str:object_id>/export/", wrap(self.export_view), name=f"{info}_export"),
            *super().get_urls(),
        ]

    def may_import(self, request: HttpRequest, obj: Any) -> bool:
        allowed: bool = request.user.has_perm(self.entry_permission)
        return allowed and self.has_change_permission(request, obj)

    @sensitive_variables("data")
    def import_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self._row(request, object_id)
        if not self.may_import(request, row):
            raise PermissionDenied
        sent = request.method == "POST"
        form = ImportForm(request.POST, request.FILES) if sent else ImportForm()
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": row,
            "title": f"Import {self.entries_name} into {row}",
            "columns_help": self.columns_help,
            "entries_name": self.entries_name,
        }
        if form.is_valid():
            data = form.cleaned_data["file"].read()
            try:
                report = IMPORTS[self.model](
                    row, data, leave_out_bad=form.cleaned_data["leave_out_bad"]
                )
            except UnusableFile as error:
                form.add_error("file", str(error))
            else:
                if report.done and not report.bad:
                    return self._imported(request, row, report.good)
                if report.done:
                    self._tell(request, row, report.good)
                context |= {"report": report, "shown": report.bad[:MAX_SHOWN]}
        status = 400 if form.errors else 200
        return render(
            request, "admin/sipdomains/import.html", context | {"form": form}, status=status
        )

    def export_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self._row(request, object_id)
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        response = HttpResponse(EXPORTS[self.model](row), content_type="text/csv; charset=utf-8")
        name = re.sub(r"[^A-Za-z0-9_.-]+", "-", str(row)).strip("-.") or row.sid
        response["Content-Disposition"] = f'attachment; filename="{self.entries_name}-{name}.csv"'
        response["Cache-Control"] = "no-store"
        return response

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        context = {"may_import": row is not None and self.may_import(request, row)}
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))

    def _row(self, request: HttpRequest, object_id: str) -> Any:
        """Of an account that the user sees."""
        row = self.get_object(request, object_id)
        if row is None:
            raise Http404("There is no such list.")
        return row

    def _imported(self, request: HttpRequest, row: Any, count: int) -> HttpResponse:
        self._tell(request, row, count)
        info = f"{self.opts.app_label}_{self.opts.model_name}"
        return HttpResponseRedirect(reverse(f"admin:{info}_change", args=[row.pk]))

    def _tell(self, request: HttpRequest, row: Any, count: int) -> None:
        said = f"Imported {count} {self.entries_name} from a CSV file."
        self.log_change(request, row, said)
        messages.success(request, said)
