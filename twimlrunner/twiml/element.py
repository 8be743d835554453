"""One element being read: its attributes, its text, its children. Pure.

Comments and processing instructions never get here: the XML parser drops them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableSequence
from typing import TypeVar

from lxml import etree

from twimlrunner.twiml.attributes import Attributes, quoted
from twimlrunner.twiml.errors import SCHEMA, Issue

T = TypeVar("T")

Reader = Callable[["Element"], T]


class Element(Attributes):
    """What a node's ``from_element`` reads itself from.

    :meth:`read` applies a reader and reports what it has not taken.
    """

    __slots__ = ("_children_read", "_text_read", "source")

    def __init__(self, source: etree._Element, issues: MutableSequence[Issue]) -> None:
        super().__init__(str(source.tag), source.sourceline or 0, dict(source.items()), issues)
        self.source = source
        self._text_read = False
        self._children_read = False

    def read(self, reader: Reader[T]) -> T:
        """The node that ``reader`` makes of this element; what it left over is reported."""
        node = reader(self)
        self.refuse_rest()
        if not self._text_read:
            self._refuse_text()
        if not self._children_read:
            self.children({})
        return node

    def body(self) -> str:
        """The element's own text without that of children, surrounding blanks removed."""
        self._text_read = True
        source = self.source
        text = source.text or ""
        if len(source):
            text += "".join(child.tail or "" for child in source)
        return text.strip()

    def children(self, readers: Mapping[str, Reader[T]], code: int = SCHEMA) -> tuple[T, ...]:
        """Nodes of the child elements that ``readers`` knows by name; others cost ``code``."""
        return tuple([child.read(reader) for child, reader in self.known(readers, code)])

    def known(
        self, readers: Mapping[str, Reader[T]], code: int = SCHEMA
    ) -> Iterator[tuple[Element, Reader[T]]]:
        """As :meth:`children`, not read yet."""
        self._children_read = True
        for source in self.source:
            reader = readers.get(str(source.tag))
            if reader is None:
                found = quoted(str(source.tag))
                self.report(code, f"may not contain {found}; it is skipped", source.sourceline)
            else:
                yield Element(source, self._issues), reader

    def take_children(self) -> etree._Element:
        """The source, for a node that reads its mixed content itself (Say)."""
        self._text_read = self._children_read = True
        return self.source

    def _refuse_text(self) -> None:
        source = self.source
        if (source.text and not source.text.isspace()) or any(
            child.tail and not child.tail.isspace() for child in source
        ):
            self.report(SCHEMA, "may not contain text; it is ignored")
