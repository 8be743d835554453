"""Refer: hand the call over (twiml-voice.md section 4; results: webhooks.md section 4.1)."""

from __future__ import annotations

from twimlrunner.engine.handler import VerbContext
from twimlrunner.engine.outcomes import Continue, Fetch, Outcome
from twimlrunner.engine.ports import CallEnded, Referred
from twimlrunner.twiml.nodes.refer import Refer
from twimlrunner.webhooks.request import refer_report

_BUSY = (486, 600)


async def run_refer(node: Refer, context: VerbContext) -> Outcome:
    """Send REFER and wait for its result. With an action that is asked, also of a peer that has
    gone (as it does after a transfer); else the next verb follows, and a document that ends here
    ends the leg."""
    if not node.target:
        return Continue()  # reported when it was read
    referred = await context.call.refer(node.target)
    if node.action:
        return Fetch(node.action, node.method, "refer-action", _report(referred), parting=True)
    if referred.ended_by == "hangup":
        raise CallEnded
    return Continue()


def _report(referred: Referred) -> tuple[tuple[str, str], ...]:
    """No ReferCallStatus, and no news from halfway, when nobody told how it ended."""
    refer_status, notified = referred.refer_status, referred.notify_status
    if notified >= 200:  # also of a peer that said so before it went
        return refer_report(_transfer_status(notified), refer_status, notified)
    match referred.ended_by:
        case "refused":
            return refer_report("failed", refer_status, 0)
        case "hangup":
            return refer_report("canceled", refer_status, notified)
        case _:
            return refer_report("", refer_status, 0)


def _transfer_status(status: int) -> str:
    if status < 300:
        return "in-progress"
    return "busy" if status in _BUSY else "failed"
