"""A readable way to write long word lists. Pure."""

from __future__ import annotations


def word_set(words: str) -> frozenset[str]:
    """The words of a text, separated by blanks."""
    return frozenset(words.split())
