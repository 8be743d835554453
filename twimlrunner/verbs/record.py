"""Record: record the caller (twiml-voice.md section 2, webhooks.md section 4.1)."""

from __future__ import annotations

from twimlrunner.engine.handler import VerbContext
from twimlrunner.engine.outcomes import Continue, Fetch, Outcome
from twimlrunner.engine.ports import CallEnded, Recorded, RecordPlan
from twimlrunner.twiml.nodes.record import Record
from twimlrunner.verbs.callbacks import callback_target
from twimlrunner.webhooks.request import record_report

TOO_SHORT = 16101
SILENT = 16102
NOT_TRANSCRIBED = 13617


async def run_record(node: Record, context: VerbContext) -> Outcome:
    """Record, then report to the action, also of a peer that has hung up. Goes on when there is
    nothing to report. Keys pressed before the recording do not end it."""
    if node.transcribe:
        message = f"line {node.line}: transcription is not supported by this version"
        context.warn(NOT_TRANSCRIBED, f"{message}; the call is recorded without")
    context.call.forget_digits()
    recorded = await context.call.record(_plan(node, context))
    if recorded.heard:
        return Fetch(node.action, node.method, "record-action", _report(recorded), parting=True)
    if recorded.ended_by == "hangup":
        raise CallEnded
    if recorded.silent:
        context.warn(SILENT, f"line {node.line}: nothing but silence was recorded")
    else:
        context.warn(TOO_SHORT, f"line {node.line}: the recording was too short to keep")
    return Continue()


def _plan(node: Record, context: VerbContext) -> RecordPlan:
    return RecordPlan(
        max_length=node.max_length,
        silence_timeout=node.timeout,
        finish_on=node.finish_on_key,
        beep=node.play_beep,
        trim=node.trim == "trim-silence",
        callback=callback_target(node.recording_callback, context),
    )


def _report(recorded: Recorded) -> tuple[tuple[str, str], ...]:
    return record_report(
        url=recorded.url,
        sid=recorded.sid,
        seconds=recorded.seconds,
        digits="hangup" if recorded.ended_by == "hangup" else recorded.key,
    )
