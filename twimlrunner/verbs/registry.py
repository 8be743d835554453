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
from twimlrunner.verbs.dial import dial_needs, run_dial
from twimlrunner.verbs.flow import run_hangup, run_pause, run_redirect, run_reject
from twimlrunner.verbs.gather import run_gather
from twimlrunner.verbs.play import run_play
from twimlrunner.verbs.record import run_record
from twimlrunner.verbs.refer import run_refer
from twimlrunner.verbs.say import run_say
from twimlrunner.verbs.screening import run_dial_again, run_not_allowed
from twimlrunner.verbs.unsupported import run_sms, run_unsupported

HANDLERS: Handlers = {
    Say: Handler(Needs.ANSWERED, run_say),
    Play: Handler(Needs.ANSWERED, run_play),
    Pause: Handler(Needs.NOTHING, run_pause),
    Redirect: Handler(Needs.NOTHING, run_redirect),
    Reject: Handler(Needs.UNANSWERED, run_reject),
    Hangup: Handler(Needs.ANSWERED, run_hangup),
    Gather: Handler(Needs.ANSWERED, run_gather),
    Record: Handler(Needs.ANSWERED, run_record),
    Dial: Handler(dial_needs, run_dial),
    Enqueue: Handler(Needs.ANSWERED, run_unsupported),
    Leave: Handler(Needs.ANSWERED, run_unsupported),
    Refer: Handler(Needs.ANSWERED, run_refer),
    Connect: Handler(Needs.ANSWERED, run_unsupported),
    Start: Handler(Needs.ANSWERED, run_unsupported),
    Stop: Handler(Needs.ANSWERED, run_unsupported),
    Pay: Handler(Needs.ANSWERED, run_unsupported),
    Prompt: Handler(Needs.ANSWERED, run_unsupported),
    Echo: Handler(Needs.ANSWERED, run_unsupported),
    Sms: Handler(Needs.ANSWERED, run_sms),
}

_SCREENING = (Say, Play, Gather, Pause, Hangup, Redirect)

SCREENING_HANDLERS: Handlers = {
    **{node: Handler(Needs.NOTHING, run_not_allowed) for node in HANDLERS},
    **{node: HANDLERS[node] for node in _SCREENING},
    Dial: Handler(Needs.NOTHING, run_dial_again),
}
"""For the document that a callee hears before the bridge (``url`` of Number, Sip and Client,
twiml-voice.md section 3)."""
