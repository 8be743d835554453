"""The filter of the call list: a GET form, so that every view of the list has its own address."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django import forms
from django.core.validators import RegexValidator, validate_slug
from django.http import QueryDict
from django.utils import timezone

from sipdomains.selectors import LIVE, CallFilter
from sipdomains.web.formatting import DIRECTION_WORDS, STATUS_WORDS

STATUSES = [("", "Any status"), (LIVE, "Live now"), *STATUS_WORDS.items()]
DIRECTIONS = [
    ("", "Any direction"),
    *((value, words[0].upper() + words[1:]) for value, words in DIRECTION_WORDS.items()),
]
RANGES = [
    ("", "Any time"),
    ("hour", "Last hour"),
    ("today", "Today"),
    ("day", "Last 24 hours"),
    ("week", "Last 7 days"),
    ("month", "Last 30 days"),
    ("exact", "From … to …"),
]
_SPANS = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(days=7),
    "month": timedelta(days=30),
}
_NAMES = ("q", "domain", "status", "direction", "range", "errors_only")
# Those that the page shows when they are asked for.
_MORE = ("user", "number", "header", "sip", "code", "cause", "min_seconds", "max_seconds")
_SECONDS_IN_A_DAY = 86_400


def _words(label: str, placeholder: str, length: int = 255, **fields: Any) -> forms.CharField:
    attrs = {"placeholder": placeholder, "autocomplete": "off", "spellcheck": "false"}
    widget = forms.TextInput(attrs=attrs)
    return forms.CharField(label=label, max_length=length, required=False, widget=widget, **fields)


def _seconds(label: str) -> forms.IntegerField:
    return forms.IntegerField(
        label=label, required=False, min_value=0, max_value=_SECONDS_IN_A_DAY * 7,
        widget=forms.NumberInput(attrs={"placeholder": "seconds", "inputmode": "numeric"}),
    )  # fmt: skip


class _Moment(forms.DateTimeField):
    widget = forms.DateTimeInput(attrs={"type": "datetime-local", "step": "1"})

    def __init__(self, label: str) -> None:
        formats = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]
        super().__init__(label=label, required=False, input_formats=formats)
        self.widget.format = formats[-1]

    def to_python(self, value: Any) -> datetime | None:
        moment = super().to_python(value)
        try:
            return moment and moment.astimezone(UTC)
        except OverflowError:  # at the ends of the calendar, which UTC reaches earlier
            raise forms.ValidationError("No call was at that time.") from None


class CallFilterForm(forms.Form):
    """Fields that cannot be read are reported and do not filter. ``tz`` is the viewer's IANA zone,
    in which "today" and the exact times are meant; UTC unless the browser says otherwise."""

    q = forms.CharField(
        label="Search",
        max_length=255,
        required=False,
        widget=forms.TextInput(
            attrs={
                "type": "search",
                "placeholder": "Number, user, Call-ID, address or SID",
                "autocomplete": "off",
                "spellcheck": "false",
                "enterkeyhint": "search",
            }
        ),
    )
    domain = forms.CharField(
        label="Domain",
        max_length=253,
        required=False,
        widget=forms.TextInput(
            attrs={
                "list": "domains",
                "placeholder": "Any domain",
                "autocomplete": "off",
                "spellcheck": "false",
            }
        ),
    )
    status = forms.ChoiceField(label="Status", choices=STATUSES, required=False)
    direction = forms.ChoiceField(label="Direction", choices=DIRECTIONS, required=False)
    range = forms.ChoiceField(label="Time", choices=RANGES, required=False)
    since = _Moment("From")
    until = _Moment("To")
    errors_only = forms.BooleanField(label="Errors only", required=False)
    user = _words("User name", "Who logged in by SIP")
    number = _words("Number", "Part of the number, either side", 64)
    header = _words("X- header", "X-Account: 42, or a value")
    sip = _words("SIP answer", "486 or 4xx", 3, validators=[RegexValidator(r"^[1-6](\d\d|xx)$")])
    code = forms.IntegerField(
        label="Error code", required=False, min_value=0, max_value=99_999,
        widget=forms.NumberInput(attrs={"placeholder": "32202", "inputmode": "numeric"}),
    )  # fmt: skip
    cause = _words("Cause", "bad-credentials", 40, validators=[validate_slug])
    min_seconds = _seconds("At least")
    max_seconds = _seconds("At most")
    tz = forms.CharField(max_length=64, required=False, widget=forms.HiddenInput)

    def __init__(self, data: QueryDict) -> None:
        super().__init__(data)
        self.zone = zone_named(data.get("tz", ""))

    def full_clean(self) -> None:
        with timezone.override(self.zone):
            super().full_clean()

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        since, until = cleaned.get("since"), cleaned.get("until")
        if cleaned.get("range") == "exact" and since and until and since >= until:
            self.add_error("until", "The end must be later than the beginning.")
        return cleaned

    def wanted(self, now: datetime) -> CallFilter:
        """What to list, as of ``now``."""
        self.is_valid()
        given = self.cleaned_data
        since = until = None
        match given.get("range", ""):
            case "exact":
                since, until = given.get("since"), given.get("until")
            case "today":
                since = now.astimezone(self.zone).replace(hour=0, minute=0, second=0, microsecond=0)
            case name if name in _SPANS:
                since = now - _SPANS[name]
        return CallFilter(
            domain=given.get("domain", ""),
            status=given.get("status", ""),
            text=given.get("q", ""),
            since=since,
            until=until,
            errors=given.get("errors_only", False),
            direction=given.get("direction", ""),
            user=given.get("user", ""),
            number=_digits(given.get("number", "")),
            header=given.get("header", ""),
            cause=given.get("cause", ""),
            sip=given.get("sip", ""),
            error_code=given.get("code"),
            min_seconds=given.get("min_seconds"),
            max_seconds=given.get("max_seconds"),
        )

    def active(self) -> bool:
        """Whether anything is filtered."""
        return any(self.cleaned_data.get(name) for name in _NAMES) or self.more_active()

    def more_active(self) -> bool:
        """Whether one of the fields that the page folds away says something."""
        return any(self.cleaned_data.get(name) is not None for name in _MORE if self.data.get(name))

    def more(self) -> list[forms.BoundField]:
        return [self[name] for name in _MORE]

    def query(self) -> str:
        """The filter as an address has it: without pages and what says nothing."""
        names = (*_NAMES, *_MORE, "since", "until", "tz")
        given = {name: self.data.get(name, "") for name in names}
        return urlencode({name: value for name, value in given.items() if value})


def _digits(number: str) -> str:
    """As it stands in an address: without what people write between digits."""
    return number.translate(str.maketrans("", "", " -()/."))


def zone_named(name: str) -> ZoneInfo:
    """UTC where there is no such zone."""
    try:
        return ZoneInfo(name) if name else ZoneInfo("UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")
