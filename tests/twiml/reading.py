"""Helpers of the TwiML tests: read one verb, say what was found."""

from __future__ import annotations

from typing import Any

from twimlrunner.twiml.document import Document, Invalid
from twimlrunner.twiml.parser import parse


def document(inner: str) -> Document:
    return parse(f"<Response>{inner}</Response>".encode())


def read(inner: str) -> tuple[Any, list[int]]:
    """(the one verb, codes of all warnings)."""
    result = document(inner)
    (node,) = result.nodes
    return node, [issue.code for issue in result.issues]


def attribute(template: str, name: str, value: str | None) -> tuple[Any, list[int]]:
    """Read ``template`` with ``¶`` replaced by the attribute; None leaves it out."""
    if value is None:
        written = ""
    else:
        escaped = value.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
        written = f' {name}="{escaped}"'
    return read(template.replace("¶", written, 1))


def check(
    template: str, name: str, value: str | None, path: str, expected: Any, code: int | None
) -> None:
    """One row of a vendor table: the value read at ``path`` and the code it costs.

    ``expected`` an Invalid's code is given as ``("error", code)``.
    """
    node, codes = attribute(template, name, value)
    if isinstance(expected, tuple) and expected[:1] == ("error",):
        assert isinstance(node, Invalid)
        assert node.issue.code == expected[1]
        assert node.issue.level == "error"
        return
    found = node
    for step in path.split("."):
        found = found[int(step)] if step.isdigit() else getattr(found, step)
    assert found == expected
    assert codes == ([] if code is None else [code])
