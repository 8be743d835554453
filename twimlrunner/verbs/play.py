"""Play (twiml-voice.md section 2)."""

from __future__ import annotations

from twimlrunner.engine.handler import VerbContext
from twimlrunner.engine.outcomes import Continue, Outcome
from twimlrunner.engine.ports import AudioUrl
from twimlrunner.twiml.nodes.play import Play


async def run_play(node: Play, context: VerbContext) -> Outcome:
    """Send the digits instead of the audio where there are any, else play it, ``loop`` times."""
    if node.digits:
        for _ in range(node.loop):
            await context.call.send_digits(node.digits)
    elif node.url:
        audio = AudioUrl(context.resolve(node.url))
        for _ in range(node.loop):
            await context.call.play(audio)
    return Continue()
