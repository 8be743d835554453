"""The table of verbs: what each needs of the call, and what runs it.

``needs`` is the table "when is the call answered" (sip-domain.md section 5): a verb that needs an
answered call makes the runner answer it.
"""

from __future__ import annotations

from twimlrunner.engine.handler import Handler, Handlers
from twimlrunner.engine.outcomes import Needs
from twimlrunner.twiml.nodes.flow import Echo, Hangup, Leave, Redirect, Reject
from twimlrunner.twiml.nodes.pause import Pause
from twimlrunner.twiml.nodes.play import Play
from twimlrunner.twiml.nodes.say import Say
from twimlrunner.verbs.flow import run_hangup, run_pause, run_redirect, run_reject
from twimlrunner.verbs.play import run_play
from twimlrunner.verbs.say import run_say
from twimlrunner.verbs.unsupported import run_unsupported

HANDLERS: Handlers = {
    Say: Handler(Needs.ANSWERED, run_say),
    Play: Handler(Needs.ANSWERED, run_play),
    Pause: Handler(Needs.NOTHING, run_pause),
    Redirect: Handler(Needs.NOTHING, run_redirect),
    Reject: Handler(Needs.UNANSWERED, run_reject),
    Hangup: Handler(Needs.ANSWERED, run_hangup),
    Leave: Handler(Needs.ANSWERED, run_unsupported),
    Echo: Handler(Needs.ANSWERED, run_unsupported),
}
