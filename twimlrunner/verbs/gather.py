"""Gather: digits while prompts play (twiml-voice.md section 2)."""

from __future__ import annotations

from collections.abc import Sequence

from twimlrunner.engine.digits import Collection
from twimlrunner.engine.handler import VerbContext
from twimlrunner.engine.outcomes import Continue, Fetch, Outcome
from twimlrunner.engine.ports import VerbFailed
from twimlrunner.engine.scopes import first_key
from twimlrunner.twiml.document import Node
from twimlrunner.twiml.errors import UNSUPPORTED_VERB
from twimlrunner.twiml.nodes.gather import Gather
from twimlrunner.webhooks.request import gather_report

DEFAULT_TIMEOUT = 5  # seconds; also what "auto" means to digits
NOT_AUDIO = 13420
PROMPT_NOT_AUDIO = 13325


async def run_gather(node: Gather, context: VerbContext) -> Outcome:
    """Collect digits; with some (or ``actionOnEmptyResult``) ask the action, else go on.

    The peer's hang-up ends it without a report.
    """
    if "speech" in node.input:
        context.warn(
            UNSUPPORTED_VERB,
            f'line {node.line}: <Gather input="speech"> is not supported by this version; '
            "speech is not listened to",
        )
    timeout = DEFAULT_TIMEOUT if node.timeout is None else node.timeout
    result = Collection(node.finish_on_key, node.num_digits)
    if "dtmf" in node.input:
        await _collect(node, context, result, timeout)
    else:
        await _play(node.prompts, context)
        await context.call.pause(timeout)
    if result.digits or node.action_on_empty_result:
        report = gather_report(result.digits, result.finished_on)
        return Fetch(node.action, node.method, "gather-action", report)
    return Continue()


async def _collect(node: Gather, context: VerbContext, result: Collection, timeout: int) -> None:
    """Until a key ends it, or ``timeout`` seconds after the last one or the prompts' end."""
    key = await _first_key(node, context, timeout)
    while key is not None and result.add(key):
        key = await context.call.next_digit(timeout)


async def _first_key(node: Gather, context: VerbContext, timeout: int) -> str | None:
    call = context.call
    if not node.barge_in:
        await _play(node.prompts, context)
        call.forget_digits()
        return await call.next_digit(timeout)
    if not call.type_ahead:
        call.forget_digits()
    elif key := await call.next_digit(0):
        return key  # typed ahead: no prompt is begun
    return await first_key(call, _play(node.prompts, context), timeout)


async def _play(prompts: Sequence[Node], context: VerbContext) -> None:
    try:
        await context.perform(prompts)
    except VerbFailed as error:
        if error.code == NOT_AUDIO:
            raise VerbFailed(PROMPT_NOT_AUDIO, error.message, error.url) from error
        raise
