"""Verbs of the language whose behaviour this version does not have: skipped, never in silence."""

from __future__ import annotations

from twimlrunner.engine.handler import VerbContext
from twimlrunner.engine.outcomes import Continue, Outcome
from twimlrunner.twiml.document import Node
from twimlrunner.twiml.errors import UNSUPPORTED_VERB
from twimlrunner.twiml.nodes.pay import Sms

LEGACY_VERB = 13750


async def run_unsupported(node: Node, context: VerbContext) -> Outcome:
    """Tell the customer which verb was skipped, and go on."""
    return _skip(node, context, UNSUPPORTED_VERB)


async def run_sms(node: Sms, context: VerbContext) -> Outcome:
    """As above: voice documents no longer send messages (twiml-voice.md section 4)."""
    return _skip(node, context, LEGACY_VERB)


def _skip(node: Node, context: VerbContext, code: int) -> Outcome:
    message = f"line {node.line}: <{node.NAME}> is not supported by this version; it is skipped"
    context.warn(code, message)
    return Continue()
