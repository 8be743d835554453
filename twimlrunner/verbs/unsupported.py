"""Verbs of the language whose behaviour this version does not have."""

from __future__ import annotations

from twimlrunner.engine.handler import VerbContext
from twimlrunner.engine.outcomes import Continue, Outcome
from twimlrunner.twiml.document import Node
from twimlrunner.twiml.errors import UNSUPPORTED_VERB


async def run_unsupported(node: Node, context: VerbContext) -> Outcome:
    """Tell the customer which verb was skipped, and go on."""
    message = f"line {node.line}: <{node.NAME}> is not supported by this version; it is skipped"
    context.warn(UNSUPPORTED_VERB, message)
    return Continue()
