"""Say (twiml-voice.md section 2)."""

from __future__ import annotations

from twimlrunner.engine.handler import VerbContext
from twimlrunner.engine.outcomes import Continue, Outcome
from twimlrunner.engine.ports import Speech
from twimlrunner.twiml.nodes.say import Say


async def run_say(node: Say, context: VerbContext) -> Outcome:
    """Speak the text ``loop`` times; an empty one says nothing (reported when it was read)."""
    if node.text or node.ssml:
        speech = Speech(node.text, node.voice, node.language, node.ssml)
        for _ in range(node.loop):
            await context.call.play(speech)
    return Continue()
