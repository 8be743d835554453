"""DTMF in the bodies of INFO: ``application/dtmf-relay`` and ``application/dtmf``.

Neither has an RFC of its own; what phones send differs in blanks, case and how ``*`` and ``#`` are
written, so all of it is understood.
"""

from __future__ import annotations

from typing import Final, NamedTuple

DTMF_TYPES: Final = frozenset({"application/dtmf-relay", "application/dtmf"})
"""Media types whose bodies ``read_digit`` reads; an INFO with another body is answered 415."""

DEFAULT_DURATION_MS: Final = 100
_LONGEST_DURATION_MS: Final = 10_000
_MAX_BODY: Final = 256

# RFC 4733 section 3.2 numbers the keys that have no digit.
_KEYS: Final = {
    **{key: key for key in "0123456789*#ABCD"},
    **{str(number): key for number, key in enumerate("*#ABCD", 10)},
}


class Digit(NamedTuple):
    """One key: ``0-9 A-D * #``."""

    key: str
    duration_ms: int


def read_digit(content_type: str | None, body: bytes) -> Digit | None:
    """Return the key that an INFO reports; None when it reports none.

    ``content_type`` is ``Message.content_type``: lower case, without parameters.
    """
    if content_type not in DTMF_TYPES or len(body) > _MAX_BODY:
        return None
    text = body.decode("ascii", "replace").strip()
    if "=" not in text and content_type == "application/dtmf":
        key = _KEYS.get(text.upper())
        return Digit(key, DEFAULT_DURATION_MS) if key else None
    key = None
    duration = DEFAULT_DURATION_MS
    for line in text.splitlines():
        name, _, value = line.partition("=")
        match name.strip().lower():
            case "signal":
                key = _KEYS.get(value.strip().upper())
            case "duration":
                duration = _duration(value.strip())
    return Digit(key, duration) if key else None


def _duration(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 6:
        return DEFAULT_DURATION_MS
    return min(int(text), _LONGEST_DURATION_MS) or DEFAULT_DURATION_MS
