"""Lists of what grows without end: as long as the log may be, a page costs the same."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import Any

from django.db.models import Q, QuerySet
from django.http import HttpRequest

from sipdomains import sids
from sipdomains.admin.base import ConcealingList, ReadOnlyAdmin

NEWEST = 10_000  # rows that are looked at


class _NewestList(ConcealingList):
    """Counts, sorts, filters and searches the newest rows only. A SID finds its rows wherever they
    are. ``since`` is where the rows begin when there are older ones."""

    model_admin: LogAdmin
    since: Any = None
    newest = f"{NEWEST:,}"

    def get_queryset(self, request: HttpRequest, *args: Any, **kwargs: Any) -> QuerySet[Any]:
        self.root_queryset = self._bounded(self.root_queryset)
        return super().get_queryset(request, *args, **kwargs)

    def _bounded(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        if sids.is_sid(self.query):
            names = {field.name for field in self.lookup_opts.fields}
            named = (Q(**{name: self.query}) for name in ("sid", "call") if name in names)
            return rows.filter(reduce(or_, named, Q()))
        newest_by = self.model_admin.newest_by
        edge = self.model._default_manager.order_by(f"-{newest_by}").values_list(newest_by)
        for (self.since,) in edge[NEWEST - 1 : NEWEST]:
            return rows.filter(**{f"{newest_by}__gte": self.since})
        return rows


class LogAdmin(ReadOnlyAdmin):
    """``newest_by`` is a column with an index that rises with time."""

    change_list_template = "admin/sipdomains/log_list.html"
    newest_by = "pk"

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[_NewestList]:
        return _NewestList

    def get_ordering(self, request: HttpRequest) -> tuple[str]:
        return (f"-{self.newest_by}",)
