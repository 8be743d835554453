"""The table of verbs: what each needs of the call, and what runs it.

``needs`` is the table "when is the call answered" (sip-domain.md section 5): a verb that needs an
answered call makes the runner answer it.
"""

from __future__ import annotations

from twimlrunner.engine.handler import Handler, Handlers
from twimlrunner.engine.outcomes import Needs
from twimlrunner.twiml.nodes.connect import Connect, Start, Stop
from twimlrunner.twiml.nodes.dial import Dial
from twimlrunner.twiml.nodes.enqueue import Enqueue
from twimlrunner.twiml.nodes.flow import Echo, Hangup, Leave, Redirect, Reject
from twimlrunner.twiml.nodes.gather import Gather
from twimlrunner.twiml.nodes.pause import Pause
from twimlrunner.twiml.nodes.pay import Pay, Prompt, Sms
from twimlrunner.twiml.nodes.play import Play
from twimlrunner.twiml.nodes.record import Record
from twimlrunner.twiml.nodes.refer import Refer
from twimlrunner.twiml.nodes.say import Say
from twimlrunner.verbs.flow import run_hangup, run_pause, run_redirect, run_reject
from twimlrunner.verbs.play import run_play
from twimlrunner.verbs.say import run_say
from twimlrunner.verbs.unsupported import run_sms, run_unsupported


def _dial_needs(node: Dial) -> Needs:
    """With answerOnBridge the answer of the dialled party answers the caller."""
    return Needs.NOTHING if node.answer_on_bridge else Needs.ANSWERED


HANDLERS: Handlers = {
    Say: Handler(Needs.ANSWERED, run_say),
    Play: Handler(Needs.ANSWERED, run_play),
    Pause: Handler(Needs.NOTHING, run_pause),
    Redirect: Handler(Needs.NOTHING, run_redirect),
    Reject: Handler(Needs.UNANSWERED, run_reject),
    Hangup: Handler(Needs.ANSWERED, run_hangup),
    Gather: Handler(Needs.ANSWERED, run_unsupported),
    Record: Handler(Needs.ANSWERED, run_unsupported),
    Dial: Handler(_dial_needs, run_unsupported),
    Enqueue: Handler(Needs.ANSWERED, run_unsupported),
    Leave: Handler(Needs.ANSWERED, run_unsupported),
    Refer: Handler(Needs.ANSWERED, run_unsupported),
    Connect: Handler(Needs.ANSWERED, run_unsupported),
    Start: Handler(Needs.ANSWERED, run_unsupported),
    Stop: Handler(Needs.ANSWERED, run_unsupported),
    Pay: Handler(Needs.ANSWERED, run_unsupported),
    Prompt: Handler(Needs.ANSWERED, run_unsupported),
    Echo: Handler(Needs.ANSWERED, run_unsupported),
    Sms: Handler(Needs.ANSWERED, run_sms),
}
