"""What a screening document may not hold (twiml-voice.md section 3, ``url`` of a dialled noun)."""

from __future__ import annotations

from twimlrunner.engine.handler import VerbContext
from twimlrunner.engine.outcomes import Continue, Outcome
from twimlrunner.engine.ports import VerbFailed
from twimlrunner.twiml.document import Node
from twimlrunner.twiml.errors import SCHEMA
from twimlrunner.twiml.nodes.dial import Dial

DIAL_IN_SCREENING = 13201


async def run_dial_again(node: Dial, context: VerbContext) -> Outcome:
    """Raises VerbFailed: a callee cannot dial on before being bridged."""
    message = f"line {node.line}: <Dial> may not stand in the document of a dialled party"
    raise VerbFailed(DIAL_IN_SCREENING, message)


async def run_not_allowed(node: Node, context: VerbContext) -> Outcome:
    """Tell that the verb is skipped, and go on."""
    message = f"line {node.line}: <{node.NAME}> may not stand in the document of a dialled party"
    context.warn(SCHEMA, f"{message}; it is skipped")
    return Continue()
