"""How a verb is run: what it needs, the function that does it, and what it may use."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from twimlrunner.engine.outcomes import Needs, Outcome
from twimlrunner.engine.ports import CallControl
from twimlrunner.twiml.document import Node


@dataclass(frozen=True, slots=True)
class VerbContext:
    """What a verb may use beside its node.

    ``resolve`` makes a URL of the document absolute; raises VerbFailed (11100, 15004).
    ``warn(code, message)`` leaves a notification of level warning. ``perform(nodes)`` runs nested
    verbs that never lead away (the prompts of a Gather), each as its own handler does it.
    """

    call: CallControl
    resolve: Callable[[str], str]
    warn: Callable[[int, str], None]
    perform: Callable[[Sequence[Node]], Coroutine[Any, Any, None]]


class Handler(NamedTuple):
    """One row of the table of verbs. ``needs`` may depend on the node's attributes.

    ``run(node, context)`` may raise CallEnded and VerbFailed. The node's type is the row's key,
    which the type system cannot say of a dict: hence Any.
    """

    needs: Needs | Callable[[Any], Needs]
    run: Callable[[Any, VerbContext], Awaitable[Outcome]]


Handlers = Mapping[type[Node], Handler]
