"""Text as a telephone voice should read it. Pure.

Engines read amounts, years, dates and times by themselves; what they get wrong is what callers
write down: phone numbers, codes and the two odd keys of the keypad.
"""

from __future__ import annotations

import re

_KEY_NAMES = {
    "en": ("pound", "star", "number"),
    "de": ("Raute", "Stern", "Nummer"),
    "fr": ("dièse", "étoile", "numéro"),
    "es": ("almohadilla", "asterisco", "número"),
    "it": ("cancelletto", "asterisco", "numero"),
    "pt": ("cerquilha", "asterisco", "número"),
    "nl": ("hekje", "sterretje", "nummer"),
}
"""By language: ``#``, ``*``, and ``#`` in front of a number of something."""

_NUMBERED = re.compile(
    r"\b(order|ticket|case|account|invoice|room|suite|apartment|apt|unit|item|confirmation|"
    r"reference|ref|track|issue|gate|platform|line|lot|flight|no|n°|nr)\.?:?\s{1,3}#\s?(?=\w)",
    re.IGNORECASE,
)
_STAR = re.compile(r"(?<![^\W\d])\*(?![^\W\d])")
"""Not at a letter, where it is typography (``*bold*``)."""

_PHONE = re.compile(
    r"""(?<![\w.,$€£¥+-])
    (?:
        \+\d(?:[\s().-]{0,2}\d){6,14}              # +49 (30) 1234-567
      | (?:1[\s.-])?\(\d{3}\)\s?\d{3}[\s.-]\d{4}   # (415) 555-0100
      | (?:1[.\s-])?\d{3}([.\s-])\d{3}\1\d{4}      # 1-800-555-0199
      | \d{3}-\d{4}                                # 555-0199
    )
    (?![\w]|[.,-]\d)""",
    re.VERBOSE,
)
_LONG_DIGITS = re.compile(
    r"(?<![\w.,$€£¥:/-])(?:\d{7,}|0\d{2,}|\d{6}(?<!000))(?![\w/:%€£$]|[.,-]\d)"
)
"""Nobody says these as one number."""

_NAMED_DIGITS = re.compile(
    r"""(\b(?:code|pin|passcode|password|account|extension|ext|reference|ref|id|number|
    konto|nummer|código|número|codice|numero|compte)\b
    (?:\s{1,3}(?:number|code|id|no|ending|in|is|ist|es|è|est|dial|\#)){0,4}[.:]?\s{1,3})
    (\d{4,})(?![\w/:%]|[.,-]\d)""",
    re.IGNORECASE | re.VERBOSE,
)
_CODE = re.compile(r"(?<![\w$€£¥/.@-])(?=(?:[A-Z]*\d){3})(?=\d*[A-Z])[A-Z\d]{4,16}(?![\w/@])")
"""Capitals and at least three digits: ABC123."""

_CONTROLS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
_DIGIT_GROUP = re.compile(r"\d+")


def normalise(text: str, language: str) -> str:
    """``text`` rewritten for reading aloud in ``language`` (a BCP-47 tag)."""
    text = _CONTROLS.sub("", text)
    if _DIGIT_GROUP.search(text):
        text = _PHONE.sub(lambda match: telephone(match.group()), text)
        text = _NAMED_DIGITS.sub(lambda match: match[1] + digits(match[2]), text)
        text = _LONG_DIGITS.sub(lambda match: digits(match.group()), text)
        text = _CODE.sub(lambda match: characters(match.group(), language), text)
    if "#" in text or "*" in text:
        text = _keys(text, language)
    return text


def digits(number: str) -> str:
    """Each digit by itself, in threes so that they can be written down; other signs vanish."""
    only = [sign for sign in number if sign.isdigit()]
    size = 4 if len(only) % 4 == 0 else 3
    groups = [" ".join(only[at : at + size]) for at in range(0, len(only), size)]
    return ", ".join(groups)


def telephone(number: str) -> str:
    """A phone number in its own groups; one without groups is cut in threes, then four."""
    groups = _DIGIT_GROUP.findall(number)
    if len(groups) == 1 and len(groups[0]) > 5:
        groups = _phone_groups(groups[0], plus=number.lstrip().startswith("+"))
    spoken = ", ".join(" ".join(group) for group in groups)
    return f"plus {spoken}" if number.lstrip().startswith("+") else spoken


def characters(text: str, language: str) -> str:
    """Letter by letter. Upper case, since engines read a lower-case ``a`` as a word."""
    names = _key_names(language)
    signs = [_sign_name(sign, names) for sign in text if not sign.isspace()]
    return ", ".join(signs)


def _sign_name(sign: str, names: tuple[str, str, str]) -> str:
    if sign == "#":
        return names[0]
    if sign == "*":
        return names[1]
    upper = sign.upper()
    return upper if len(upper) == 1 else sign


def _phone_groups(number: str, *, plus: bool) -> list[str]:
    head: list[str] = []
    if len(number) == 11 and number[0] == "1":
        head, number = ["1"], number[1:]
    elif plus:
        head, number = [number[:2]], number[2:]
    last = 4 if len(number) % 3 else 3
    body = number[:-last]
    return [*head, *(body[at : at + 3] for at in range(0, len(body), 3)), number[-last:]]


def _keys(text: str, language: str) -> str:
    pound, star, number = _key_names(language)
    if not star:
        return text
    text = _NUMBERED.sub(lambda match: f"{match[1]} {number} ", text)
    text = text.replace("#", f" {pound} ")
    text = _STAR.sub(f" {star} ", text)
    text = re.sub(r"[ \t]{2,}", " ", text)
    return re.sub(r" (?=[.,;:!?](?:\s|$))", "", text).strip(" ")


def _key_names(language: str) -> tuple[str, str, str]:
    """Empty names: the engine names the signs itself."""
    primary = language.replace("_", "-").partition("-")[0].lower()
    return _KEY_NAMES.get(primary, ("", "", ""))
