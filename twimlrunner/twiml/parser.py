"""Bytes → :class:`Document`. Pure.

Hardened for hostile input: no document type, so no entities; no network; size, depth and number
of elements have limits. :mod:`errors` says what each kind of mistake leads to.
"""

from __future__ import annotations

from collections.abc import Mapping

from lxml import etree

from twimlrunner.twiml import limits
from twimlrunner.twiml.attributes import quoted
from twimlrunner.twiml.document import Document, Invalid, Node
from twimlrunner.twiml.element import Element, Reader
from twimlrunner.twiml.errors import (
    BODY_TOO_LARGE,
    NOT_XML,
    WRONG_ROOT,
    WRONG_VERSION,
    Issue,
    TwimlError,
)
from twimlrunner.twiml.nodes import NODES

# The version of the API, and of XML for those who repeat it here (inferred).
_VERSIONS = frozenset({"2010-04-01", "1.0"})

_READERS: Mapping[str, Reader[Node]] = {name: node.from_element for name, node in NODES.items()}


def parse(body: bytes) -> Document:
    """The document of an XML text. Raises :class:`TwimlError` when it is none.

    Codes: 11750 too large, 12100 not well formed (or with a document type, too deep, too many
    elements or attributes), 12101 wrong version, 12102 root is not Response. Every other mistake
    becomes an issue of the document or an :class:`Invalid` node in it.
    """
    root = _root(body)
    if root.tag != "Response":
        found = quoted(str(root.tag))
        raise TwimlError(WRONG_ROOT, f"root element is {found}, not Response", _line(root))
    issues: list[Issue] = []
    nodes = Element(root, issues).read(_verbs)
    return Document(nodes, tuple(issues))


def _verbs(response: Element) -> tuple[Node, ...]:
    version = response.text("version")
    if version and version not in _VERSIONS:
        raise TwimlError(WRONG_VERSION, f"version {quoted(version)} is unknown", response.line)
    nodes: list[Node] = []
    for element, reader in response.known(_READERS):
        try:
            nodes.append(element.read(reader))
        except TwimlError as error:
            issue = Issue(error.code, "error", error.message, error.line)
            nodes.append(Invalid(element.name, issue, element.line))
    return tuple(nodes)


def _root(body: bytes) -> etree._Element:
    if len(body) > limits.DOCUMENT_BYTES:
        raise TwimlError(BODY_TOO_LARGE, f"document is over {limits.DOCUMENT_BYTES} bytes")
    # One XML parser per document: a shared one keeps every name it ever met (measured 24 MB after
    # a million hostile names), a new one costs a microsecond.
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
        collect_ids=False,
    )
    try:
        root = etree.fromstring(body, parser)
    except etree.XMLSyntaxError as error:
        raise TwimlError(NOT_XML, f"not well-formed XML: {error.msg}", error.lineno or 0) from None
    if root.getroottree().docinfo.internalDTD is not None:
        raise TwimlError(NOT_XML, "a document type declaration (DOCTYPE) is not allowed", 1)
    _check_extent(root)
    return root


def _check_extent(root: etree._Element) -> None:
    """Bound breadth and depth before anything walks the tree.

    Attributes too: libxml2 looks each one up from the first, 6000 of them cost 60 ms.
    """
    elements, depth, level = 0, 0, [root]
    while level:
        elements += len(level)
        depth += 1
        if elements > limits.ELEMENTS:
            raise TwimlError(NOT_XML, f"over {limits.ELEMENTS} elements", _line(level[0]))
        if depth > limits.DEPTH:
            raise TwimlError(NOT_XML, f"nested deeper than {limits.DEPTH}", _line(level[0]))
        below: list[etree._Element] = []
        for element in level:
            if len(element.attrib) > limits.ATTRIBUTES:
                raise TwimlError(NOT_XML, f"over {limits.ATTRIBUTES} attributes", _line(element))
            below.extend(element)
        level = below


def _line(element: etree._Element) -> int:
    return element.sourceline or 0
