"""The markup inside Say: which tags and attributes exist, and what is said without them. Pure.

Source: twiml-voice.md section 2, Say.
"""

from __future__ import annotations

from collections.abc import Callable
from html import escape

from lxml import etree

_LANG = "{http://www.w3.org/XML/1998/namespace}lang"

TAGS: dict[str, frozenset[str]] = {
    "break": frozenset({"strength", "time"}),
    "emphasis": frozenset({"level"}),
    "lang": frozenset({_LANG}),
    "p": frozenset(),
    "phoneme": frozenset({"alphabet", "ph"}),
    "prosody": frozenset({"volume", "rate", "pitch"}),
    "s": frozenset(),
    "say-as": frozenset({"interpret-as", "format"}),
    "sub": frozenset({"alias"}),
    "w": frozenset({"role"}),
}

Report = Callable[[str], None]


def read_markup(source: etree._Element, report: Report) -> tuple[str, str]:
    """(inner XML, plain text) of an element with mixed content.

    The XML holds only known tags and attributes. An unknown tag is reported and its text spoken
    (inferred), but an element of TwiML (they alone begin with a capital) is left out whole: nobody
    wants to hear the URL of a misplaced Play.
    """
    markup = [escape(source.text or "", quote=False)]
    plain = [source.text or ""]
    for child in source:
        name = str(child.tag)
        if name[:1].isupper():
            report(f"may not contain {name[:60]!r}; it is skipped")
        else:
            inner, spoken = read_markup(child, report)
            plain.append(spoken if name != "sub" else child.get("alias", spoken))
            if name in TAGS:
                markup.append(f"<{name}{_attributes(child, report)}>{inner}</{name}>")
            else:
                report(f"knows no tag {name[:60]!r}; its text is spoken")
                markup.append(inner)
        tail = child.tail or ""
        markup.append(escape(tail, quote=False))
        plain.append(tail)
    return "".join(markup), "".join(plain)


def _attributes(element: etree._Element, report: Report) -> str:
    tag = str(element.tag)
    known = TAGS[tag]
    written = []
    for key, value in element.attrib.items():
        name = str(key)
        if name in known:
            shown = "xml:lang" if name == _LANG else name
            written.append(f' {shown}="{escape(str(value))}"')
        else:
            report(f"{tag} has no attribute {name[:60]!r}; it is ignored")
    return "".join(written)
