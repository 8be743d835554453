"""Plain filters out of the query of a request."""

from __future__ import annotations

from django.http import QueryDict

from sipdomains.api import vendor
from sipdomains.api.errors import ApiError

_LONGEST = 1024


def text(query: QueryDict, name: str) -> str:
    """The value, empty when it is not given. Raises ApiError for what no row can have."""
    value = query.get(name, "")
    if len(value) > _LONGEST:
        raise ApiError(vendor.INVALID_PARAMETER, f"{name} is too long")
    return value


def flag(query: QueryDict, name: str) -> bool:
    """``true`` or ``false``, which it is when it is not given. Raises ApiError."""
    value = query.get(name, "").lower()
    if value not in ("", "true", "false"):
        raise ApiError(vendor.INVALID_PARAMETER, f"{name} must be true or false")
    return value == "true"
