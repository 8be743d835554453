"""TwiML with its syntax coloured: a small tokenizer that takes whatever an application sends. Pure.

Broken, cut or hostile text loses its colours, never a character. One walk over the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from django.utils.html import format_html_join
from django.utils.safestring import SafeString

_CONTENT = re.compile(
    r"(?P<comment><!--.*?(?:-->|\Z)|<\?.*?(?:\?>|\Z)|<![A-Z][^>]*>?)"
    r"|(?P<string><!\[CDATA\[.*?(?:\]\]>|\Z))"
    r"|(?P<tag></?[A-Za-z_][\w.:-]*)"
    r"|(?P<entity>&\#?\w{1,31};)"
    r"|(?P<plain>[^<&]+|.)",
    re.DOTALL,
)
_TAG = re.compile(
    r"(?P<plain>\s+|=)"
    r"|(?P<attribute>[A-Za-z_][\w.:-]*)"
    r"""|(?P<string>"[^"]*(?:"|\Z)|'[^']*(?:'|\Z))"""
    r"|(?P<tag>/?>)"
    r"|(?P<odd>.)",
    re.DOTALL,
)
_CLASSES = {"comment": "x-c", "string": "x-s", "tag": "x-t", "attribute": "x-a", "entity": "x-e"}


@dataclass(slots=True)
class Line:
    """``html`` is coloured and escaped. Set elsewhere: ``ran`` marks lines of verbs that ran,
    ``last`` the one that runs or was the last to, ``beside`` what became of them."""

    number: int
    html: SafeString
    ran: bool = False
    last: bool = False
    failed: bool = False
    beside: list[str] = field(default_factory=list)


def numbered(text: str) -> list[Line]:
    """The lines of ``text``, coloured when it looks like XML."""
    pieces = tokens(text) if text.lstrip("\ufeff \t\r\n").startswith("<") else [("", text)]
    lines: list[list[tuple[str, str]]] = [[]]
    for kind, piece in pieces:
        for number, part in enumerate(piece.replace("\r\n", "\n").split("\n")):
            if number:
                lines.append([])
            if part:
                lines[-1].append((_CLASSES.get(kind, "x"), part))
    if not lines[-1]:
        lines.pop()
    return [
        Line(number, format_html_join("", '<i class="{}">{}</i>', parts))
        for number, parts in enumerate(lines, 1)
    ]


def tokens(text: str) -> Iterator[tuple[str, str]]:
    """(kind, piece): comment, string, tag, attribute, entity or plain. The pieces make the text."""
    place = 0
    within = False
    while place < len(text):
        found = (_TAG if within else _CONTENT).match(text, place)
        if found is None:  # cannot be: both end with any character
            yield "plain", text[place:]
            return
        kind, piece = found.lastgroup or "plain", found[0]
        if within and (piece.endswith(">") and kind == "tag"):
            within = False
        elif not within and kind == "tag":
            within = True
        elif within and piece == "<":  # the tag was never closed
            within, kind = False, "plain"
        yield kind, piece
        place = found.end()
