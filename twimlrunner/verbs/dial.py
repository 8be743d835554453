"""Dial: connect the caller with somebody (twiml-voice.md section 3, webhooks.md section 4.1)."""

from __future__ import annotations

from twimlrunner.engine.handler import VerbContext
from twimlrunner.engine.outcomes import TRANSFERRED, Continue, Fetch, Hangup, Needs, Outcome
from twimlrunner.engine.ports import CallEnded, Dialled, DialPlan, DialRecording, DialTarget
from twimlrunner.twiml.nodes.dial import Dial
from twimlrunner.verbs.callbacks import callback_target
from twimlrunner.verbs.targets import SIP, dial_target
from twimlrunner.webhooks.request import dial_report, dial_sip_report, transfer_report

_FAILED = Dialled("failed")


def dial_needs(node: Dial) -> Needs:
    """With answerOnBridge the answer of the dialled party answers the caller."""
    return Needs.NOTHING if node.answer_on_bridge else Needs.ANSWERED


async def run_dial(node: Dial, context: VerbContext) -> Outcome:
    """Dial; with an action report to it, also of a caller who has hung up, else go on. Keys
    pressed before do not count (hangupOnStar). Raises VerbFailed for a URL that cannot be used."""
    plan = dial_plan(node, context)
    context.call.forget_digits()
    dialled = await context.call.dial(plan) if plan.targets else _FAILED
    if dialled.replaced:
        return Hangup(TRANSFERRED)
    if dialled.refer_target and plan.refer:
        url, method = plan.refer
        return Fetch(url, method, "refer-url", transfer_report(dialled.refer_target))
    if node.action:
        return Fetch(node.action, node.method, "dial-action", _report(dialled), parting=True)
    if dialled.caller_gone:
        raise CallEnded
    return Continue()


def dial_plan(node: Dial, context: VerbContext) -> DialPlan:
    """The nouns that this version can dial, all URLs absolute. May have no targets."""
    targets: list[DialTarget] = []
    for noun in node.nouns:
        target = dial_target(noun, context)
        if target is not None:
            targets.append(target)
    return DialPlan(
        targets=tuple(targets),
        timeout=node.timeout,
        time_limit=node.time_limit,
        hangup_on_star=node.hangup_on_star,
        caller_id=node.caller_id,
        answer_on_bridge=node.answer_on_bridge,
        ring_tone=node.ring_tone,
        sequential=node.sequential,
        recording=_recording(node, context),
        refer=(context.resolve(node.refer_url), node.refer_method) if node.refer_url else None,
    )


def _recording(node: Dial, context: VerbContext) -> DialRecording | None:
    if node.record == "do-not-record":
        return None
    return DialRecording(
        start="ringing" if node.record.startswith("record-from-ringing") else "answer",
        dual=node.record.endswith("-dual"),
        track=node.recording_track,
        trim=node.trim == "trim-silence",
        callback=callback_target(node.recording_callback, context),
    )


def _report(dialled: Dialled) -> tuple[tuple[str, str], ...]:
    report = dial_report(
        dialled.status,
        call_sid=dialled.call_sid,
        seconds=dialled.seconds,
        bridged=dialled.bridged,
        recording_url=dialled.recording_url,
    )
    if dialled.kind != SIP:
        return report
    sip = dial_sip_report(dialled.sip_call_id, dialled.sip_status, dialled.headers)
    return (*report, *sip)
