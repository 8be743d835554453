"""Saved filters of the call log."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError

from sipdomains.models import SavedFilter
from sipdomains.models.desk import MAX_QUERY_LENGTH

MAX_FILTERS = 50  # of one user


def save(user: Any, name: str, query: str, shared: bool) -> SavedFilter:
    """Under a name that the user has used before it replaces that one. Raises ValidationError."""
    name = name.strip()
    if not name or len(name) > 64:
        raise ValidationError("Give the filter a name of at most 64 characters.")
    if len(query) > MAX_QUERY_LENGTH:
        raise ValidationError("The filter is too long to be saved.")
    mine = SavedFilter.objects.filter(user=user)
    if mine.exclude(name=name).count() >= MAX_FILTERS:
        raise ValidationError(f"There are {MAX_FILTERS} filters: delete one first.")
    row, _made = SavedFilter.objects.update_or_create(
        user=user, name=name, defaults={"query": query, "shared": shared}
    )
    return row


def delete(user: Any, pk: int) -> bool:
    """False when the user has no such filter."""
    return SavedFilter.objects.filter(user=user, pk=pk).delete()[0] > 0
