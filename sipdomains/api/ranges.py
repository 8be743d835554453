"""Byte ranges of HTTP (RFC 9110 section 14). Pure."""

from __future__ import annotations


class Unsatisfiable(Exception):
    """The range lies beyond the end (416)."""


def byte_range(header: str, size: int) -> tuple[int, int] | None:
    """(first, last) byte, both included, of a ``Range`` header over ``size`` bytes.

    None when the whole is to be sent: no header, another unit, several ranges, or one that cannot
    be read (section 14.2 allows to ignore those). Raises Unsatisfiable.
    """
    unit, _, given = header.partition("=")
    if unit.strip().lower() != "bytes" or "," in given:
        return None
    start, dash, end = (part.strip() for part in given.partition("-"))
    if not dash or not (start or end) or not all(_is_number(part) for part in (start, end)):
        return None
    if not start:
        length = int(end)
        if not length or not size:
            raise Unsatisfiable
        return max(0, size - length), size - 1
    first, last = int(start), int(end) if end else size - 1
    if end and last < first:
        return None
    if first >= size:
        raise Unsatisfiable
    return first, min(last, size - 1)


def _is_number(text: str) -> bool:
    return not text or (text.isascii() and text.isdecimal() and len(text) <= 18)
