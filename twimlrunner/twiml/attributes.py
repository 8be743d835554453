"""Typed readers for the attributes of one element. Pure.

Each reader takes an attribute off the element and returns a usable value: the parsed one, or the
default when the attribute is absent, or the default after reporting ``code`` when the value is
not allowed (twiml-voice.md section 1). What nobody has taken when the element is done is unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, MutableSequence
from typing import overload
from urllib.parse import urlsplit

from twimlrunner.twiml import limits
from twimlrunner.twiml.errors import INVALID_URL, SCHEMA, Issue, TwimlError, level_of
from twimlrunner.twiml.redact import without_passwords

METHODS = ("GET", "POST")
_SCHEMES = ("", "http", "https")


def quoted(value: str) -> str:
    """A customer's value for a message, cut to a readable length."""
    if len(value) > limits.QUOTED_VALUE:
        value = value[: limits.QUOTED_VALUE] + "…"
    return f'"{value}"'


def is_language_tag(value: str) -> bool:
    """Whether ``value`` has the form of a BCP 47 tag: ``de``, ``en-US``, ``cmn-Hans-CN``."""
    primary, *others = value.split("-")
    return (
        value.isascii()
        and primary.isalpha()
        and 2 <= len(primary) <= 8
        and all(other.isalnum() and len(other) <= 8 for other in others)
    )


def is_http_url(value: str) -> bool:
    """Whether ``value`` may be an absolute or relative HTTP URL: no blanks, no other scheme."""
    if not value.isprintable() or " " in value:
        return False
    try:
        parts = urlsplit(value)
        parts.port  # noqa: B018 - raises ValueError for a port that is none
    except ValueError:
        return False
    return parts.scheme in _SCHEMES and (not parts.scheme or bool(parts.hostname))


class Attributes:
    """The attributes of one element that have not been taken yet, and where findings go."""

    __slots__ = ("_attributes", "_issues", "line", "name")

    def __init__(
        self, name: str, line: int, attributes: dict[str, str], issues: MutableSequence[Issue]
    ) -> None:
        self.name = name
        self.line = line
        self._attributes = attributes
        self._issues = issues

    # --- findings -----------------------------------------------------------------------------

    def report(self, code: int, message: str, line: int | None = None) -> None:
        """Record a warning, or raise :class:`TwimlError` when the code's level is error.

        ``line`` is the element's own when the finding is not elsewhere.
        """
        message = f"<{self.name}> {message}"
        if line is None:
            line = self.line
        if level_of(code) == "error":
            raise TwimlError(code, message, line)
        count = len(self._issues)
        if count < limits.ISSUES:
            self._issues.append(Issue(code, "warning", message, line))
        elif count == limits.ISSUES:
            self._issues.append(Issue(SCHEMA, "warning", "further warnings left out", line))

    def refuse_rest(self) -> None:
        """Report the attributes that no reader took (12200)."""
        if self._attributes:
            for name in self._attributes:
                self.report(SCHEMA, f"has no attribute {quoted(name)}; it is ignored")
            self._attributes.clear()

    def _bad(self, name: str, value: str, wanted: str, code: int) -> None:
        shown = quoted(without_passwords(value))
        self.report(code, f"{name}={shown} is not {wanted}; the default is used")

    # --- readers ------------------------------------------------------------------------------

    def is_empty(self, name: str) -> bool:
        """Whether the attribute is there with an empty value."""
        return self._attributes.get(name) == ""

    def text(
        self, name: str, default: str = "", *, longest: int | None = None, code: int = SCHEMA
    ) -> str:
        """Any text, surrounding blanks removed."""
        value = self._attributes.pop(name, None)
        if value is None:
            return default
        value = value.strip()
        if longest is not None and len(value) > longest:
            self._bad(name, value, f"at most {longest} characters long", code)
            return default
        return value

    @overload
    def integer(
        self, name: str, default: int, *, low: int = ..., high: int | None = ..., code: int = ...
    ) -> int: ...
    @overload
    def integer(
        self, name: str, default: None, *, low: int = ..., high: int | None = ..., code: int = ...
    ) -> int | None: ...
    def integer(
        self,
        name: str,
        default: int | None,
        *,
        low: int = 0,
        high: int | None = None,
        code: int = SCHEMA,
    ) -> int | None:
        """A whole number from ``low`` to ``high`` (None: as far as nine digits go)."""
        value = self._attributes.pop(name, None)
        if value is None:
            return default
        digits = value.strip()
        if digits.isascii() and digits.isdigit() and len(digits) <= 9:
            number = int(digits)
            if number >= low and (high is None or number <= high):
                return number
        wanted = f"a whole number from {low}" + (f" to {high}" if high is not None else "")
        self._bad(name, value, wanted, code)
        return default

    def loop(self, *, code: int) -> int:
        """How often to play: ``loop``, where 0 and whatever is over the cap mean the cap."""
        wanted = self.integer("loop", 1, code=code)
        return min(wanted or limits.ENDLESS_LOOPS, limits.ENDLESS_LOOPS)

    def seconds_or_auto(self, name: str, default: int | None, *, code: int) -> int | None:
        """Seconds above 0, or None for ``auto``."""
        if self._attributes.get(name) == "auto":
            del self._attributes[name]
            return None
        return self.integer(name, default, low=1, code=code)

    def boolean(self, name: str, default: bool, *, code: int = SCHEMA) -> bool:
        """``true`` or ``false``."""
        value = self._attributes.pop(name, None)
        if value is None:
            return default
        if value == "true":
            return True
        if value != "false":
            self._bad(name, value, "true or false", code)
            return default
        return False

    def one_of(
        self, name: str, default: str, allowed: Collection[str], *, code: int = SCHEMA
    ) -> str:
        """One of the listed words, as written."""
        value = self._attributes.pop(name, None)
        if value is None:
            return default
        word = value.strip()
        if word not in allowed:
            self._bad(name, value, f"one of {', '.join(allowed)}", code)
            return default
        return word

    def some_of(
        self, name: str, default: tuple[str, ...], allowed: Collection[str], *, code: int = SCHEMA
    ) -> tuple[str, ...]:
        """Listed words separated by blanks, each once, in the order given."""
        value = self._attributes.pop(name, None)
        if value is None:
            return default
        words = tuple(dict.fromkeys(value.split()))
        if not words or any(word not in allowed for word in words):
            self._bad(name, value, f"a list of {', '.join(allowed)}", code)
            return default
        return words

    def method(self, name: str = "method", default: str = "POST", *, code: int = SCHEMA) -> str:
        """``GET`` or ``POST`` in any case."""
        value = self._attributes.pop(name, None)
        if value is None:
            return default
        method = value.strip().upper()
        if method not in METHODS:
            self._bad(name, value, "GET or POST", code)
            return default
        return method

    def url(self, name: str, *, code: int = INVALID_URL) -> str | None:
        """An absolute or relative HTTP URL; None when absent or empty."""
        value = self._attributes.pop(name, "").strip()
        if not value:
            return None
        if not is_http_url(value):
            self._bad(name, value, "an HTTP URL", code)
            return None
        return value

    def callback(self, name: str) -> str | None:
        """URL of an asynchronous callback: a bad one costs the callback, not the document."""
        return self.url(name, code=SCHEMA)

    def language(self, name: str, default: str, *, code: int = SCHEMA) -> str:
        """A BCP 47 language tag."""
        return self.checked(name, default, is_language_tag, "a language tag", code=code)

    def characters(self, name: str, default: str, allowed: str, *, code: int = SCHEMA) -> str:
        """Text made of the characters of ``allowed`` only; may be empty."""
        value = self._attributes.pop(name, None)
        if value is None:
            return default
        value = value.strip()
        if value.strip(allowed):
            self._bad(name, value, f"made of {allowed}", code)
            return default
        return value

    def checked(
        self,
        name: str,
        default: str,
        allowed: Callable[[str], bool],
        wanted: str,
        *,
        code: int = SCHEMA,
    ) -> str:
        """Text for which ``allowed`` holds; ``wanted`` completes "is not …"."""
        value = self._attributes.pop(name, None)
        if value is None:
            return default
        value = value.strip()
        if not allowed(value):
            self._bad(name, value, wanted, code)
            return default
        return value

    def options(self, names: Collection[str]) -> tuple[tuple[str, str], ...]:
        """(name, value) of those of ``names`` that are there: settings handed on as they are."""
        return tuple([(name, self.text(name)) for name in names if name in self._attributes])
