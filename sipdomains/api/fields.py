"""How values are written in the API: CamelCase text comes in, snake_case JSON goes out."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.fields import SkipField

from sipdomains.api import vendor
from sipdomains.models.fields import MAX_URL_LENGTH, HttpMethod, validate_url

# Not strftime: its names of days and months follow the locale.
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = (
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
)  # fmt: skip


def rfc2822(at: datetime | None) -> str | None:
    """``Tue, 01 Sep 2020 00:00:00 +0000``, the one form that clients parse."""
    if at is None:
        return None
    at = at.astimezone(UTC)
    day, month = _DAYS[at.weekday()], _MONTHS[at.month - 1]
    return f"{day}, {at.day:02} {month} {at.year:04} {at:%H:%M:%S} +0000"


def resource_uri(account_sid: str, *path: str) -> str:
    """Host-relative, as everywhere in the API."""
    return "/".join(("", vendor.API_VERSION, "Accounts", account_sid, *path)) + ".json"


# --- out ------------------------------------------------------------------------------------------


@extend_schema_field(
    {"type": "string", "nullable": True, "example": "Tue, 01 Sep 2020 00:00:00 +0000"}
)
class Time(serializers.Field):  # type: ignore[type-arg] # generic in the stubs only
    def __init__(self, source: str | None = None) -> None:
        super().__init__(read_only=True, source=source)

    def to_representation(self, value: datetime) -> str | None:
        return rfc2822(value)


@extend_schema_field({"type": "string", "nullable": True})
class Text(serializers.Field):  # type: ignore[type-arg] # generic in the stubs only
    """Text, or a number as text; null where there is none."""

    def __init__(self, source: str | None = None) -> None:
        super().__init__(read_only=True, source=source)

    def get_attribute(self, instance: Any) -> Any:
        try:
            return super().get_attribute(instance)
        except (KeyError, SkipField):  # within a JSON column: the key is shown all the same
            return None

    def to_representation(self, value: Any) -> str | None:
        return None if value is None or value == "" else str(value)


class Constant(serializers.Field):  # type: ignore[type-arg] # generic in the stubs only
    """What is documented and does not exist here, or is the same for all."""

    def __init__(self, value: Any = None) -> None:
        super().__init__(read_only=True, source="*")
        self.value = value

    def to_representation(self, value: Any) -> Any:
        return self.value


# --- in -------------------------------------------------------------------------------------------


class Input(serializers.Serializer):  # type: ignore[type-arg] # generic in the stubs only
    """Parameters of a request by their CamelCase names; ``source`` is the model's or plan's name.

    ``CODES`` gives the vendor's code of a parameter that is wrong, ``MISSING`` of one that is not
    there but must be; ``CODE`` is for all others. ``UNUSED`` are documented parameters that mean
    nothing here; whatever else is given besides is ignored with a warning.
    """

    CODE: ClassVar[int] = vendor.INVALID_PARAMETER
    CODES: ClassVar[dict[str, int]] = {}
    MISSING: ClassVar[dict[str, int]] = {}
    UNUSED: ClassVar[frozenset[str]] = frozenset()

    def code(self, name: str, missing: bool) -> int:
        if missing and name in self.MISSING:
            return self.MISSING[name]
        return self.CODES.get(name, self.CODE)


class Flag(serializers.BooleanField):
    """``true`` or ``false``."""


def method(source: str | None = None, **options: Any) -> serializers.ChoiceField:
    return Method(HttpMethod.choices, source=source, required=False, **options)


class Method(serializers.ChoiceField):
    """In any case of letters."""

    def to_internal_value(self, data: Any) -> Any:
        return super().to_internal_value(str(data).upper())


def url(source: str | None = None, **options: Any) -> serializers.CharField:
    """An absolute http or https URL; empty takes away what was set."""
    return serializers.CharField(
        source=source,
        required=False,
        allow_blank=True,
        max_length=MAX_URL_LENGTH,
        validators=[_usable],
        **options,
    )


def _usable(value: str) -> None:
    if value:
        validate_url(value)
