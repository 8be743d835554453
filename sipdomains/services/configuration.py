"""The one way in which the API and imports change configuration rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from django.db import models, transaction

_Row = TypeVar("_Row", bound=models.Model)


@transaction.atomic
def write(row: _Row, values: Mapping[str, Any]) -> _Row:
    """Set ``values``, check the row by the model's own rules, save it. Raises ValidationError."""
    for name, value in values.items():
        setattr(row, name, value)
    row.full_clean()
    row.save()
    return row


@transaction.atomic
def remove(row: models.Model) -> None:
    """Raises ValidationError when the row is still in use."""
    row.delete()
