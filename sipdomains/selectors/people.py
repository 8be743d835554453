"""What users keep for themselves and for each other."""

from __future__ import annotations

from typing import Any

from django.db.models import Q

from sipdomains.access import Scope
from sipdomains.models import SavedFilter

MAX_SHOWN = 50


def saved_filters(user: Any, scope: Scope) -> list[SavedFilter]:
    """The user's own, and those that others share who see one of the same accounts."""
    shared = Q(shared=True)
    if scope.accounts is not None:
        shared &= Q(user__account_members__account__in=sorted(scope.accounts))
    rows = SavedFilter.objects.filter(Q(user=user) | shared).select_related("user")
    return list(rows.order_by("name", "pk").distinct()[:MAX_SHOWN])
