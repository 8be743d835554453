"""``say-as``: text → words in the language of the voice. Pure.

What is not known for a language is left to the engine, which reads its own language's dates and
numbers best.
"""

from __future__ import annotations

import re

from twimlrunner.speech.normalise import characters, digits, normalise, telephone
from twimlrunner.speech.tables import word_set

_MONTHS = {
    "en": "January February March April May June July August September October November December",
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre"
    " diciembre",
    "it": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre"
    " dicembre",
    "pt": "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro"
    " dezembro",
    "nl": "januari februari maart april mei juni juli augustus september oktober november december",
}
_DATE_FORMATS = word_set("mdy dmy ymd ydm md dm ym my d m y yyyymmdd")
_ORDINAL_SIGNS = {"de": ".", "es": "º", "it": "º", "pt": "º", "nl": "e"}
_INTEGER = re.compile(r"[+-]?\d{1,15}")
_MINUTES_SECONDS = re.compile(r"(\d{1,4})'\s*(?:(\d{1,2})(?:\"|'')?)?")


def say_as(text: str, kind: str, form: str, language: str) -> str:
    """``kind`` is ``interpret-as``, ``form`` the ``format`` attribute."""
    text = " ".join(text.split())
    primary = language.replace("_", "-").partition("-")[0].lower()
    match kind.strip().lower():
        case "digits" | "vxml:digits":
            return digits(text) or normalise(text, language)
        case "characters" | "spell-out" | "spell" | "verbatim" | "letters":
            return characters(text, language)
        case "cardinal" | "number" | "vxml:number":
            return _cardinal(text, primary)
        case "ordinal":
            return _ordinal(text, primary)
        case "telephone" | "vxml:phone" | "phone":
            return telephone(text) or normalise(text, language)
        case "date" | "vxml:date":
            return _date(text, form.strip().lower(), primary) or normalise(text, language)
        case "time" | "vxml:time":
            return _time(text, primary)
        case "expletive" | "bleep":
            return ""
        case _:  # currency, address, unit, name …: the engine reads them
            return normalise(text, language)


def _cardinal(text: str, primary: str) -> str:
    plain = text.replace(",", "").replace(" ", "")
    if primary == "en" and _INTEGER.fullmatch(plain):
        return f"{int(plain):,}"  # 1984 is a number here, not a year
    return text


def _ordinal(text: str, primary: str) -> str:
    plain = text.replace(",", "")
    if not _INTEGER.fullmatch(plain):
        return text
    number = int(plain)
    if primary == "en":
        return f"{number}{_english_suffix(number)}"
    if primary == "fr":
        return "1er" if number == 1 else f"{number}e"
    return f"{number}{_ORDINAL_SIGNS.get(primary, '')}"


def _english_suffix(number: int) -> str:
    if 10 <= abs(number) % 100 <= 20:
        return "th"
    return {1: "st", 2: "nd", 3: "rd"}.get(abs(number) % 10, "th")


def _date(text: str, form: str, primary: str) -> str:
    """Empty if the text is not a date of that format, or the language's months are unknown."""
    numbers = re.findall(r"\d+", text)
    if form in {"", "yyyymmdd"} and len(numbers) == 1 and len(numbers[0]) == 8:
        numbers = [numbers[0][:4], numbers[0][4:6], numbers[0][6:]]
    if form == "yyyymmdd" or (not form and len(numbers) == 3 and len(numbers[0]) == 4):
        form = "ymd"
    if form not in _DATE_FORMATS or len(numbers) != len(form) or primary not in _MONTHS:
        return ""
    values = dict(zip(form, (int(number[:4]) for number in numbers), strict=True))
    day, month, year = values.get("d", 0), values.get("m", 0), values.get("y", 0)
    if month > 12 or day > 31 or ("m" in values and not month) or ("d" in values and not day):
        return ""
    name = _MONTHS[primary].split()[month - 1] if month else ""
    return _date_words(day, name, year, primary)


def _date_words(day: int, month: str, year: int, primary: str) -> str:
    if primary == "en":
        spoken = f"{day}{_english_suffix(day)}" if day else ""
        head = " ".join(word for word in (month, spoken) if word)
        tail = str(year) if year else ""
        return f"{head}, {tail}" if head and tail and day else f"{head} {tail}".strip()
    number = (f"{day}." if primary == "de" else str(day)) if day else ""
    joint = " de " if primary in {"es", "pt"} else " "
    return joint.join(word for word in (number, month, str(year) if year else "") if word)


def _time(text: str, primary: str) -> str:
    match = _MINUTES_SECONDS.fullmatch(text)
    if match is None:
        return text
    minutes, seconds = int(match[1]), int(match[2] or 0)
    if primary != "en":
        return f"{minutes}:{seconds:02}"
    words = [_count(minutes, "minute")] if minutes else []
    if seconds or not minutes:
        words.append(_count(seconds, "second"))
    return " ".join(words)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
