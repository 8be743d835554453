"""Pause, Redirect, Reject, Hangup (twiml-voice.md sections 2 and 4)."""

from __future__ import annotations

from twimlrunner.engine import outcomes
from twimlrunner.engine.handler import VerbContext
from twimlrunner.engine.outcomes import Outcome
from twimlrunner.twiml.nodes.flow import Hangup, Redirect, Reject
from twimlrunner.twiml.nodes.pause import Pause

REJECT_STATUS = {"rejected": 404, "busy": 486}


async def run_pause(node: Pause, context: VerbContext) -> Outcome:
    """Wait, before the answer or after it."""
    await context.call.pause(node.length)
    return outcomes.Continue()


async def run_redirect(node: Redirect, context: VerbContext) -> Outcome:
    """Go on with another document; the call stays as it is."""
    return outcomes.Fetch(node.url, node.method, "redirect")


async def run_reject(node: Reject, context: VerbContext) -> Outcome:
    """Refuse the call."""
    return outcomes.Reject(REJECT_STATUS[node.reason])


async def run_hangup(node: Hangup, context: VerbContext) -> Outcome:
    """End the call."""
    return outcomes.Hangup("hangup")
