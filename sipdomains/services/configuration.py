"""The one way in which the API and imports change configuration rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from django.db import IntegrityError, models, transaction

_Row = TypeVar("_Row", bound=models.Model)


@transaction.atomic
def write(row: _Row, values: Mapping[str, Any]) -> _Row:
    """Set ``values``, check the row by the model's own rules, save it. Raises ValidationError.

    Of a row that exists nothing but ``values`` is written: what somebody else has changed since it
    was read (an operator who suspends an account) stays changed.
    """
    for name, value in values.items():
        setattr(row, name, value)
    row.full_clean()
    names = None if row._state.adding else {*values, "updated_at"}
    try:
        with transaction.atomic():
            row.save(update_fields=names)
    except IntegrityError:
        row.full_clean()  # somebody was faster: now it says with what the row collides
        raise
    return row


@transaction.atomic
def remove(row: models.Model) -> None:
    """Raises ValidationError when the row is still in use."""
    row.delete()
